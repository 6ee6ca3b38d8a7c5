package clientchannel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/balancer"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

func TestCallWakesTheChannelAndWaits(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t).answering()
		w.serve("a:1", nil)
		w.wantState(connectivity.Idle)
		call := w.begin(callstack.CallArgs{})
		b := call.Do(opsUnary)
		wantPending(t, b)
		w.wantState(connectivity.Connecting)
		w.resolve("a:1")
		w.wantState(connectivity.Ready)
		wantCode(t, b, status.OK)
		call.Unref()
		synctest.Wait()
		if call.Recycled() != 1 {
			t.Errorf("the block was recycled %d times, want once", call.Recycled())
		}
		w.close()
		w.wantState(connectivity.Shutdown)
	})
}

func TestHeldBatchesGoDownInOrder(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve("a:1", nil)
		w.resolve("a:1")
		call := w.begin(callstack.CallArgs{})
		// Nothing can be picked before send_initial_metadata.
		call.Do(transport.OpRecvTrailingMetadata)
		call.Do(transport.OpSendMessage)
		call.Do(transport.OpRecvInitialMetadata)
		if n := len(w.transport(0).Streams()); n != 0 {
			t.Fatalf("%d streams before send_initial_metadata, want 0", n)
		}
		call.Do(transport.OpSendInitialMetadata)
		s := w.transport(0).Streams()[0]
		want := []transport.OpSet{transport.OpSendInitialMetadata, transport.OpSendMessage,
			transport.OpRecvInitialMetadata, transport.OpRecvTrailingMetadata}
		if got := s.Batches(); !slices.Equal(got, want) {
			t.Errorf("the stream got %v, want %v", got, want)
		}
		call.Do(transport.OpRecvMessage) // directly
		if got := s.Batches(); len(got) != 5 {
			t.Errorf("the stream got %d batches, want 5", len(got))
		}
		call.Do(transport.OpCancelStream, cancelWith(status.Error(status.Canceled, "enough")))
		if s.Canceled() == nil {
			t.Error("the cancel did not reach the stream")
		}
		call.Unref()
		w.close()
	})
}

// TestHeldMessageGoesDownBeforeTheHalfClose: the batch that begins the stream
// ends the sending side too, and a message was started before it.
func TestHeldMessageGoesDownBeforeTheHalfClose(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve("a:1", nil)
		w.resolve("a:1")
		call := w.begin(callstack.CallArgs{})
		call.Do(transport.OpSendMessage)
		call.Do(transport.OpSendInitialMetadata | transport.OpSendTrailingMetadata)
		want := []transport.OpSet{transport.OpSendMessage, transport.OpSendInitialMetadata | transport.OpSendTrailingMetadata}
		if got := w.transport(0).Streams()[0].Batches(); !slices.Equal(got, want) {
			t.Errorf("the stream got %v, want %v", got, want)
		}
		call.Do(transport.OpCancelStream, cancelWith(status.Error(status.Canceled, "enough")))
		call.Unref()
		w.close()
	})
}

func TestCallWithoutConnection(t *testing.T) {
	for _, tc := range []struct {
		name  string
		edit  func(*callstacktest.Batch)
		fails bool
	}{
		{"a call fails while the channel cannot connect", func(*callstacktest.Batch) {}, true},
		{"a call that waits for ready is queued", waitForReady, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				w := newWorld(t).answering()
				w.resolve("a:1", "b:1")
				w.wantState(connectivity.TransientFailure)
				call := w.begin(callstack.CallArgs{})
				b := call.Do(opsUnary, tc.edit)
				if tc.fails {
					err := wantCode(t, b, status.Unavailable)
					for _, part := range []string{"test:///server", "failed to connect to all addresses", "b:1", "connection refused"} {
						if !strings.Contains(err.Error(), part) {
							t.Errorf("error %q does not contain %q", err, part)
						}
					}
					if !errors.Is(err, errRefused) {
						t.Errorf("error %q does not wrap the dialer's", err)
					}
					if got := transport.ProgressOf(err); got != transport.ProgressNotSent {
						t.Errorf("progress %v, want %v", got, transport.ProgressNotSent)
					}
				} else {
					wantPending(t, b)
					w.serve("a:1", nil)
					time.Sleep(time.Second)
					wantCode(t, b, status.OK)
				}
				call.Unref()
				w.close()
			})
		})
	}
}

