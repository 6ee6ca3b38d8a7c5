package clientidle

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// newCall returns a block of s.
func newCall(s *activities) *call {
	c := &call{}
	c.activity = s.add(c)
	return c
}

// wantBusy checks what the next sweep finds.
func wantBusy(t *testing.T, s *activities, want bool, when string) {
	t.Helper()
	if got := s.sweep(); got != want {
		t.Errorf("%s: sweep() = %t, want %t", when, got, want)
	}
}

func TestSweep(t *testing.T) {
	var s activities
	wantBusy(t, &s, false, "without a block")
	c, other := newCall(&s), newCall(&s)
	wantBusy(t, &s, true, "after a block was made")
	wantBusy(t, &s, false, "with blocks that nobody uses")
	c.activity.begin()
	for range 3 {
		wantBusy(t, &s, true, "during a call")
	}
	c.activity.end()
	wantBusy(t, &s, true, "after the end of a call")
	wantBusy(t, &s, false, "a sweep later")
	c.activity.end()
	wantBusy(t, &s, false, "after a second end of the same call")
	other.activity.begin()
	other.activity.end()
	wantBusy(t, &s, true, "after a call that began and ended")
	wantBusy(t, &s, false, "at the end")
	runtime.KeepAlive(c)
	runtime.KeepAlive(other)
}

// TestLostBlocks: a block that nobody has any more is not in a call, but the call
// that it was used for is not forgotten before it was seen.
func TestLostBlocks(t *testing.T) {
	for _, seen := range []bool{false, true} {
		var s activities
		c := newCall(&s)
		s.sweep()
		c.activity.begin()
		if seen {
			wantBusy(t, &s, true, "during a call")
		}
		c = nil
		runtime.GC()
		wantBusy(t, &s, !seen, "after a block was lost during its call")
		wantBusy(t, &s, false, "a sweep later")
		if n := len(s.all); n != 0 {
			t.Errorf("%d activities are left, want none", n)
		}
	}
}

// TestManyBlocks: what is kept of blocks that come and go is bounded between two
// sweeps, too.
func TestManyBlocks(t *testing.T) {
	var s activities
	kept := newCall(&s)
	for range 100 {
		for range 100 {
			newCall(&s)
		}
		runtime.GC()
	}
	if n := len(s.all); n > 1000 {
		t.Errorf("%d activities of 10001 blocks are left, of which one is in use", n)
	}
	wantBusy(t, &s, true, "after blocks were made")
	runtime.KeepAlive(kept)
}

// TestSweepRacesCalls: no call is missed. A sweep after a call that had not begun at
// the sweep before finds it, whether it has ended or not.
func TestSweepRacesCalls(t *testing.T) {
	var s activities
	var made, over atomic.Int64 // calls about to begin, and that have ended
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			c := newCall(&s)
			for {
				select {
				case <-stop:
					return
				default:
				}
				made.Add(1)
				c.activity.begin()
				c.activity.end()
				over.Add(1)
				runtime.Gosched()
			}
		})
	}
	for range 200 {
		s.sweep()
		from := made.Load()
		for over.Load() <= from { // until one of those that were made later is over
			runtime.Gosched()
		}
		if !s.sweep() {
			t.Error("a sweep found no call, and there was one since the last")
		}
	}
	close(stop)
	wg.Wait()
}

// BenchmarkCall is what a call costs, alone and on all processors at once.
func BenchmarkCall(b *testing.B) {
	var s activities
	use := func(c *call) {
		c.activity.begin()
		c.activity.end() // by the status
		c.activity.end() // by Reset
	}
	b.Run("procs=1", func(b *testing.B) {
		c := newCall(&s)
		for b.Loop() {
			use(c)
		}
	})
	b.Run("procs=all", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			c := newCall(&s)
			for pb.Next() {
				use(c)
			}
		})
	})
}
