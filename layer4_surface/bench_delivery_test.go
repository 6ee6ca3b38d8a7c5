package surface

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// BenchmarkOverStack is a unary call of six operations over a stack that
// completes them at once: layer=2 starts the stream operations on the call stack
// itself, layer=4 goes through this layer and a queue; empty is the same call
// without its batch. What StartBatch, the event and Pluck cost more than the
// stack below is (layer=4 - its empty) - (layer=2 - its empty): at most 200 ns,
// and no allocation.
func BenchmarkOverStack(b *testing.B) {
	for _, c := range overStack(b) {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.call()
			}
		})
	}
}

// A layerCall is one call of BenchmarkOverStack.
type layerCall struct {
	name string
	call func()
}

func overStack(tb testing.TB) []layerCall {
	s := newStackCall(newNullChannel(tb).calls.stack)
	u := &unaryBench{ch: newNullChannel(tb), body: make([]byte, 100)}
	return []layerCall{
		{"layer=2", func() { s.call(tb) }},
		{"layer=2/empty", func() { s.begin(tb); s.Unref() }},
		{"layer=4", func() { u.call(tb) }},
		{"layer=4/empty", func() { createRelease(u.ch) }},
	}
}

// A stackCall is a call made of a call stack and nothing else.
type stackCall struct {
	callstack.Block
	stack                   *callstack.CallStack
	batch                   transport.StreamOpBatch
	initial, trailing, sent metadata.List
	body                    []byte
	steps                   int
}

func newStackCall(s *callstack.ChannelStack) *stackCall {
	c := &stackCall{stack: s.NewCall(), body: make([]byte, 100)}
	c.Bind(c)
	return c
}

// Recycle implements callstack.Recycler.
func (c *stackCall) Recycle() {
	c.stack.Reset()
	c.batch = transport.StreamOpBatch{}
	c.initial.Reset()
	c.trailing.Reset()
	c.sent.Reset()
}

// Run counts a callback.
func (c *stackCall) Run(error) { c.steps-- }

// begin takes the block and begins the call in every element.
func (c *stackCall) begin(tb testing.TB) {
	c.Start()
	c.stack.Args.Owner, c.stack.Args.Path = c, "/echo/Echo"
	if err := c.stack.Init(); err != nil {
		tb.Fatal(err)
	}
}

func (c *stackCall) call(tb testing.TB) {
	c.begin(tb)
	buf := transport.NewBuffer(len(c.body))
	buf.Append(c.body)
	c.sent.Path = "/echo/Echo"
	c.steps = 4
	b := &c.batch
	b.Ops, b.OnComplete = transport.OpsSend|transport.OpsRecv, c
	b.SendInitialMetadata.MD, b.SendMessage.Buf, b.SendTrailingMetadata.MD = &c.sent, buf, &c.trailing
	b.RecvInitialMetadata.MD, b.RecvInitialMetadata.Ready = &c.initial, c
	b.RecvMessage.Ready = c
	b.RecvTrailingMetadata.MD, b.RecvTrailingMetadata.Ready = &c.trailing, c
	c.stack.StartBatch(b)
	if c.steps != 0 || b.RecvMessage.Message.Len() != len(c.body) || !c.trailing.HasStatus {
		tb.Fatal("the stack did not complete the operations")
	}
	b.RecvMessage.Message.Release()
	c.Unref()
}

// deliveryWays are the ways in which a goroutine waits for the call that it has
// made, and deliveryNames what the table calls them.
var deliveryWays = []struct {
	name, text string
	wait       func(tb testing.TB) waitHow
}{
	{"direct", "no queue, a closure and a channel", func(testing.TB) waitHow { return waitHow{direct: true} }},
	{"pluck", "Pluck, the call's own queue", func(testing.TB) waitHow { return waitHow{} }},
	{"shared-pluck", "Pluck, one queue for all", func(testing.TB) waitHow { return waitHow{q: cq.New(cq.Pluck, cq.Config{})} }},
	{"callback", "Callback, and a channel", func(testing.TB) waitHow { return waitHow{q: cq.New(cq.Callback, cq.Config{})} }},
	{"next", "Next, a poller and a channel", newPoller},
}

// A waitHow is how the callers of a benchmark wait.
type waitHow struct {
	q      *cq.Queue // of the calls, nil for their own
	direct bool      // no queue at all
}

