package clientchannel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
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

const ms = time.Millisecond

func TestBackoffCountsFromTheStartOfAnAttempt(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.resolve("a:1")
		time.Sleep(10 * time.Second)
		want := []dial{{"a:1", 0}, {"a:1", 1000 * ms}, {"a:1", 2600 * ms}, {"a:1", 5160 * ms}, {"a:1", 9256 * ms}}
		if got := w.dialed(); !slices.Equal(got, want) {
			t.Errorf("attempts %v, want %v", got, want)
		}
		w.wantState(connectivity.TransientFailure)

		// A reset tries at once and begins again with the base delay.
		w.ch.ResetBackoff()
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		got := w.dialed()[5:]
		if want := []dial{{"a:1", 10 * time.Second}, {"a:1", 11 * time.Second}}; !slices.Equal(got, want) {
			t.Errorf("attempts after ResetBackoff %v, want %v", got, want)
		}

		// A connection resets the backoff too.
		w.serve("a:1", nil)
		time.Sleep(2 * time.Second)
		w.wantState(connectivity.Ready)
		if err := w.ch.LastError(); err != nil {
			t.Errorf("LastError %v in READY, want nil", err)
		}
		w.unserve("a:1")
		before := len(w.dialed())
		w.transport(0).tell(connectivity.Shutdown, errors.New("gone"))
		synctest.Wait()
		w.wantState(connectivity.Idle)
		start := time.Since(w.start)
		w.ch.State(true)
		time.Sleep(1500 * ms)
		if got, want := w.dialed()[before:], []dial{{"a:1", start}, {"a:1", start + time.Second}}; !slices.Equal(got, want) {
			t.Errorf("attempts after the loss %v, want %v", got, want)
		}
		w.close()
	})
}

// A slow failure uses up its backoff: the next attempt does not wait again.
func TestSlowFailureUsesUpItsBackoff(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve("a:1", hang)
		w.resolve("a:1")
		time.Sleep(20*time.Second + 1)
		if got, want := w.dialed(), []dial{{"a:1", 0}, {"a:1", 20 * time.Second}}; !slices.Equal(got, want) {
			t.Errorf("attempts %v, want %v", got, want)
		}
		w.close()
	})
}

func TestAddressesAreTriedInOrder(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve("b:1", hang)
		w.serve("c:1", nil)
		w.resolve("a:1", "a:1", "b:1", "c:1", "d:1") // a twice: tried once
		w.wantState(connectivity.Connecting)
		// b takes its share of the 20 s, which is a third: a has failed at once.
		time.Sleep(7 * time.Second)
		w.wantState(connectivity.Ready)
		third := 20 * time.Second / 3
		if got, want := w.dialed(), []dial{{"a:1", 0}, {"b:1", 0}, {"c:1", third}}; !slices.Equal(got, want) {
			t.Errorf("attempts %v, want %v", got, want)
		}
		w.close()
	})
}

