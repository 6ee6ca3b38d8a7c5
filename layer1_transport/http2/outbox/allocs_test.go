//go:build !race

package outbox

import (
	"io"
	"testing"
)

// TestAllocs: collecting and writing a batch allocates nothing once the memory
// of two batches is there.
func TestAllocs(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for name, large := range map[string]int{"small": 0, "with payload": 2 * copyLimit} {
			writer, reader := sockets(t, network)
			go func() { _, _ = io.Copy(io.Discard, reader) }()
			w := oneWriter{s: NewSocket(writer), buf: payload(max(large, 1), 0), large: large > 0}
			run := func() { w.write(t) }
			for range 10 {
				run()
			}
			if n := testing.AllocsPerRun(200, run); n >= 1 {
				t.Errorf("%s over %s: %v allocations, want 0", name, network, n)
			}
		}
	}
}
