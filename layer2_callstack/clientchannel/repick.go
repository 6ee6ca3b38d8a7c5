package clientchannel

import (
	"cmp"
	"math/bits"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/subchannel"
)

// A connection that was picked may refuse to begin a stream: it got a GOAWAY or
// was lost a moment before, or while the stream waited for its turn. Of such a
// call no byte has left, so it is picked again, however often, and nobody
// hears of it: the first of the transparent retries of gRFC A6. A rolling
// restart of the servers loses no call by it.
//
// To be able to, the channel keeps what it has passed on until the first
// callback tells that the stream has begun: the batches, their callbacks, and a
// reference of the message.

// A repick is what a call remembers until its stream has begun.
type repick struct {
	// Atomic: the stream has begun or failed for good. Callbacks are passed on.
	settled atomic.Bool

	// Guarded by call.mu.
	passed   heldBatches       // batches that went down, with the callbacks below
	message  *transport.Buffer // theirs, with a reference
	pairs    int               // of their headers, before filters of the connection added some
	encoding string            // the call's own wish, in whose place compression puts what it chose
	owed     int               // callbacks that have not come
	failing  bool              // callbacks come that the application must not see
	told     bool              // and who owes them knows that the call was cancelled

	// Owned by whoever set busy.
	refused *subchannel.Conn // the connection that refused the call

	// The callbacks of the application, by kind. Set before the batch goes
	// down, read by the callback that took its place.
	headers, received, trailers transport.Done
	sent                        [3]transport.Done // by the first send operation of the batch
}

// forwardLocked passes b on to the attempt. Caller holds c.mu and has set busy.
func (c *call) forwardLocked(b *transport.StreamOpBatch) {
	if c.repick.settled.Load() {
		c.expectEnd(b)
	} else {
		c.repick.keepLocked(c, b)
	}
	stack := c.attempt.Stack
	c.mu.Unlock()
	stack.StartBatch(b)
	c.mu.Lock()
}

// keepLocked puts the channel's callbacks in the place of those of b. A cancel is kept
// too: the connection may have refused the stream before it saw it. Caller holds c.mu.
func (r *repick) keepLocked(c *call, b *transport.StreamOpBatch) {
	r.passed.add(b)
	if b.Ops.Has(transport.OpRecvInitialMetadata) {
		r.headers, b.RecvInitialMetadata.Ready = b.RecvInitialMetadata.Ready, (*repickHeaders)(c)
		r.owed++
	}
	if b.Ops.Has(transport.OpRecvMessage) {
		r.received, b.RecvMessage.Ready = b.RecvMessage.Ready, (*repickReceived)(c)
		r.owed++
	}
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		r.trailers, b.RecvTrailingMetadata.Ready = b.RecvTrailingMetadata.Ready, (*repickTrailers)(c)
		r.owed++
	}
	if b.Ops.Has(transport.OpSendMessage) {
		r.message = b.SendMessage.Buf
		r.message.Ref()
	}
	if b.Ops.Has(transport.OpSendInitialMetadata) {
		r.pairs, r.encoding = b.SendInitialMetadata.MD.Len(), b.SendInitialMetadata.MD.Encoding
	}
	if sends := b.Ops & transport.OpsSend; sends != 0 {
		i := bits.TrailingZeros8(uint8(sends))
		r.sent[i], b.OnComplete = b.OnComplete, [...]transport.Done{
			(*repickSentInitial)(c), (*repickSentMessage)(c), (*repickSentTrailing)(c)}[i]
		r.owed++
	}
}

