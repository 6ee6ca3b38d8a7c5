//go:build !race

package clientchannel

import (
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

// TestAllocsUnary pins that a unary call on a warm channel allocates nothing.
func TestAllocsUnary(t *testing.T) {
	for _, tc := range []struct {
		name    string
		timeout time.Duration
	}{
		{"without a deadline", 0},
		{"with a deadline", time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				w, unary := warmChannel(t, tc.timeout)
				if n := testing.AllocsPerRun(200, unary); n != 0 {
					t.Errorf("%v allocations a call, want 0", n)
				}
				w.close()
			})
		})
	}
}

// BenchmarkUnary is what client_channel adds to a call, the block included.
func BenchmarkUnary(b *testing.B) {
	w, unary := warmChannel(b, 0)
	defer w.close()
	b.ReportAllocs()
	for b.Loop() {
		unary()
	}
}

// warmChannel returns a channel in READY and a function that makes one call.
func warmChannel(t testing.TB, timeout time.Duration) (*world, func()) {
	w := newWorld(t, func(c *Config) { c.NewStack = newNullStack })
	w.serve("a:1", nil)
	if b, ok := t.(*testing.B); ok {
		w.connectForReal(b)
	} else {
		w.resolve("a:1")
	}
	call := callstacktest.NewCall(w.stack)
	var batch transport.StreamOpBatch
	var headers metadata.List
	var done countDone
	unary := func() {
		args := callstack.CallArgs{Path: "/test/Method"}
		if timeout > 0 {
			args.Deadline = time.Now().Add(timeout)
		}
		if err := call.Begin(args); err != nil {
			t.Fatal(err)
		}
		batch = transport.StreamOpBatch{Ops: opsUnary &^ transport.OpSendMessage, OnComplete: &done}
		batch.SendInitialMetadata.MD = &headers
		batch.RecvInitialMetadata.Ready, batch.RecvMessage.Ready, batch.RecvTrailingMetadata.Ready = &done, &done, &done
		call.Stack.StartBatch(&batch)
		call.Unref()
	}
	unary()
	if done != 4 || call.Recycled() != 1 {
		t.Fatalf("%d callbacks ran and the block was recycled %d times, want 4 and 1", done, call.Recycled())
	}
	return w, unary
}

// connectForReal connects outside of a bubble.
func (w *world) connectForReal(b *testing.B) {
	ready := make(chan struct{})
	w.ch.StartTransportOp(&transport.Op{StartWatch: onReady(ready)})
	w.ch.State(true)
	built := make(chan struct{})
	w.ch.serial.schedule(func() { close(built) })
	<-built
	w.sink.Update(resolver.Result{Addresses: addresses([]string{"a:1"})})
	select {
	case <-ready:
	case <-time.After(10 * time.Second):
		b.Fatal("the channel did not connect")
	}
}

type countDone int

func (c *countDone) Run(error) { *c++ }

// newNullStack is a stack whose streams end every operation at once.
func newNullStack(transport.Transport, string) (*callstack.ChannelStack, error) {
	b := callstack.NewBuilder("CLIENT_SUBCHANNEL")
	b.Add(nullFilter{}).Terminal()
	return b.Build(callstack.ChannelArgs{})
}

type nullFilter struct{}

func (nullFilter) Name() string { return "null" }
func (nullFilter) NewChannel(*callstack.ChannelArgs, callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &nullChannel{}, nil
}

type nullChannel struct{ callstack.ChannelBase }

func (*nullChannel) StartTransportOp(*transport.Op) {}

func (*nullChannel) NewCall(callstack.CallElem) callstack.CallElem { return &nullCall{} }

type nullCall struct{ callstack.CallBase }

func (*nullCall) StartBatch(b *transport.StreamOpBatch) { b.Fail(nil) }

// onReady closes a channel in state READY.
type onReady chan struct{}

func (c onReady) OnState(s connectivity.State, _ error) {
	if s == connectivity.Ready {
		close(c)
	}
}
