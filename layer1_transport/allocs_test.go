//go:build !race

package transport

import "testing"

// TestAllocs: a pooled buffer costs nothing once its memory is there.
func TestAllocs(t *testing.T) {
	p := make([]byte, 1000)
	n := testing.AllocsPerRun(200, func() {
		b := NewBuffer(len(p))
		b.SetBytes(append(b.Bytes(), p...))
		b.Ref()
		b.Release()
		b.Release()
	})
	if n >= 1 { // the collector may empty the pool meanwhile
		t.Errorf("%v allocations a message, want 0", n)
	}
}
