//go:build !race

package callstack

import (
	"io"
	"log/slog"
	"testing"
)

// TestAllocsFault: a filter that breaks in each call costs no stack for the lines
// that nobody gets to see.
func TestAllocsFault(t *testing.T) {
	l := NewFaultLog(slog.New(slog.NewTextHandler(io.Discard, nil)))
	l.report("f", "panicked")
	if n := testing.AllocsPerRun(100, func() { l.report("f", "panicked") }); n > 1 {
		t.Errorf("a fault that is not logged takes %v allocations, want at most 1", n)
	}
}
