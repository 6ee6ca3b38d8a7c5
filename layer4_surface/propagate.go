package surface

import (
	"slices"
	"sync"

	"github.com/strata-grpc/strata/layer1_transport/status"
)

// A Propagation says what a call on a client takes from the call on a server
// on whose behalf it is made. The values are those of grpc_propagation_bits.
type Propagation uint32

const (
	// PropagateDeadline: the call ends no later than its parent.
	PropagateDeadline Propagation = 1
	// PropagateCancellation: the call is cancelled when its parent ends.
	PropagateCancellation Propagation = 8
	// PropagateDefaults is all of it, and whatever is added later.
	PropagateDefaults Propagation = 0xffff
)

// A family is the calls that end with this one. Only calls on a server have
// one. It holds handles, not references: a child that ended is recognised.
type family struct {
	mu sync.Mutex // a leaf
	// Guarded by mu.
	children []Call
	ended    bool
}

// reset forgets the family for the next use of the block.
func (f *family) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.children)
	f.children, f.ended = f.children[:0], false
}

// adopt adds a child, and reports false if there is nothing left to end with.
func (f *family) adopt(child Call) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return false
	}
	f.children = append(f.children, child)
	return true
}

// end returns the children for their cancellation and takes no new ones.
func (f *family) end() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	return slices.Clone(f.children)
}

// endChildren cancels the calls that were made on behalf of c, which has ended.
func (c *call) endChildren() {
	for _, child := range c.children.end() {
		if child.c.Acquire(child.generation) {
			child.c.cancel(newLocalError(status.Canceled, "the call on whose behalf this one was made has ended"))
			child.c.Unref()
		}
	}
}

// forget removes child from the family of c, if c is still in the use of the
// block that generation names.
func (c *call) forget(generation uint32, child *call) {
	if !c.Acquire(generation) {
		return
	}
	f := &c.children
	f.mu.Lock()
	f.children = slices.DeleteFunc(f.children, func(h Call) bool { return h.c == child })
	f.mu.Unlock()
	c.Unref()
}
