package callstack

import (
	"math/bits"
	"sync"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// A Combiner runs the callbacks of one call one after another, whichever
// goroutines they come from: gRPC core's call combiner, on the way up. Filters
// that complete operations on the goroutine that brought them need none, as the
// transport keeps the order. One that completes something on a goroutine of its
// own watches all callbacks of the call, so that none runs beside its own.
//
// It is part of a call element and used for one call after another: [Combiner.Bind]
// it to the element's arguments in Init, [Combiner.Reset] it in Reset. A filter of
// which few calls need it uses [Combiner.BindIdle] and, in those, [Combiner.Engage].
type Combiner struct {
	// Set by Bind, read-only until Reset.
	owner transport.Owner

	// Set by Watch, read by the callback that took the place.
	slots [combinerKinds]combinerSlot

	// Atomic: callbacks run as they come.
	idle atomic.Bool

	mu sync.Mutex // a leaf; nothing is called while it is held
	// Guarded by mu. Each callback of a call can be due once.
	due      [combinerKinds]dueCallback
	first, n int
	running  bool
}

// combinerKinds is how many callbacks of a call can be outstanding: three that
// receive, and one for each operation that sends, if each has a batch of its own.
const combinerKinds = 6

// A dueCallback is a callback that waits for those before it.
type dueCallback struct {
	done transport.Done
	err  error
}

// A combinerSlot stands in for one callback of a batch.
type combinerSlot struct {
	combiner *Combiner
	orig     transport.Done
}

// Run lets the callback wait its turn.
func (s *combinerSlot) Run(err error) {
	done := s.orig
	s.orig = nil
	s.combiner.Run(done, err)
}

// Bind says whose callbacks they are. It is called in Init.
func (c *Combiner) Bind(args *CallArgs) {
	c.owner = args.Owner
	if c.idle.Load() {
		c.idle.Store(false)
	}
}

// BindIdle is Bind for a filter that may never need the combiner in this call: until
// Engage callbacks run as they come, which costs each a look.
func (c *Combiner) BindIdle(args *CallArgs) {
	c.owner = args.Owner
	if !c.idle.Load() { // a load costs less than a store
		c.idle.Store(true)
	}
}

// Engage ends the idleness, until the end of the call. The caller is a callback of
// the call, so that no other runs, and has run none of those above it.
func (c *Combiner) Engage() {
	if c.idle.Load() {
		c.idle.Store(false)
	}
}

// Reset forgets the call. Nothing of it is outstanding.
func (c *Combiner) Reset() { c.owner = nil }

// Watch puts the combiner in the place of the callbacks that b has for ops. It
// is called before b is passed on. OnComplete is watched if ops has one of the
// operations of b that send.
func (c *Combiner) Watch(b *transport.StreamOpBatch, ops transport.OpSet) {
	ops &= b.Ops
	if ops.Has(transport.OpRecvInitialMetadata) {
		c.watch(transport.OpRecvInitialMetadata, &b.RecvInitialMetadata.Ready)
	}
	if ops.Has(transport.OpRecvMessage) {
		c.watch(transport.OpRecvMessage, &b.RecvMessage.Ready)
	}
	if ops.Has(transport.OpRecvTrailingMetadata) {
		c.watch(transport.OpRecvTrailingMetadata, &b.RecvTrailingMetadata.Ready)
	}
	if ops.Has(transport.OpsSend) {
		c.watch(b.Ops&transport.OpsSend, &b.OnComplete)
	}
}

// watch puts the slot of the first operation of ops in the place of a callback.
func (c *Combiner) watch(ops transport.OpSet, done *transport.Done) {
	s := &c.slots[bits.TrailingZeros8(uint8(ops))]
	s.combiner, s.orig = c, *done
	*done = s
}

// Run runs the callback with err: now, or when those before it have run, on the
// goroutine that runs them. No lock of the caller is held.
func (c *Combiner) Run(done transport.Done, err error) {
	if c.idle.Load() {
		done.Run(err)
		return
	}
	c.mu.Lock()
	c.due[(c.first+c.n)%combinerKinds] = dueCallback{done, err}
	c.n++
	if c.running {
		c.mu.Unlock()
		return
	}
	c.running = true
	owner := c.owner
	owner.Ref() // the last callback may end the call
	for c.n > 0 {
		d := c.due[c.first]
		c.due[c.first] = dueCallback{}
		c.first, c.n = (c.first+1)%combinerKinds, c.n-1
		c.mu.Unlock()
		d.done.Run(d.err)
		c.mu.Lock()
	}
	c.running = false
	c.mu.Unlock()
	owner.Unref()
}
