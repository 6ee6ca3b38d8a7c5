package callstack

import (
	"fmt"
	"sync/atomic"
)

// A Block counts the references of a piece of memory that is recycled whole: a
// client's call block with its surface call, an attempt block with its stack
// and stream, or a server's call block with both.
//
// Who holds a reference: the application's handle, each started batch, the
// transport while the stream is in its map or waits for delivery, and each
// armed timer. When the last one goes the block is recycled and its
// generation moves on, so that a handle of an earlier use is recognised.
//
// Invariant: references >= 0; the generation changes only while they are 0.
type Block struct {
	// Atomic: generation<<32 | references.
	state atomic.Uint64

	// Set by Bind, read-only afterwards.
	recycler Recycler
}

// A Recycler takes back a block that nobody refers to any more.
type Recycler interface {
	// Recycle clears the block and returns it to its pool. The next Start may
	// follow at once, on another goroutine.
	Recycle()
}

// Bind says who recycles the block. It is called once, when the memory is made.
func (b *Block) Bind(r Recycler) { b.recycler = r }

// Start begins a use with one reference and returns its generation. The block
// is not in use.
func (b *Block) Start() (generation uint32) {
	s := b.state.Load()
	if uint32(s) != 0 {
		panic(fmt.Sprintf("callstack: a block with %d references was taken from its pool", uint32(s)))
	}
	b.state.Store(s + 1)
	return uint32(s >> 32)
}

// Ref adds a reference to a block that the caller already refers to.
func (b *Block) Ref() {
	if uint32(b.state.Add(1)) == 1 {
		panic("callstack: a reference to a block that nobody refers to")
	}
}

// Acquire adds a reference if the block is still in the use that generation
// names. It is how a handle is checked.
func (b *Block) Acquire(generation uint32) bool {
	for {
		s := b.state.Load()
		if uint32(s>>32) != generation || uint32(s) == 0 {
			return false
		}
		if b.state.CompareAndSwap(s, s+1) {
			return true
		}
	}
}

// Unref drops a reference; the last one recycles the block.
func (b *Block) Unref() {
	s := b.state.Add(^uint64(0))
	switch n := uint32(s); {
	case n == ^uint32(0):
		panic("callstack: a block was released more often than it was referred to")
	case n > 0:
		return
	}
	b.state.Store(s + 1<<32) // no reference is left, so nobody else writes
	b.recycler.Recycle()
}

// Generation returns the number of the present use.
func (b *Block) Generation() uint32 { return uint32(b.state.Load() >> 32) }
