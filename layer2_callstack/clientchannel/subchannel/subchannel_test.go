package subchannel

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
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
