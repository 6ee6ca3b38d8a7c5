package idle

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const after = 8 * time.Second

// watch starts a watch that notes when it said that there were no calls.
func watch(t *testing.T) (w *Watch, said func() []time.Duration) {
	t.Helper()
	start := time.Now()
	var mu sync.Mutex
	var times []time.Duration
	w = new(Watch)
	w.Start(after, func() {
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

// TestWhenIdle has calls as the times at which they begin and end, and when it is
// to be said that there were none.
func TestWhenIdle(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	for _, tc := range []struct {
		name  string
		calls [][2]time.Duration
		want  time.Duration // the first time
	}{
		{"no call at all", nil, 8 * s},
		{"a call between two looks", [][2]time.Duration{{1200 * ms, 1400 * ms}}, 10 * s},
		{"a call that a look finds open", [][2]time.Duration{{1200 * ms, 2300 * ms}}, 10*s + 300*ms},
		{"a call just before it would be said", [][2]time.Duration{{8*s - 1, 8*s - 1}}, 16 * s},
		{"a long call", [][2]time.Duration{{1200 * ms, 30*s + 1}}, 38*s + 1},
		{"a call that begins while the last one ends", [][2]time.Duration{{1200 * ms, 30 * s}, {30 * s, 40 * s}}, 48 * s},
		{"calls one after another, the last between two looks", [][2]time.Duration{
			{0, 7*s + 2*ms}, {7*s + ms, 8*s - 1}, {8*s + 10*ms, 8*s + 11*ms}, {9*s + 500*ms, 9*s + 501*ms},
		}, 17*s + 999*ms + 999999}, // the call that ends at 8 s - 1 was found open
		{"a call for each look", [][2]time.Duration{
			{7*s + ms, 7*s + 2*ms}, {8*s + ms, 8*s + 2*ms}, {9*s + ms, 9*s + 2*ms}, {9*s + 3*ms, 9*s + 4*ms},
		}, 18 * s},
		{"a call just after a look", [][2]time.Duration{{7*s + 1, 7*s + 1}}, 16 * s},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, said := watch(t)
				var last time.Duration
				for _, c := range tc.calls {
					time.AfterFunc(c[0], w.Begin)
					time.AfterFunc(c[1], w.End)
					last = max(last, c[1])
				}
				time.Sleep(time.Hour)
				got := said()
				if len(got) != 1 || got[0] != tc.want {
					t.Errorf("said at %v, want once at %v", got, tc.want)
				}
				if len(got) == 1 && (got[0] < last+after || got[0] > last+after+after/looks) {
					t.Errorf("said %v after the last call", got[0]-last)
				}
			})
		})
	}
}

// TestUpperBound lets calls come and go without a pause, each too short to be
// found open, and then stop at every point between two looks.
func TestUpperBound(t *testing.T) {
	const gap = 50 * time.Millisecond
	for stop := 40 * time.Second; stop < 42*time.Second; stop += gap {
		synctest.Test(t, func(t *testing.T) {
			w, said := watch(t)
			var last time.Duration
			for last < stop {
				time.Sleep(gap)
				last += gap
				w.Begin()
				w.End()
			}
			if got := said(); len(got) != 0 {
				t.Fatalf("said at %v that there were no calls", got)
			}
			time.Sleep(time.Hour)
			got := said()
			if len(got) != 1 || got[0] < last+after || got[0] > last+after+after/looks {
				t.Fatalf("calls ended at %v and it was said at %v", last, got)
			}
		})
	}
}

func TestSaidAgainAfterACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, said := watch(t)
		time.Sleep(time.Minute)
		w.Begin()
		time.Sleep(time.Minute)
		if got := said(); len(got) != 1 {
			t.Errorf("said at %v during a call, want once before it", got)
		}
		w.End()
		time.Sleep(time.Minute)
		if got := said(); len(got) != 2 || got[1] != 2*time.Minute+after {
			t.Errorf("said at %v, want again at %v", got, 2*time.Minute+after)
		}
	})
}

// TestSleepsWhileACallIsOpen: a call that takes a day wakes nobody.
func TestSleepsWhileACallIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, said := watch(t)
		w.Begin()
		time.Sleep(after)
		synctest.Wait()
		if w.timer.Stop() {
			t.Error("a timer is armed while a call is open")
		}
		w.Begin()
		w.End()
		if w.timer.Stop() {
			t.Error("a timer is armed when another call has ended")
		}
		w.End()
		time.Sleep(after)
		if len(said()) != 1 {
			t.Error("it was not said that there were no calls")
		}
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, said := watch(t)
		w.Begin()
		time.Sleep(after) // asleep
		w.Stop()
		w.End() // of a call that outlived the channel
		time.Sleep(time.Hour)
		if got := said(); len(got) != 0 {
			t.Errorf("said at %v, after Stop", got)
		}
		w.Stop()
		new(Watch).Stop() // that never started
	})
}

// TestStopWaits: nothing runs when Stop has returned, also where it comes while
// the function runs.
func TestStopWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w Watch
		var ended bool
		w.Start(after, func() {
			time.Sleep(time.Second)
			ended = true
		})
		time.Sleep(after + time.Millisecond)
		w.Stop()
		if !ended {
			t.Error("Stop returned while the function ran")
		}
	})
}

// TestRace lets many goroutines make calls while the timer looks as often as it
// can, and stops in the middle. It is for the race detector; what it checks is
// that it is said again once they are done.
func TestRace(t *testing.T) {
	var w Watch
	said := make(chan struct{}, 1)
	w.Start(time.Millisecond, func() {
		select {
		case said <- struct{}{}:
		default:
		}
	})
	<-said
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				w.Begin()
				w.End()
			}
		})
	}
	wg.Wait()
	if s := w.state.Load(); s&open != 0 || uint32(s>>begunShift) != 8*2000 {
		t.Errorf("the state is %#x, want no open call and %d begun", s, 8*2000)
	}
	select {
	case <-said: // during the calls: it was a millisecond without one
	default:
	}
	w.Begin()
	w.End()
	<-said
	wg.Go(func() {
		for range 2000 {
			w.Begin()
			w.End()
		}
	})
	w.Stop()
	wg.Wait()
}
