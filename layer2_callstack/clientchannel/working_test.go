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
