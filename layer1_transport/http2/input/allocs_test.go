//go:build !race

package input

import "testing"

// TestAllocs: reading allocates nothing, though the memory comes and goes.
func TestAllocs(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		writer, reader := sockets(t, network)
		in := New(reader)
		wire, _ := frames(100, 10000)
		run := func() {
			if _, err := writer.Write(wire); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, _, err := next(in); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 10 {
			run()
		}
		if n := testing.AllocsPerRun(200, run); n >= 1 {
			t.Errorf("%s: %v allocations, want 0", network, n)
		}
	}
}
