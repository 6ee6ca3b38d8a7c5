package surface

import (
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/trace"
	cq "github.com/strata-grpc/strata/layer3_cq"
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
func (t *tracer) channel(op, text string, err error) {
	t.sink.Emit(&trace.Event{Layer: 4, Component: "channel", Op: op, Text: text, Err: err})
}

//go:noinline
func (t *tracer) create(c *call, cause trace.EventID) {
	t.emit(c, trace.Event{Cause: cause, Op: "call.create", Text: c.method})
	if !c.deadline.IsZero() {
		t.emit(c, trace.Event{Op: "deadline", Text: time.Until(c.deadline).String()})
	}
}

//go:noinline
func (t *tracer) startBatch(c *call, ops []Op) trace.EventID {
	return t.emit(c, trace.Event{Op: "start_batch", Dir: trace.DirDown, Text: opNamesOf(ops)})
}

//go:noinline
func (t *tracer) reject(c *call, ops []Op, fault CallError) {
	t.emit(c, trace.Event{Op: "batch.reject", Text: opNamesOf(ops), Err: fault})
}

//go:noinline
func (t *tracer) cancel(c *call, err error) trace.EventID {
	return t.emit(c, trace.Event{Op: "call.cancel", Dir: trace.DirDown, Err: err})
}

//go:noinline
func (t *tracer) status(c *call, cause trace.EventID, s *CallStatus) {
	t.emit(c, trace.Event{Cause: cause, Op: "call.status", Dir: trace.DirUp, Text: s.Code.String(), Err: s.Err})
}

//go:noinline
func (t *tracer) match(c *call, cause trace.EventID) {
	t.emit(c, trace.Event{Cause: cause, Op: "match", Dir: trace.DirUp, Text: c.method})
}

//go:noinline
func (t *tracer) request(method string, tag cq.Tag) {
	t.sink.Emit(&trace.Event{Layer: 4, Component: "server", Op: "request_call", Tag: tagText(tag), Text: method})
}

// NewQueueObserver returns an observer that emits what a completion queue does
// as events of layer 3, nil for a nil sink. Layer 3 knows no trace; give it
// this in cq.Config.Observer.
func NewQueueObserver(sink trace.Sink) cq.Observer {
	if sink == nil {
		return nil
	}
	return &queueObserver{sink: sink}
}

type queueObserver struct{ sink trace.Sink }

func (o *queueObserver) emit(q cq.Identity, e trace.Event) {
	e.Layer, e.Component = 3, "cq"
	if name := q.Name(); name != "" {
		e.Component = "cq:" + name
	}
	o.sink.Emit(&e)
}

func (o *queueObserver) Begin(q cq.Identity, tag cq.Tag) {
	o.emit(q, trace.Event{Op: "begin_op", Tag: tagText(tag)})
}

func (o *queueObserver) End(q cq.Identity, tag cq.Tag, success bool) {
	o.emit(q, trace.Event{Op: "end_op", Dir: trace.DirUp, Tag: tagText(tag), Text: successText(success)})
}

func (o *queueObserver) Wait(q cq.Identity, tag cq.Tag) {
	e := trace.Event{Op: waitOp(q, "wait")}
	if tag != nil {
		e.Tag = tagText(tag)
	}
	o.emit(q, e)
}

func (o *queueObserver) Return(q cq.Identity, ev cq.Event) {
	e := trace.Event{Op: waitOp(q, "return"), Dir: trace.DirUp, Text: ev.Type.String()}
	if ev.Type == cq.OpComplete {
		e.Tag, e.Text = tagText(ev.Tag), successText(ev.Success)
	}
	o.emit(q, e)
}

func (o *queueObserver) Shutdown(q cq.Identity) { o.emit(q, trace.Event{Op: "shutdown"}) }

// waitOp names a step by the kind of delivery: "next.wait", "pluck.return". A
// callback has no wait, and its return is its run.
func waitOp(q cq.Identity, step string) string {
	switch q.Type() {
	case cq.Pluck:
		return "pluck." + step
	case cq.Callback:
		return "callback.run"
	default:
		return "next." + step
	}
}

func successText(ok bool) string {
	if ok {
		return "success"
	}
	return "failure"
}

// tagText shows a tag so that it is the same in every run: a plain value by
// its text, everything else by its type, since an address says nothing.
func tagText(tag cq.Tag) string {
	switch v := reflect.ValueOf(tag); v.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprint(tag)
	default:
		return fmt.Sprintf("%T", tag)
	}
}