func TestLostConnection(t *testing.T) {
	for _, tc := range []struct {
		name   string
		lose   func(*fakeTransport)
		closed bool
	}{
		{"a connection that closed is closed here", func(f *fakeTransport) { f.tell(connectivity.Shutdown, errors.New("reset by peer")) }, true},
		{"a draining connection stays for its calls", func(f *fakeTransport) { f.tell(connectivity.Idle, errors.New("GOAWAY")) }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				w := newWorld(t)
				w.serve("a:1", nil)
				w.resolve("a:1")
				old := w.begin(callstack.CallArgs{})
				oldB := old.Do(opsUnary)
				tc.lose(w.transport(0))
				synctest.Wait()
				w.wantState(connectivity.Idle)
				if got := w.transport(0).isClosed(); got != tc.closed {
					t.Errorf("closed = %v, want %v", got, tc.closed)
				}
				if w.resolved != 1 {
					t.Errorf("%d requests to resolve again, want 1", w.resolved)
				}
				if err := w.ch.LastError(); err == nil || !strings.Contains(err.Error(), "connection to a:1 lost") {
					t.Errorf("LastError %v, want the loss", err)
				}
				if !tc.closed {
					wantPending(t, &callstacktest.Batch{})
					if n := oldB.GotTrailers.Count(); n != 0 {
						t.Errorf("the call on the draining connection has ended: %v", oldB.GotTrailers.Err())
					}
				}
				// The next call connects at once.
				call := w.begin(callstack.CallArgs{})
				call.Do(transport.OpSendInitialMetadata | transport.OpRecvTrailingMetadata)
				synctest.Wait()
				w.wantState(connectivity.Ready)
				if n := len(w.transport(1).Streams()); n != 1 {
					t.Errorf("%d streams on the second connection, want 1", n)
				}
				w.transport(0).tell(connectivity.Shutdown, nil)
				synctest.Wait()
				if !w.transport(0).isClosed() {
					t.Error("the drained connection was not closed")
				}
				w.wantState(connectivity.Ready) // the loss of an old one means nothing
				w.ch.StartTransportOp(&transport.Op{Disconnect: errors.New("bye")})
				synctest.Wait()
				old.Unref()
				call.Unref()
				w.close()
			})
		})
	}
}

func TestCloseWithQueuedCalls(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve("a:1", hang)
		w.resolve("a:1")
		cause := status.Error(status.Canceled, "the application is done")
		var batches []*callstacktest.Batch
		var calls []*callstacktest.Call
		for i := range 4 {
			c := w.begin(callstack.CallArgs{})
			calls = append(calls, c)
			batches = append(batches, c.Do(opsUnary, func(b *callstacktest.Batch) {
				if i%2 == 0 {
					waitForReady(b)
				}
			}))
		}
		w.ch.StartTransportOp(&transport.Op{Disconnect: cause})
		for i, b := range batches {
			if err := wantCode(t, b, status.Canceled); !errors.Is(err, cause) {
				t.Errorf("error %v does not wrap the cause", err)
			}
			calls[i].Unref()
		}
		w.wantState(connectivity.Shutdown)
		late := w.begin(callstack.CallArgs{})
		wantCode(t, late.Do(opsUnary, waitForReady), status.Canceled)
		late.Unref()
		watch := &watchLog{}
		w.ch.StartTransportOp(&transport.Op{StartWatch: watch})
		if got := watch.String(); got != "SHUTDOWN" {
			t.Errorf("a late watcher was told %q, want SHUTDOWN", got)
		}
		w.close()
		if w.ch.State(true) != connectivity.Shutdown {
			t.Error("a closed channel left SHUTDOWN")
		}
	})
}

func TestCloseWithCallsOnAConnection(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve("a:1", nil)
		w.resolve("a:1")
		call := w.begin(callstack.CallArgs{})
		b := call.Do(opsUnary)
		w.ch.StartTransportOp(&transport.Op{Disconnect: errors.New("bye")})
		err := wantCode(t, b, status.Unavailable)
		if !strings.Contains(err.Error(), "bye") {
			t.Errorf("error %q does not name the cause", err)
		}
		w.close()
		if !w.transport(0).isClosed() {
			t.Error("the connection was not closed")
		}
		call.Unref() // after Destroy: the handle may outlive the channel
	})
}

func TestEnterIdleLetsCallsGoOn(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t).answering()
		w.serve("a:1", nil)
		w.resolve("a:1")
		w.ch.EnterIdle()
		synctest.Wait()
		w.wantState(connectivity.Idle)
		if f := w.transport(0); !f.drained || f.disconnected != nil {
			t.Errorf("drained %v, disconnected %v; want a graceful end", f.drained, f.disconnected)
		}
		call := w.begin(callstack.CallArgs{})
		b := call.Do(opsUnary)
		w.resolve("a:1")
		wantCode(t, b, status.OK)
		if w.built != 2 {
			t.Errorf("%d resolvers were built, want 2", w.built)
		}
		call.Unref()
		w.close()
	})
}