// newPoller has one goroutine take the events of all callers and wake them.
func newPoller(tb testing.TB) waitHow {
	q, gone := cq.New(cq.Next, cq.Config{}), make(chan struct{})
	go func() {
		defer close(gone)
		for ev := q.Next(time.Time{}); ev.Type == cq.OpComplete; ev = q.Next(time.Time{}) {
			ev.Tag.(*deliveryCaller).Run(ev.Success)
		}
	}()
	tb.Cleanup(func() { q.Shutdown(); <-gone })
	return waitHow{q: q}
}

// A deliveryCaller makes calls one after another. It is the tag of its calls, and
// what wakes it up where nobody plucks.
type deliveryCaller struct {
	waitHow
	ch   *Channel
	st   clientState
	ops  [6]Op
	body []byte
	wake chan struct{}
}

// Run wakes the caller.
func (d *deliveryCaller) Run(bool) { d.wake <- struct{}{} }

func (d *deliveryCaller) call(tb testing.TB) {
	c, err := d.ch.CreateCall(CallParams{Method: "/echo/Echo", Queue: d.q})
	if err != nil {
		tb.Fatal(err)
	}
	st := &d.st
	st.fillUnary(&d.ops, d.body)
	if d.direct {
		c.StartBatchAndExecute(d.ops[:], d)
		<-d.wake
	} else if c.StartBatch(d.ops[:], d); d.q == nil || d.q.Type() == cq.Pluck {
		c.Pluck(d, nil)
	} else {
		<-d.wake
	}
	if st.message.Len() != len(d.body) {
		tb.Fatal(st.status)
	}
	st.message.Release()
	c.Release()
}

// newWorkerChannel returns a channel to a server in this process that answers
// from a goroutine of its own, so that a caller really waits.
func newWorkerChannel(tb testing.TB) *Channel {
	e := newEchoServer(tb)
	slots, gone := make(chan *echoSlot, 64), make(chan struct{})
	e.free.New = func() any { s := &echoSlot{e: e}; s.req.Tag = &handOff{s, slots}; return s }
	go func() {
		defer close(gone)
		for s := range slots {
			s.Run(true)
		}
	}()
	clientEnd, serverEnd := inproc.Pair(inproc.Config{})
	if err := e.server.ServeTransport(serverEnd); err != nil {
		tb.Fatal(err)
	}
	ch, err := NewDirectChannel(clientEnd)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { ch.Close(); e.server.Close(); close(slots); <-gone })
	return ch
}

// A handOff gives a call to the worker.
type handOff struct {
	slot *echoSlot
	to   chan<- *echoSlot
}

func (h *handOff) Run(ok bool) {
	if ok {
		h.to <- h.slot
	}
}

// A deliveryCase is where and by how many callers the calls are made.
type deliveryCase struct {
	name, text string
	callers    int
	channel    func(testing.TB) *Channel
}

var deliveryCases = []deliveryCase{
	{"transport=null", "at once", 1, newNullChannel},
	{"transport=inproc", "other goroutine", 1, newWorkerChannel},
	{"transport=inproc/callers=6", "6 callers", cq.MaxPluckers, newWorkerChannel},
}

// BenchmarkDelivery is a whole unary call on a client, by the way in which its
// goroutine waits for it: over a stack that completes everything at once, so
// that nobody ever waits, and over the in-process transport to a goroutine that
// answers, for one caller and for as many as may share a Pluck queue. The time
// is that of the wall divided by all calls.
func BenchmarkDelivery(b *testing.B) {
	for _, dc := range deliveryCases {
		for _, way := range deliveryWays {
			b.Run(dc.name+"/wait="+way.name, func(b *testing.B) { benchDelivery(b, &dc, way.wait(b)) })
		}
	}
}

func benchDelivery(b *testing.B, dc *deliveryCase, w waitHow) {
	run := newDelivery(b, dc, w)
	b.ReportAllocs()
	b.ResetTimer()
	run(b.N)
	b.StopTimer()
}

// newDelivery returns a function that makes n calls, with blocks that are made
// already.
func newDelivery(tb testing.TB, dc *deliveryCase, w waitHow) (run func(n int)) {
	ch := dc.channel(tb)
	callers := make([]*deliveryCaller, dc.callers)
	for i := range callers {
		callers[i] = &deliveryCaller{waitHow: w, ch: ch, body: make([]byte, 100), wake: make(chan struct{}, 1)}
	}
	var left atomic.Int64
	run = func(n int) {
		left.Store(int64(n))
		var wg sync.WaitGroup
		for _, d := range callers {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					d.call(tb)
				}
			})
		}
		wg.Wait()
	}
	run(100)
	return run
}
