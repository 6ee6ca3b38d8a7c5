package surface

import (
	"sync/atomic"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/trace"
	cq "github.com/strata-grpc/strata/layer3_cq"
	"github.com/strata-grpc/strata/layer4_surface/internal/queuetrace"
)

// A tracer emits the events of this layer for one channel or server. Whoever
// uses it asks on() first, so that without a sink an event costs a nil check;
// the emitting methods are kept out of line, so that the event they build does
// not make the caller's memory escape.
//
// The events of channels, each with what it stands for. The client_channel is
// layer 2's and emits its own; a channel that is one connection has only the
// first three.
//
//	channel channel.create             its target
//	channel connectivity               "IDLE to READY", and why it ended
//	channel channel.close              Close was called
//	client_channel connectivity        the same, as the balancer says
//	client_channel resolver.update     addresses, or why there are none
//	client_channel subchannel.connect  an address, and why it did not answer
//	client_channel lb.pick             where a call goes, or that it waits
type tracer struct {
	sink  trace.Sink
	calls *atomic.Uint64 // numbers the calls of the channel or server
}

func newTracer(sink trace.Sink) tracer {
	if sink == nil {
		return tracer{}
	}
	return tracer{sink: sink, calls: new(atomic.Uint64)}
}

func (t *tracer) on() bool { return t.sink != nil }

// nextCall numbers a call.
func (t *tracer) nextCall() uint64 { return t.calls.Add(1) }

// observer returns what a queue of this channel or server reports to.
func (t *tracer) observer() cq.Observer { return NewQueueObserver(t.sink) }

// emit sends an event about c, caused by the last one unless the caller knows
// better, and remembers it.
//
//go:noinline
func (t *tracer) emit(c *call, e trace.Event) trace.EventID {
	e.Layer, e.Component, e.Call = 4, "call", c.id
	if e.Cause == 0 {
		e.Cause = trace.EventID(c.event.Load())
	}
	id := t.sink.Emit(&e)
	c.event.Store(uint64(id))
	return id
}

//go:noinline
func (t *tracer) channel(op, text string, err error) trace.EventID {
	return t.sink.Emit(&trace.Event{Layer: 4, Component: "channel", Op: op, Text: text, Err: err})
}

//go:noinline
func (t *tracer) create(c *call, cause trace.EventID) trace.EventID {
	text := c.method
	if !c.deadline.IsZero() {
		text += " deadline in " + time.Until(c.deadline).String()
	}
	return t.emit(c, trace.Event{Cause: cause, Op: "call.create", Text: text})
}

// startBatch tells of a batch, and the call's queue what its tag is about. A
// batch with a closure has no tag.
//
//go:noinline
func (t *tracer) startBatch(c *call, ops []Op, tag cq.Tag, closure cq.Functor) (id trace.EventID, number uint32) {
	number = c.batches.Add(1)
	id = t.emit(c, trace.Event{Op: "start_batch", Dir: trace.DirDown, Batch: number, Text: opNamesOf(ops)})
	if closure == nil {
		queuetrace.Begin(c.queue, t.sink, tag, queuetrace.Link{Call: c.id, Batch: number, Cause: id})
	}
	return id, number
}

// endBatch tells the call's queue what led to the end of the batch.
//
//go:noinline
func (t *tracer) endBatch(c *call, tag cq.Tag, number uint32, cause trace.EventID) {
	queuetrace.End(c.queue, t.sink, tag, queuetrace.Link{Call: c.id, Batch: number, Cause: cause})
}

// reject tells of a batch that was refused, by the call or, after its
// start_batch, by a queue that has shut down.
//
//go:noinline
func (t *tracer) reject(c *call, ops []Op, tag cq.Tag, fault CallError) {
	if fault == CallErrorCompletionQueueShutdown {
		queuetrace.Drop(c.queue, t.sink, tag)
	}
	t.emit(c, trace.Event{Op: "batch.reject", Text: opNamesOf(ops), Err: fault})
}

//go:noinline
func (t *tracer) cancel(c *call, cause trace.EventID, err error) trace.EventID {
	return t.emit(c, trace.Event{Cause: cause, Op: "call.cancel", Dir: trace.DirDown, Err: err})
}

//go:noinline
func (t *tracer) status(c *call, cause trace.EventID, s *CallStatus) trace.EventID {
	return t.emit(c, trace.Event{Cause: cause, Op: "call.status", Dir: trace.DirUp, Text: s.Code.String(), Err: s.Err})
}

// match tells that a call goes to a request, whose event comes next.
//
//go:noinline
func (t *tracer) match(c *call, cause trace.EventID, req *RequestedCall) {
	id := t.emit(c, trace.Event{Cause: cause, Op: "match", Dir: trace.DirUp, Text: c.method})
	queuetrace.End(req.notify, t.sink, req.Tag, queuetrace.Link{Call: c.id, Cause: id})
}

// request tells of a slot, for which notify is about to begin tag.
//
//go:noinline
func (t *tracer) request(method string, notify *cq.Queue, tag cq.Tag) {
	id := t.sink.Emit(&trace.Event{Layer: 4, Component: "server", Op: "request_call", Tag: queuetrace.Tag(tag), Text: method})
	queuetrace.Begin(notify, t.sink, tag, queuetrace.Link{Cause: id})
}

//go:noinline
func (t *tracer) shutdown() trace.EventID {
	return t.sink.Emit(&trace.Event{Layer: 4, Component: "server", Op: "shutdown"})
}

// failed tells of a slot that no call comes for.
//
//go:noinline
func (t *tracer) failed(req *RequestedCall, cause trace.EventID) {
	queuetrace.End(req.notify, t.sink, req.Tag, queuetrace.Link{Cause: cause})
}

// allocated tells notify that the slot, which it is about to begin, is for c.
//
//go:noinline
func (t *tracer) allocated(c *call, cause trace.EventID, notify *cq.Queue, tag cq.Tag) {
	queuetrace.Begin(notify, t.sink, tag, queuetrace.Link{Call: c.id, Cause: cause})
}

// refused tells that notify has not begun tag.
//
//go:noinline
func (t *tracer) refused(method string, notify *cq.Queue, tag cq.Tag) {
	queuetrace.Drop(notify, t.sink, tag)
	t.sink.Emit(&trace.Event{Layer: 4, Component: "server", Op: "request_call", Tag: queuetrace.Tag(tag), Text: method,
		Err: CallErrorCompletionQueueShutdown})
}

// NewQueueObserver returns an observer that emits what a completion queue does
// as events of layer 3, nil for a nil sink. Layer 3 knows no trace; give it
// this in cq.Config.Observer. With the sink of the channel or server the events
// name the calls and batches that they are about, and what led to them.
func NewQueueObserver(sink trace.Sink) cq.Observer { return queuetrace.New(sink) }
