// Package idle counts the calls of a channel, and says when there were none for
// some time.
//
//	           a look: calls are open         the last one ends
//	watching ──────────────────────▶ asleep ────────────────────▶ watching
//	  │ ▲ a look: calls were open       ▲
//	  │ └─ the time begins again        │
//	  └──a look: none for the time──────┘ idle
//
// # Contract
//
//   - A call costs two atomic additions: nobody reads the clock or touches the
//     timer for it, except at the end of a call that was open when the timer looked.
//   - The timer looks eight times in the time, and not while a call is open.
//   - It is never said that there were no calls before the time is over, counted
//     from the end of the last call. It is said at the latest an eighth of the
//     time later, or a millisecond if that is more: a look that finds that calls
//     came and went does not know when.
//   - It is said once, and again only after another call.
//   - After Stop nothing runs.
//
// # Goroutines
//
//	name   started by              ends when
//	look   the runtime's timer     the function that was given to Start returns
//
// # Locks
//
// Watch.mu guards the timer. It is not held while the function runs.
package idle

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Watch is for one channel. Its zero value counts calls and never says
// anything.
type Watch struct {
	// Set by Start, read-only afterwards.
	after time.Duration
	idle  func()

	// Atomic: calls that have begun<<32 | asleep | calls that are open.
	state atomic.Uint64

	timers sync.WaitGroup // armed or running; at most one

	mu sync.Mutex // a leaf
	// Guarded by mu.
	timer   *time.Timer
	quiet   time.Time // a time at which no call was open
	begun   uint32    // how many had begun by then
	stopped bool
}

const (
	begunShift = 32
	asleep     = 1 << 31 // no timer is armed; the end of the last call arms it
	open       = asleep - 1

	// looks is how often the timer looks, in the time, and leastGap how long it
	// waits between two looks at least.
	looks    = 8
	leastGap = time.Millisecond
)

// Start calls idle, on a goroutine of its own, when there were no calls for the
// time after. It is called once, before the first call.
func (w *Watch) Start(after time.Duration, idle func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.after, w.idle = after, idle
	w.quiet = time.Now()
	w.timers.Add(1)
	w.timer = time.AfterFunc(min(after, w.gap()), w.look)
}

func (w *Watch) gap() time.Duration { return max(w.after/looks, leastGap) }

// Begin counts a call.
func (w *Watch) Begin() { w.state.Add(1<<begunShift | 1) }

// End counts the end of a call. It may come after Stop.
func (w *Watch) End() {
	if s := w.state.Add(^uint64(0)); s&(asleep|open) == asleep {
		w.wake()
	}
}

// wake arms the timer when the last call that it found open has ended.
func (w *Watch) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.state.Load()
	if w.stopped || s&(asleep|open) != asleep || !w.state.CompareAndSwap(s, s&^asleep) {
		return // for a call that has begun meanwhile; its end comes here too
	}
	w.quietLocked(s)
	w.armLocked(w.after)
}

// look runs when the timer does.
func (w *Watch) look() {
	defer w.timers.Done()
	if w.due() {
		w.idle()
	}
}

// due reports whether there were no calls for the time. If there were, it sees to
// it that somebody looks again.
func (w *Watch) due() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.stopped {
		s := w.state.Load()
		left := w.after - time.Since(w.quiet)
		switch {
		case s&open == 0 && uint32(s>>begunShift) != w.begun:
			w.quietLocked(s)
			w.armLocked(w.after)
			return false
		case s&open == 0 && left > 0:
			w.armLocked(left)
			return false
		case w.state.CompareAndSwap(s, s|asleep):
			return s&open == 0
		}
	}
	return false
}

// quietLocked notes that no call was open in state s. The clock is read after it
// was: a call that comes in between is not among those begun. Caller holds w.mu.
func (w *Watch) quietLocked(s uint64) {
	w.quiet, w.begun = time.Now(), uint32(s>>begunShift)
}

// armLocked arms the timer, which is not armed, for the next look or for when the
// time is over, whatever comes first. Caller holds w.mu.
func (w *Watch) armLocked(left time.Duration) {
	w.timers.Add(1)
	w.timer.Reset(min(left, w.gap()))
}

// Stop ends the watch and waits until the function does not run any more. It must
// not be called by that function.
func (w *Watch) Stop() {
	w.mu.Lock()
	w.stopped = true
	if w.timer != nil && w.timer.Stop() {
		w.timers.Done()
	}
	w.mu.Unlock()
	w.timers.Wait()
}
