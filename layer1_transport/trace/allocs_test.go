//go:build !race

package trace

import "testing"

// TestAllocs: tracing that is off allocates nothing.
func TestAllocs(t *testing.T) {
	var e emitter
	if n := testing.AllocsPerRun(100, func() { e.work(5); Role(e.sink, "worker") }); n != 0 {
		t.Errorf("%v allocations without a sink, want 0", n)
	}
}
