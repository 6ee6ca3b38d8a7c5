package surface

import (
	cq "github.com/strata-grpc/strata/layer3_cq"
	"github.com/strata-grpc/strata/layer4_surface/internal/poison"
)

// start gives the batch to the layers below. It may have completed, and its
// memory be used for something else, before start returns.
func (b *batch) start() {
	c := b.call
	c.Ref() // for the stack's way back out of StartBatch
	if c.server != nil && b.final {
		ops := b.op.Ops // this step may be the last, with which b is gone
		b.awaitClose()
		if ops == 0 {
			c.Unref()
			return
		}
	}
	c.stack.StartBatch(&b.op)
	c.Unref()
}

// Run is the end of the sending operations.
func (d *batchSent) Run(err error) {
	b := (*batch)(d)
	switch {
	case err != nil:
		b.fail(err)
	case b.op.SendMessage.WriteClosed:
		// The peer has ended the call and its status is on the way:
		// cancelling would put another one in its place.
		b.failed.Store(true)
	}
	b.step()
}

// Run is the arrival of the headers. A message that came before them may be
// given to the application now.
func (d *batchHeaders) Run(err error) {
	b := (*batch)(d)
	if err != nil {
		b.fail(err)
	}
	if b.only != nil {
		*b.only = b.op.RecvInitialMetadata.TrailersOnly
	}
	b.call.recv.pass(err == nil)
	b.step()
}

// pass lets messages through from now on. One that came too early is given to
// the application, or with ok == false fails.
func (r *recvSide) pass(ok bool) {
	if r.headers.Swap(headersSeen) != headersEarly {
		return
	}
	early := r.early
	r.early = nil
	if !ok {
		early.failed.Store(true)
	}
	early.step()
}

// Run is the arrival of a message or of the end of messages.
func (d *batchMessage) Run(err error) {
	b := (*batch)(d)
	recv := &b.call.recv
	if err != nil {
		b.op.RecvMessage.Message.Release()
		b.op.RecvMessage.Message = nil
		b.fail(err)
	}
	if b.op.RecvMessage.Message != nil && recv.headers.Load() == headersNone {
		recv.early = b
		if recv.headers.CompareAndSwap(headersNone, headersEarly) {
			if c := b.call; c.state.Load()&stateCancelled != 0 {
				c.recv.pass(false) // the cancellation may have looked before
			}
			return
		}
	}
	b.step()
}

// Run is the end of the call on a client.
func (d *batchTrailers) Run(err error) {
	b := (*batch)(d)
	c := b.call
	var st CallStatus
	deriveStatus(&st, c.recv.finalMD, err, c.deadline)
	c.state.Or(stateEnded)
	c.recv.pass(true) // the headers that were not asked for will not come
	if c.pool.trace.on() {
		b.op.Cause = c.pool.trace.status(c, b.op.Cause, &st)
	}
	if c.recv.result != nil {
		*c.recv.result = st
	}
	b.step()
}

// fail makes the event of b a failure and, since an operation that cannot be
// completed leaves the call incomplete, ends the call if it has not ended.
func (b *batch) fail(err error) {
	b.failed.Store(true)
	if b.call.state.Load()&stateEnded == 0 {
		b.call.cancel(err)
	}
}

// step ends one step. The last one delivers the event.
func (b *batch) step() {
	if b.steps.Add(-1) > 0 {
		return
	}
	ok := b.final || !b.failed.Load()
	if b.message != nil {
		if !ok {
			b.op.RecvMessage.Message.Release()
			b.op.RecvMessage.Message = nil
		}
		*b.message = b.op.RecvMessage.Message
	}
	if closure := b.closure; closure != nil {
		b.free()
		closure.Run(ok)
		return
	}
	if c := b.call; c.pool.trace.on() {
		c.pool.trace.endBatch(c, b.tag, b.number, b.op.Cause)
	}
	b.call.queue.EndOp(b.tag, ok, b, &b.completion)
}

// CompletionDone frees the batch when its event is dequeued, which is before
// the application can know of it: the next batch finds the slot free.
func (b *batch) CompletionDone(*cq.Completion) { b.free() }

// free gives back the operations, the slot and the reference of the batch,
// which belongs to another one from then on.
func (b *batch) free() {
	c, claimed := b.call, b.claimed
	*b = batch{call: c, slot: b.slot}
	if poison.On {
		b.poison()
	}
	c.state.And(^claimed)
	c.Unref()
}

// endEmpty posts the event of a batch without operations. Any number of them
// may be on their way, so each brings its own completion.
func (c *call) endEmpty(tag cq.Tag, closure cq.Functor) {
	if closure != nil {
		c.Unref()
		closure.Run(true)
		return
	}
	c.queue.EndOp(tag, true, &emptyBatch{call: c}, new(cq.Completion))
}

// An emptyBatch holds the reference of a batch without operations.
type emptyBatch struct{ call *call }

// CompletionDone gives the reference back.
func (e *emptyBatch) CompletionDone(*cq.Completion) { e.call.Unref() }
