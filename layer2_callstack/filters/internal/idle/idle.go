// Package idle says when the calls of a channel have been none for some time.
//
//	        Start             ten looks in a row without a call
//	still ─────────▶ looking ──────────────────────────────────┐
//	  ▲               │   ▲ a call began, goes on or has ended  │
//	  │               └───┘ since the last look: from none      │
//	  └────────────────────── it is said ◀──────────────────────┘
//
// # Contract
//
//   - A call costs two atomic additions to a word that belongs to its block: nobody
//     reads the clock or touches the timer for it, and calls on two processors
//     write to different memory.
//   - It is never said that there were no calls before the time is over, counted
//     from Start and from the end of the last call. It is said at the latest a
//     tenth of the time later, or 2 ms if that is more: a look that finds that
//     calls came and went does not know when.
//   - It is said once for each Start.
//   - A call is over with its first End, and when the garbage collector has taken
//     its block.
//   - After Stop nothing runs.
//
// # Goroutines
//
//	name   started by              ends when
//	look   the runtime's timer     the next look is set, or the function returns
//
// # Locks
//
// Watch.mu, a leaf, guards the timer and the list of blocks. It is not held while
// the function runs, and a call does not take it.
package idle

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"
)

// A Watch is for one channel. [NewWatch] makes it.
type Watch struct {
	// Set by NewWatch, read-only afterwards.
	looks  int           // in a row without a call, until it is said
	period time.Duration // of the looks
	idle   func()

	running sync.WaitGroup // one for a timer that is set or a look that runs

	mu sync.Mutex // a leaf
	// Guarded by mu.
	timer   *time.Timer // made when it is first needed
	looking bool
	stopped bool
	quiet   int // looks in a row without a call

	counts []*count
	prune  int  // a length of counts, from where on Add looks for lost blocks
	busy   bool // there was a call since the last look
}

// The number of looks in the time, and the least time from one to the next.
const (
	maxLooks  = 10
	minPeriod = time.Millisecond
)

// NewWatch returns a Watch that calls idle, on a goroutine of its own, when there
// were no calls for the time after, which is more than 0. It does nothing before
// Start.
func NewWatch(after time.Duration, idle func()) *Watch {
	looks := min(max(after/minPeriod, 1), maxLooks)
	return &Watch{looks: int(looks), period: max((after-1)/looks+1, minPeriod), idle: idle}
}

// Start begins to look, unless that has begun. It may come at any time; after Stop
// it does nothing.
func (w *Watch) Start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.looking || w.stopped {
		return
	}
	w.looking, w.quiet = true, 0
	w.armLocked()
}

// armLocked sets the timer for the next look. Caller holds w.mu.
func (w *Watch) armLocked() {
	w.running.Add(1)
	if w.timer == nil {
		w.timer = time.AfterFunc(w.period, w.look)
	} else {
		w.timer.Reset(w.period)
	}
}

// look runs when the timer does.
func (w *Watch) look() {
	defer w.running.Done()
	if w.due() {
		w.idle()
	}
}

// due reports whether there were no calls for the time; if not, the timer is set
// again.
func (w *Watch) due() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return false
	}
	w.countLocked()
	w.quiet++
	if w.busy {
		w.quiet, w.busy = 0, false
	}
	if w.quiet >= w.looks {
		w.looking = false
		return true
	}
	w.armLocked()
	return false
}

// countLocked takes note of what each block has done since it was looked at, and
// forgets those that are gone. Whatever begins or ends after its word was read is
// seen by the next look. Caller holds w.mu.
func (w *Watch) countLocked() {
	w.counts = slices.DeleteFunc(w.counts, func(c *count) bool {
		gone := c.block.Value() == nil // first: then nobody writes any more
		n := c.n.Load()
		if n != c.seen || n%2 == 1 && !gone {
			w.busy = true
		}
		c.seen = n
		return gone
	})
}

// Stop ends the watch and waits until the function does not run any more. It must
// not be called by that function.
func (w *Watch) Stop() {
	w.mu.Lock()
	w.stopped = true
	if w.looking && w.timer.Stop() {
		w.running.Done()
	}
	w.mu.Unlock()
	w.running.Wait()
}

// Calls are those of one block, one after another. It is a field of what lives as
// long as the block, since the Watch refers to it weakly: blocks that nobody needs
// are left to the garbage collector.
type Calls struct{ count *count }

// A count is how the calls of a block are seen from the timer. One word for all the
// blocks would be written by all processors, and a call would need another one to
// end once where a cancel and its status come together.
type count struct {
	// Atomic: how many calls have begun and ended, so it is odd during one.
	n atomic.Uint64

	// Guarded by Watch.mu.
	block weak.Pointer[Calls]
	seen  uint64 // n at the last look

	_ [40]byte // a cache line of its own
}

// Add makes c the calls of a new block. It is called once, before the first Begin.
func (w *Watch) Add(c *Calls) {
	c.count = &count{block: weak.Make(c)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.counts) >= w.prune {
		w.countLocked()
		w.prune = 2*len(w.counts) + 16
	}
	w.counts = append(w.counts, c.count)
}

// Begin counts a call. The one before has ended.
func (c *Calls) Begin() { c.count.n.Add(1) }

// End counts the end of the call, or does nothing if that was. It may be called
// from several places at once, and after Stop.
func (c *Calls) End() {
	if n := c.count.n.Load(); n%2 == 1 {
		c.count.n.CompareAndSwap(n, n+1) // or somebody else has
	}
}
