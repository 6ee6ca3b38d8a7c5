package clientchannel

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/balancer"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

var errDraining = &transport.Error{Code: status.Unavailable, Layer: "fake", Reason: "draining", Progress: transport.ProgressNotSent}

// over is a NewStackFunc with filters above the streams.
func over(filters ...callstack.Filter) func(*Config) {
	return func(cfg *Config) {
		cfg.NewStack = func(tr transport.Transport, _ string) (*callstack.ChannelStack, error) {
			b := callstack.NewBuilder("CLIENT_SUBCHANNEL")
			for _, f := range filters {
				b.Add(f)
			}
			b.Add(connectedFilter{}).Terminal()
			return b.Build(callstack.ChannelArgs{Transport: tr})
		}
	}
}

// picking returns a channel whose balancer makes a subchannel for each address and has
// p as its picker.
func picking(t *testing.T, p func(subs []balancer.Subchannel, i balancer.PickInfo) balancer.PickResult) (*world, *funcBalancer) {
	b := &funcBalancer{}
	b.update = func(h balancer.Host, u balancer.Update) {
		var subs []balancer.Subchannel
		for _, a := range u.Addresses {
			sub := h.NewSubchannel([]resolver.Address{a}, &watchLog{})
			sub.Connect()
			subs = append(subs, sub)
		}
		time.AfterFunc(time.Second, func() { // when they are connected
			h.UpdateState(balancer.State{Connectivity: connectivity.Ready,
				Picker: pickFunc(func(i balancer.PickInfo) balancer.PickResult { return p(subs, i) })})
		})
	}
	w := newWorld(t, func(c *Config) { c.Balancer = b })
	return w, b
}

// connectAll connects to servers with those addresses, one after another, and waits for
// the picker.
func (w *world) connectAll(addrs ...string) {
	for _, a := range addrs {
		w.serve(a, nil)
	}
	w.resolve(addrs...)
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

// inUse returns the stream of connection i that has batches: one that was used before,
// or another, as the pool wants.
func (w *world) inUse(i int) *callstacktest.Stream {
	w.t.Helper()
	for _, s := range w.transport(i).Streams() {
		if len(s.Batches()) > 0 {
			return s
		}
	}
	w.t.Fatal("no stream is in use")
	return nil
}

// nested wants batches to come to the streams one at a time, and then does f.
func nested(t *testing.T, f func(s *callstacktest.Stream, b *transport.StreamOpBatch)) func(*callstacktest.Stream, *transport.StreamOpBatch) {
	inside := 0
	return func(s *callstacktest.Stream, b *transport.StreamOpBatch) {
		if inside++; inside != 1 {
			t.Errorf("%q went down while another batch did", b.Ops)
		}
		f(s, b)
		inside--
	}
}

// TestBatchesGoDownOneAtATime: until the stream has begun one goroutine passes on what
// comes, in its order.
func TestBatchesGoDownOneAtATime(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.holdSends = true
		w.serve("a:1", nil)
		var call *callstacktest.Call
		w.onBatch = nested(t, func(_ *callstacktest.Stream, b *transport.StreamOpBatch) {
			if b.Ops.Has(transport.OpSendInitialMetadata) {
				call.Do(transport.OpRecvMessage)
			}
		})
		w.resolve("a:1")
		call = w.begin(callstack.CallArgs{})
		call.Do(transport.OpSendInitialMetadata)
		if got, want := w.transport(0).Streams()[0].Batches(), []transport.OpSet{transport.OpSendInitialMetadata, transport.OpRecvMessage}; !slices.Equal(got, want) {
			t.Errorf("the stream got %v, want %v", got, want)
		}
		call.Do(transport.OpCancelStream, cancelWith(status.Error(status.Canceled, "enough")))
		call.Unref()
		w.close()
	})
}

