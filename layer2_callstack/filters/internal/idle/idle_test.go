package idle

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const (
	after = 10 * time.Second
	late  = after / maxLooks // at most
)

// newWatch returns a watch, and what tells when it said that there were no calls.
func newWatch(t *testing.T) (w *Watch, said func() []time.Duration) {
	t.Helper()
	start := time.Now()
	var mu sync.Mutex
	var times []time.Duration
	w = NewWatch(after, func() {
		mu.Lock()
		defer mu.Unlock()
		times = append(times, time.Since(start))
	})
	t.Cleanup(w.Stop)
	return w, func() []time.Duration {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return times
	}
}

// newCalls returns the calls of a block of w.
func newCalls(w *Watch) *Calls {
	c := new(Calls)
	w.Add(c)
	return c
}

// TestWhen has calls, each of a block of its own, as the times at which they begin
// and end.
func TestWhen(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	for _, tc := range []struct {
		name  string
		calls [][2]time.Duration
		want  time.Duration // when it is said, once
	}{
		{"no call at all", nil, 10 * s},
		{"a call between two looks", [][2]time.Duration{{1200 * ms, 1400 * ms}}, 12 * s},
		{"a call that a look finds open", [][2]time.Duration{{1200 * ms, 2300 * ms}}, 13 * s},
		{"a call just before it would be said", [][2]time.Duration{{10*s - 1, 10*s - 1}}, 20 * s},
		{"a call just after a look", [][2]time.Duration{{7*s + 1, 7*s + 1}}, 18 * s},
		{"a long call", [][2]time.Duration{{1200 * ms, 30*s + 1}}, 41 * s},
		{"a call that begins while another ends", [][2]time.Duration{{1200 * ms, 30*s + 5*ms}, {30*s + 5*ms, 39*s + ms}}, 50 * s},
		{"a call for each look", [][2]time.Duration{
			{7*s + ms, 7*s + 2*ms}, {8*s + ms, 8*s + 2*ms}, {9*s + ms, 9*s + 2*ms}, {9*s + 3*ms, 9*s + 4*ms},
		}, 20 * s},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, said := newWatch(t)
				w.Start()
				for _, call := range tc.calls {
					c := newCalls(w)
					time.AfterFunc(call[0], func() {
						c.Begin()
						time.Sleep(call[1] - call[0])
						c.End()
					})
					defer runtime.KeepAlive(c)
				}
				time.Sleep(time.Hour)
				if got := said(); len(got) != 1 || got[0] != tc.want {
					t.Errorf("said at %v, want once at %v", got, tc.want)
				}
			})
		})
	}
}

// TestModel makes calls at random, of blocks that there are or are not yet, and
// compares when it was said with when the calls were.
func TestModel(t *testing.T) {
	seeds := uint64(200)
	if testing.Short() {
		seeds = 40
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			m := model{t: t, rnd: rand.New(rand.NewPCG(seed, 0)), began: time.Now()}
			m.w = NewWatch(after, m.said)
			defer m.w.Stop()
			for range 200 {
				m.step()
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			m.check()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
			runtime.KeepAlive(m.blocks)
		})
	}
}

// A model knows when there were no calls.
type model struct {
	t      *testing.T
	w      *Watch
	rnd    *rand.Rand
	began  time.Time
	blocks []*Calls
	open   []*Calls

	mu sync.Mutex
	// Guarded by mu.
	looking bool
	since   time.Time // when it began to look, or the last call ended
}

// step does one thing, and lets some time pass.
func (m *model) step() {
	m.mu.Lock()
	m.check()
	switch n := m.rnd.IntN(10); {
	case n < 4 && len(m.open) > 0:
		i := m.rnd.IntN(len(m.open))
		c := m.open[i]
		m.open = append(m.open[:i], m.open[i+1:]...)
		m.blocks = append(m.blocks, c)
		m.since = time.Now()
		c.End()
		c.End()
	case n < 6:
		var c *Calls
		if i := len(m.blocks) - 1; i >= 0 && n == 5 {
			c, m.blocks = m.blocks[i], m.blocks[:i]
		} else {
			c = newCalls(m.w)
		}
		m.open = append(m.open, c)
		c.Begin()
	case n < 8:
		if !m.looking {
			m.looking, m.since = true, time.Now()
		}
		m.w.Start()
	}
	m.mu.Unlock()
	// Not a multiple of the time between two looks, so that nothing happens at one.
	time.Sleep(time.Duration(m.rnd.Int64N(int64(after/3))/1000*1000 + 1))
	synctest.Wait()
}

