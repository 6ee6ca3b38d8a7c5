package callstack_test

import (
	"bytes"
	"errors"
	"fmt"
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

// A crime is something that a filter does wrong.
type crime struct {
	name string
	make func(f *rogue)
	rule string             // of the fault; empty for none
	only func(s shape) bool // the shapes in which it shows; nil for all
	late bool               // the end may have been told before
}

func boom(*rogueCall, transport.Done, error) { panic("boom") }

var crimes = []crime{
	{name: "panics in NewCall", rule: "panicked in NewCall: boom", make: func(f *rogue) {
		f.newCall = func(callstack.CallElem) callstack.CallElem { panic("boom") }
	}},
	{name: "makes no element", rule: "returned no element from NewCall", make: func(f *rogue) {
		f.newCall = func(callstack.CallElem) callstack.CallElem { return nil }
	}},
	{name: "panics in Init", rule: "panicked in Init: boom", make: func(f *rogue) {
		f.init = func(*rogueCall) error { panic("boom") }
	}},
	{name: "panics in Start", rule: "panicked in Start: boom", make: func(f *rogue) {
		f.start = func(*rogueCall) { panic("boom") }
	}},
	{name: "cancels as the call begins", make: func(f *rogue) {
		f.start = func(c *rogueCall) { callstack.Cancel(c.args.Top, errLost) }
	}},
	{name: "panics before it passes on", rule: "panicked in StartBatch: boom", make: func(f *rogue) {
		f.batch = func(*rogueCall, *transport.StreamOpBatch) { panic("boom") }
	}},
	{name: "panics with an error after it passed on", rule: "panicked in StartBatch: boom", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			c.Next.StartBatch(b)
			panic(errors.New("boom"))
		}
	}},
	{name: "panics after it passed on a part", rule: "panicked in StartBatch: boom", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			without(transport.OpRecvMessage|transport.OpSendMessage)(c, b)
			panic("boom")
		}
	}},
	{name: "panics at the headers", rule: "panicked in a callback of recv_initial_metadata: boom", make: func(f *rogue) {
		f.batch = instead(transport.OpRecvInitialMetadata, boom)
	}},
	{name: "panics at a message", rule: "panicked in a callback of recv_message: boom", make: func(f *rogue) {
		f.batch = instead(transport.OpRecvMessage, boom)
	}},
	{name: "panics at the end", rule: "panicked in a callback of recv_trailing_metadata: boom", make: func(f *rogue) {
		f.batch = instead(transport.OpRecvTrailingMetadata, boom)
	}},
	{name: "panics when all is sent", rule: "panicked in a callback of send_", make: func(f *rogue) {
		f.batch = instead(transport.OpsSend, boom)
	}},
	{name: "panics after it told of the headers", rule: "panicked in a callback of recv_initial_metadata: boom", make: func(f *rogue) {
		f.batch = instead(transport.OpRecvInitialMetadata, func(_ *rogueCall, done transport.Done, err error) {
			done.Run(err)
			panic("boom")
		})
	}},
	{name: "panics after it told of the end", rule: "panicked in a callback of recv_trailing_metadata: boom", late: true, make: func(f *rogue) {
		f.batch = instead(transport.OpRecvTrailingMetadata, func(_ *rogueCall, done transport.Done, err error) {
			done.Run(err)
			panic("boom")
		})
	}},
	{name: "panics in Reset", rule: "panicked in Reset: boom", late: true, make: func(f *rogue) {
		f.reset = func(*rogueCall) { panic("boom") }
	}},
	{name: "passes a batch on twice", rule: " twice", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			c.Next.StartBatch(b)
			c.Next.StartBatch(b)
		}
	}},
	{name: "passes a batch on again when it has come back", rule: "passed on recv_message twice", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			instead(transport.OpRecvMessage, func(c *rogueCall, _ transport.Done, _ error) {
				b.Ops = transport.OpRecvMessage
				c.Next.StartBatch(b)
			})(c, b)
		}
	}},
	{name: "passes on what nobody has started", rule: "passed on recv_message", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			if c.once() {
				c.Next.StartBatch(&transport.StreamOpBatch{Ops: transport.OpRecvMessage, RecvMessage: transport.RecvMessage{Ready: doneFunc(func(error) {})}})
			}
			c.Next.StartBatch(b)
		}
	}},
	{name: "passes on nothing", rule: "kept ", make: func(f *rogue) {
		f.batch = without(transport.OpsSend | transport.OpsRecv)
	}},
	{name: "keeps a message that is to be sent", rule: "kept send_message after the ", late: true, make: func(f *rogue) {
		f.batch = without(transport.OpSendMessage)
	}, only: func(s shape) bool { return s.separate }},
	{name: "keeps the receiving of a message", rule: "kept recv_message", make: func(f *rogue) {
		f.batch = without(transport.OpRecvMessage)
	}},
	{name: "changes the operations of a batch", rule: "kept recv_trailing_metadata", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			if b.Ops &^= transport.OpRecvTrailingMetadata; b.Ops != 0 {
				c.Next.StartBatch(b)
			}
		}
	}},
	{name: "lets the headers drop", rule: "kept recv_initial_metadata", make: func(f *rogue) {
		f.batch = instead(transport.OpRecvInitialMetadata, func(*rogueCall, transport.Done, error) {})
	}},
	{name: "lets the end drop", rule: "kept recv_trailing_metadata after the ", make: func(f *rogue) {
		f.batch = instead(transport.OpRecvTrailingMetadata, func(*rogueCall, transport.Done, error) {})
	}},
	{name: "runs the callback of a message twice", rule: "completed recv_message twice", make: func(f *rogue) {
		f.batch = instead(transport.OpRecvMessage, func(_ *rogueCall, done transport.Done, err error) {
			done.Run(err)
			done.Run(err)
		})
	}},
	{name: "runs the callback of the end twice", rule: "completed recv_trailing_metadata twice", late: true, make: func(f *rogue) {
		f.batch = instead(transport.OpRecvTrailingMetadata, func(_ *rogueCall, done transport.Done, err error) {
			done.Run(err)
			done.Run(err)
		})
	}},
	{name: "runs callbacks before anything has come", rule: " before it came back", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			ready := b.RecvMessage.Ready
			c.Next.StartBatch(b)
			if b.Ops.Has(transport.OpRecvMessage) {
				ready.Run(nil)
			}
		}
	}},
	{name: "fails a batch that it has passed on", rule: " before it came back", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			c.Next.StartBatch(b)
			if b.Ops.Has(transport.OpsRecv) {
				b.Fail(errLost)
			}
		}
	}},
	{name: "lets a cancel drop", rule: "did not pass on cancel_stream: test: cancelled by the test", make: func(f *rogue) {
		f.batch = without(transport.OpCancelStream)
	}, only: func(s shape) bool { return s.cancelled }},
	{name: "cancels without an error", rule: "cancelled the call without an error", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			if c.once() {
				c.Next.StartBatch(&transport.StreamOpBatch{Ops: transport.OpCancelStream})
			}
			c.Next.StartBatch(b)
		}
	}},
	{name: "passes on nil", rule: "passed on a batch that is nil", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) { c.Next.StartBatch(nil) }
	}},
	{name: "passes on without a callback", rule: "passed on recv_trailing_metadata without a callback", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			b.RecvTrailingMetadata.Ready = nil
			c.Next.StartBatch(b)
		}
	}},
	{name: "passes on without a message", rule: "passed on send_message without a message", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			b.SendMessage.Buf = nil
			c.Next.StartBatch(b)
		}
	}},
	// What is allowed, and not easy.
	{name: "fails what it is given", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			if b.Ops.Has(transport.OpCancelStream) {
				c.Next.StartBatch(b)
				return
			}
			b.Fail(errLost)
		}
	}},
	{name: "cancels, and passes on", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			callstack.Cancel(c.Next, errLost)
			c.Next.StartBatch(b)
		}
	}},
	{name: "sends each operation in a batch of its own", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			var sends atomic.Int32
			done, ops := b.OnComplete, b.Ops
			for op := transport.OpSendInitialMetadata; op <= transport.OpCancelStream; op <<= 1 {
				part := *b
				part.Ops &= op
				if part.OnComplete = nil; part.Ops.Has(transport.OpsSend) {
					sends.Add(1)
					part.OnComplete = doneFunc(func(err error) {
						if sends.Add(-1) == 0 {
							done.Run(err)
						}
					})
				}
				if part.Ops.Has(transport.OpRecvMessage) {
					ready := part.RecvMessage.Ready
					part.RecvMessage.Ready = doneFunc(func(err error) {
						b.RecvMessage.Message = part.RecvMessage.Message
						ready.Run(err)
					})
				}
				if ops.Has(op) {
					if op.Has(transport.OpsSend) && ops&transport.OpsSend&^(op<<1-1) != 0 {
						sends.Add(1) // for those to come
						c.Next.StartBatch(&part)
						sends.Add(-1)
						continue
					}
					c.Next.StartBatch(&part)
				}
			}
		}
	}},
	{name: "tells of everything on goroutines of its own", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			for _, op := range []transport.OpSet{transport.OpsSend, transport.OpRecvInitialMetadata, transport.OpRecvMessage, transport.OpRecvTrailingMetadata} {
				if b.Ops.Has(op) {
					at := callback(b, op)
					done := *at
					*at = doneFunc(func(err error) { go done.Run(err) })
				}
			}
			c.Next.StartBatch(b)
		}
	}},
	{name: "holds the headers up until the end has come", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			instead(transport.OpRecvInitialMetadata, func(_ *rogueCall, done transport.Done, err error) {
				time.AfterFunc(time.Second/2, func() { done.Run(err) })
			})(c, b)
		}
	}},
}