// TestLateBatchesOvertakeNothing: batches that found no stream that has begun and had to
// wait for the lock go down before those that come later and find it.
func TestLateBatchesOvertakeNothing(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.holdSends = true
		w.serve("a:1", nil)
		w.resolve("a:1")
		test := w.begin(callstack.CallArgs{})
		start := test.Do(transport.OpSendInitialMetadata)
		s := w.transport(0).Streams()[0]
		s.CompleteSends(nil) // the stream has begun, and the next to work publishes that
		sent := make(chan struct{})
		w.transport(0).OnBatch = func(_ *callstacktest.Stream, b *transport.StreamOpBatch) {
			if b.Ops == transport.OpRecvInitialMetadata {
				<-sent // this goroutine takes its time
			}
		}
		c := test.Stack.Top().(*call)
		c.mu.Lock()
		go test.Do(transport.OpRecvInitialMetadata)
		waitForLock(1)
		go func() {
			test.Do(transport.OpSendMessage)
			test.Do(transport.OpSendTrailingMetadata)
			close(sent)
		}()
		waitForLock(2)
		test.Ref()
		c.workLocked(test)
		synctest.Wait()
		want := []transport.OpSet{transport.OpSendMessage, transport.OpSendTrailingMetadata}
		got := slices.DeleteFunc(s.Batches(), func(ops transport.OpSet) bool { return !slices.Contains(want, ops) })
		if !slices.Equal(got, want) {
			t.Errorf("the stream got %v, want %v", got, want)
		}
		end := test.Do(transport.OpRecvTrailingMetadata)
		endStream(s, nil)
		s.CompleteSends(nil)
		if wantCode(t, end, status.OK); start.Sent.Count() != 1 {
			t.Error("the headers were not sent")
		}
		test.Unref()
		w.close()
	})
}

// waitForLock returns when n goroutines wait for a mutex.
func waitForLock(n int) {
	stacks := make([]byte, 1<<20)
	for strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "[sync.Mutex.Lock") < n {
		runtime.Gosched()
	}
}

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

// TestNewPickerWhileOneIsAsked: of a call that is being picked the next picker hears
// when the present one has answered.
func TestNewPickerWhileOneIsAsked(t *testing.T) {
	run(t, func(t *testing.T) {
		answer, picks := make(chan struct{}), 0
		w, b := picking(t, func([]balancer.Subchannel, balancer.PickInfo) balancer.PickResult {
			<-answer
			return balancer.Queue()
		})
		w.connectAll()
		call := w.begin(callstack.CallArgs{})
		end := call.Do(transport.OpRecvTrailingMetadata) // waits for the beginning, in the queue
		go call.Do(opsUnary &^ transport.OpRecvTrailingMetadata)
		synctest.Wait()
		b.host.UpdateState(balancer.State{Connectivity: connectivity.Ready, Picker: pickFunc(func(balancer.PickInfo) balancer.PickResult {
			picks++
			return balancer.Drop(errors.New("shed"))
		})})
		synctest.Wait()
		if picks != 0 {
			t.Error("two goroutines pick for the call")
		}
		close(answer)
		wantCode(t, end, status.Unavailable)
		if picks != 1 {
			t.Errorf("the second picker was asked %d times", picks)
		}
		call.Unref()
		if call.Recycled() != 1 {
			t.Error("the block is still referred to")
		}
		w.close()
	})
}