func TestAddressUpdates(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve("a:1", nil)
		w.serve("b:1", nil)
		w.resolve("a:1")
		w.resolve("b:1", "a:1") // the address in use is still there
		if n := len(w.dialed()); n != 1 {
			t.Fatalf("%d attempts, want 1: the connection is to be kept", n)
		}
		w.resolve("b:1")
		w.wantState(connectivity.Ready)
		if !w.transport(0).drained || !w.transport(0).isClosed() {
			t.Error("the connection to the removed address was not drained")
		}
		w.report(resolver.Result{Err: errors.New("no such host")})
		w.wantState(connectivity.Ready) // an error leaves what is known
		w.report(resolver.Result{Note: "the service was scaled to 0"})
		w.wantState(connectivity.TransientFailure)
		call := w.begin(callstack.CallArgs{})
		err := wantCode(t, call.Do(opsUnary), status.Unavailable)
		if !strings.Contains(err.Error(), "scaled to 0") {
			t.Errorf("error %q lacks the resolver's note", err)
		}
		call.Unref()
		w.resolve("c:1")
		w.wantState(connectivity.TransientFailure)
		w.resolve("a:1") // a new list is tried at once, not after the backoff
		w.wantState(connectivity.Ready)
		w.close()
	})
}

func TestUpdateWhileConnecting(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		slow := make(chan struct{})
		w.serve("a:1", func(context.Context) error { <-slow; return nil }) // deaf to its context
		w.serve("b:1", nil)
		w.resolve("a:1")
		w.wantState(connectivity.Connecting)
		w.resolve("b:1")
		w.wantState(connectivity.Ready)
		close(slow)
		synctest.Wait()
		// The late connection is closed and the other one stays.
		if !w.transport(1).isClosed() || w.transport(0).isClosed() {
			t.Error("the connection of the abandoned attempt was kept")
		}
		w.close()
	})
}

// A transport that arrives after the channel has closed is closed too.
func TestConnectionAfterClose(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		slow := make(chan struct{})
		w.serve("a:1", func(context.Context) error { <-slow; return nil })
		w.resolve("a:1")
		closed := make(chan struct{})
		go func() { w.close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("Destroy returned while a dialer was at work")
		default:
		}
		close(slow)
		<-closed
		if !w.transport(0).isClosed() {
			t.Error("the late connection was left open")
		}
	})
}

func TestNameResolutionFails(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve("a:1", nil)
		w.report(resolver.Result{Err: errors.New("no such host")})
		w.wantState(connectivity.TransientFailure)
		call := w.begin(callstack.CallArgs{})
		err := wantCode(t, call.Do(opsUnary), status.Unavailable)
		if !strings.Contains(err.Error(), "name resolution failed: no such host") {
			t.Errorf("error %q lacks the resolver's", err)
		}
		call.Unref()
		w.resolve("a:1")
		w.wantState(connectivity.Ready)
		w.close()
	})
}

// badBuilder is a resolver that cannot be built for a while.
type badBuilder struct {
	*world
	fail atomic.Pointer[func() error]
}

func (b *badBuilder) Build(t resolver.Target, s resolver.Sink, o resolver.Options) (resolver.Resolver, error) {
	if err := (*b.fail.Load())(); err != nil {
		return nil, err
	}
	return b.world.Build(t, s, o)
}

func TestResolverThatCannotBeBuilt(t *testing.T) {
	for _, tc := range []struct {
		name string
		fail func() error
		part string
	}{
		{"it returns an error", func() error { return errors.New("no plugin") }, "no plugin"},
		{"it panics", func() error { panic("oops") }, "resolver test panicked: oops"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				b := &badBuilder{}
				b.fail.Store(&tc.fail)
				w := newWorld(t, func(c *Config) { c.Resolvers = []resolver.Builder{b} })
				b.world = w
				w.ch.State(true)
				synctest.Wait()
				w.wantState(connectivity.TransientFailure)
				call := w.begin(callstack.CallArgs{})
				err := wantCode(t, call.Do(opsUnary), status.Unavailable)
				if !strings.Contains(err.Error(), tc.part) {
					t.Errorf("error %q does not contain %q", err, tc.part)
				}
				call.Unref()
				time.Sleep(time.Second) // fails once more
				b.fail.Store(new(func() error { return nil }))
				time.Sleep(1600 * ms)
				w.serve("a:1", nil)
				w.resolve("a:1")
				w.wantState(connectivity.Ready)
				w.close()
			})
		})
	}
}