// A lost address times out with the dialer's context. That must not look like
// the deadline of the call.
func TestDialTimeoutIsNotTheCallsDeadline(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve("a:1", hang)
		w.resolve("a:1")
		call := w.begin(callstack.CallArgs{})
		b := call.Do(opsUnary)
		time.Sleep(20 * time.Second)
		err := wantCode(t, b, status.Unavailable)
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %q is context.DeadlineExceeded, want not", err)
		}
		if !strings.Contains(err.Error(), "timed out after 20s") {
			t.Errorf("error %q does not say how long it took", err)
		}
		call.Unref()
		w.close()
	})
}

func TestQueuedCallsArePickedInOrder(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t).answering()
		w.serve("a:1", nil)
		var calls []*callstacktest.Call
		var batches []*callstacktest.Batch
		for i := range 20 {
			c := w.begin(callstack.CallArgs{})
			calls = append(calls, c)
			batches = append(batches, c.Do(opsUnary, func(b *callstacktest.Batch) { b.SendHeaders.Path = fmt.Sprint(i) }))
		}
		calls[7].Do(transport.OpCancelStream, cancelWith(status.Error(status.Canceled, "enough"))) // from the middle
		w.resolve("a:1")
		var want, got []string
		for i, b := range batches {
			if i == 7 {
				wantCode(t, b, status.Canceled)
			} else {
				wantCode(t, b, status.OK)
				want = append(want, fmt.Sprint(i))
			}
		}
		for _, s := range w.transport(0).Streams() {
			got = append(got, s.SentHeaders().Path)
		}
		if !slices.Equal(got, want) {
			t.Errorf("streams began in order %v, want %v", got, want)
		}
		for _, c := range calls {
			c.Unref()
		}
		w.close()
	})
}

func TestCancelWhileQueued(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t).answering()
		w.serve("a:1", nil)
		call, other := w.begin(callstack.CallArgs{}), w.begin(callstack.CallArgs{})
		b := call.Do(transport.OpSendInitialMetadata | transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
		msg := call.Do(transport.OpRecvMessage | transport.OpSendMessage)
		otherB := other.Do(opsUnary)
		wantPending(t, b)
		cause := status.Error(status.Canceled, "enough")
		call.Do(transport.OpCancelStream, cancelWith(cause))
		if err := wantCode(t, b, status.Canceled); !errors.Is(err, cause) {
			t.Errorf("error %v, want %v", err, cause)
		}
		if got, want := b.Order(), []string{"headers", "trailers", "sent"}; !slices.Equal(got, want) {
			t.Errorf("callbacks ran in order %v, want %v", got, want)
		}
		if got, want := msg.Order(), []string{"message", "sent"}; !slices.Equal(got, want) {
			t.Errorf("callbacks ran in order %v, want %v", got, want)
		}
		late := call.Do(transport.OpRecvMessage)
		if err := late.GotMessage.Err(); !errors.Is(err, cause) {
			t.Errorf("a batch after the cancel ended with %v, want %v", err, cause)
		}
		call.Unref()
		if call.Recycled() != 1 {
			t.Error("the block of the cancelled call is still referred to")
		}
		w.resolve("a:1")
		wantCode(t, otherB, status.OK)
		other.Unref()
		w.close()
	})
}

func TestDeadline(t *testing.T) {
	for _, tc := range []struct {
		name  string
		setup func(*world)
		after time.Duration
		parts []string
	}{
		{"while the name is being resolved", func(*world) {}, 3 * time.Second,
			[]string{"waited for a connection to test:///server"}},
		{"while the channel cannot connect", func(w *world) { w.resolve("a:1") }, 500 * time.Millisecond,
			[]string{"last connection error", "a:1", "connection refused", "500ms ago"}},
		{"on a connection", func(w *world) { w.serve("a:1", nil); w.resolve("a:1") }, time.Second,
			[]string{"client_channel: the deadline passed: context deadline exceeded"}},
		{"before the call", func(w *world) {}, -time.Second,
			[]string{"before the call began"}},
		{"as the call begins", func(w *world) {}, 0,
			[]string{"before the call began"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				w := newWorld(t)
				tc.setup(w)
				start := time.Now()
				call := w.begin(callstack.CallArgs{Start: start, Deadline: start.Add(tc.after)})
				b := call.Do(opsUnary, waitForReady)
				if tc.after > 0 {
					time.Sleep(tc.after - 1)
					if b.GotTrailers.Count() != 0 {
						t.Fatalf("the call ended before its deadline: %v", b.GotTrailers.Err())
					}
					time.Sleep(time.Nanosecond)
				}
				err := wantCode(t, b, status.DeadlineExceeded)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %q is not context.DeadlineExceeded", err)
				}
				for _, part := range tc.parts {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("error %q does not contain %q", err, part)
					}
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

// Whoever watches the deadline cancels the call, and the channel adds why.
func TestDeadlineWatchedByTheCaller(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.resolve("a:1")
		call := w.begin(callstack.CallArgs{Deadline: time.Now().Add(time.Second / 2), DeadlineWatched: true})
		b := call.Do(opsUnary, waitForReady)
		time.Sleep(700 * time.Millisecond)
		wantPending(t, b)
		call.Do(transport.OpCancelStream, cancelWith(context.DeadlineExceeded))
		err := wantCode(t, b, status.DeadlineExceeded)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("error %q, want context.DeadlineExceeded and the last connection error", err)
		}
		call.Unref()
		w.close()
	})
}

