package clientidle_test

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/clientidle"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
)

func TestContract(t *testing.T) {
	callstacktest.Run(t, callstacktest.Client, clientidle.New(clientidle.Config{}))
}

// timeout of the channels here, which are looked at once a second.
const timeout = 10 * time.Second

// A channel is the filter above one that stands for a client_channel: it says at
// once that it is READY, and takes note of when it is told to go idle.
type channel struct {
	*callstack.ChannelStack
	t     *testing.T
	tr    *callstacktest.Transport
	start time.Time

	mu   sync.Mutex
	told []time.Duration // since start
}

func newChannel(t *testing.T) *channel {
	c := &channel{t: t, tr: &callstacktest.Transport{}, start: time.Now()}
	c.ChannelStack = build(t, c.tr, bottom{connected.New(), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.told = append(c.told, time.Since(c.start))
	}})
	t.Cleanup(c.Destroy)
	return c
}

// build returns a stack of the filter and last.
func build(t *testing.T, tr *callstacktest.Transport, last callstack.Filter) *callstack.ChannelStack {
	t.Helper()
	b := callstack.NewBuilder("TEST")
	b.Add(clientidle.New(clientidle.Config{Timeout: timeout}))
	b.Add(last).Terminal()
	s, err := b.Build(callstack.ChannelArgs{Transport: tr})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A bottom filter is a last one that calls enterIdle when it is asked to.
type bottom struct {
	callstack.Filter
	enterIdle func()
}

func (f bottom) NewChannel(args *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	elem, err := f.Filter.NewChannel(args, next)
	return bottomChannel{elem, f.enterIdle}, err
}

type bottomChannel struct {
	callstack.ChannelElem
	enterIdle func()
}

func (c bottomChannel) StartTransportOp(op *transport.Op) {
	if op.EnterIdle {
		c.enterIdle()
	}
	c.ChannelElem.StartTransportOp(op)
}

// is tells the filter that the channel is in state s.
func (c *channel) is(s connectivity.State) { c.tr.Ops()[0].StartWatch.OnState(s, nil) }

// asked returns how many times the channel was told to go idle.
func (c *channel) asked() int {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.told)
}

// wantIdle lets an hour pass, and checks that the channel was told to go idle once
// in it, for the time since its beginning or the end of the last call.
func (c *channel) wantIdle(since time.Duration) {
	c.t.Helper()
	before := c.asked()
	time.Sleep(time.Hour)
	if n := c.asked() - before; n != 1 {
		c.t.Errorf("told to go idle %d times, want once", n)
		return
	}
	if at := c.told[before]; at < since+timeout || at > since+timeout+timeout/10 {
		c.t.Errorf("told to go idle at %v, %v after the last call; want %v to a tenth more", at, at-since, timeout)
	}
}

// callFrom makes a call from begin to end, both counted from the beginning.
func (c *channel) callFrom(begin, end time.Duration) {
	time.AfterFunc(time.Until(c.start.Add(begin)), func() {
		call := callstacktest.NewCall(c.ChannelStack)
		if err := call.Begin(callstacktest.Client.Args()); err != nil {
			c.t.Error(err)
		}
		time.Sleep(end - begin)
		call.Unref()
	})
}

// TestWhenIdle has the times at which calls begin and end. The channel is told to
// go idle ten seconds after the last one, to a second more.
func TestWhenIdle(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	many := [][2]time.Duration{}
	for at := time.Duration(0); at < 33*s; at += 70 * ms {
		many = append(many, [2]time.Duration{at, at + 10*ms})
	}
	for _, tc := range []struct {
		name  string
		calls [][2]time.Duration
	}{
		{"no call at all", nil},
		{"a call between two looks", [][2]time.Duration{{500 * ms, 600 * ms}}},
		{"a call of no time just after a look", [][2]time.Duration{{5*s + 1, 5*s + 1}}},
		{"a call of no time just before the last look", [][2]time.Duration{{10*s - 1, 10*s - 1}}},
		{"a call at the time of the last look", [][2]time.Duration{{10*s - 1, 10 * s}}},
		{"a call that takes long", [][2]time.Duration{{500 * ms, 65*s + 1}}},
		{"calls that overlap", [][2]time.Duration{{0, 9 * s}, {8 * s, 19 * s}, {18 * s, 20*s + 300*ms}}},
		{"a short call during a long one", [][2]time.Duration{{0, 40 * s}, {3 * s, 4 * s}}},
		{"calls with pauses that are a little too short", [][2]time.Duration{{0, 1}, {10 * s, 10*s + 1}, {20 * s, 20*s + 1}}},
		{"many short calls", many},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newChannel(t)
				var last time.Duration
				for _, call := range tc.calls {
					c.callFrom(call[0], call[1])
					last = max(last, call[1])
				}
				c.wantIdle(last)
			})
		})
	}
}