// A funcBalancer does what the test says on each update.
type funcBalancer struct {
	host   balancer.Host
	update func(h balancer.Host, u balancer.Update)
}

func (b *funcBalancer) Name() string                               { return "test_policy" }
func (b *funcBalancer) Build(host balancer.Host) balancer.Balancer { b.host = host; return b }
func (b *funcBalancer) Update(u balancer.Update)                   { b.update(b.host, u) }
func (b *funcBalancer) ExitIdle()                                  {}
func (b *funcBalancer) ResetBackoff()                              {}
func (b *funcBalancer) Close()                                     {}

// pickFunc is a picker.
type pickFunc func(balancer.PickInfo) balancer.PickResult

func (f pickFunc) Pick(i balancer.PickInfo) balancer.PickResult { return f(i) }

type foreignSubchannel struct{ balancer.Subchannel }

func TestPickers(t *testing.T) {
	ready := func(p balancer.Picker) func(balancer.Host, balancer.Update) {
		return func(h balancer.Host, _ balancer.Update) {
			h.UpdateState(balancer.State{Connectivity: connectivity.Ready, Picker: p})
		}
	}
	for _, tc := range []struct {
		name   string
		update func(balancer.Host, balancer.Update)
		want   status.Code
		part   string
	}{
		{"a failure without a status is UNAVAILABLE", ready(balancer.Fixed(balancer.Fail(errors.New("no backend")))), status.Unavailable, "no backend"},
		{"a status of its own is the call's", ready(balancer.Fixed(balancer.Fail(status.Error(status.ResourceExhausted, "quota")))), status.ResourceExhausted, "quota"},
		{"a status that only servers give is INTERNAL", ready(balancer.Fixed(balancer.Fail(status.Error(status.NotFound, "x")))), status.Internal, "illegal status code NotFound from LB pick"},
		{"a drop fails", ready(balancer.Fixed(balancer.Drop(status.Error(status.Unavailable, "shed")))), status.Unavailable, "shed"},
		{"a picker that panics is contained", ready(pickFunc(func(balancer.PickInfo) balancer.PickResult { panic("p") })), status.Internal, "the picker of balancer test_policy panicked: p"},
		{"a subchannel from elsewhere is refused", ready(balancer.Fixed(balancer.Complete(foreignSubchannel{}))), status.Internal, "has not made"},
		{"a balancer that panics is contained", func(balancer.Host, balancer.Update) { panic("b") }, status.Unavailable, "balancer test_policy panicked: b"},
		{"a state that is none of a balancer's is refused", func(h balancer.Host, _ balancer.Update) {
			h.UpdateState(balancer.State{Connectivity: connectivity.Shutdown, Picker: balancer.Fixed(balancer.Queue())})
		}, status.Unavailable, "balancer test_policy reported"},
		{"a state without a picker is refused", func(h balancer.Host, _ balancer.Update) { h.UpdateState(balancer.State{}) }, status.Unavailable, "balancer test_policy reported"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				w := newWorld(t, func(c *Config) { c.Balancer = &funcBalancer{update: tc.update} })
				w.resolve("a:1")
				call := w.begin(callstack.CallArgs{})
				err := wantCode(t, call.Do(opsUnary), tc.want)
				if !strings.Contains(err.Error(), tc.part) {
					t.Errorf("error %q does not contain %q", err, tc.part)
				}
				call.Unref()
				w.close()
			})
		})
	}
}

