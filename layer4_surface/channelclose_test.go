package surface

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A silentResolver never answers.
type silentResolver struct{}

func (silentResolver) Scheme() string { return "passthrough" }
func (silentResolver) Build(resolver.Target, resolver.Sink, resolver.Options) (resolver.Resolver, error) {
	return silentResolver{}, nil
}
func (silentResolver) ResolveNow()   {}
func (silentResolver) ResetBackoff() {}
func (silentResolver) Close()        {}

// A muteConn can stop sending: what is written is lost, as on a network that
// has failed and that nobody has noticed yet.
type muteConn struct {
	net.Conn
	mute *atomic.Bool
}

func (c muteConn) Write(b []byte) (int, error) {
	if c.mute.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// A closing is a channel that is about to be closed, what was started on it, and
// the success that each event has to have.
type closing struct {
	t     *testing.T
	b     *switchboard
	ch    *Channel
	q     *cq.Queue
	mute  atomic.Bool
	want  map[cq.Tag]bool
	calls []*closingCall
}

// A closingCall is a call that the end of the channel meets somewhere.
type closingCall struct {
	Call
	clientState
}

func (c *closing) call(p CallParams) *closingCall {
	c.t.Helper()
	p.Method, p.Queue = "/echo/Echo", c.q
	call, err := c.ch.CreateCall(p)
	if err != nil {
		c.t.Fatal(err)
	}
	k := &closingCall{Call: call}
	c.calls = append(c.calls, k)
	return k
}

// start starts a batch whose event has to have that success after the end.
func (c *closing) start(call *closingCall, tag cq.Tag, success bool, ops ...Op) {
	c.t.Helper()
	if e := call.StartBatch(ops, tag); e != CallOK {
		c.t.Fatalf("StartBatch(%v) = %v", opNamesOf(ops), e)
	}
	c.want[tag] = success
}

// queued starts a call that waits for a connection.
func (c *closing) queued(tag string) {
	call := c.call(CallParams{WaitForReady: true, Deadline: time.Now().Add(time.Hour)})
	c.start(call, tag+": begin", false, opSendHeaders(), opSend("x"))
	c.start(call, tag+": end", true, call.opHeaders(), call.opMessage(), call.opStatus())
}

// open starts a call that has a stream.
func (c *closing) open(tag string) {
	call := c.call(CallParams{})
	c.start(call, tag+": begin", true, opSendHeaders())
	wantEvent(c.t, c.q, tag+": begin", true, 0)
	delete(c.want, tag+": begin")
	c.start(call, tag+": message", false, call.opMessage())
	c.start(call, tag+": end", true, call.opHeaders(), call.opStatus())
}

// watch starts a watch of the present state, and of one for ever.
func (c *closing) watch() {
	c.t.Helper()
	s := c.ch.State(false)
	startWatch(c.t, c.ch, s, time.Hour, c.q, "watch")
	if e := c.ch.WatchConnectivityState(s, time.Time{}, c.q, "watch for ever"); e != CallOK {
		c.t.Fatal(e)
	}
	c.want["watch"], c.want["watch for ever"] = true, true
}

// ping starts a ping that nobody answers.
func (c *closing) ping() {
	c.t.Helper()
	c.mute.Store(true)
	if e := c.ch.StartPing(c.q, "ping"); e != CallOK {
		c.t.Fatal(e)
	}
	c.want["ping"] = false
}

// check takes all events, which have to be there, and checks how the calls ended.
func (c *closing) check() {
	c.t.Helper()
	for len(c.want) > 0 {
		ev := c.q.TryNext()
		success, ok := c.want[ev.Tag]
		if ev.Type != cq.OpComplete || !ok || ev.Success != success {
			c.t.Fatalf("event = %v %v success=%t, want one of %v", ev.Type, ev.Tag, ev.Success, c.want)
		}
		delete(c.want, ev.Tag)
	}
	for i, call := range c.calls {
		if call.status != (CallStatus{}) && call.status.Code != status.Canceled {
			c.t.Errorf("call %d ended with %v %q, want CANCELLED", i, call.status.Code, call.status.Message)
		}
		// The handle is good until its release.
		if e := call.StartBatch(nil, "empty"); e != CallOK {
			c.t.Errorf("call %d: StartBatch after the end = %v", i, e)
		}
		wantEvent(c.t, c.q, "empty", true, 0)
		call.Release()
	}
	wantWatchers(c.t, c.ch, 0)
}

// TestCloseChannel closes channels in everything that they may be at, from two
// goroutines. When Close returns every event has been posted, and the bubble
// ends only if no goroutine is left.
func TestCloseChannel(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts []ChannelOption
		to   answering
		what func(c *closing)
	}{
		{"idle", nil, accepts, func(c *closing) {
			c.watch()
			call := c.call(CallParams{}) // not begun
			c.start(call, "headers", false, call.opHeaders())
		}},
		{"during name resolution", []ChannelOption{WithResolvers(silentResolver{})}, accepts, func(c *closing) {
			c.queued("one")
			c.queued("two")
			synctest.Wait()
			c.watch()
		}},
		{"during connect", nil, hangs, func(c *closing) {
			c.queued("one")
			c.queued("two")
			synctest.Wait()
			c.watch()
		}},
		{"in the backoff", nil, refusesToConnect, func(c *closing) {
			c.queued("one")
			synctest.Wait()
			c.watch()
		}},
		{"ready", nil, accepts, func(c *closing) {
			c.open("one")
			c.open("two")
			c.watch()
			ended := c.call(CallParams{})
			if e := ended.StartBatch([]Op{opSendHeaders(), opSend("x"), opClose(), ended.opMessage(), ended.opStatus()}, "ended"); e != CallOK {
				c.t.Fatal(e)
			}
			wantEvent(c.t, c.q, "ended", true, 0)
			ended.wantStatus(c.t, status.OK, "")
			ended.message.Release()
			ended.status = CallStatus{}
			unsent := c.call(CallParams{})
			c.start(unsent, "unsent", true, unsent.opStatus())
			c.ping()
		}},
		{"draining", nil, accepts, func(c *closing) {
			c.open("one")
			c.ch.EnterIdle()
			synctest.Wait()
			c.watch()
		}},
		{"draining, and connecting again", nil, accepts, func(c *closing) {
			c.open("one")
			c.b.set(hangs)
			c.ch.EnterIdle()
			synctest.Wait()
			c.queued("two")
			synctest.Wait()
			c.watch()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &closing{t: t, b: newSwitchboard(t), q: newQueue(t), want: map[cq.Tag]bool{}}
				c.b.set(tc.to)
				c.ch = newMemChannel(t, func(ctx context.Context, network, address string) (net.Conn, error) {
					nc, err := c.b.dial(ctx, network, address)
					if err != nil {
						return nil, err
					}
					return muteConn{nc, &c.mute}, nil
				}, append(tc.opts, WithBackoff(exactBackoff))...)
				tc.what(c)
				var wg sync.WaitGroup
				wg.Go(c.ch.Close)
				wg.Go(c.ch.Close)
				wg.Wait()
				c.check()
				if s := c.ch.State(true); s != connectivity.Shutdown {
					t.Errorf("a closed channel is %v", s)
				}
			})
		})
	}
}