// The timer must not keep the block until the deadline, nor reach the next call.
func TestTimerEndsWithTheCall(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t).answering()
		w.serve("a:1", nil)
		w.resolve("a:1")
		call := callstacktest.NewCall(w.stack)
		for i := range 3 {
			if err := call.Begin(callstack.CallArgs{Deadline: time.Now().Add(time.Second)}); err != nil {
				t.Fatal(err)
			}
			b := call.Do(opsUnary)
			wantCode(t, b, status.OK)
			call.Unref()
			if call.Recycled() != i+1 {
				t.Fatalf("call %d: the block was recycled %d times", i, call.Recycled())
			}
			time.Sleep(600 * time.Millisecond)
		}
		w.close()
	})
}

// An error of Init of the stack below ends the call, of which nothing is sent.
func TestInitErrorSendsNothing(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) {
			c.NewStack = func(tr transport.Transport, _ string) (*callstack.ChannelStack, error) {
				b := callstack.NewBuilder("CLIENT_SUBCHANNEL")
				b.Add(refusing{})
				b.Add(connectedFilter{}).Terminal()
				return b.Build(callstack.ChannelArgs{Transport: tr})
			}
		})
		w.serve("a:1", nil)
		w.resolve("a:1")
		call := w.begin(callstack.CallArgs{})
		b := call.Do(opsUnary)
		if err := wantCode(t, b, status.Internal); !strings.Contains(err.Error(), "refused by filter") {
			t.Errorf("error %q, want that of Init", err)
		}
		if got := w.transport(0).Streams()[0].Batches(); len(got) > 0 {
			t.Errorf("the stream got %v, want nothing", got)
		}
		call.Unref()
		w.close()
	})
}

// refusing is a filter whose calls cannot begin.
type refusing struct{ callstack.CallBase }

func (refusing) Name() string { return "refusing" }

func (refusing) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &refusingChannel{ChannelBase: callstack.ChannelBase{Next: next}}, nil
}

type refusingChannel struct{ callstack.ChannelBase }

func (c *refusingChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &refusingCall{callstack.CallBase{Next: next}}
}

type refusingCall struct{ callstack.CallBase }

func (c *refusingCall) Init(*callstack.CallArgs) error {
	return status.Error(status.Internal, "refused by filter")
}

// A cancel, or another picker, that comes while a picker is at work.
func TestPickIsOvertaken(t *testing.T) {
	for _, tc := range []struct {
		name     string
		overtake func(h balancer.Host, c *callstacktest.Call)
		result   func(sub balancer.Subchannel) balancer.PickResult
		want     status.Code
	}{
		{"a cancel before the attempt is used", cancelCall, balancer.Complete, status.Canceled},
		{"a cancel before the call is queued", cancelCall, queueCall, status.Canceled},
		{"a new picker before the call is queued", dropCalls, queueCall, status.Unavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				var sub balancer.Subchannel
				var call *callstacktest.Call
				b := &funcBalancer{}
				b.update = func(h balancer.Host, u balancer.Update) {
					sub = h.NewSubchannel(u.Addresses, &watchLog{})
					sub.Connect()
					h.UpdateState(balancer.State{Connectivity: connectivity.Ready, Picker: pickFunc(func(balancer.PickInfo) balancer.PickResult {
						tc.overtake(h, call)
						time.Sleep(time.Second) // meanwhile it has come
						return tc.result(sub)
					})})
				}
				w := newWorld(t, func(c *Config) { c.Balancer = b })
				w.serve("a:1", nil)
				w.resolve("a:1")
				call = w.begin(callstack.CallArgs{})
				wantCode(t, call.Do(opsUnary), tc.want)
				call.Unref()
				if call.Recycled() != 1 {
					t.Error("the block is still referred to")
				}
				w.close()
			})
		})
	}
}