// said is what the watch calls.
func (m *model) said() {
	m.mu.Lock()
	defer m.mu.Unlock()
	quiet := time.Since(m.since)
	switch {
	case !m.looking:
		m.t.Errorf("said at %v, without a Start", time.Since(m.began))
	case len(m.open) > 0:
		m.t.Errorf("said at %v, with %d calls open", time.Since(m.began), len(m.open))
	case quiet < after || quiet > after+late:
		m.t.Errorf("said at %v, %v after the last call", time.Since(m.began), quiet)
	}
	m.looking = false
}

// check fails if it should have been said by now.
func (m *model) check() {
	if quiet := time.Since(m.since); m.looking && len(m.open) == 0 && quiet > after+late {
		m.t.Errorf("not said by %v, %v after the last call", time.Since(m.began), quiet)
		m.looking = false
	}
}

// TestTimes has times that are hard to divide: it is never said too early, and not
// much too late.
func TestTimes(t *testing.T) {
	for _, d := range []time.Duration{
		1, time.Millisecond - 1, time.Millisecond, time.Millisecond + 1, 2*time.Millisecond - 1, 9999 * time.Microsecond,
		10 * time.Millisecond, 10*time.Millisecond + 1, 7*time.Second + 3, 30 * time.Minute, math.MaxInt64/2 + 1, math.MaxInt64,
	} {
		w := NewWatch(d, nil)
		never := float64(w.period) * float64(w.looks)                           // earlier than this
		atMost := float64(w.period)*float64(w.looks+1) - float64(d)             // later than d
		allowed := max(float64(d)/maxLooks*(1+1e-6), 2*float64(minPeriod)) + 10 // the rounding of ten looks
		if w.period < minPeriod || w.looks < 1 || w.looks > maxLooks || never < float64(d) || atMost > allowed {
			t.Errorf("%v: looks %d times every %v, so it is said up to %v late", d, w.looks, w.period, time.Duration(atMost))
		}
	}
}

// TestForever: the longest time that there is is not over at once.
func TestForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := false
		w := NewWatch(math.MaxInt64, func() { said = true })
		w.Start()
		time.Sleep(1000 * time.Hour)
		w.Stop()
		if said {
			t.Error("it was said after 1000 hours")
		}
	})
}

// TestStart: it is said once for each Start, and not without. One that comes while
// it looks begins nothing anew.
func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, said := newWatch(t)
		c := newCalls(w)
		c.Begin()
		c.End()
		time.Sleep(time.Hour)
		w.Start()
		time.Sleep(after / 2)
		w.Start()
		time.Sleep(time.Hour)
		c.Begin()
		c.End()
		time.Sleep(time.Hour)
		want := time.Hour + after + late // the first look finds the first call
		if got := said(); len(got) != 1 || got[0] != want {
			t.Errorf("said at %v, want once at %v", got, want)
		}
		w.Start()
		time.Sleep(time.Hour)
		if got := said(); len(got) != 2 {
			t.Errorf("said at %v, want once more after another Start", got)
		}
		runtime.KeepAlive(c)
	})
}

// TestStop: nothing is said afterwards, whatever the timer was about to do.
func TestStop(t *testing.T) {
	for _, at := range []time.Duration{0, after / 2, after - 1, 2 * after} {
		synctest.Test(t, func(t *testing.T) {
			w, said := newWatch(t)
			c := newCalls(w)
			c.Begin()
			w.Start()
			time.Sleep(at)
			w.Stop()
			before := len(said())
			c.End() // of a call that outlived the channel
			w.Start()
			time.Sleep(time.Hour)
			if got := said(); len(got) != before {
				t.Errorf("stopped after %v, and said at %v", at, got)
			}
			w.Stop()
		})
	}
	w := NewWatch(after, nil)
	w.Stop() // that never started
	if w.Start(); w.timer != nil {
		t.Error("a timer is set after Stop")
	}
}

// TestEndsAtOnce: a cancel and the status of a call may end it at the same time, and
// it is over then.
func TestEndsAtOnce(t *testing.T) {
	const rounds = 20000
	w := NewWatch(after, nil)
	c := newCalls(w)
	var begun, ended, spun atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range int64(rounds) {
			for n := 0; begun.Load() <= i; n++ {
				if n > 1000 {
					runtime.Gosched()
				}
			}
			c.End()
			ended.Add(1)
		}
	})
	for i := range int64(rounds) {
		c.Begin()
		begun.Add(1)
		for range i % 100 { // as long as it may take the other one to notice
			spun.Add(1)
		}
		c.End()
		for ended.Load() <= i {
			runtime.Gosched()
		}
		if n := c.count.n.Load(); n != uint64(2*i+2) {
			t.Errorf("%d begins and ends after %d calls", n, i+1)
			break
		}
	}
	begun.Add(rounds)
	wg.Wait()
}

