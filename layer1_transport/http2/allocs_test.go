//go:build !race

package http2_test

import "testing"

// TestAllocsUnary: a unary exchange allocates nothing on either side once
// blocks, buffers and header caches are warm.
func TestAllocsUnary(t *testing.T) {
	client := benchPair(t)
	c := newBenchCall(client)
	for range 100 {
		c.unary(100)
	}
	// Both ends are in this process, so both are counted. A fraction is what
	// the garbage collector takes from pools.
	if got := testing.AllocsPerRun(2000, func() { c.unary(100) }); got > 0.1 {
		t.Errorf("a unary exchange allocates %.2f times, want 0", got)
	}
}