// TestPickersAreAskedOnce: what comes to a call that waits for the next picker is no
// reason to ask the present one again.
func TestPickersAreAskedOnce(t *testing.T) {
	run(t, func(t *testing.T) {
		picks := 0
		w, _ := picking(t, func([]balancer.Subchannel, balancer.PickInfo) balancer.PickResult {
			picks++
			return balancer.Queue()
		})
		w.connectAll()
		call := w.begin(callstack.CallArgs{})
		for _, op := range []transport.OpSet{transport.OpSendInitialMetadata, transport.OpSendMessage, transport.OpRecvTrailingMetadata} {
			call.Do(op)
		}
		if picks != 1 {
			t.Errorf("the picker was asked %d times", picks)
		}
		call.Do(transport.OpCancelStream, cancelWith(status.Error(status.Canceled, "enough")))
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

// TestNewCallInABlock: a call knows nothing of the one before in the same block, which
// was cancelled while it waited, after a connection had refused it.
func TestNewCallInABlock(t *testing.T) {
	run(t, func(t *testing.T) {
		w, _ := picking(t, func(subs []balancer.Subchannel, _ balancer.PickInfo) balancer.PickResult {
			return balancer.Complete(subs[0])
		})
		w.holdSends = true
		w.connectAll("a:1")
		call := w.begin(callstack.CallArgs{Deadline: time.Now().Add(time.Minute)})
		b := call.Do(opsUnary)
		endStream(w.inUse(0), errDraining)
		wantPending(t, b)
		call.Do(transport.OpCancelStream, cancelWith(status.Error(status.Canceled, "enough")))
		wantCode(t, b, status.Canceled)
		call.Unref()
		for range 2 { // the first is of a call that failed here, the second of one that did not
			if err := call.Begin(callstack.CallArgs{}); err != nil {
				t.Fatal(err)
			}
			b = call.Do(opsUnary)
			lost := &transport.Error{Code: status.Unavailable, Layer: "fake", Reason: "connection lost"}
			endStream(w.inUse(0), lost)
			if err := wantCode(t, b, status.Unavailable); err != lost {
				t.Errorf("the next call ended with %v", err)
			}
			call.Unref()
		}
		if err := call.Begin(callstack.CallArgs{}); err != nil {
			t.Fatal(err)
		}
		b = call.Do(opsUnary &^ transport.OpSendMessage) // another call's message is not released
		endStream(w.inUse(0), nil)
		wantCode(t, b, status.OK)
		call.Unref()
		if err := call.Begin(callstack.CallArgs{}); err != nil {
			t.Fatal(err)
		}
		b = call.Do(opsUnary)
		endStream(w.inUse(0), errDraining)
		wantPending(t, b) // it is picked again, as any that is refused
		w.ch.StartTransportOp(&transport.Op{Disconnect: errors.New("bye")})
		wantCode(t, b, status.Unavailable)
		call.Unref()
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

// TestCallThatAsksForNothing does not wait for anything.
func TestCallThatAsksForNothing(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		call := w.begin(callstack.CallArgs{})
		call.Do(0)
		call.Unref()
		if call.Recycled() != 1 {
			t.Error("the block is still referred to")
		}
		w.close()
	})
}

// TestCausesOfFailures: what fails here names the event that it comes of.
func TestCausesOfFailures(t *testing.T) {
	for _, tc := range []struct {
		name string
		args callstack.CallArgs
		play func(w *world, call *callstacktest.Call) *callstacktest.Batch
		want trace.EventID
	}{
		{"the deadline had passed", callstack.CallArgs{Cause: 3, Start: time.Unix(9, 0), Deadline: time.Unix(9, 0)},
			func(_ *world, call *callstacktest.Call) *callstacktest.Batch { return call.Do(opsUnary) }, 3},
		{"a cancel", callstack.CallArgs{}, func(_ *world, call *callstacktest.Call) *callstacktest.Batch {
			b := call.Do(opsUnary)
			call.Do(transport.OpCancelStream, cancelWith(status.Error(status.Canceled, "enough")), func(b *callstacktest.Batch) { b.Cause = 5 })
			call.Do(transport.OpCancelStream, cancelWith(status.Error(status.Aborted, "once more")), func(b *callstacktest.Batch) { b.Cause = 6 })
			return b
		}, 5},
		{"a cancel with operations", callstack.CallArgs{}, func(_ *world, call *callstacktest.Call) *callstacktest.Batch {
			return call.Do(opsUnary|transport.OpCancelStream, cancelWith(status.Error(status.Canceled, "enough")), func(b *callstacktest.Batch) { b.Cause = 5 })
		}, 5},
		{"a cancel without a trace", callstack.CallArgs{}, func(_ *world, call *callstacktest.Call) *callstacktest.Batch {
			b := call.Do(opsUnary, func(b *callstacktest.Batch) { b.Cause = 4 })
			call.Do(transport.OpCancelStream, cancelWith(status.Error(status.Canceled, "enough")))
			return b
		}, 4},
		{"a balancer without a connection", callstack.CallArgs{}, func(w *world, call *callstacktest.Call) *callstacktest.Batch {
			w.resolve()
			return call.Do(opsUnary, func(b *callstacktest.Batch) { b.Cause = 4 })
		}, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				w := newWorld(t)
				call := w.begin(tc.args)
				b := tc.play(w, call)
				synctest.Wait()
				if err := b.GotTrailers.Err(); err == nil || strings.Contains(err.Error(), "once more") {
					t.Errorf("the call ended with %v", err)
				}
				if b.Cause != tc.want {
					t.Errorf("the cause is event %d, want %d", b.Cause, tc.want)
				}
				if late := call.Do(transport.OpRecvMessage); late.GotMessage.Err() != b.GotTrailers.Err() {
					t.Errorf("what came later ended with %v", late.GotMessage.Err())
				}
				call.Unref()
				if call.Recycled() != 1 {
					t.Error("the block is still referred to")
				}
				w.close()
			})
		})
	}
}
