package callstack_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
)

// A rogue is a filter that does wrong what a test wants it to. What is nil it does
// right, and everything once tamed is set.
type rogue struct {
	newCall func(next callstack.CallElem) callstack.CallElem
	init    func(c *rogueCall) error
	start   func(c *rogueCall)
	batch   func(c *rogueCall, b *transport.StreamOpBatch)
	reset   func(c *rogueCall)
	op      func(next callstack.ChannelElem, op *transport.Op)
	destroy func()

	tamed atomic.Bool
}

func (f *rogue) Name() string { return "rogue" }

func (f *rogue) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &rogueChannel{callstack.ChannelBase{Next: next}, f}, nil
}

type rogueChannel struct {
	callstack.ChannelBase
	f *rogue
}

func (ch *rogueChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	if ch.f.newCall != nil && !ch.f.tamed.Load() {
		return ch.f.newCall(next)
	}
	return &rogueCall{CallBase: callstack.CallBase{Next: next}, f: ch.f}
}

func (ch *rogueChannel) StartTransportOp(op *transport.Op) {
	if ch.f.op != nil && !ch.f.tamed.Load() {
		ch.f.op(ch.Next, op)
		return
	}
	ch.Next.StartTransportOp(op)
}

func (ch *rogueChannel) Destroy() {
	if ch.f.destroy != nil {
		ch.f.destroy()
	}
}

type rogueCall struct {
	callstack.CallBase
	f    *rogue
	args *callstack.CallArgs
	did  bool // for what is done once in a call
}

func (c *rogueCall) Init(args *callstack.CallArgs) error {
	c.args, c.did = args, false
	if c.f.init != nil && !c.f.tamed.Load() {
		return c.f.init(c)
	}
	return nil
}

func (c *rogueCall) Start() {
	if c.f.start != nil && !c.f.tamed.Load() {
		c.f.start(c)
	}
}

func (c *rogueCall) StartBatch(b *transport.StreamOpBatch) {
	if c.f.batch != nil && !c.f.tamed.Load() {
		c.f.batch(c, b)
		return
	}
	c.Next.StartBatch(b)
}

func (c *rogueCall) Reset() {
	if c.f.reset != nil && !c.f.tamed.Load() {
		c.f.reset(c)
	}
}

// once reports whether it is the first time in this call.
func (c *rogueCall) once() bool {
	did := c.did
	c.did = true
	return !did
}

// callback returns where b has the callback of op.
func callback(b *transport.StreamOpBatch, op transport.OpSet) *transport.Done {
	switch op {
	case transport.OpRecvInitialMetadata:
		return &b.RecvInitialMetadata.Ready
	case transport.OpRecvMessage:
		return &b.RecvMessage.Ready
	case transport.OpRecvTrailingMetadata:
		return &b.RecvTrailingMetadata.Ready
	}
	return &b.OnComplete
}

// instead returns a batch hook that passes on, after it has put f in the place of the
// callback of op.
func instead(op transport.OpSet, f func(c *rogueCall, done transport.Done, err error)) func(*rogueCall, *transport.StreamOpBatch) {
	return func(c *rogueCall, b *transport.StreamOpBatch) {
		if b.Ops.Has(op) {
			at := callback(b, op)
			done := *at
			*at = doneFunc(func(err error) { f(c, done, err) })
		}
		c.Next.StartBatch(b)
	}
}

// without returns a batch hook that keeps the operations of ops.
func without(ops transport.OpSet) func(*rogueCall, *transport.StreamOpBatch) {
	return func(c *rogueCall, b *transport.StreamOpBatch) {
		if part := *b; b.Ops&^ops != 0 {
			part.Ops &^= ops
			if !part.Ops.Has(transport.OpsSend) {
				part.OnComplete = nil
			}
			c.Next.StartBatch(&part)
		}
	}
}

// A rig is a stack of a rogue, inside a guard, over a fake transport.
type rig struct {
	t     *testing.T
	side  callstacktest.Side
	f     *rogue
	tr    *callstacktest.Transport
	stack *callstack.ChannelStack
	log   bytes.Buffer

	running atomic.Int32 // callbacks
	mu      sync.Mutex
	started []*callstacktest.Batch // guarded by mu
	order   []string               // of the callbacks that receive; guarded by mu
}

func newRig(t *testing.T, side callstacktest.Side, f *rogue) *rig {
	r := &rig{t: t, side: side, f: f, tr: &callstacktest.Transport{}}
	b := callstack.NewBuilder("TEST")
	b.Add(f).Contained()
	b.Add(connected.New()).Terminal()
	logger := slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var err error
	if r.stack, err = b.Build(callstack.ChannelArgs{Transport: r.tr, Logger: logger}); err != nil {
		t.Fatal(err)
	}
	if got := r.stack.String(); got != "TEST rogue connected" {
		t.Fatalf("the stack is %q: the guard shows", got)
	}
	return r
}

// A watched is a callback of the element above, of which one runs at a time.
type watched struct {
	rig  *rig
	name string
	next transport.Done
}

