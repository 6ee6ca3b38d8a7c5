package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
)

// TestMain makes victims of this binary too.
func TestMain(m *testing.M) {
	if isChild() {
		if err := runChild(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestQuickAttacks plays the attacks that are marked @quick against Strata, one
// after the other against one process, as they would come in real life.
func TestQuickAttacks(t *testing.T) {
	attacks, err := loadAttacks(config{quick: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel) // after the victims' ends
	server := newVictim(t, ctx)
	served, err := server.Ask(command{Op: opServe})
	if err != nil {
		t.Fatal(err)
	}
	p, err := startProber(served.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	client := newVictim(t, ctx)
	for _, a := range attacks {
		t.Run(a.file, func(t *testing.T) {
			var r row
			var err error
			if a.script.IsServer() {
				r, err = playClient(ctx, client, a)
			} else {
				r, err = quickServer(ctx, server, a, served.Addr, p)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range r.Broken {
				t.Errorf("%s; came: %s; heap and stacks grew by %d KiB", b, r.Reaction, r.HeapGrowth>>10)
			}
		})
	}
}

// quickServer is attackServer after a short look at the server at rest.
func quickServer(ctx context.Context, v *victim, a attack, addr string, p *prober) (row, error) {
	if _, err := v.Ask(command{Op: opWatch}); err != nil {
		return row{}, err
	}
	if _, err := v.Ask(command{Op: opUnwatch}); err != nil {
		return row{}, err
	}
	return attackServer(ctx, v, a, addr, p)
}

// newVictim starts a process that ends with the test.
func newVictim(t *testing.T, ctx context.Context) *victim {
	t.Helper()
	v, err := startVictim(ctx, "strata")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Errorf("the victim's end: %v", err)
		}
	})
	return v
}

// TestEveryScriptSaysWhatItWants: the scripts parse, also those that only make
// attacks plays, and have numbers in their names as in their notes.
func TestEveryScriptSaysWhatItWants(t *testing.T) {
	attacks, err := loadAttacks(config{})
	if err != nil {
		t.Fatal(err)
	}
	if len(attacks) < 60 {
		t.Errorf("%d attacks, there were more than 60", len(attacks))
	}
	for _, a := range attacks {
		prefix := strings.ToLower(a.id)
		if number := prefix[1:]; len(number) == 1 {
			prefix = prefix[:1] + "0" + number
		}
		if !strings.HasPrefix(a.file, prefix) {
			t.Errorf("%s is attack %s", a.file, a.id)
		}
	}
}

// TestNoteErrors: a note that means nothing is an error, not a bound that
// nobody checks.
func TestNoteErrors(t *testing.T) {
	const good = "@attack A1 x\n@reaction none\nclient\n"
	if _, err := newAttack("a", good, false); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ text, err string }{
		{good + "@memory 3KiB", "@memory 3KiB: no such note"},
		{good + "@heap much", `parsing "much"`},
		{good + "@calls 3", "want two numbers"},
		{good + "@calls 3 3", "a client's must have none"},
		{"@attack A1 x\nclient\n", "needs @attack, and @reaction or @ends"},
		{"client\nshout", "a.txt:2"},
	} {
		if _, err := newAttack("a", tc.text, false); err == nil || !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%q: %v, want %q", tc.text, err, tc.err)
		}
	}
	a, err := newAttack("a", good+"@frames 1000 10", true)
	if err != nil || a.frames != 10 {
		t.Errorf("frames = %d, %v, want those of -quick", a.frames, err)
	}
}

// TestJudge: every bound can be broken.
func TestJudge(t *testing.T) {
	rec := &framescript.Record{
		Received: map[string]int{"RST_STREAM": 3, "RST_STREAM CANCEL": 3},
		GoAways:  []framescript.GoAway{{Code: http2.ErrCodeEnhanceYourCalm, Debug: "too_many_pings"}},
	}
	rec.Received["GOAWAY ENHANCE_YOUR_CALM"]++
	for _, tc := range []struct {
		name   string
		row    row
		bounds bounds
		after  usage
		broken string // "" for none
	}{
		{"as wanted", row{HeapGrowth: 10, Handlers: 3}, bounds{reaction: []string{"close", "RST_STREAM CANCEL"}, heap: 10, running: 2}, usage{}, ""},
		{"GOAWAY with its text", row{}, bounds{reaction: []string{"GOAWAY ENHANCE_YOUR_CALM too_many_pings"}}, usage{}, ""},
		{"another text", row{}, bounds{reaction: []string{"GOAWAY ENHANCE_YOUR_CALM calm"}}, usage{}, "reaction: want"},
		{"something came", row{}, bounds{reaction: []string{"none"}}, usage{}, "reaction: want none"},
		{"it did not close", row{}, bounds{reaction: []string{"close"}}, usage{}, "reaction: want close"},
		{"heap", row{HeapGrowth: 11 + noise}, bounds{heap: 10}, usage{}, "heap"},
		{"cpu", row{CPU: time.Minute}, bounds{cpu: time.Second}, usage{}, "cpu"},
		{"handlers", row{Handlers: 4}, bounds{running: 2}, usage{}, "4 handlers at once"},
		{"strangers", row{}, bounds{}, usage{Strangers: 1}, "under another name"},
		{"another client", row{Loaded: probe{Calls: 3, Failed: []string{"UNAVAILABLE"}}}, bounds{}, usage{}, "1 of 3 calls"},
		{"goroutines", row{LeftGoroutines: slack + 1}, bounds{}, usage{}, "goroutines left"},
		{"the script", row{Script: "a:1: no"}, bounds{}, usage{}, "script: a:1: no"},
		{"ends", row{Ends: map[string]int{"OK": 3}}, bounds{ends: map[string]int{"OK": 3}}, usage{}, ""},
		{"too few", row{Ends: map[string]int{"OK": 3}}, bounds{ends: map[string]int{"OK": 4}}, usage{}, "3 calls ended with OK, want 4"},
		{"a code that must not be", row{Ends: map[string]int{"OK": 3, "INTERNAL": 1}}, bounds{ends: map[string]int{"OK": 3}}, usage{}, "1 calls ended with INTERNAL"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := attack{bounds: tc.bounds, script: framescript.MustParse("s", "client\n")}
			tc.row.judge(a, []*framescript.Record{rec}, tc.after)
			text := strings.Join(tc.row.Broken, "; ")
			if (tc.broken == "") != (text == "") || !strings.Contains(text, tc.broken) {
				t.Errorf("broken: %q, want %q", text, tc.broken)
			}
		})
	}
}

func TestCodeName(t *testing.T) {
	for in, want := range map[string]string{"OK": "OK", "DeadlineExceeded": "DEADLINE_EXCEEDED", "Canceled": "CANCELLED", "Unknown": "UNKNOWN"} {
		if got := codeName(in); got != want {
			t.Errorf("codeName(%s) = %s, want %s", in, got, want)
		}
	}
}