// TestEndOfACall has what ends a call for the filter, of a handle that is kept
// for ever. A call goes on until then, whether it has a connection or not.
func TestEndOfACall(t *testing.T) {
	for _, tc := range []struct {
		name string
		ops  transport.OpSet
		end  func(c *callstacktest.Call, st *callstacktest.Stream)
	}{
		{"its status", transport.OpsRecv, func(_ *callstacktest.Call, st *callstacktest.Stream) { st.Trailers(nil, nil) }},
		{"a cancel of a call that waits for its status", transport.OpsRecv, cancel},
		{"a cancel of a call that does not", transport.OpRecvInitialMetadata, cancel},
		{"a cancel after its status", transport.OpsRecv, func(c *callstacktest.Call, st *callstacktest.Stream) {
			st.Trailers(nil, nil)
			cancel(c, st)
		}},
		{"its handle", 0, func(c *callstacktest.Call, _ *callstacktest.Stream) { c.Unref() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newChannel(t)
				call := callstacktest.NewCall(c.ChannelStack)
				if err := call.Begin(callstacktest.Client.Args()); err != nil {
					t.Fatal(err)
				}
				if tc.ops != 0 {
					call.Do(tc.ops)
				}
				const long = 3*timeout + time.Millisecond
				time.Sleep(long)
				if c.asked() != 0 {
					t.Fatal("told to go idle during a call")
				}
				tc.end(call, c.tr.Streams()[0])
				c.wantIdle(long)
				runtime.KeepAlive(call)
			})
		})
	}
}

func cancel(c *callstacktest.Call, _ *callstacktest.Stream) {
	c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = errors.New("enough") })
}

// TestStates: while the channel is IDLE there is nothing to give up; each time that
// it leaves that state the time begins anew, without any call.
func TestStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChannel(t)
		c.wantIdle(0)
		for cycle := 2; cycle <= 4; cycle++ {
			c.is(connectivity.Idle)
			time.Sleep(time.Hour)
			if got := c.asked(); got != cycle-1 {
				t.Fatalf("told to go idle %d times, want %d", got, cycle-1)
			}
			since := time.Since(c.start)
			c.is(connectivity.Connecting)
			time.Sleep(timeout / 2)
			for _, s := range []connectivity.State{connectivity.TransientFailure, connectivity.Connecting, connectivity.Ready, connectivity.Idle} {
				c.is(s) // is no activity
			}
			c.wantIdle(since)
		}
		c.is(connectivity.Shutdown)
		time.Sleep(time.Hour)
		if got := c.asked(); got != 4 {
			t.Errorf("told to go idle %d times, want 4", got)
		}
	})
}

// TestDestroy: nothing runs afterwards, whatever the timer is about to do and the
// channel has to tell.
func TestDestroy(t *testing.T) {
	for _, after := range []time.Duration{0, timeout / 2, timeout - 1, 2 * timeout} {
		synctest.Test(t, func(t *testing.T) {
			tr := &callstacktest.Transport{}
			s := build(t, tr, connected.New())
			time.Sleep(after)
			s.Destroy()
			before := len(tr.Ops())
			tr.Ops()[0].StartWatch.OnState(connectivity.Connecting, nil)
			time.Sleep(time.Hour)
			if n := len(tr.Ops()); n != before {
				t.Errorf("destroyed after %v: %d more operations", after, n-before)
			}
		})
	}
}

// TestDestroyWaits: a Destroy that comes while the channel is told to go idle waits.
func TestDestroyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := false
		s := build(t, &callstacktest.Transport{}, bottom{connected.New(), func() {
			time.Sleep(time.Second)
			done = true
		}})
		time.Sleep(timeout + time.Millisecond)
		s.Destroy()
		if !done {
			t.Error("Destroy returned before the operation had ended")
		}
	})
}

func TestConfig(t *testing.T) {
	for _, tc := range []struct {
		name    string
		timeout time.Duration
		want    time.Duration // 0 for never
	}{
		{"the default", 0, 30 * time.Minute},
		{"less than the least", time.Nanosecond, time.Second},
		{"the least", time.Second, time.Second},
		{"a time that is no multiple of ten", 7*time.Second + 3, 7*time.Second + 10}, // ten looks of a whole number
		{"never", -time.Second, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := clientidle.Config{Timeout: tc.timeout}
				if got := cfg.Enabled(); got != (tc.want != 0) {
					t.Errorf("Enabled() = %t", got)
				}
				tr := &callstacktest.Transport{}
				b := callstack.NewBuilder("TEST")
				b.Add(clientidle.New(cfg)).Enabled(cfg.Enabled())
				b.Add(connected.New()).Terminal()
				s, err := b.Build(callstack.ChannelArgs{Transport: tr})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Destroy()
				if tc.want == 0 {
					time.Sleep(1000 * time.Hour)
					if n := len(tr.Ops()); n != 0 {
						t.Errorf("%d operations, want none", n)
					}
					return
				}
				time.Sleep(tc.want - 1)
				synctest.Wait()
				before := len(tr.Ops())
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if after := len(tr.Ops()); before != 1 || after != 2 {
					t.Errorf("%d operations a moment before and %d at %v, want 1 and 2", before, after, tc.want)
				}
			})
		})
	}
}

// TestNever: a filter that is told never, and stands in a stack, says so.
func TestNever(t *testing.T) {
	_, err := clientidle.New(clientidle.Config{Timeout: -time.Second}).NewChannel(&callstack.ChannelArgs{}, nil)
	if err == nil || !strings.Contains(err.Error(), "option Timeout is -1s") {
		t.Errorf("NewChannel = %v, want an error that quotes the option", err)
	}
}

func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := trace.NewRecorder(trace.LevelEvents)
		b := callstack.NewBuilder("TEST")
		b.Add(clientidle.New(clientidle.Config{Timeout: timeout}))
		b.Add(connected.New()).Terminal()
		s, err := b.Build(callstack.ChannelArgs{Transport: &callstacktest.Transport{}, Trace: rec.Endpoint("client", "server")})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Destroy()
		time.Sleep(time.Hour)
		n := 0
		for _, e := range rec.Events() {
			if e.Component == "filter:client_idle" && e.Op == "idle.enter" && e.Text == "no call for 10s" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d events idle.enter, want 1", n)
		}
	})
}
