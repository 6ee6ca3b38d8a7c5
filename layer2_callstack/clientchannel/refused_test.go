package clientchannel

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/balancer"
)

// TestRefusedBeforeStartBatchReturns: the call is picked again by who has passed its
// batches on, when he is done with that.
func TestRefusedBeforeStartBatchReturns(t *testing.T) {
	run(t, func(t *testing.T) {
		picks := 0
		w, _ := picking(t, func(subs []balancer.Subchannel, _ balancer.PickInfo) balancer.PickResult {
			picks++
			return balancer.Complete(subs[picks-1])
		})
		w.holdSends = true
		w.onBatch = nested(t, func(s *callstacktest.Stream, b *transport.StreamOpBatch) {
			if picks == 1 {
				endStream(s, errDraining)
				return
			}
			endStream(s, nil)
		})
		w.connectAll("a:1", "b:1")
		call := w.begin(callstack.CallArgs{})
		wantCode(t, call.Do(opsUnary), status.OK)
		call.Unref()
		w.close()
	})
}

// TestPartlyRefused: a call is picked again when all that was passed on has come back,
// whatever is started meanwhile. Each operation has a batch of its own here.
func TestPartlyRefused(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.holdSends = true
		w.serve("a:1", nil)
		w.resolve("a:1")
		call := w.begin(callstack.CallArgs{})
		batches := []*callstacktest.Batch{}
		for op := transport.OpSendInitialMetadata; op < transport.OpRecvTrailingMetadata; op <<= 1 {
			batches = append(batches, call.Do(op))
		}
		s := w.transport(0).Streams()[0]
		s.CompleteSends(errDraining)
		batches = append(batches, call.Do(transport.OpRecvTrailingMetadata))
		if got := len(s.Batches()); got != len(batches)-1 {
			t.Errorf("the stream that refused got %d batches, want %d", got, len(batches)-1)
		}
		w.refuse(0)
		s = w.transport(1).Streams()[0]
		if got := len(s.Batches()); got != len(batches) {
			t.Errorf("the second stream got %d batches, want %d", got, len(batches))
		}
		endStream(s, nil)
		for _, b := range batches {
			if n := b.Sent.Count() + b.GotHeaders.Count() + b.GotMessage.Count() + b.GotTrailers.Count(); n != 1 {
				t.Errorf("%q ended %d times", b.Ops, n)
			}
		}
		call.Unref()
		w.close()
	})
}

// TestStreamThatHasBegun is not picked again, whatever the transport says at its end.
func TestStreamThatHasBegun(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve("a:1", nil)
		w.resolve("a:1")
		call := w.begin(callstack.CallArgs{})
		b := call.Do(opsUnary)
		w.refuse(0)
		wantCode(t, b, status.Unavailable)
		call.Unref()
		w.close()
	})
}

// stubborn is a filter that keeps recv_message, also when the call is cancelled, or
// all that it is given, and takes note of cancels.
type stubborn struct {
	callstack.CallBase
	all     bool
	kept    *transport.StreamOpBatch
	cancels []*transport.StreamOpBatch
}

func (f *stubborn) StartBatch(b *transport.StreamOpBatch) {
	switch {
	case b.Ops.Has(transport.OpCancelStream):
		f.cancels = append(f.cancels, b)
	case b.Ops == transport.OpRecvMessage || f.all:
		f.kept = b
		return
	}
	f.Next.StartBatch(b)
}

func (f *stubborn) filter() callstack.Filter {
	return callstack.NewFilter("stubborn", func(next callstack.CallElem) callstack.CallElem {
		f.Next = next
		return f
	})
}

// TestCancelsWhileTakenBack: the filters hear of the first of several cancels, once.
func TestCancelsWhileTakenBack(t *testing.T) {
	run(t, func(t *testing.T) {
		f := &stubborn{}
		w := newWorld(t, over(f.filter()))
		w.holdSends = true
		w.serve("a:1", nil)
		w.resolve("a:1")
		call := w.begin(callstack.CallArgs{})
		end := call.Do(opsUnary &^ transport.OpRecvMessage)
		message := call.Do(transport.OpRecvMessage)
		w.refuse(0)
		first, second := status.Error(status.Canceled, "first"), status.Error(status.Aborted, "second")
		call.Do(transport.OpCancelStream, cancelWith(first), func(b *callstacktest.Batch) { b.Cause = 7 })
		call.Do(transport.OpCancelStream, cancelWith(second))
		if len(f.cancels) != 1 || f.cancels[0].CancelErr != first || f.cancels[0].Cause != 7 {
			t.Errorf("the filter got the cancels %+v, want the first", f.cancels)
		}
		wantPending(t, end)
		f.kept.RecvMessage.Ready.Run(errDraining)
		if err := wantCode(t, end, status.Canceled); err != first || message.GotMessage.Count() != 1 || end.Cause != 7 {
			t.Errorf("the call ended with %v, of event %d", err, end.Cause)
		}
		call.Unref()
		if call.Recycled() != 1 {
			t.Error("the block is still referred to")
		}
		w.close()
	})
}