// A drop fails even a call that waits for ready; a failure lets it wait.
func TestDropAndWaitForReady(t *testing.T) {
	run(t, func(t *testing.T) {
		var seen balancer.PickInfo
		result := balancer.Fail(errors.New("not yet"))
		b := &funcBalancer{update: func(h balancer.Host, _ balancer.Update) {
			r := result
			h.UpdateState(balancer.State{Connectivity: connectivity.Ready, Picker: pickFunc(func(i balancer.PickInfo) balancer.PickResult {
				seen = i
				return r
			})})
		}}
		w := newWorld(t, func(c *Config) { c.Balancer = b })
		w.resolve("a:1")
		call := w.begin(callstack.CallArgs{})
		batch := call.Do(opsUnary, waitForReady)
		wantPending(t, batch)
		if seen.Path != "/test/Method" || seen.Metadata == nil {
			t.Errorf("the picker saw %+v, want path and metadata", seen)
		}
		result = balancer.Drop(errors.New("shed"))
		w.resolve("a:1")
		wantCode(t, batch, status.Unavailable)
		call.Unref()
		w.close()
	})
}

// Subchannels that a balancer forgets are shut down with it.
func TestForgottenSubchannelsAreShutDown(t *testing.T) {
	run(t, func(t *testing.T) {
		b := &funcBalancer{update: func(h balancer.Host, u balancer.Update) {
			h.NewSubchannel(u.Addresses, &watchLog{}).Connect()
		}}
		w := newWorld(t, func(c *Config) { c.Balancer = b })
		w.serve("a:1", nil)
		w.resolve("a:1")
		w.ch.EnterIdle()
		synctest.Wait()
		if !w.transport(0).drained {
			t.Error("the forgotten subchannel is still connected")
		}
		b.host.NewSubchannel(addresses([]string{"a:1"}), &watchLog{}).Connect() // by a balancer that was closed
		synctest.Wait()
		if n := len(w.dialed()); n != 1 {
			t.Errorf("%d attempts, want 1", n)
		}
		w.close()
	})
}

func TestStackOrDialerPanics(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*Config)
		part string
	}{
		{"the dialer", func(c *Config) {
			c.Connect = func(context.Context, resolver.Address, string) (transport.Transport, error) { panic("d") }
		}, "the dialer panicked: d"},
		{"a connector without a result", func(c *Config) {
			c.Connect = func(context.Context, resolver.Address, string) (transport.Transport, error) { return nil, nil }
		}, "neither a transport nor an error"},
		{"the stack", func(c *Config) {
			c.NewStack = func(transport.Transport, string) (*callstack.ChannelStack, error) { panic("s") }
		}, "building the channel stack panicked: s"},
		{"a stack with an error", func(c *Config) {
			c.NewStack = func(transport.Transport, string) (*callstack.ChannelStack, error) {
				return nil, errors.New("two terminals")
			}
		}, "two terminals"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				w := newWorld(t, tc.edit)
				w.serve("a:1", nil)
				w.resolve("a:1")
				w.wantState(connectivity.TransientFailure)
				if err := w.ch.LastError(); err == nil || !strings.Contains(err.Error(), tc.part) {
					t.Errorf("LastError %v does not contain %q", err, tc.part)
				}
				w.close()
			})
		})
	}
}

func TestPing(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		var got []string
		ping := func() {
			w.ch.StartTransportOp(&transport.Op{Ping: &transport.Ping{OnAck: doneFunc(func(err error) { got = append(got, fmt.Sprint(err)) })}})
			synctest.Wait()
		}
		ping()
		w.wantState(connectivity.Idle) // it does not connect
		w.serve("a:1", nil)
		w.resolve("a:1")
		ping()
		w.transport(0).tell(connectivity.Idle, nil) // draining
		synctest.Wait()
		ping()
		w.wantState(connectivity.Idle)
		const none = "client_channel: channel not connected"
		if want := []string{none, "<nil>", none}; !slices.Equal(got, want) {
			t.Errorf("pings ended with %q, want %q", got, want)
		}
		w.close()
	})
}

