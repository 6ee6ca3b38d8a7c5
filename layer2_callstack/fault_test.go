package callstack

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// TestPanicked: of what a panic says 256 bytes are kept.
func TestPanicked(t *testing.T) {
	for text, want := range map[string]string{
		strings.Repeat("x", 256):        strings.Repeat("x", 256),
		strings.Repeat("x", 257):        strings.Repeat("x", 256) + "…",
		strings.Repeat("x", 255) + "é":  strings.Repeat("x", 255) + "…",
		strings.Repeat("x", 254) + "éé": strings.Repeat("x", 254) + "é…",
	} {
		if got := panicked(errors.New(text)); got.Error() != want {
			t.Errorf("%d bytes became %q", len(text), got)
		}
	}
}

// TestFaultLogAtOnce: filters of several calls may break at the same time. It is for the
// race detector.
func TestFaultLogAtOnce(t *testing.T) {
	var log bytes.Buffer
	l := NewFaultLog(slog.New(slog.NewTextHandler(&log, nil)))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				l.report(string(rune('a'+i%4)), "is to blame")
			}
		})
	}
	wg.Wait()
	if got := strings.Count(log.String(), "level=WARN"); got != 4 {
		t.Errorf("%d warnings of 4 filters", got)
	}
}

// A fading owner goes out of use as somebody refers to it: the call ends on another
// goroutine.
type fadingOwner struct {
	countedOwner
	c  *guardCall
	in bool // still in use
}

func (o *fadingOwner) Acquire(uint32) bool {
	if o.in {
		o.Ref()
		o.c.ways.Store(0)
	}
	return o.in
}

func (*fadingOwner) Generation() uint32 { return 1 }

// TestUseAsTheCallEnds: a filter that has no reference, and does wrong while the last one
// goes, is told of and reaches nothing.
func TestUseAsTheCallEnds(t *testing.T) {
	for name, in := range map[string]bool{"the block is not in use": false, "the call is over by then": true} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			owner := &fadingOwner{in: in}
			below := &sumpCount{}
			c := newGuardCall(&guard{name: "keeper", faults: NewFaultLog(slog.New(slog.NewTextHandler(&log, nil)))}, below)
			c.user = &keeper{}
			owner.c = c
			if err := c.Init(&CallArgs{Owner: owner}); err != nil {
				t.Fatal(err)
			}
			Cancel(&c.floor, errTest)
			if !strings.Contains(log.String(), "passed on cancel_stream after the end of the call") {
				t.Errorf("the log has %q", &log)
			}
			c.fail("is to blame", nil)
			if below.n != 0 || owner.refs.Load() != 0 || c.Spent() {
				t.Errorf("%d batches got below, %d references are left", below.n, owner.refs.Load())
			}
		})
	}
}

// A sumpCount counts what gets to it.
type sumpCount struct {
	CallBase
	n int
}

func (s *sumpCount) StartBatch(*transport.StreamOpBatch) { s.n++ }

// BenchmarkFaultLog is a fault within the interval of the last one that was logged.
func BenchmarkFaultLog(b *testing.B) {
	l := NewFaultLog(slog.New(slog.NewTextHandler(io.Discard, nil)))
	l.report("f", "panicked")
	b.ReportAllocs()
	for b.Loop() {
		l.report("f", "panicked")
	}
}