// TestCloseAtOnce: a channel is closed while its first call is on the way to a
// connection, wherever it may be. The call ends before Close returns.
func TestCloseAtOnce(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(t)
			ch := newSwitchboard(t).channel()
			c, err := ch.CreateCall(CallParams{Method: "/echo/Echo", Queue: q})
			if err != nil {
				t.Fatal(err)
			}
			var st clientState
			if e := c.StartBatch([]Op{opSendHeaders(), opSend("x"), opClose(), st.opHeaders(), st.opMessage(), st.opStatus()}, "unary"); e != CallOK {
				t.Fatal(e)
			}
			for range rand.N(100) {
				runtime.Gosched()
			}
			ch.Close()
			if ev := q.TryNext(); ev.Tag != "unary" || !ev.Success {
				t.Fatalf("after Close: event = %+v", ev)
			}
			if st.status.Code != status.OK && st.status.Code != status.Canceled {
				t.Errorf("status = %v %q", st.status.Code, st.status.Message)
			}
			st.message.Release()
			c.Release()
		})
	}
}

// TestCloseDirectChannel is the same for a channel that is one connection.
func TestCloseDirectChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEchoServer(t)
		defer e.server.Close()
		clientEnd, serverEnd := inproc.Pair(inproc.Config{})
		if err := e.server.ServeTransport(serverEnd); err != nil {
			t.Fatal(err)
		}
		c := &closing{t: t, q: newQueue(t), want: map[cq.Tag]bool{}}
		var err error
		if c.ch, err = NewDirectChannel(clientEnd); err != nil {
			t.Fatal(err)
		}
		c.open("one")
		c.watch()
		c.ch.EnterIdle() // does nothing
		c.ch.ResetBackoff()
		wantState(t, c.ch, connectivity.Ready)
		unsent := c.call(CallParams{})
		c.start(unsent, "unsent", true, unsent.opStatus())
		var wg sync.WaitGroup
		wg.Go(c.ch.Close)
		wg.Go(c.ch.Close)
		wg.Wait()
		c.check()
	})
}

// TestCloseInAStorm: goroutines call, watch, ping and change the state of a
// channel whose connections are cut, until it is closed under them.
func TestCloseInAStorm(t *testing.T) {
	for round := range 5 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newSwitchboard(t)
				ch := b.channel()
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() { storm(t, ch) })
				}
				for range 10 {
					time.Sleep(rand.N(20 * time.Millisecond))
					b.cut()
				}
				ch.Close()
				wg.Wait()
				wantWatchers(t, ch, 0)
			})
		})
	}
}

// storm uses ch in every way until it is closed. Each operation has its event.
func storm(t *testing.T, ch *Channel) {
	q := cq.New(cq.Next, cq.Config{Debug: true})
	defer func() {
		q.Shutdown()
		if ev := q.TryNext(); ev.Type != cq.QueueShutdown {
			t.Errorf("left in the queue: %+v, %d operations outstanding", ev, q.Pending())
		}
	}()
	var st clientState
	for n := 0; ch.State(rand.N(2) == 0) != connectivity.Shutdown; n++ {
		time.Sleep(rand.N(time.Millisecond))
		var c Call
		switch rand.N(6) {
		case 0:
			ch.WatchConnectivityState(ch.State(false), time.Now().Add(rand.N(10*time.Millisecond)), q, n)
		case 1:
			ch.StartPing(q, n)
		case 2:
			ch.ResetBackoff()
			continue
		case 3:
			if rand.N(4) == 0 {
				ch.EnterIdle()
			}
			continue
		default:
			var err error
			c, err = ch.CreateCall(CallParams{Method: "/echo/Echo", Queue: q, WaitForReady: rand.N(2) == 0})
			if err != nil {
				continue
			}
			st = clientState{}
			if e := c.StartBatch([]Op{opSendHeaders(), opSend("x"), opClose(), st.opMessage(), st.opStatus()}, n); e != CallOK {
				t.Error(e)
				return
			}
		}
		if ev := q.Next(time.Now().Add(time.Hour)); ev.Type != cq.OpComplete || ev.Tag != n {
			t.Errorf("operation %d: event = %+v", n, ev)
			return
		}
		st.message.Release()
		st.message = nil
		c.Release()
	}
}
