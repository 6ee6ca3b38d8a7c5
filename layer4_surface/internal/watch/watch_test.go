package watch

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
)

// A source is a channel that has nothing but a state.
type source struct {
	set Set

	mu sync.Mutex
	// Guarded by mu.
	state    connectivity.State
	watchers map[connectivity.Watcher]bool
	before   func(op *transport.Op) // runs first in perform; may be nil
}

func newSource() *source {
	s := &source{watchers: map[connectivity.Watcher]bool{}}
	s.set.State, s.set.Perform = s.now, s.perform
	return s
}

func (s *source) now() connectivity.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *source) perform(op *transport.Op) {
	if s.before != nil {
		s.before(op)
	}
	s.mu.Lock()
	state := s.state
	if op.StartWatch != nil {
		s.watchers[op.StartWatch] = true
	}
	if op.StopWatch != nil {
		delete(s.watchers, op.StopWatch)
	}
	s.mu.Unlock()
	if op.StartWatch != nil {
		op.StartWatch.OnState(state, nil)
	}
}

func (s *source) become(state connectivity.State) {
	s.mu.Lock()
	s.state = state
	var told []connectivity.Watcher
	for w := range s.watchers {
		told = append(told, w)
	}
	s.mu.Unlock()
	for _, w := range told {
		w.OnState(state, nil)
	}
}

// left returns how many watchers the source knows.
func (s *source) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.watchers)
}

// answers takes note of what a watch is answered.
type answers struct {
	mu  sync.Mutex
	got []bool // guarded by mu
	at  time.Time
}

func (a *answers) Run(changed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got, a.at = append(a.got, changed), time.Now()
}

// TestAnswers: what ends a watch, when, and with which answer.
func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		last   connectivity.State
		within time.Duration // 0: no deadline
		then   func(s *source, w *Watch)
		want   bool
		after  time.Duration
	}{
		{"another state already", connectivity.Ready, -time.Second, nil, true, 0},
		{"the end of SHUTDOWN, while it is open", connectivity.Shutdown, time.Second, nil, true, 0},
		{"the deadline", connectivity.Idle, time.Second, nil, false, time.Second},
		{"a deadline that has passed", connectivity.Idle, -time.Second, nil, false, 0},
		{"a change", connectivity.Idle, time.Hour, func(s *source, _ *Watch) { s.become(connectivity.Connecting) }, true, 0},
		{"a change without a deadline", connectivity.Idle, 0, func(s *source, _ *Watch) { s.become(connectivity.Ready) }, true, 0},
		{"giving up", connectivity.Idle, time.Hour, func(_ *source, w *Watch) { w.GiveUp() }, false, 0},
		{"giving up after a change nobody told of", connectivity.Idle, time.Hour, func(s *source, w *Watch) {
			s.state = connectivity.Ready
			w.GiveUp()
		}, true, 0},
		{"the end of the channel", connectivity.Idle, time.Hour, func(s *source, _ *Watch) {
			s.state = connectivity.Shutdown
			s.set.Close()
		}, true, 0},
		{"the same state once more", connectivity.Idle, time.Second, func(s *source, _ *Watch) { s.become(connectivity.Idle) }, false, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a, start := newSource(), new(answers), time.Now()
				var deadline time.Time
				if tc.within != 0 {
					deadline = start.Add(tc.within)
				}
				w := s.set.Start(tc.last, deadline, a)
				if tc.then != nil {
					if n := s.set.Len(); n != 1 {
						t.Errorf("%d watches wait, want 1", n)
					}
					tc.then(s, w)
				}
				time.Sleep(2 * time.Hour)
				w.GiveUp() // changes nothing
				s.set.Close()
				if len(a.got) != 1 || a.got[0] != tc.want || a.at.Sub(start) != tc.after {
					t.Errorf("answers %v after %v, want %v after %v", a.got, a.at.Sub(start), tc.want, tc.after)
				}
				if s.left() != 0 || s.set.Len() != 0 {
					t.Errorf("%d watchers and %d watches are left", s.left(), s.set.Len())
				}
			})
		})
	}
}

// TestClosedSet: a set that is closed takes no watch.
func TestClosedSet(t *testing.T) {
	s := newSource()
	s.set.Close() // before the state shows it, as a Start on its way may find it
	var a, b answers
	s.set.Start(connectivity.Idle, time.Time{}, &a)
	s.become(connectivity.Shutdown)
	s.set.Start(connectivity.Shutdown, time.Time{}, &b)
	if len(a.got) != 1 || !a.got[0] || len(b.got) != 1 || b.got[0] {
		t.Errorf("answers %v for IDLE and %v for SHUTDOWN, want true and false", a.got, b.got)
	}
	if s.left() != 0 {
		t.Error("the channel was asked to tell a watch that was answered")
	}
}

// TestStopBeforeStart: a watch that is answered before the channel knows of it
// is not left with the channel.
func TestStopBeforeStart(t *testing.T) {
	s, a := newSource(), new(answers)
	s.before = func(op *transport.Op) {
		if op.StartWatch != nil {
			op.StartWatch.(*Watch).GiveUp()
		}
	}
	s.set.Start(connectivity.Idle, time.Time{}, a)
	if len(a.got) != 1 || s.left() != 0 {
		t.Errorf("%d answers, %d watchers left; want 1 and 0", len(a.got), s.left())
	}
	s.set.Close()
}

// panics is an answer that fails.
type panics struct{}

func (panics) Run(bool) { panic("answer") }

// TestPanickingAnswer: Close does not wait for an answer that panicked.
func TestPanickingAnswer(t *testing.T) {
	s := newSource()
	s.set.Start(connectivity.Idle, time.Time{}, panics{})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		s.become(connectivity.Ready)
	}()
	s.set.Close()
}

// counter counts answers.
type counter struct{ trues, falses atomic.Int64 }

func (c *counter) Run(changed bool) {
	if changed {
		c.trues.Add(1)
	} else {
		c.falses.Add(1)
	}
}

// TestEveryWatchOnce: watches from many goroutines, changes, deadlines, givers-up
// and the end of the channel at the same time; each is answered once.
func TestEveryWatchOnce(t *testing.T) {
	const goroutines, rounds = 8, 200
	synctest.Test(t, func(t *testing.T) {
		s, c := newSource(), new(counter)
		var wg sync.WaitGroup
		for range goroutines {
			wg.Go(func() {
				for range rounds {
					w := s.set.Start(s.now(), time.Now().Add(rand.N(4*time.Millisecond)), c)
					switch rand.N(4) {
					case 0:
						s.become(connectivity.State(rand.N(4)))
					case 1:
						w.GiveUp()
					case 2:
						time.Sleep(rand.N(time.Millisecond))
					}
				}
			})
		}
		wg.Go(func() {
			time.Sleep(10 * time.Millisecond)
			s.become(connectivity.Shutdown)
			s.set.Close()
			if n := s.set.Len(); n != 0 {
				t.Errorf("%d watches are open after Close", n)
			}
			s.become(connectivity.Shutdown) // in case a goroutine set another
		})
		wg.Wait()
		if got := c.trues.Load() + c.falses.Load(); got != goroutines*rounds {
			t.Errorf("%d answers (%d true), want %d", got, c.trues.Load(), goroutines*rounds)
		}
		if s.left() != 0 {
			t.Errorf("%d watchers are left with the channel", s.left())
		}
	})
}
