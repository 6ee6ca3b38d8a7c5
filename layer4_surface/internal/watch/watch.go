// Package watch turns a wait for a change of a channel's state into one answer.
//
// # Contract
//
//   - Every watch is answered exactly once: with true when the state is another
//     than the one it was begun with, with false when it still is at the deadline
//     or when the watch is given up.
//   - A channel that closes is in SHUTDOWN, which is another state. A watch for
//     the end of SHUTDOWN, which has none, is answered with false at once.
//   - Before its answer a watch leaves the set and is heard of no more.
//   - A watch has no goroutine: the channel tells it, or its timer does.
//
// # Goroutines
//
// None but those of the timers. Close waits for what they run.
//
// # Locks
//
// Set.mu is a leaf. No answer is given and no operation started while it is held.
package watch

import (
	"sync"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A Set is the watches of one channel that wait. Its methods may be called from
// any goroutine.
//
// Invariant: a watch is in open from its Start until somebody takes it out, and
// who takes it out answers it.
type Set struct {
	// Set by the owner before the first Start, read-only afterwards.

	// State returns the state of the channel. It is [connectivity.Shutdown]
	// before Close is called, and for ever after.
	State func() connectivity.State
	// Perform carries out an operation on the channel's stack. It is not
	// called after Close has returned.
	Perform func(op *transport.Op)

	busy sync.WaitGroup // two for each watch: its Start, and its answer

	mu sync.Mutex // a leaf
	// Guarded by mu.
	open   map[*Watch]struct{}
	closed bool // once true, stays true
}

// A Watch waits for a state other than last.
type Watch struct {
	// Set by Start, read-only afterwards.
	set    *Set
	last   connectivity.State
	answer cq.Functor

	timer *time.Timer // Guarded by set.mu; nil without a deadline.
}

// Start begins a watch and returns it. answer.Run is called once, possibly
// before Start returns. The zero deadline never comes.
func (s *Set) Start(last connectivity.State, deadline time.Time, answer cq.Functor) *Watch {
	w := &Watch{set: s, last: last, answer: answer}
	switch now := s.State(); {
	case now != last:
		answer.Run(true)
		return w
	case now == connectivity.Shutdown:
		answer.Run(false)
		return w
	}
	if !s.add(w, deadline) {
		answer.Run(true) // closed since: SHUTDOWN is another state
		return w
	}
	defer s.busy.Done()
	s.Perform(&transport.Op{StartWatch: w})
	if !s.has(w) {
		// Answered meanwhile: its StopWatch may have come before StartWatch.
		s.Perform(&transport.Op{StopWatch: w})
	}
	return w
}

// add takes w into the set, unless the set is closed.
func (s *Set) add(w *Watch, deadline time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.open == nil {
		s.open = map[*Watch]struct{}{}
	}
	s.open[w] = struct{}{}
	s.busy.Add(2)
	if !deadline.IsZero() {
		w.timer = time.AfterFunc(time.Until(deadline), w.GiveUp)
	}
	return true
}

// has reports whether w waits.
func (s *Set) has(w *Watch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.open[w]
	return ok
}

// remove takes w out of the set. It reports false if somebody else has.
func (s *Set) remove(w *Watch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.open[w]; !ok {
		return false
	}
	delete(s.open, w)
	if w.timer != nil {
		w.timer.Stop()
	}
	return true
}

// Len returns how many watches wait for their answer.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// Close answers the watches that wait, since the channel is in SHUTDOWN now, and
// returns when every answer has been given. It must not be called from one.
func (s *Set) Close() {
	s.mu.Lock()
	s.closed = true
	waiting := make([]*Watch, 0, len(s.open))
	for w := range s.open {
		waiting = append(waiting, w)
	}
	s.mu.Unlock()
	for _, w := range waiting {
		w.end(true)
	}
	s.busy.Wait()
}

// OnState is told of each state of the channel, the present one first.
func (w *Watch) OnState(s connectivity.State, _ error) {
	if s != w.last {
		w.end(true)
	}
}

// GiveUp answers the watch now, if it was not answered before. It is what the
// timer runs at the deadline.
func (w *Watch) GiveUp() { w.end(w.set.State() != w.last) }

// end answers the watch, unless somebody has.
func (w *Watch) end(changed bool) {
	s := w.set
	if !s.remove(w) {
		return
	}
	defer s.busy.Done() // also if the answer panics
	s.Perform(&transport.Op{StopWatch: w})
	w.answer.Run(changed)
}