// TestStopWaits: nothing runs when Stop has returned, also where it comes while
// the function runs.
func TestStopWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended bool
		w := NewWatch(after, func() {
			time.Sleep(time.Second)
			ended = true
		})
		w.Start()
		time.Sleep(after + time.Millisecond)
		w.Stop()
		if !ended {
			t.Error("Stop returned while the function ran")
		}
	})
}

// lookOnce looks once, as the timer does, and reports whether there was a call.
func (w *Watch) lookOnce() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.countLocked()
	busy := w.busy
	w.busy = false
	return busy
}

// TestLostBlocks: a block that nobody has any more is not in a call, but the call
// that it was used for is not forgotten before it was seen.
func TestLostBlocks(t *testing.T) {
	for _, seen := range []bool{false, true} {
		w := NewWatch(after, nil)
		block := &struct { // as a filter's part of a call
			next  any
			calls Calls
		}{}
		w.Add(&block.calls)
		block.calls.Begin()
		runtime.GC()
		if seen && !w.lookOnce() {
			t.Error("a block was lost that is in use")
		}
		runtime.KeepAlive(block)
		block = nil
		runtime.GC()
		for i, want := range []bool{!seen, false} {
			if got := w.lookOnce(); got != want {
				t.Errorf("seen %t: look %d after the block was lost found a call: %t", seen, i+1, got)
			}
		}
		if n := len(w.counts); n != 0 {
			t.Errorf("%d counts are left, want none", n)
		}
	}
}

// TestManyBlocks: what is kept of blocks that come and go is bounded between two
// looks, too, and a call that Add has come upon is not forgotten.
func TestManyBlocks(t *testing.T) {
	w := NewWatch(after, nil)
	kept := newCalls(w)
	kept.Begin()
	kept.End()
	for range 100 {
		for range 100 {
			newCalls(w)
		}
		runtime.GC()
	}
	if n := len(w.counts); n > 1000 {
		t.Errorf("%d counts of 10001 blocks are left, of which one is in use", n)
	}
	if !w.lookOnce() {
		t.Error("the only call was forgotten")
	}
	runtime.KeepAlive(kept)
}

// TestLooksRaceCalls: no call is missed. A look after a call that had not begun at
// the look before finds it, whether it has ended or not.
func TestLooksRaceCalls(t *testing.T) {
	w := NewWatch(after, nil)
	var made, over atomic.Int64 // calls about to begin, and that have ended
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			c := newCalls(w)
			for {
				select {
				case <-stop:
					return
				default:
				}
				made.Add(1)
				c.Begin()
				c.End()
				over.Add(1)
				runtime.Gosched()
			}
		})
	}
	for range 200 {
		w.lookOnce()
		from := made.Load()
		for over.Load() <= from { // until one of those that were made later is over
			runtime.Gosched()
		}
		if !w.lookOnce() {
			t.Error("a look found no call, and there was one since the last")
		}
	}
	close(stop)
	wg.Wait()
}

// TestRace lets many goroutines make calls while the timer looks as often as it can,
// and stops in the middle. It is for the race detector; what it checks is that it is
// said again and again.
func TestRace(t *testing.T) {
	said := make(chan struct{}, 1)
	w := NewWatch(time.Millisecond, func() {
		select {
		case said <- struct{}{}:
		default:
		}
	})
	w.Start()
	<-said
	var wg sync.WaitGroup
	calls := func() {
		c := newCalls(w)
		for range 2000 {
			c.Begin()
			w.Start()
			c.End()
		}
	}
	for range 8 {
		wg.Go(calls)
	}
	wg.Wait()
	w.Start()
	<-said
	wg.Go(calls)
	w.Stop()
	wg.Wait()
}

// ExampleWatch has a channel with one block.
func ExampleWatch() {
	idle := make(chan string)
	w := NewWatch(time.Millisecond, func() { idle <- "no calls" })
	var calls Calls
	w.Add(&calls)
	w.Start()
	calls.Begin()
	calls.End()
	fmt.Println(<-idle)
	w.Stop()
	// Output: no calls
}

// TestLookBehindStop: a timer that fired a moment before Stop finds nothing, and is not
// set again.
func TestLookBehindStop(t *testing.T) {
	w := NewWatch(time.Hour, func() { t.Error("it is idle") })
	w.Start()
	w.Stop()
	w.running.Add(1) // as if the timer had not been stopped
	w.look()
	if w.timer.Stop() {
		t.Error("the timer was set again")
	}
	w.running.Wait()
}
