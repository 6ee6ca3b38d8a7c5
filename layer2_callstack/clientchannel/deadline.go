package clientchannel

import (
	"context"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// The channel ends its calls at their deadline, wherever they are: in the queue
// or on a connection. One timer a block is made for the first call with a
// deadline and reused.
//
// The timer holds a reference of the block from its start until it was stopped
// or has run, so it cannot reach a later call in the same block. It is stopped
// when the call ends (recv_trailing_metadata or a cancel), so that the block
// need not wait for the deadline.

// watchDeadline arms the timer, which may fire at once.
func (c *call) watchDeadline() {
	c.timed = true
	c.args.Owner.Ref()
	if c.timer == nil {
		// Far away at first: onDeadline reads c.timer.
		c.timer = time.AfterFunc(time.Hour, c.onDeadline)
	}
	if sink := c.ch.cfg.Trace; sink != nil {
		c.args.TraceArm(sink, Name, c.args.Deadline)
	}
	c.timer.Reset(c.args.TimeLeft())
}

// onDeadline cancels the call, from the top of its stack. It runs on the timer's goroutine.
func (c *call) onDeadline() {
	owner := c.args.Owner
	c.mu.Lock()
	waiting, asked := c.attempt == nil, c.held.initial() != nil
	c.mu.Unlock()
	err := error(deadlineError("the deadline passed"))
	if waiting {
		err = c.ch.waitError(context.DeadlineExceeded, asked)
	}
	b := &transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: err}
	if sink := c.ch.cfg.Trace; sink != nil {
		b.Cause = c.args.TraceFire(sink, Name)
	}
	c.args.Top.StartBatch(b)
	owner.Unref()
}

// stopTimer ends the wait for the deadline. A timer that has fired drops its
// reference itself.
func (c *call) stopTimer() {
	if c.timer.Stop() {
		c.args.Owner.Unref()
	}
}

// interceptEnd sees to it that the timer stops when the call ends, and that an
// error at the end tells the number of the attempt.
func (c *call) interceptEnd(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		c.recvTrailing = b.RecvTrailingMetadata.Ready
		b.RecvTrailingMetadata.Ready = (*callRecvTrailing)(c)
	}
	if b.Ops.Has(transport.OpCancelStream) && c.timed {
		c.stopTimer()
	}
}

// callRecvTrailing is the callback of recv_trailing_metadata.
type callRecvTrailing call

// Run does both before the application hears of the end.
func (r *callRecvTrailing) Run(err error) {
	c := (*call)(r)
	done := c.recvTrailing
	c.recvTrailing = nil
	if c.timed {
		c.stopTimer()
	}
	done.Run(c.numbered(err))
}