// TestContained has each crime in each shape of a call: the call ends, every
// operation once, with an error that names the filter and the rule; and the next
// call, with a filter that does what is right, is as if nothing had been.
func TestContained(t *testing.T) {
	for _, k := range crimes {
		for _, side := range []callstacktest.Side{callstacktest.Client, callstacktest.Server} {
			for _, s := range shapes {
				t.Run(fmt.Sprintf("%s/%v/%s", k.name, side, s.name), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { k.commit(t, side, s) })
				})
			}
		}
	}
}

func (k *crime) commit(t *testing.T, side callstacktest.Side, s shape) {
	f := &rogue{}
	k.make(f)
	r := newRig(t, side, f)
	c := r.run(s)
	faults, end := r.faults()
	r.check(c)
	want := k.rule != "" && (k.only == nil || k.only(s))
	switch {
	case want && len(faults) == 0 && !k.late:
		t.Error("no operation ended with an error that names the filter")
	case want && !k.late && status.CodeOf(end) != status.Internal:
		t.Errorf("the call ended with %v", end)
	case k.rule == "" && len(faults) > 0:
		t.Errorf("a filter that does nothing wrong is blamed: %v", faults[0])
	}
	for _, err := range faults {
		if want && (!strings.Contains(err.Error(), k.rule) || status.CodeOf(err) != status.Internal) {
			t.Errorf("an operation ended with %q, want INTERNAL and %q", err, k.rule)
		}
	}
	log := r.log.String()
	if want && (strings.Count(log, "level=WARN") != 1 || !strings.Contains(strings.ReplaceAll(log, `\"`, `"`), k.rule) || !strings.Contains(log, "filter=rogue")) {
		t.Errorf("the log has %q, want one warning with %q", log, k.rule)
	}
	if want && strings.Contains(k.rule, "panicked") && !strings.Contains(log, "guard_test.go") {
		t.Errorf("the log does not say where the filter panicked: %s", log)
	}
	if c.Spent() != want {
		t.Errorf("the block is spent: %v, want %v", c.Spent(), want)
	}
	f.tamed.Store(true)
	c = r.run(shape{})
	if faults, end := r.faults(); end != nil || faults != nil {
		t.Errorf("the next call ended with %v, %v", end, faults)
	}
	r.check(c)
	r.stack.Destroy()
}
