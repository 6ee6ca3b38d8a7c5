package surface

import (
	"errors"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A unaryBench makes unary calls to an echo server, with memory of its own for
// everything that a caller needs.
type unaryBench struct {
	ch   *Channel
	st   clientState
	q    *cq.Queue // nil: the call's own
	ops  [6]Op
	body []byte
}

func newUnaryBench(tb testing.TB, ownQueue bool) *unaryBench {
	e := newEchoServer(tb)
	clientEnd, serverEnd := inproc.Pair(inproc.Config{})
	if err := e.server.ServeTransport(serverEnd); err != nil {
		tb.Fatal(err)
	}
	ch, err := NewDirectChannel(clientEnd)
	if err != nil {
		tb.Fatal(err)
	}
	u := &unaryBench{ch: ch, body: make([]byte, 100)}
	if !ownQueue {
		u.q = cq.New(cq.Pluck, cq.Config{})
	}
	tb.Cleanup(func() { ch.Close(); e.server.Close() })
	return u
}

// fillUnary makes ops those of a unary call that sends body. A caller keeps its
// operations from call to call.
func (s *clientState) fillUnary(ops *[6]Op, body []byte) {
	s.initial.Reset()
	s.trailing.Reset()
	if ops[1].Type != SendMessage {
		*ops = [6]Op{{Type: SendInitialMetadata}, {Type: SendMessage}, {Type: SendCloseFromClient},
			s.opHeaders(), s.opMessage(), s.opStatus()}
	}
	ops[1].Message = transport.NewBuffer(len(body))
	ops[1].Message.Append(body)
}

func (u *unaryBench) call(tb testing.TB) {
	c, err := u.ch.CreateCall(CallParams{Method: "/echo/Echo", Queue: u.q})
	if err != nil {
		tb.Fatal(err)
	}
	st := &u.st
	st.fillUnary(&u.ops, u.body)
	if e := c.StartBatch(u.ops[:], st); e != CallOK {
		tb.Fatal(e)
	}
	if ev := c.Pluck(st, nil); !ev.Success || st.message.Len() != len(u.body) {
		tb.Fatal(ev, st.status)
	}
	st.message.Release()
	c.Release()
}

// BenchmarkUnaryInProcess is both sides of a unary call: this layer twice, the
// stacks, the queues and the in-process transport.
func BenchmarkUnaryInProcess(b *testing.B) {
	u := newUnaryBench(b, true)
	b.ReportAllocs()
	for b.Loop() {
		u.call(b)
	}
}

// nullFilter ends a stack and completes every operation at once, so that what
// is measured is this layer.
type nullFilter struct{}

func (nullFilter) Name() string { return "null" }
func (nullFilter) NewChannel(*callstack.ChannelArgs, callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &nullChannel{}, nil
}

type nullChannel struct{ callstack.ChannelBase }

func (*nullChannel) NewCall(callstack.CallElem) callstack.CallElem { return &nullCall{} }
func (*nullChannel) StartTransportOp(*transport.Op)                {}

type nullCall struct{ callstack.CallBase }

func (*nullCall) StartBatch(b *transport.StreamOpBatch) {
	ops, sent := b.Ops, b.OnComplete
	rim, rm, rtm := b.RecvInitialMetadata.Ready, b.RecvMessage.Ready, b.RecvTrailingMetadata.Ready
	if ops.Has(transport.OpSendMessage) {
		b.RecvMessage.Message, b.SendMessage.Buf = b.SendMessage.Buf, nil
		if !ops.Has(transport.OpRecvMessage) {
			b.RecvMessage.Message.Release()
		}
	}
	if ops.Has(transport.OpRecvTrailingMetadata) {
		b.RecvTrailingMetadata.MD.SetStatus(0, "")
	}
	if ops.Has(transport.OpsSend) {
		sent.Run(nil)
	}
	if ops.Has(transport.OpRecvInitialMetadata) {
		rim.Run(nil)
	}
	if ops.Has(transport.OpRecvMessage) {
		rm.Run(nil)
	}
	if ops.Has(transport.OpRecvTrailingMetadata) {
		rtm.Run(nil)
	}
}

// newNullChannel returns a channel without anything below this layer.
func newNullChannel(tb testing.TB) *Channel {
	b := callstack.NewBuilder("NULL")
	b.Add(nullFilter{}).Terminal()
	cfg, err := newChannelConfig(nil)
	if err != nil {
		tb.Fatal(err)
	}
	ch, err := newChannel("null", b, cfg, new(stateTracker), nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(ch.Close)
	return ch
}

// BenchmarkUnaryNull is this layer's and the queue's part of a unary call on a
// client: create, six operations, event, release.
func BenchmarkUnaryNull(b *testing.B) {
	u := &unaryBench{ch: newNullChannel(b), body: make([]byte, 100)}
	b.ReportAllocs()
	for b.Loop() {
		u.call(b)
	}
}

// BenchmarkCreateRelease is a call without any operation.
func BenchmarkCreateRelease(b *testing.B) {
	ch := newNullChannel(b)
	b.ReportAllocs()
	for b.Loop() {
		createRelease(ch)
	}
}

// createRelease makes a call and gives it up as if it had run, so that nothing
// is left to cancel.
func createRelease(ch *Channel) {
	c, _ := ch.CreateCall(CallParams{Method: "/a/b"})
	c.c.state.Or(stateEnded)
	c.Release()
}

// BenchmarkCreateRegistered is the same for a method that was registered.
func BenchmarkCreateRegistered(b *testing.B) {
	ch := newNullChannel(b)
	r, err := ch.RegisterCall("/a/b", "")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c, _ := ch.CreateRegisteredCall(r, CallParams{})
		c.c.state.Or(stateEnded) // as if it had run: nothing is left to cancel
		c.Release()
	}
}

// BenchmarkStartBatch is one batch with one operation, from StartBatch to its
// event.
func BenchmarkStartBatch(b *testing.B) {
	ch := newNullChannel(b)
	c, err := ch.CreateCall(CallParams{Method: "/a/b"})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Release()
	var got *transport.Buffer
	ops := []Op{opRecv(&got)}
	var tag any = "tag"
	b.ReportAllocs()
	for b.Loop() {
		if e := c.StartBatch(ops, tag); e != CallOK {
			b.Fatal(e)
		}
		c.Pluck(tag, nil)
	}
}

// BenchmarkClose closes a channel with open calls, all of which a filter holds.
func BenchmarkClose(b *testing.B) {
	const n = 100_000
	calls, st := make([]Call, n), make([]clientState, n)
	for b.Loop() {
		b.StopTimer()
		builder := callstack.NewBuilder("NULL")
		builder.Add(keeper{ops: allOps}.filter())
		builder.Add(nullFilter{}).Terminal()
		cfg, err1 := newChannelConfig(nil)
		ch, err2 := newChannel("null", builder, cfg, new(stateTracker), nil)
		if err := errors.Join(err1, err2); err != nil {
			b.Fatal(err)
		}
		for i := range calls {
			calls[i], _ = ch.CreateCall(CallParams{Method: "/a/b"})
			calls[i].StartBatch([]Op{{Type: SendInitialMetadata}, st[i].opStatus()}, "call")
		}
		b.StartTimer()
		ch.Close()
		b.StopTimer()
		for _, c := range calls {
			c.Pluck("call", nil)
			c.Release()
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/call")
}
