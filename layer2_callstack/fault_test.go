package callstack

import (
	"io"
	"log/slog"
	"testing"
)

// BenchmarkFaultLog is a fault within the interval of the last one that was logged.
func BenchmarkFaultLog(b *testing.B) {
	l := NewFaultLog(slog.New(slog.NewTextHandler(io.Discard, nil)))
	l.report("f", "panicked")
	b.ReportAllocs()
	for b.Loop() {
		l.report("f", "panicked")
	}
}
