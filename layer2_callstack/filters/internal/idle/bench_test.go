package idle

import (
	"testing"
	"time"
)

// BenchmarkCall is what a call costs, alone and on all processors at once.
func BenchmarkCall(b *testing.B) {
	w := NewWatch(time.Hour, nil)
	use := func(c *Calls) {
		c.Begin()
		c.End() // by the status
		c.End() // by Reset
	}
	b.Run("procs=1", func(b *testing.B) {
		c := newCalls(w)
		b.ReportAllocs()
		for b.Loop() {
			use(c)
		}
	})
	b.Run("procs=all", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			c := newCalls(w)
			for pb.Next() {
				use(c)
			}
		})
	})
}
