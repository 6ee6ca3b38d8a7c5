package serverauth

import (
	"context"
	"errors"
	"sync"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// async is what a call has beside whose hook runs on a goroutine of its own.
// While the hook is asked, the transport goes on: a message that comes waits for
// the headers, and the end of the stream takes the place of the answer.
type async struct {
	combiner callstack.Combiner

	// end is the batch of recv_trailing_metadata, where a server asks for that
	// together with the headers. A transport that is traced notes in a batch what
	// it has received; that of headers which a hook still looks at is left alone.
	end transport.StreamOpBatch

	message lateMessage

	mu sync.Mutex // a leaf; nothing is called while it is held
	// Guarded by mu.
	cancel   context.CancelCauseFunc // ends ctx, nil before the hook is asked
	deadline time.Time               // of ctx
	over     error                   // why the call was cancelled, nil if it was not
}

// A lateMessage is recv_message on its way up.
type lateMessage struct {
	done transport.Done
	err  error
	due  bool // it has come and waits for the headers
}

// errAnswered is why ctx ends when the hook returns.
var errAnswered = errors.New("server_auth: the hook has returned")

func (a *async) reset() {
	a.combiner.Reset()
	a.end, a.message = transport.StreamOpBatch{}, lateMessage{}
	a.cancel, a.deadline, a.over = nil, time.Time{}, nil
}

// startAsync passes b on with callbacks that run one after another.
func (c *call) startAsync(b *transport.StreamOpBatch) {
	a, owner := c.async, c.args.Owner
	owner.Ref() // the batch may end the call
	defer owner.Unref()
	cancel, why := b.Ops.Has(transport.OpCancelStream), b.CancelErr
	if b.Ops.Has(transport.OpRecvMessage) {
		a.message.done = b.RecvMessage.Ready
		b.RecvMessage.Ready = (*onMessage)(c)
	}
	var end *transport.StreamOpBatch
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		c.trailersDone = b.RecvTrailingMetadata.Ready
		b.RecvTrailingMetadata.Ready = (*onTrailers)(c)
		if b.Ops == transport.OpRecvInitialMetadata|transport.OpRecvTrailingMetadata {
			end = &a.end
			*end = transport.StreamOpBatch{Ops: transport.OpRecvTrailingMetadata, Cause: b.Cause, RecvTrailingMetadata: b.RecvTrailingMetadata}
			b.Ops &^= transport.OpRecvTrailingMetadata
			a.combiner.Watch(end, transport.OpRecvTrailingMetadata)
		}
	}
	a.combiner.Watch(b, transport.OpsSend|transport.OpsRecv)
	c.Next.StartBatch(b)
	if end != nil {
		c.Next.StartBatch(end)
	}
	if cancel {
		a.stop(why)
	}
}

// stop ends ctx because the call has ended or was cancelled. Once the deadline has
// come that is left to the context's own timer, which says so.
func (a *async) stop(why error) {
	a.mu.Lock()
	if a.over == nil {
		a.over = why
	}
	cancel, deadline := a.cancel, a.deadline
	a.mu.Unlock()
	if cancel != nil && !transport.Passed(deadline) {
		cancel(why)
	}
}

// begin asks the hook, unless the call was cancelled already.
func (c *call) begin() {
	a := c.async
	ctx, cancel := context.WithCancelCause(context.Background())
	a.mu.Lock()
	a.cancel, a.deadline = cancel, c.request.Metadata.Deadline
	over := a.over
	a.mu.Unlock()
	if over != nil {
		cancel(over)
		c.giveUp(over)
		return
	}
	c.args.Owner.Ref()
	go c.ask(ctx, cancel, c.request.Metadata.Deadline)
}

// ask is the goroutine of a hook. Its reference keeps the call in the use that
// it was asked for.
func (c *call) ask(ctx context.Context, cancel context.CancelCauseFunc, deadline time.Time) {
	trace.Role(c.ch.sink, "server_auth hook")
	owner := c.args.Owner
	refused := refuse(errInterrupted) // what is left where the hook ends the goroutine
	defer func() {
		cancel(errAnswered)
		c.async.combiner.Run((*onAnswer)(c), refused)
		owner.Unref()
	}()
	if !deadline.IsZero() {
		timed, release := context.WithDeadline(ctx, deadline)
		defer release()
		ctx = timed
	}
	refused = c.verdict(ctx)
}

// The callbacks of a call, and the answer of its hook, which takes the place of
// the one for the headers.
type (
	onAnswer   call
	onMessage  call
	onTrailers call
)

func (d *onAnswer) Run(refused error) {
	c := (*call)(d)
	if !c.asking {
		return // the call has ended before
	}
	c.asking = false
	c.decide(refused)
	c.passMessage()
}

func (d *onMessage) Run(err error) {
	m := &d.async.message
	if m.err = err; d.asking {
		m.due = true
		return
	}
	m.done.Run(err)
}

func (d *onTrailers) Run(err error) {
	c := (*call)(d)
	c.async.stop(err)
	if c.asking {
		c.traceEnd()
		why := err
		if why == nil {
			why = ended(context.Canceled)
		}
		c.giveUp(why)
	}
	c.traceEnd()
	c.trailersDone.Run(err)
}

// traceEnd makes the end of the stream the cause of what goes up next.
func (c *call) traceEnd() {
	if end := &c.async.end; end.Ops != 0 {
		c.accept.Cause = end.Cause
	}
}

// giveUp fails the headers of a call that has ended; the hook may go on.
func (c *call) giveUp(err error) {
	c.asking = false
	c.headersDone.Run(err)
	c.passMessage()
}

// passMessage lets a message up that came before the headers.
func (c *call) passMessage() {
	if m := &c.async.message; m.due {
		m.due = false
		m.done.Run(m.err)
	}
}
