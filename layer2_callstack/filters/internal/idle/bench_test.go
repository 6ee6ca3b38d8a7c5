package idle

import (
	"testing"
	"time"
)

// BenchmarkCall is what a call costs: two additions. The clock is here to compare.
func BenchmarkCall(b *testing.B) {
	b.Run("what=watch", func(b *testing.B) {
		var w Watch
		w.Start(time.Hour, func() {})
		defer w.Stop()
		b.ReportAllocs()
		for b.Loop() {
			w.Begin()
			w.End()
		}
	})
	b.Run("what=clock", func(b *testing.B) {
		var last time.Time
		for b.Loop() {
			last = time.Now()
		}
		_ = last
	})
}
