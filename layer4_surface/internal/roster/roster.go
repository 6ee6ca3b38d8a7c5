// Package roster knows the memory that somebody has made, and keeps none of it.
//
// The call blocks of a channel come from a pool, which lets go of them when there
// is little to do, and serve one call after another. So a list of the calls that are
// open would cost each call twice, as it begins and as it ends. A list of the blocks
// costs nothing but when a block is made: it holds weak pointers, and what is gone
// falls out.
//
// # Contract
//
//   - All yields whatever was added before it is called and is still referred to.
//   - What nobody refers to but the roster is collected as if there were none.
//   - Add looks at a bounded number of entries, and the list is soon at most about
//     twice as long as what is alive.
//   - Not here: whether a block is in use; its owner knows.
//
// # Goroutines
//
// None.
//
// # Locks
//
// Roster.mu is a leaf. Nothing is called while it is held.
//
// # Reading order
//
// roster.go.
package roster

import (
	"iter"
	"slices"
	"sync"
	"weak"
)

// A Roster is a list of memory of one kind. Its zero value is empty, and its
// methods may be called at the same time.
type Roster[T any] struct {
	mu sync.Mutex // a leaf
	// Guarded by mu. What is before next was looked at later than what is behind.
	entries []weak.Pointer[T]
	next    int
}

// An Add looks at so many entries that are alive, or have been collected. Two are
// what keeps the list below twice of what is alive; many that have been collected
// stand there after a burst.
const (
	alivePerAdd = 2
	gonePerAdd  = 64
)

// minCap is below which the list does not shrink.
const minCap = 64

// Add takes note of m.
func (r *Roster[T]) Add(m *T) {
	w := weak.Make(m)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweepLocked()
	r.entries = append(r.entries, w)
}

// sweepLocked drops entries that have been collected, from next on. Caller holds r.mu.
func (r *Roster[T]) sweepLocked() {
	for alive, gone := 0, 0; alive < alivePerAdd && gone < gonePerAdd && len(r.entries) > 0; {
		if r.next >= len(r.entries) {
			r.next = 0
		}
		if r.entries[r.next].Value() != nil {
			r.next++
			alive++
			continue
		}
		last := len(r.entries) - 1
		r.entries[r.next] = r.entries[last]
		r.entries[last] = weak.Pointer[T]{}
		r.entries = r.entries[:last]
		gone++
	}
	if n := len(r.entries); cap(r.entries) > minCap && n < cap(r.entries)/4 {
		r.entries = append(make([]weak.Pointer[T], 0, cap(r.entries)/2), r.entries...)
	}
}

// All yields what is alive, in no order. No lock is held meanwhile: more may be
// added, and is not yielded.
func (r *Roster[T]) All() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		r.mu.Lock()
		entries := slices.Clone(r.entries)
		r.mu.Unlock()
		for _, w := range entries {
			if m := w.Value(); m != nil && !yield(m) {
				return
			}
		}
	}
}

// Len returns how long the list is, with what was collected and has not fallen out.
func (r *Roster[T]) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.entries)
}
