package clientchannel

import (
	"sync"
	"sync/atomic"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/subchannel"
)

// A call is the channel's part of one call block.
//
//	batches are held ──send_initial_metadata──▶ pick ──▶ queued ─┐
//	                                            │ ▲──new picker──┘
//	                  failed ◀──cancel, fail────┤
//	                                            ├──▶ attempt: held batches go
//	                  (refused: repick.go) ◀────┘    down, then all directly
//
// One goroutine at a time works on a call: the one that set busy. It alone
// picks, passes held batches on and fails them, all without the lock; others
// leave their batch and go. So the callbacks of a call that fails here never
// run at the same time, and the metadata that a picker reads stays alive.
type call struct {
	// Set by NewCall, read-only afterwards.
	ch *ClientChannel

	// Set by Init and Start, read-only until Reset.
	args  *callstack.CallArgs
	timed bool // the channel watches the deadline

	// Written by whoever set busy.
	again int  // attempts that came to nothing
	asked bool // a picker has let it wait: the next one is why it goes on
	spent bool // a filter of a connection broke a rule; written by Reset, too

	// Atomic: nil until the held batches have gone down. From then on batches
	// need no lock.
	direct atomic.Pointer[subchannel.Attempt]

	mu sync.Mutex // taken before pickQueue.mu
	// Guarded by mu.
	busy    bool                // a goroutine is at work
	queued  bool                // in the list of ch.queue
	err     error               // why the call fails here; set once
	errFrom trace.EventID       // the event that err comes of, 0 without a trace
	attempt *subchannel.Attempt // holds one of its references
	held    heldBatches
	repick  repick

	prev, next *call // Guarded by ch.queue.mu.

	// Set while recv_trailing_metadata is outstanding.
	recvTrailing transport.Done
	timer        *time.Timer // made for the first deadline, then reused
}

// Init begins a call. A deadline that has passed ends it here.
func (c *call) Init(args *callstack.CallArgs) error {
	c.args = args
	if c.watchesDeadline() && args.TimeLeft() <= 0 {
		c.err, c.errFrom = deadlineError("the deadline had passed before the call began"), args.Cause
	}
	return nil
}

// Start arms the timer.
func (c *call) Start() {
	if c.watchesDeadline() && c.err == nil {
		c.watchDeadline()
	}
}

// watchesDeadline reports whether nobody else does.
func (c *call) watchesDeadline() bool { return !c.args.Deadline.IsZero() && !c.args.DeadlineWatched }

// Reset forgets the call.
func (c *call) Reset() {
	if c.attempt != nil {
		c.spent = c.spent || c.attempt.Stack.Spent()
		c.attempt.Unref()
		c.attempt = nil
	}
	if c.direct.Load() != nil { // a load costs less than a store
		c.direct.Store(nil)
	}
	c.repick.reset()
	c.args, c.err, c.errFrom, c.asked, c.timed, c.again = nil, nil, 0, false, false, 0
}

// Spent reports whether a filter of the connection may refer to the call, of which it
// has seen all batches.
func (c *call) Spent() bool { return c.spent }

// StartBatch passes b on to the attempt, or holds it until there is one.
func (c *call) StartBatch(b *transport.StreamOpBatch) {
	if c.timed {
		c.interceptEnd(b)
	}
	if a := c.direct.Load(); a != nil {
		c.startDirect(a, b)
		return
	}
	c.mu.Lock()
	if a := c.direct.Load(); a != nil { // published meanwhile
		// Held behind somebody at work, b could be overtaken by what finds it now.
		c.mu.Unlock()
		c.startDirect(a, b)
		return
	}
	c.holdLocked(b)
	if c.busy || c.queued && c.err == nil && !b.Ops.Has(transport.OpSendInitialMetadata) {
		c.mu.Unlock()
		return
	}
	owner := c.args.Owner
	owner.Ref() // the call may end before we notice that nothing is left to do
	c.workLocked(owner)
}

// startDirect passes b on to the attempt.
func (c *call) startDirect(a *subchannel.Attempt, b *transport.StreamOpBatch) {
	c.expectEnd(b)
	a.Stack.StartBatch(b)
}

// expectEnd sees to it that the error at the end of a further attempt tells its
// number, for a batch whose callbacks repick leaves alone.
func (c *call) expectEnd(b *transport.StreamOpBatch) {
	if c.again > 0 && !c.timed { // else it does so anyway
		c.interceptEnd(b)
	}
}

// holdLocked puts b where work finds it. Before the pick a cancel is the end of
// the call; after it the stream is told. Caller holds c.mu.
func (c *call) holdLocked(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpCancelStream) && c.attempt == nil {
		if c.err == nil {
			c.err, c.errFrom = c.ch.cancelError(b.CancelErr, c.held.initial() != nil), b.Cause
		}
		if b.Ops == transport.OpCancelStream {
			return
		}
	}
	c.held.add(b)
}

// resume picks again for a call that was found in the queue. The caller's
// reference of the block passes to it.
func (c *call) resume() {
	owner := c.args.Owner
	c.mu.Lock()
	if c.busy {
		c.mu.Unlock()
		owner.Unref()
		return
	}
	c.workLocked(owner)
}

// workLocked does what there is to do and gives up the lock and a reference of
// the block. Caller holds c.mu, and nobody else is at work.
func (c *call) workLocked(owner transport.Owner) {
	c.busy = true
	for c.stepLocked() {
	}
	c.busy = false
	c.mu.Unlock()
	owner.Unref()
}

// stepLocked does one thing and reports whether to go on. Caller holds c.mu, which
// is given up only while something else runs: a call that does not wait takes it
// four times. It has set busy.
func (c *call) stepLocked() bool {
	switch {
	case c.err != nil:
		if c.queued {
			c.ch.queue.remove(c)
		}
		if b := c.held.takeFailed(); b != nil {
			err := c.numbered(c.err)
			if c.errFrom != 0 {
				b.Cause = c.errFrom
			}
			c.mu.Unlock()
			b.Fail(err)
			c.mu.Lock()
			return true
		}
	case c.repick.failing:
		if c.repick.owed == 0 {
			c.dropLocked(c.takeBackLocked())
			return true
		}
		if b := c.held.cancel(); b != nil && !c.repick.told {
			// A filter may wait for it with what is owed. The call ends by it later.
			c.repick.told = true
			c.forwardLocked(&transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: b.CancelErr, Cause: b.Cause})
			return true
		}
	case c.attempt != nil:
		if b := c.held.take(); b != nil {
			c.forwardLocked(b)
			return true
		}
		if c.repick.settled.Load() {
			c.direct.Store(c.attempt)
		}
	case c.held.initial() != nil:
		return c.pickLocked()
	case c.held != heldBatches{}:
		box := c.ch.queue.picker.Load()
		c.err, c.errFrom = box.closed, box.event
		return c.err != nil || !c.ch.queue.add(c, box)
	}
	return false
}

// dropLocked gives up the call's reference of a. Its filters are told by cancel, unless
// that is nil because they have heard of the end: they may have started something that
// would keep the connection's stack until it ends by itself. Caller holds c.mu.
func (c *call) dropLocked(a *subchannel.Attempt, cancel *transport.StreamOpBatch) {
	c.mu.Unlock()
	if cancel != nil {
		a.Stack.StartBatch(cancel)
	}
	c.spent = c.spent || a.Stack.Spent()
	a.Unref()
	c.mu.Lock()
}