func (w *watched) Run(err error) {
	if w.rig.running.Add(1) != 1 {
		w.rig.t.Errorf("the callback %q runs beside another, or within it", w.name)
	}
	if w.name != "sent" {
		w.rig.mu.Lock()
		w.rig.order = append(w.rig.order, w.name)
		w.rig.mu.Unlock()
	}
	w.next.Run(err)
	w.rig.running.Add(-1)
}

// start starts a batch whose callbacks are watched.
func (r *rig) start(c *callstacktest.Call, ops transport.OpSet) *callstacktest.Batch {
	return c.Do(ops, func(b *callstacktest.Batch) {
		for name, op := range map[string]transport.OpSet{"sent": transport.OpsSend, "headers": transport.OpRecvInitialMetadata,
			"message": transport.OpRecvMessage, "trailers": transport.OpRecvTrailingMetadata} {
			if ops.Has(op) {
				at := callback(&b.StreamOpBatch, op)
				*at = &watched{r, name, *at}
			}
		}
		r.mu.Lock()
		r.started = append(r.started, b)
		r.mu.Unlock()
	})
}

// results returns the results of the operations that were started, by their names.
func results(b *callstacktest.Batch) map[string]*callstacktest.Result {
	rs := map[string]*callstacktest.Result{}
	for name, s := range map[string]struct {
		ops transport.OpSet
		r   *callstacktest.Result
	}{"sent": {transport.OpsSend, &b.Sent}, "headers": {transport.OpRecvInitialMetadata, &b.GotHeaders},
		"message": {transport.OpRecvMessage, &b.GotMessage}, "trailers": {transport.OpRecvTrailingMetadata, &b.GotTrailers}} {
		if b.Ops.Has(s.ops) {
			rs[name] = s.r
		}
	}
	return rs
}

// ended reports whether all that was started has ended.
func (r *rig) ended() bool {
	for _, b := range r.started {
		for _, res := range results(b) {
			if res.Count() == 0 {
				return false
			}
		}
	}
	return true
}

// A shape is a way for a call to go.
type shape struct {
	name      string
	separate  bool // a batch for each operation
	cancelled bool // after the headers
	lost      bool // the transport fails
}

var shapes = []shape{
	{name: "unary in one batch"},
	{name: "separate batches", separate: true},
	{name: "cancelled midway", cancelled: true},
	{name: "cancelled midway, separate batches", separate: true, cancelled: true},
	{name: "transport error", lost: true},
}

var (
	errCancel = &transport.Error{Code: status.Canceled, Layer: "test", Reason: "cancelled by the test"}
	errLost   = &transport.Error{Code: status.Unavailable, Layer: "test", Reason: "connection lost"}
)

// run makes a call of that shape. Where it does not end, it is cancelled, as an
// application does at its deadline.
func (r *rig) run(s shape) *callstacktest.Call {
	c := callstacktest.NewCall(r.stack)
	if err := c.Begin(r.side.Args()); err != nil {
		c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = err })
	}
	streams := r.tr.Streams()
	st := streams[len(streams)-1]
	if all := transport.OpsSend | transport.OpsRecv; s.separate {
		for op := transport.OpSendInitialMetadata; all.Has(op); op <<= 1 {
			r.start(c, op)
		}
	} else {
		r.start(c, all)
	}
	cancel := func() { c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = errCancel }) }
	switch {
	case s.lost:
		st.Trailers(nil, errLost)
	case s.cancelled:
		st.Headers(r.side.FillHeaders, nil)
		cancel()
	default:
		st.Headers(r.side.FillHeaders, nil)
		st.Message(transport.NewBuffer(0), nil)
		st.Trailers(r.side.FillTrailers, nil)
	}
	time.Sleep(time.Second)
	if !r.ended() {
		cancel()
		time.Sleep(3 * time.Second)
	}
	c.Unref()
	synctest.Wait()
	return c
}

// check wants what was started to have ended, each operation once, the end last of
// what is received.
func (r *rig) check(c *callstacktest.Call) {
	r.t.Helper()
	trailers := false
	for _, name := range r.order {
		if trailers {
			r.t.Errorf("the callbacks ran in the order %v", r.order)
		}
		trailers = name == "trailers"
	}
	for _, b := range r.started {
		for name, res := range results(b) {
			if res.Count() != 1 {
				r.t.Errorf("%q of the batch %q ended %d times", name, b.Ops, res.Count())
			}
		}
		if m := b.RecvMessage.Message; m != nil {
			m.Release()
		}
	}
	if c.Recycled() != 1 {
		r.t.Errorf("the block was recycled %d times", c.Recycled())
	}
	r.started, r.order = nil, nil
}

// faults returns the errors among the results that name the filter, and that of
// recv_trailing_metadata.
func (r *rig) faults() (faults []error, end error) {
	for _, b := range r.started {
		for name, res := range results(b) {
			err := res.Err()
			if err != nil && strings.Contains(err.Error(), `filter "rogue"`) {
				faults = append(faults, err)
			}
			if name == "trailers" {
				end = err
			}
		}
	}
	return faults, end
}