func cancelCall(_ balancer.Host, c *callstacktest.Call) {
	c.Do(transport.OpCancelStream, cancelWith(status.Error(status.Canceled, "enough")))
}

func dropCalls(h balancer.Host, _ *callstacktest.Call) {
	h.UpdateState(balancer.State{Connectivity: connectivity.Ready, Picker: balancer.Fixed(balancer.Drop(errors.New("shed")))})
}

func queueCall(balancer.Subchannel) balancer.PickResult { return balancer.Queue() }

// A subchannel that is picked without a connection lets the call wait.
func TestPickedSubchannelIsNotConnected(t *testing.T) {
	run(t, func(t *testing.T) {
		b := &funcBalancer{}
		b.update = func(h balancer.Host, u balancer.Update) {
			w := &watchLog{}
			sub := h.NewSubchannel(u.Addresses, w)
			p := balancer.Fixed(balancer.Complete(sub))
			h.UpdateState(balancer.State{Connectivity: connectivity.Ready, Picker: p})
			time.AfterFunc(time.Second, sub.Connect)
			time.AfterFunc(2*time.Second, func() { h.UpdateState(balancer.State{Connectivity: connectivity.Ready, Picker: p}) })
		}
		w := newWorld(t, func(c *Config) { c.Balancer = b }).answering()
		w.serve("a:1", nil)
		w.resolve("a:1")
		call := w.begin(callstack.CallArgs{})
		batch := call.Do(opsUnary)
		wantPending(t, batch)
		late := call.Do(0) // asks for nothing
		wantPending(t, late)
		time.Sleep(2 * time.Second)
		wantCode(t, batch, status.OK)
		call.Unref()
		w.close()
	})
}

// Calls, cancels, lost connections and resets at the same time: each call ends
// exactly once, and every block comes back.
func TestConcurrency(t *testing.T) {
	const callers, rounds = 16, 200
	w := newWorld(t, func(c *Config) { c.Backoff.BaseDelay = time.Nanosecond; c.Backoff.MaxDelay = time.Microsecond })
	w.answering()
	w.serve("a:1", nil)
	w.serve("b:1", nil)
	w.ch.State(true)
	stop := make(chan struct{})
	var churn, calls sync.WaitGroup
	churn.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			w.churn(i)
		}
	})
	for n := range callers {
		calls.Go(func() {
			for i := range rounds {
				oneCall(t, w, n, i)
			}
		})
	}
	calls.Wait()
	close(stop)
	churn.Wait()
	w.close()
}

// churn does what disturbs calls.
func (w *world) churn(i int) {
	w.mu.Lock()
	sink, trs := w.sink, w.transports
	w.mu.Unlock()
	if sink != nil {
		addrs := [][]string{{"a:1"}, {"b:1"}, {"c:1"}, {"c:1", "a:1"}}[i%4]
		sink.Update(resolver.Result{Addresses: addresses(addrs)})
	}
	if len(trs) > 0 {
		s := []connectivity.State{connectivity.Idle, connectivity.Shutdown}[i%2]
		trs[len(trs)-1].tell(s, errors.New("churn"))
		trs[len(trs)-1].tell(connectivity.Shutdown, errors.New("churn"))
	}
	if i%16 == 0 {
		w.ch.EnterIdle()
	}
	w.ch.ResetBackoff()
	w.ch.State(true)
	done := make(chan struct{})
	w.ch.serial.schedule(func() { close(done) })
	<-done
}

// oneCall makes a call that may be cancelled or run out of time and checks that
// it ends once.
func oneCall(t *testing.T, w *world, n, i int) {
	args := callstack.CallArgs{}
	if i%3 == 0 {
		args.Deadline = time.Now().Add(time.Duration(i) * time.Microsecond)
	}
	call := w.begin(args)
	done := make(chan error, 2)
	b := callstacktest.NewBatch(opsUnary)
	b.RecvTrailingMetadata.Ready = doneFunc(func(err error) { done <- err })
	if (n+i)%2 == 0 {
		waitForReady(b)
	}
	call.Stack.StartBatch(&b.StreamOpBatch)
	if i%4 == 0 {
		call.Do(transport.OpCancelStream, cancelWith(fmt.Errorf("cancelled: %w", context.Canceled)))
	}
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Errorf("call %d of caller %d did not end; state %v, last error %v", i, n, w.ch.State(false), w.ch.LastError())
	}
	call.Unref()
	select {
	case err := <-done:
		t.Errorf("call %d of caller %d ended twice: %v", i, n, err)
	default:
	}
}

type doneFunc func(error)

func (f doneFunc) Run(err error) { f(err) }
