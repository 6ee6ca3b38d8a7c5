package callstack

import (
	"sync"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// A probe tells a trace what passes the boundary above one filter. Build puts
// one above each filter of a stack that has a sink, so that stacks without one
// carry no trace of tracing.
//
// It is an element like those of filters and follows the same rules.
type probe struct {
	ChannelBase
	sink      trace.Sink
	component string // "filter:" and the name of the filter below
}

func newProbe(sink trace.Sink, name string, next ChannelElem) *probe {
	return &probe{ChannelBase: ChannelBase{Next: next}, sink: sink, component: "filter:" + name}
}

// NewCall returns the probe's part of a call block.
func (p *probe) NewCall(next CallElem) CallElem {
	c := &probeCall{CallBase: CallBase{Next: next}, probe: p}
	for i := range c.slots {
		c.slots[i].call = c
		c.slots[i].kind = i
	}
	return c
}

// A probeCall is a probe's part of one call.
type probeCall struct {
	CallBase
	probe *probe
	trail *probeTrail
	args  *CallArgs
	slots [probeKinds]probeSlot
}

// The callbacks of a call that can be outstanding together. A batch's
// OnComplete is told apart by the first of its send operations, of which only
// one can be outstanding.
const (
	probeSendInitial = iota
	probeSendMessage
	probeSendTrailing
	probeRecvInitial
	probeRecvMessage
	probeRecvTrailing
	probeKinds
)

// A probeTrail is what the probes of one call stack share: how far each kind of
// callback has come. While one batch comes back up, another may go down.
type probeTrail struct {
	mu sync.Mutex // a leaf; nothing is called while it is held
	// Guarded by mu.
	steps  [probeKinds]probeStep
	latest trace.EventID // of all
}

// A probeStep is the way of one callback.
type probeStep struct {
	// batch is the one that the lowest probe was given, nil once that has told of
	// the callback: a filter between two probes may pass on a batch of its own.
	batch *transport.StreamOpBatch

	// last is the last event of this callback. On the way down that is the
	// event of the lowest probe that the batch came to, and so the cause of
	// the first event on the way up.
	last trace.EventID

	// left is what the probes last left in batch.Cause. Where something else
	// is found there, a transport has left the event of what it received.
	left trace.EventID
}

// down notes the event of a batch that goes down.
func (t *probeTrail) down(id trace.EventID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.latest = id
}

// own returns what a batch comes of that a filter has made itself: what it was
// last told.
func (t *probeTrail) own() trace.EventID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.latest
}

// begin notes that a callback of b is to come.
func (t *probeTrail) begin(kind int, b *transport.StreamOpBatch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps[kind] = probeStep{batch: b, last: b.Cause, left: b.Cause}
}

// cause returns what the next event of a callback comes of: the event of the
// probe below, or that of the transport if it has left one. What a batch fails of
// all of its callbacks do, so that it is left once.
func (t *probeTrail) cause(kind int, failed bool) trace.EventID {
	t.mu.Lock()
	defer t.mu.Unlock()
	step := &t.steps[kind]
	b := step.batch
	if b == nil || b.Cause == step.left {
		return step.last
	}
	if failed {
		for i := range t.steps {
			if t.steps[i].batch == b {
				t.steps[i].last = b.Cause
			}
		}
	}
	return b.Cause
}

// leave notes an event of a callback, and puts it into b, its batch, and into all
// steps that belong to b.
func (t *probeTrail) leave(kind int, b *transport.StreamOpBatch, id trace.EventID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps[kind].batch = nil
	t.steps[kind].last, t.latest, b.Cause = id, id, id
	for i := range t.steps {
		if t.steps[i].batch == b {
			t.steps[i].left = id
		}
	}
}

// linkProbes gives the probes among elems one trail.
func linkProbes(elems []CallElem) {
	trail := &probeTrail{}
	for _, e := range elems {
		if p, ok := e.(*probeCall); ok {
			p.trail = trail
		}
	}
}

// emit tells the sink. It is called with a sink only.
func (c *probeCall) emit(e *trace.Event) trace.EventID {
	e.Layer, e.Component, e.Call = 2, c.probe.component, c.args.CallID
	return c.probe.sink.Emit(e)
}

// Init tells that the element below begins a call.
func (c *probeCall) Init(args *CallArgs) error {
	c.args = args
	c.trail.down(c.emit(&trace.Event{Cause: args.Cause, Op: "element.init"}))
	return nil
}

// Reset tells that the element below ends its call.
func (c *probeCall) Reset() {
	c.emit(&trace.Event{Op: "element.destroy"})
	c.args = nil
	for i := range c.slots {
		s := &c.slots[i]
		s.orig, s.batch, s.text = nil, nil, ""
	}
}

// StartBatch tells that b goes down and puts slots in place of its callbacks.
func (c *probeCall) StartBatch(b *transport.StreamOpBatch) {
	if b.Cause == 0 && c.args.Top != CallElem(c) {
		b.Cause = c.trail.own()
	}
	b.Cause = c.emit(&trace.Event{Cause: b.Cause, Op: "op.down", Dir: trace.DirDown, Text: b.Ops.String()})
	c.trail.down(b.Cause)
	if sends := b.Ops & transport.OpsSend; sends != 0 {
		kind := probeSendTrailing
		switch {
		case sends.Has(transport.OpSendInitialMetadata):
			kind = probeSendInitial
		case sends.Has(transport.OpSendMessage):
			kind = probeSendMessage
		}
		c.watch(kind, b, &b.OnComplete, sends)
	}
	if b.Ops.Has(transport.OpRecvInitialMetadata) {
		c.watch(probeRecvInitial, b, &b.RecvInitialMetadata.Ready, transport.OpRecvInitialMetadata)
	}
	if b.Ops.Has(transport.OpRecvMessage) {
		c.watch(probeRecvMessage, b, &b.RecvMessage.Ready, transport.OpRecvMessage)
	}
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		c.watch(probeRecvTrailing, b, &b.RecvTrailingMetadata.Ready, transport.OpRecvTrailingMetadata)
	}
	c.Next.StartBatch(b)
}

// watch puts a slot in place of a callback of b.
func (c *probeCall) watch(kind int, b *transport.StreamOpBatch, done *transport.Done, ops transport.OpSet) {
	s := &c.slots[kind]
	s.orig, s.batch, s.text = *done, b, ops.String()
	c.trail.begin(kind, b)
	*done = s
}

// A probeSlot stands in for one callback of a batch.
type probeSlot struct {
	call  *probeCall
	kind  int
	orig  transport.Done
	batch *transport.StreamOpBatch
	text  string
}

// Run tells that the callback goes up, and then runs it.
func (s *probeSlot) Run(err error) {
	trail := s.call.trail
	trail.leave(s.kind, s.batch, s.call.emit(&trace.Event{
		Cause: trail.cause(s.kind, err != nil), Op: "op.up", Dir: trace.DirUp, Text: s.text, Err: err,
	}))
	s.orig.Run(err)
}