// TestCancelOfAStreamThatRefuses: a connection may refuse a call that was cancelled a
// moment before, without having looked at the cancel. The call is not picked again.
func TestCancelOfAStreamThatRefuses(t *testing.T) {
	run(t, func(t *testing.T) {
		f := &stubborn{all: true}
		w := newWorld(t, over(f.filter()))
		w.serve("a:1", nil)
		w.resolve("a:1")
		call := w.begin(callstack.CallArgs{})
		b := call.Do(opsUnary)
		call.Do(transport.OpCancelStream, cancelWith(status.Error(status.Canceled, "enough")))
		f.kept.RecvInitialMetadata.Ready.Run(errDraining)
		call.Do(transport.OpCancelStream, cancelWith(status.Error(status.Aborted, "once more"))) // the first counts
		f.kept.Ops &^= transport.OpRecvInitialMetadata
		f.kept.Fail(errDraining)
		wantCode(t, b, status.Canceled)
		call.Unref()
		if call.Recycled() != 1 {
			t.Error("the block is still referred to")
		}
		w.close()
	})
}

// TestRefusedCallWaitsBehindOthers: one that is picked again and has to wait stands
// last in the queue.
func TestRefusedCallWaitsBehindOthers(t *testing.T) {
	run(t, func(t *testing.T) {
		var order []string
		first, open := "", false
		w, b := picking(t, func(subs []balancer.Subchannel, i balancer.PickInfo) balancer.PickResult {
			order = append(order, i.Path)
			if open || i.Path == first {
				return balancer.Complete(subs[0])
			}
			return balancer.Queue()
		})
		w.holdSends = true
		w.connectAll("a:1")
		var calls []*callstacktest.Call
		var ends []*callstacktest.Batch
		for _, path := range []string{"1", "2", "3"} {
			call := callstacktest.NewCall(w.stack)
			if err := call.Begin(callstack.CallArgs{Path: path}); err != nil {
				t.Fatal(err)
			}
			calls, ends = append(calls, call), append(ends, call.Do(opsUnary))
		}
		again := func(addr string) {
			w.serve(addr, nil)
			order = nil
			b.update(b.host, balancer.Update{Addresses: addresses([]string{addr})})
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
		first = "1"
		again("b:1")
		for _, s := range w.transport(1).Streams() {
			endStream(s, errDraining)
		}
		first, open = "", true
		again("c:1")
		if got := strings.Join(order, ""); got != "231" {
			t.Errorf("the calls were picked in the order %s, want 231", got)
		}
		for _, s := range w.transport(2).Streams() {
			endStream(s, nil)
		}
		for i, end := range ends {
			wantCode(t, end, status.OK)
			calls[i].Unref()
		}
		w.close()
	})
}

// TestSpentByAConnection: a block that a contained filter of a connection may refer to
// is not used again, whether the call ended there or was picked again.
func TestSpentByAConnection(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  error // of the first stream
		want status.Code
	}{
		{"the call ends there", nil, status.Internal},
		{"the connection refuses the call", errDraining, status.OK},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				f := &panicking{}
				w := newWorld(t, func(cfg *Config) {
					cfg.NewStack = func(tr transport.Transport, _ string) (*callstack.ChannelStack, error) {
						b := callstack.NewBuilder("CLIENT_SUBCHANNEL")
						b.Add(f.filter()).Contained()
						b.Add(connectedFilter{}).Terminal()
						return b.Build(callstack.ChannelArgs{Transport: tr, Logger: cfg.Logger})
					}
				})
				w.holdSends = true
				w.serve("a:1", nil)
				w.resolve("a:1")
				call := w.begin(callstack.CallArgs{})
				b := call.Do(opsUnary)
				endStream(w.transport(0).Streams()[0], tc.end)
				if tc.end != nil {
					w.refuse(0)
					endStream(w.transport(1).Streams()[0], nil)
				}
				wantCode(t, b, tc.want)
				call.Unref()
				if call.Recycled() != 1 || !call.Spent() {
					t.Errorf("recycled %d times, spent %v", call.Recycled(), call.Spent())
				}
				if tc.end == nil { // the connection is there still, but the attempt is spent too
					call = w.begin(callstack.CallArgs{})
					b = call.Do(opsUnary)
					if got := len(w.transport(0).Streams()); got != 2 {
						t.Fatalf("%d streams were made, want 2", got)
					}
					endStream(w.transport(0).Streams()[1], nil)
					wantCode(t, b, status.OK)
					call.Unref()
				}
				w.close()
			})
		})
	}
}

// panicking is a filter that panics at the first message.
type panicking struct{ did bool }

func (f *panicking) filter() callstack.Filter {
	return callstack.NewFilter("panicking", func(next callstack.CallElem) callstack.CallElem {
		return &panickingCall{callstack.CallBase{Next: next}, f}
	})
}

type panickingCall struct {
	callstack.CallBase
	f *panicking
}

func (c *panickingCall) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvMessage) && !c.f.did {
		c.f.did = true
		b.RecvMessage.Ready = doneFunc(func(error) { panic("boom") })
	}
	c.Next.StartBatch(b)
}
