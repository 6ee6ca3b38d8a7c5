//go:build !race

package metadata

import "testing"

// TestAllocs: a list that has been used takes the next call without memory.
func TestAllocs(t *testing.T) {
	md := Pairs("a", "1", "b", "2", "c", "3")
	source := full()
	var l List
	sum := 0
	for _, tc := range []struct {
		name string
		want float64
		run  func()
	}{
		{"Reset and Append", 0, func() { l.Reset(); l.Append("k", "v"); l.SetStatus(0, "") }},
		{"AppendMD", 0, func() { l.Reset(); l.AppendMD(md) }},
		{"CopyFrom", 0, func() { l.CopyFrom(source) }},
		{"Delete", 0, func() { l.CopyFrom(source); l.Delete("b") }},
		{"MD of a few keys", 2, func() { l.CopyFrom(source); l.Delete("b"); sum += len(l.MD()) }},
	} {
		tc.run()
		tc.run()
		if n := testing.AllocsPerRun(100, tc.run); n > tc.want {
			t.Errorf("%s: %v allocations, want at most %v", tc.name, n, tc.want)
		}
	}
}