// restoreLocked gives b back what keepLocked took. Caller holds c.mu.
func (r *repick) restoreLocked(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvInitialMetadata) {
		b.RecvInitialMetadata.Ready = r.headers
	}
	if b.Ops.Has(transport.OpRecvMessage) {
		b.RecvMessage.Ready = r.received
	}
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		b.RecvTrailingMetadata.Ready = r.trailers
	}
	if b.Ops.Has(transport.OpSendMessage) {
		b.SendMessage.Buf, r.message = r.message, nil
	}
	if md := b.SendInitialMetadata.MD; b.Ops.Has(transport.OpSendInitialMetadata) {
		md.Truncate(min(r.pairs, md.Len())) // those of the next connection add theirs
		md.Encoding = r.encoding
	}
	if sends := b.Ops & transport.OpsSend; sends != 0 {
		b.OnComplete = r.sent[bits.TrailingZeros8(uint8(sends))]
	}
}

// swallow is called first by each callback. It reports whether the application
// is to hear nothing, because the call is picked again.
func (c *call) swallow(err error) bool {
	r := &c.repick
	if r.settled.Load() {
		return false
	}
	c.mu.Lock()
	if !r.failing && (err == nil || transport.ProgressOf(err) != transport.ProgressNotSent) {
		r.settled.Store(true)
		c.attempt.Conn().Used()
		message := r.message
		r.message = nil
		c.mu.Unlock()
		message.Release()
		return false
	}
	r.failing = true
	r.owed--
	if r.owed > 0 || c.busy {
		c.mu.Unlock()
		return true
	}
	owner := c.args.Owner
	owner.Ref()
	c.workLocked(owner)
	return true
}

// takeBackLocked makes the call one that has no attempt, with the batches that
// had gone down. It returns the attempt, for which the caller gives up the call's
// reference, and the cancel that its filters are told by if they have not heard of the
// end. Caller holds c.mu and has set busy.
func (c *call) takeBackLocked() (old *subchannel.Attempt, cancel *transport.StreamOpBatch) {
	r := &c.repick
	old = c.attempt
	ended := false
	c.attempt, r.failing, r.told, r.refused = nil, false, false, old.Conn()
	c.again++
	first := cmp.Or(r.passed.cancel(), c.held.cancel())
	for _, b := range r.passed {
		if b != nil {
			r.restoreLocked(b)
			c.held.add(b)
			ended = ended || b.Ops.Has(transport.OpRecvTrailingMetadata)
		}
	}
	r.passed = heldBatches{}
	if first != nil {
		c.err, c.errFrom = c.ch.cancelError(first.CancelErr, true), first.Cause
	}
	if !ended {
		cancel = &transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: errTakenBack, Cause: c.held.initial().Cause}
	}
	return old, cancel
}

// errTakenBack is what the filters of a connection hear that has refused a call.
var errTakenBack = &transport.Error{
	Code: codeUnavailable, Layer: Name, Reason: "the call is picked again", Progress: transport.ProgressNotSent,
}

// reset forgets the call.
func (r *repick) reset() {
	r.settled.Store(false)
	r.passed, r.encoding, r.owed, r.refused = heldBatches{}, "", 0, nil
}

// The callbacks that take the place of the application's.
type (
	repickHeaders      call
	repickReceived     call
	repickTrailers     call
	repickSentInitial  call
	repickSentMessage  call
	repickSentTrailing call
)

func (d *repickHeaders) Run(err error) {
	if c := (*call)(d); !c.swallow(err) {
		c.repick.headers.Run(err)
	}
}

func (d *repickReceived) Run(err error) {
	if c := (*call)(d); !c.swallow(err) {
		c.repick.received.Run(err)
	}
}

func (d *repickTrailers) Run(err error) {
	if c := (*call)(d); !c.swallow(err) {
		c.repick.trailers.Run(c.numbered(err))
	}
}

func (d *repickSentInitial) Run(err error) {
	if c := (*call)(d); !c.swallow(err) {
		c.repick.sent[0].Run(err)
	}
}

func (d *repickSentMessage) Run(err error) {
	if c := (*call)(d); !c.swallow(err) {
		c.repick.sent[1].Run(err)
	}
}

func (d *repickSentTrailing) Run(err error) {
	if c := (*call)(d); !c.swallow(err) {
		c.repick.sent[2].Run(err)
	}
}