// TestInfo: the policy is known from the start, the service config is that of
// the last result which was not an error.
func TestInfo(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		want := func(config string) {
			t.Helper()
			if policy, got := w.ch.Info(); policy != "pick_first" || got != config {
				t.Errorf("Info = %q, %q; want %q, %q", policy, got, "pick_first", config)
			}
		}
		want("")
		w.report(resolver.Result{Addresses: addresses([]string{"a:1"}), ServiceConfig: `{"a":1}`})
		want(`{"a":1}`)
		w.report(resolver.Result{Err: errors.New("no answer")})
		want(`{"a":1}`)
		w.resolve("a:1")
		want("")
		w.close()
	})
}

func TestWarningsAreSpaced(t *testing.T) {
	run(t, func(t *testing.T) {
		var buf bytes.Buffer
		w := newWorld(t, func(c *Config) {
			c.Logger = slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelWarn}))
		})
		w.resolve("a:1")
		time.Sleep(11 * time.Second) // attempts at 0, 1, 2.6, 5.2, 9.3
		w.ch.ResetBackoff()          // and at 11
		synctest.Wait()
		w.close()
		if n := strings.Count(buf.String(), "level=WARN"); n != 2 {
			t.Errorf("%d warnings in 11 s, want 2:\n%s", n, buf.String())
		}
	})
}

func TestTraceNamesCauses(t *testing.T) {
	run(t, func(t *testing.T) {
		rec := trace.NewRecorder(trace.LevelEvents)
		w := newWorld(t, func(c *Config) { c.Trace = rec.Endpoint("client", "server") }).answering()
		w.serve("a:1", nil)
		call := w.begin(callstack.CallArgs{CallID: 7})
		b := call.Do(opsUnary)
		w.resolve("a:1")
		wantCode(t, b, status.OK)
		call.Unref()
		w.close()
		var got []string
		byID := map[trace.EventID]string{}
		for _, e := range rec.Events() {
			if e.Component != Name {
				continue
			}
			if e.Layer != 2 || (e.Call == 7) != (e.Op == "lb.pick") {
				t.Errorf("event %+v is not of layer 2, or of another call", e)
			}
			byID[e.ID] = e.Op + " " + e.Text
			got = append(got, fmt.Sprintf("%s %s <- %s", e.Op, e.Text, byID[e.Cause]))
		}
		want := []string{
			"lb.pick queue <- ", // woke the channel
			"connectivity IDLE to CONNECTING <- ",
			"lb.pick queue <- connectivity IDLE to CONNECTING",
			"resolver.update [a:1] <- connectivity IDLE to CONNECTING",
			"subchannel.connect a:1 <- resolver.update [a:1]",
			"connectivity CONNECTING to READY <- subchannel.connect a:1",
			"lb.pick complete a:1 <- connectivity CONNECTING to READY",
			"connectivity READY to SHUTDOWN <- connectivity CONNECTING to READY",
		}
		got = slices.DeleteFunc(got, func(s string) bool { // picks again while CONNECTING
			return s == "lb.pick queue <- resolver.update [a:1]"
		})
		// The serializer may have begun to connect before the pick that woke it
		// is told of; then the call is not queued yet, and picks for itself.
		if len(got) > 2 && got[1] == want[0] {
			got[0], got[1] = got[1], got[0]
		}
		if len(got) > 2 && got[2] == "lb.pick queue <- lb.pick queue" {
			got[2] = want[2]
		}
		if !slices.Equal(got, want) {
			t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// Nothing that has a goroutine, a timer or a channel may survive a bubble.
func TestTwoBubblesInARow(t *testing.T) {
	for range 2 {
		run(t, func(t *testing.T) {
			w := newWorld(t).answering()
			w.serve("a:1", nil)
			w.resolve("a:1")
			call := w.begin(callstack.CallArgs{Deadline: time.Now().Add(time.Hour)})
			wantCode(t, call.Do(opsUnary), status.OK)
			call.Unref()
			w.close()
		})
	}
}
