package subchannel

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
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
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/backoff"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

// A fixture is the channel of one subchannel: a lock is its serializer.
type fixture struct {
	env   Env
	sub   *Subchannel
	wg    sync.WaitGroup
	fails error // of the connector

	mu sync.Mutex
	// Guarded by mu.
	events    []string
	transport *watched
	errs      []error
}

type watched struct {
	callstacktest.Transport
	f *fixture
}

func (w *watched) Close() { w.f.note("transport closed") }

// newFixture returns a subchannel in a bubble. Functions are run in order by
// one goroutine, like the channel does.
func newFixture(t *testing.T) *fixture {
	f := &fixture{}
	queue := make(chan func(), 100)
	f.wg.Go(func() {
		for g := range queue {
			g()
		}
	})
	t.Cleanup(func() { close(queue); f.wg.Wait() })
	f.env = Env{
		Connect: f.connect, NewStack: f.newStack,
		Backoff:           backoff.Config{BaseDelay: time.Second, Multiplier: 2},
		MinConnectTimeout: 20 * time.Second, Logger: slog.New(slog.DiscardHandler),
		Schedule: func(g func()) bool { queue <- g; return true },
		Go:       func(g func()) { f.wg.Go(g) },
		OnError:  func(err error) { f.errs = append(f.errs, err) },
	}
	f.env.Init()
	f.sub = New(&f.env, []resolver.Address{{Addr: "a:1"}}, f)
	return f
}

func (f *fixture) note(s string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, s)
}

// take returns what has happened since the last time.
func (f *fixture) take() []string {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.events
	f.events = nil
	return out
}

func (f *fixture) OnState(s connectivity.State, _ error) { f.note(s.String()) }

func (f *fixture) connect(context.Context, resolver.Address, string) (transport.Transport, error) {
	if f.fails != nil {
		return nil, f.fails
	}
	f.transport = &watched{f: f}
	return f.transport, nil
}

func (f *fixture) newStack(transport.Transport, string) (*callstack.ChannelStack, error) {
	b := callstack.NewBuilder("CLIENT_SUBCHANNEL")
	b.Add(bottom{f}).Terminal()
	return b.Build(callstack.ChannelArgs{})
}

// bottom is a filter that notes its end.
type bottom struct{ f *fixture }

func (bottom) Name() string { return "bottom" }
func (b bottom) NewChannel(*callstack.ChannelArgs, callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &bottomChannel{f: b.f}, nil
}

type bottomChannel struct {
	callstack.ChannelBase
	f *fixture
}

func (ch *bottomChannel) StartTransportOp(op *transport.Op) { ch.f.transport.PerformOp(op) }

func (c *bottomChannel) NewCall(callstack.CallElem) callstack.CallElem {
	c.f.note("call made")
	return &callstack.CallBase{}
}
func (c *bottomChannel) Destroy() { c.f.note("stack destroyed") }

func (f *fixture) want(t *testing.T, want ...string) {
	t.Helper()
	if got := f.take(); !slices.Equal(got, want) {
		t.Fatalf("events %q, want %q", got, want)
	}
}

func TestStackOutlivesTheTransportForItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		if a := f.sub.NewAttempt(); a != nil {
			t.Fatal("an attempt without a connection")
		}
		f.sub.Connect()
		f.sub.Connect() // means nothing while CONNECTING
		f.want(t, "CONNECTING", "READY")
		a := f.sub.NewAttempt()
		f.want(t, "call made")
		conn := f.sub.Conn()
		conn.OnState(connectivity.Shutdown, errors.New("gone"))
		f.want(t, "IDLE", "transport closed")
		if f.sub.NewAttempt() != nil {
			t.Fatal("an attempt on a lost connection")
		}
		a.Unref()
		f.want(t, "stack destroyed")
		if conn.tryRef() {
			t.Fatal("a reference to a connection whose stack is gone")
		}
		f.sub.Shutdown()
		f.sub.Shutdown()
		f.want(t)
	})
}

func TestShutdownWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.fails = errors.New("refused")
		f.sub.Connect()
		f.want(t, "CONNECTING", "TRANSIENT_FAILURE")
		time.Sleep(time.Second)
		f.want(t, "IDLE")
		f.sub.Connect()
		f.want(t, "CONNECTING", "TRANSIENT_FAILURE")
		f.sub.Shutdown()
		f.sub.ResetBackoff()
		f.sub.Connect()
		time.Sleep(time.Hour)
		f.want(t)
		if got := f.errs[0].Error(); got != "connecting to a:1: refused" {
			t.Errorf("error %q", got)
		}
		if !errors.Is(f.errs[0], f.fails) {
			t.Error("the error does not wrap the connector's")
		}
	})
}

func TestDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.sub.Connect()
		f.want(t, "CONNECTING", "READY")
		cause := errors.New("bye")
		f.env.Schedule(func() { f.env.Disconnect(cause) })
		f.want(t, "transport closed", "stack destroyed")
		ops := f.transport.Ops()
		if last := ops[len(ops)-1]; last.Disconnect != cause {
			t.Errorf("the last operation is %+v, want Disconnect", last)
		}
	})
}

func TestNoAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.sub.UpdateAddresses(nil)
		f.sub.Connect()
		f.want(t, "CONNECTING", "TRANSIENT_FAILURE")
		if got := f.errs[0].Error(); got != "there is no address" {
			t.Errorf("error %q", got)
		}
		f.sub.Shutdown()
		synctest.Wait()
	})
}

// TestLostTwice: a transport may tell of its end more than once. The stack stays until
// the last call has let go of it, and the channel does not end the connection again.
func TestLostTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.sub.Connect()
		f.want(t, "CONNECTING", "READY")
		a := f.sub.NewAttempt()
		f.want(t, "call made")
		conn := f.sub.Conn()
		for range 2 {
			conn.OnState(connectivity.Shutdown, errors.New("gone"))
		}
		f.want(t, "IDLE", "transport closed")
		ops := len(f.transport.Ops())
		f.env.Schedule(func() {
			f.env.Disconnect(errors.New("bye"))
			conn.drain()
		})
		f.want(t)
		if got := len(f.transport.Ops()); got != ops {
			t.Errorf("a transport that is closed got %d more operations", got-ops)
		}
		a.Unref()
		f.want(t, "stack destroyed")
	})
}

// TestStackThatCannotBeBuilt: the transport for it is closed.
func TestStackThatCannotBeBuilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.env.NewStack = func(transport.Transport, string) (*callstack.ChannelStack, error) {
			return nil, errors.New("two terminals")
		}
		f.sub.Connect()
		got := f.take()
		slices.Sort(got) // the transport is closed on a goroutine of its own
		if want := []string{"CONNECTING", "TRANSIENT_FAILURE", "transport closed"}; !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		if got := f.errs[0].Error(); got != "connecting to a:1: two terminals" {
			t.Errorf("error %q", got)
		}
		f.sub.Shutdown()
		synctest.Wait()
	})
}

// TestAbandoned: the dialer hears of it when nobody wants a connection any more, and
// further addresses are not tried.
func TestAbandoned(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(f *fixture)
		want []string // events
		next int      // dials after that
	}{
		{"the subchannel is shut down", func(f *fixture) { f.sub.Shutdown() }, nil, 0},
		{"other addresses", func(f *fixture) { f.sub.UpdateAddresses([]resolver.Address{{Addr: "c:1"}}) }, []string{"CONNECTING"}, 1},
		{"the same addresses in another order", func(f *fixture) {
			f.sub.UpdateAddresses([]resolver.Address{{Addr: "b:1"}, {Addr: "a:1"}})
		}, nil, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				dials, ended := 0, 0
				f.env.Connect = func(ctx context.Context, _ resolver.Address, _ string) (transport.Transport, error) {
					f.mu.Lock()
					dials++
					f.mu.Unlock()
					<-ctx.Done()
					f.mu.Lock()
					defer f.mu.Unlock()
					ended++
					return nil, ctx.Err()
				}
				addrs := []resolver.Address{{Addr: "a:1"}, {Addr: "b:1"}}
				f.sub.UpdateAddresses(addrs)
				addrs[0], addrs[1] = resolver.Address{}, resolver.Address{} // they were the caller's
				f.sub.Connect()
				f.want(t, "CONNECTING")
				tc.do(f)
				f.want(t, tc.want...)
				gone := len(tc.want) > 0 || tc.next == 0 && f.sub.Closed()
				if dials != 1+tc.next || (ended == 1) != gone {
					t.Errorf("%d dials, of which %d have ended; want %d", dials, ended, 1+tc.next)
				}
				if len(f.errs) != 0 {
					t.Errorf("what was abandoned failed with %v", f.errs)
				}
				f.sub.Shutdown()
				synctest.Wait()
			})
		})
	}
}

