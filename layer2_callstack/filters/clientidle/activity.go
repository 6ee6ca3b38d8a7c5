package clientidle

import (
	"slices"
	"sync"
	"sync/atomic"
	"weak"
)

// An activity is how the calls of one block are seen from the timer. Each block
// has its own, so that calls on different processors write to different words. One
// counter, as filters/internal/idle has for the calls of a connection, would be
// written by all processors; and a call would need a word of its own as well, to end
// once where a cancel and its status come together.
type activity struct {
	// Atomic: how many calls have begun and ended, so it is odd during one.
	count atomic.Uint64

	// Guarded by activities.mu.
	block weak.Pointer[call]
	seen  uint64 // count at the last sweep

	_ [40]byte // a cache line of its own
}

// begin is the beginning of a call.
func (a *activity) begin() { a.count.Add(1) }

// end is the end of the call, or does nothing if that has been.
func (a *activity) end() {
	if n := a.count.Load(); n%2 == 1 {
		a.count.CompareAndSwap(n, n+1) // or somebody else has
	}
}

// activities are those of all blocks of a channel. Blocks are left to the garbage
// collector when they are not needed, so they are referred to weakly.
type activities struct {
	mu sync.Mutex // taken after channel.mu
	// Guarded by mu.
	all    []*activity
	limit  int  // of all, from where on those without a block are looked for
	recent bool // a block was made since the last sweep
}

// add returns the activity of a new block. A block is made for a call that is
// about to begin, so it counts as one.
func (s *activities) add(c *call) *activity {
	a := &activity{block: weak.Make(c)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recent = true
	if len(s.all) >= s.limit {
		s.lookLocked()
		s.limit = 2*len(s.all) + 16
	}
	s.all = append(s.all, a)
	return a
}

// sweep reports whether there is a call, or was one since the last sweep.
//
// Whatever begins or ends after its word was read is seen by the next sweep.
func (s *activities) sweep() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	busy := s.lookLocked() || s.recent
	s.recent = false
	return busy
}

// lookLocked looks at each block, and forgets those that are gone. Caller holds
// s.mu.
func (s *activities) lookLocked() (busy bool) {
	s.all = slices.DeleteFunc(s.all, func(a *activity) bool {
		gone := a.block.Value() == nil // first: then nobody writes any more
		n := a.count.Load()
		if n != a.seen || n%2 == 1 && !gone {
			busy = true
		}
		a.seen = n
		return gone
	})
	return busy
}
