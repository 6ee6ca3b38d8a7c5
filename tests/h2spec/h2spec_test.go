package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestMain lets the test binary be the probe that h2specd starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "probe" {
		main()
		return
	}
	os.Exit(m.Run())
}

// buildTool builds one of the suites at the version that tools/h2spec pins.
func buildTool(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-o", file, "github.com/summerwind/h2spec/cmd/"+name)
	cmd.Dir = filepath.Join("..", "..", "tools", "h2spec")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", name, err, out)
	}
	return file
}

// check runs a suite with each of its cases as a subtest.
func check(t *testing.T, s suite) {
	list, err := readExceptions(exceptionsText)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	results, err := s.start(t.Context(), &text)
	if err != nil {
		t.Fatal(err)
	}
	faults := map[string]string{}
	for _, f := range compare(s.name, s.cases, results, list) {
		faults[f.id] += f.text
	}
	for _, r := range results {
		t.Run(r.id, func(t *testing.T) {
			if f := faults[r.id]; f != "" {
				t.Error(f)
			}
		})
	}
	if f := faults[""]; f != "" {
		t.Error(f)
	}
	if len(faults) > 0 {
		t.Logf("%s", text.String())
	}
}

func TestServer(t *testing.T) {
	tool := buildTool(t, "h2spec")
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) { check(t, serverSuite(tool, k)) })
	}
}

func TestClient(t *testing.T) { check(t, clientSuite(buildTool(t, "h2specd"))) }

// TestToolThatFails: a tool that does nothing must not pass for a suite.
func TestToolThatFails(t *testing.T) {
	if _, err := serverSuite("false", kinds()[0]).start(context.Background(), &strings.Builder{}); err == nil {
		t.Error("a run without a report passed")
	}
	if _, err := clientSuite("false").start(context.Background(), &strings.Builder{}); err == nil {
		t.Error("a run without output passed")
	}
}

func TestCompare(t *testing.T) {
	list := []exception{{"a", "x/1", failed, "because"}, {"a", "x/2", skipped, "because"}, {"b", "x/3", failed, "because"}}
	for _, tc := range []struct {
		name    string
		results []result
		want    []string // ids of the faults
	}{
		{"as it must be", []result{{"x/1", "", failed}, {"x/2", "", skipped}, {"x/3", "", passed}}, nil},
		{"a case that is not on the list fails", []result{{"x/1", "", failed}, {"x/2", "", skipped}, {"x/3", "", failed}}, []string{"x/3"}},
		{"a case that is not on the list is skipped", []result{{"x/1", "", failed}, {"x/2", "", skipped}, {"x/3", "", skipped}}, []string{"x/3"}},
		{"a case of the list passes", []result{{"x/1", "", passed}, {"x/2", "", skipped}, {"x/3", "", passed}}, []string{"x/1"}},
		{"a case of the list ends in another way", []result{{"x/1", "", failed}, {"x/2", "", failed}, {"x/3", "", passed}}, []string{"x/2"}},
		{"a case of the list does not run", []result{{"x/1", "", failed}, {"x/3", "", passed}, {"x/4", "", passed}}, []string{""}},
		{"too few run", []result{{"x/1", "", failed}, {"x/2", "", skipped}}, []string{""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, f := range compare("a", 3, tc.results, list) {
				got = append(got, f.id)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("faults of %q, want %q", got, tc.want)
			}
		})
	}
}

func TestReadExceptions(t *testing.T) {
	list, err := readExceptions("# a comment\n\ngrpc  http2/1/1  failed  it is so\n")
	if want := []exception{{"grpc", "http2/1/1", failed, "it is so"}}; err != nil || !reflect.DeepEqual(list, want) {
		t.Errorf("got %v, %v", list, err)
	}
	for _, bad := range []string{"grpc http2/1/1 failed", "grpc http2/1/1 passed it is so"} {
		if _, err := readExceptions(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// TestParseJUnit has texts that are not XML, as h2spec writes them.
func TestParseJUnit(t *testing.T) {
	got, err := parseJUnit(strings.NewReader(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="5.1. Stream States" package="http2/5.1" id="5.1" tests="3" errors="1" skipped="1">
    <testcase package="http2/5.1" classname="idle: Sends a &#34;DATA&#34; frame" time="0.1"></testcase>
    <testcase package="http2/5.1" classname="b" time="0.1"><error>GOAWAY Frame (code: 1 & 2)</error></testcase>
    <testcase package="http2/5.1" classname="c" time="0.1"><skipped></skipped></testcase>
  </testsuite>
</testsuites>`))
	want := []result{{"http2/5.1/1", `idle: Sends a "DATA" frame`, passed}, {"http2/5.1/2", "b", failed}, {"http2/5.1/3", "c", skipped}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

func TestParseOutput(t *testing.T) {
	got := parseOutput("Generic tests for HTTP/2 client\n  5. Streams\n    5.1. Stream States\n" +
		"\r      ✔ 1: idle: Sends a DATA frame\n\r      × 2: closed: b\n        -> The endpoint MUST\n           Expected: x\n\r      3: c\n\n" +
		"Failures: \n\n    5.1. Stream States\n      × 2: closed: b\n\nFinished in 0.1 seconds\n")
	want := []result{{"client/5.1/1", "idle: Sends a DATA frame", passed}, {"client/5.1/2", "closed: b", failed}, {"client/5.1/3", "c", skipped}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