// TestNewAddressesWhileReady: without the address in use there is another connection at
// once.
func TestNewAddressesWhileReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.sub.Connect()
		f.want(t, "CONNECTING", "READY")
		f.sub.UpdateAddresses([]resolver.Address{{Addr: "b:1"}, {Addr: "a:1"}})
		f.want(t)
		f.sub.UpdateAddresses([]resolver.Address{{Addr: "b:1"}})
		f.want(t, "CONNECTING", "READY")
		if got := f.sub.Conn().Address().Addr; got != "b:1" {
			t.Errorf("connected to %s", got)
		}
		f.env.Schedule(func() { f.env.Disconnect(errors.New("bye")) })
		synctest.Wait()
	})
}

// TestBackoffTimer: new addresses end the wait and begin with the first backoff again. A
// timer that was stopped too late does not end the next wait.
func TestBackoffTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.fails = errors.New("refused")
		f.sub.Connect()
		f.want(t, "CONNECTING", "TRANSIENT_FAILURE")
		time.Sleep(time.Second)
		f.want(t, "IDLE")
		f.sub.Connect() // 2 s
		f.want(t, "CONNECTING", "TRANSIENT_FAILURE")
		time.Sleep(3 * time.Second / 2) // of that
		f.sub.UpdateAddresses([]resolver.Address{{Addr: "b:1"}})
		f.want(t, "IDLE")
		f.sub.Connect() // 1 s
		f.want(t, "CONNECTING", "TRANSIENT_FAILURE")
		f.env.Schedule(func() { f.sub.backoffOver(f.sub.timerGen - 1) }) // by the timer of 2 s
		f.want(t)
		time.Sleep(time.Second)
		f.want(t, "IDLE")
		f.env.Schedule(func() { f.sub.backoffOver(f.sub.timerGen) })
		f.want(t)
		f.sub.Shutdown()
		synctest.Wait()
	})
}

// TestLossIsLogged: a connection that a server ends as is right is no reason to warn.
func TestLossIsLogged(t *testing.T) {
	for _, tc := range []struct {
		name  string
		cause error
		want  string // the levels
	}{
		{"as is right", &transport.Error{Reason: "GOAWAY", HasHTTP2: true}, "DEBUG"},
		{"with a reproach", &transport.Error{Reason: "GOAWAY", HasHTTP2: true, HTTP2: status.HTTP2EnhanceYourCalm}, "WARN"},
		{"by something else", &transport.Error{Reason: "reset"}, "WARN"},
		{"by who drained it", nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				var log bytes.Buffer
				f.env.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				f.sub.Connect()
				f.want(t, "CONNECTING", "READY")
				f.sub.Conn().OnState(connectivity.Shutdown, tc.cause)
				f.want(t, "IDLE", "transport closed", "stack destroyed")
				if got := strings.Count(log.String(), "level="); got > 1 || tc.want == "" && got > 0 || !strings.Contains(log.String(), tc.want) {
					t.Errorf("the log has %q, want one line of level %s", log.String(), tc.want)
				}
				if (len(f.errs) == 0) != (tc.cause == nil) || tc.cause != nil && !errors.Is(f.errs[0], tc.cause) {
					t.Errorf("the channel was told of %v", f.errs)
				}
			})
		})
	}
}
