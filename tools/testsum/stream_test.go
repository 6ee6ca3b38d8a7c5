package main

import (
	"strings"
	"testing"
)

func TestStreamCountsLeaves(t *testing.T) {
	for _, tc := range []struct {
		name    string
		events  string
		want    tally
		printed []string // substrings of the output, all needed
		dropped []string // substrings that must not appear
	}{
		{
			name: "a passing test prints nothing but its package",
			events: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Elapsed":0.5}`,
			want:    tally{passed: 1},
			printed: []string{"ok\tp\t0.50s\n"},
			dropped: []string{"chatter"},
		},
		{
			name: "a test with subtests counts as its subtests",
			events: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/one"}
{"Action":"run","Package":"p","Test":"TestA/two"}
{"Action":"pass","Package":"p","Test":"TestA/one"}
{"Action":"output","Package":"p","Test":"TestA/two","Output":"got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestA/two"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`,
			want:    tally{passed: 1, failed: 1},
			printed: []string{"got 1, want 2"},
		},
		{
			name: "a test that fails beside its subtests counts",
			events: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/one"}
{"Action":"pass","Package":"p","Test":"TestA/one"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`,
			want: tally{passed: 1, failed: 1},
		},
		{
			name: "a package that does not build counts as one failure",
			events: `{"Action":"build-output","ImportPath":"p","Output":"x.go:1: undefined: y\n"}
{"Action":"build-fail","ImportPath":"p"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","FailedBuild":"p"}`,
			want:    tally{failed: 1},
			printed: []string{"undefined: y", "[build failed]"},
		},
		{
			name: "a test that never ended prints what it had",
			events: `{"Action":"run","Package":"p","Test":"TestHang"}
{"Action":"output","Package":"p","Test":"TestHang","Output":"waiting\n"}
{"Action":"output","Package":"p","Output":"panic: test timed out\n"}
{"Action":"fail","Package":"p"}`,
			want:    tally{failed: 1},
			printed: []string{"waiting", "timed out"},
		},
		{
			name:    "a line of the go command itself passes through",
			events:  "go: downloading example.com/x v1.0.0",
			printed: []string{"go: downloading"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out strings.Builder
			var got tally
			if err := newStream(&out, &got).read(strings.NewReader(tc.events)); err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("counted %v, want %v", got, tc.want)
			}
			for _, text := range tc.printed {
				if !strings.Contains(out.String(), text) {
					t.Errorf("output lacks %q:\n%s", text, out.String())
				}
			}
			for _, text := range tc.dropped {
				if strings.Contains(out.String(), text) {
					t.Errorf("output has %q:\n%s", text, out.String())
				}
			}
		})
	}
}

func TestRanOut(t *testing.T) {
	for _, tc := range []struct {
		name, report string
		want         bool
	}{
		{"out of time", "--- FAIL: FuzzX (3.01s)\n    context deadline exceeded\n", true},
		{"a failing input", "context deadline exceeded\nFailing input written to testdata/fuzz/FuzzX/1\n", false},
		{"a crash", "--- FAIL: FuzzX\n panic\n", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := ranOut(tc.report); got != tc.want {
				t.Errorf("ranOut = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestLastExecs(t *testing.T) {
	report := "fuzz: elapsed: 0s, execs: 5\nfuzz: elapsed: 3s, execs: 8123 (2707/sec)\nPASS\n"
	if got := lastExecs(report); got != "8123" {
		t.Errorf("lastExecs = %q, want 8123", got)
	}
}

func TestTallyOfNothingIsNoSuccess(t *testing.T) {
	for _, tc := range []struct {
		tally tally
		want  bool
	}{
		{tally{}, false},
		{tally{passed: 3}, true},
		{tally{passed: 3, failed: 1}, false},
	} {
		if got := tc.tally.ok(); got != tc.want {
			t.Errorf("%v.ok() = %v, want %v", tc.tally, got, tc.want)
		}
	}
}
