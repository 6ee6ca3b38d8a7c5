package surface

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer2_callstack/filters/faultinjection"
)

// A faulty is a channel with faults, in a bubble.
type faulty struct {
	t       *testing.T
	channel *Channel
	begun   func() int // how many connections there were, or calls at the server of the only one
}

// overFaults runs test on each kind of channel.
func overFaults(t *testing.T, cfg faultinjection.Config, test func(f *faulty)) {
	for name, dial := range map[string]func(t *testing.T) *faulty{
		"HTTP/2": func(t *testing.T) *faulty {
			b := newSwitchboard(t)
			return &faulty{t, b.channel(WithFaultInjection(cfg)), b.dialled}
		},
		"in the process": func(t *testing.T) *faulty {
			rec := trace.NewRecorder(trace.LevelEvents)
			s := newEchoServer(t, WithLogger(quietLogger()), WithTrace(rec.Endpoint("server", "client"))).server
			client, server := inproc.Pair(inproc.Config{})
			if err := s.ServeTransport(server); err != nil {
				t.Fatal(err)
			}
			ch, err := NewDirectChannel(client, WithFaultInjection(cfg))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				ch.Close()
				s.Close()
			})
			return &faulty{t, ch, func() (n int) {
				for _, e := range rec.Events() {
					if e.Component == "filter:connected" && e.Op == "element.init" {
						n++
					}
				}
				return n
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(dial(t)) })
		})
	}
}

// call makes a unary call, which has to end after that time.
func (f *faulty) call(p CallParams, after time.Duration) CallStatus {
	f.t.Helper()
	start := time.Now()
	st, _ := echo(f.t, f.channel, p, "hello")
	if d := time.Since(start); d != after {
		f.t.Errorf("the call ended after %v, want %v", d, after)
	}
	synctest.Wait()
	return st
}

// TestAbortedCalls: a call ends with the code that is configured, whichever that
// is, and without a server having heard of it.
func TestAbortedCalls(t *testing.T) {
	for code := status.Canceled; code <= status.Unauthenticated; code++ {
		t.Run(code.String(), func(t *testing.T) {
			cfg := faultinjection.Config{AbortCode: code, AbortPercent: 100, AbortMessage: "as asked"}
			overFaults(t, cfg, func(f *faulty) {
				for range 2 {
					st := f.call(CallParams{WaitForReady: true, Deadline: time.Now().Add(time.Second)}, 0)
					if want := "fault_injection: fault injected by the client: as asked"; st.Code != code || st.Message != want {
						f.t.Errorf("status = %v %q, want %v %q", st.Code, st.Message, code, want)
					}
					if errors.Is(st.Err, context.Canceled) || errors.Is(st.Err, context.DeadlineExceeded) {
						f.t.Errorf("%v is no end of a context", st.Err)
					}
				}
				if n := f.begun(); n != 0 {
					f.t.Errorf("%d connections were made, or calls begun", n)
				}
			})
		})
	}
}

// TestDelayedCalls: a call begins after the delay, and ends well or as configured.
func TestDelayedCalls(t *testing.T) {
	for name, cfg := range map[string]faultinjection.Config{
		"a delay":            {Delay: time.Second, DelayPercent: 100},
		"a delay and an end": {Delay: time.Second, DelayPercent: 100, AbortCode: status.Unavailable, AbortPercent: 100},
	} {
		t.Run(name, func(t *testing.T) {
			overFaults(t, cfg, func(f *faulty) {
				time.AfterFunc(time.Second-1, func() {
					if n := f.begun(); n != 0 {
						f.t.Errorf("%d connections were made, or calls begun, before the end of the delay", n)
					}
				})
				st := f.call(CallParams{}, time.Second)
				if st.Code != cfg.AbortCode {
					f.t.Errorf("status = %v %q, want %v", st.Code, st.Message, cfg.AbortCode)
				}
				if n := f.begun(); n != 1 && cfg.AbortCode == status.OK {
					f.t.Errorf("%d connections were made, or calls begun, want 1", n)
				}
			})
		})
	}
}

// TestDelayedCallsEnd has what ends a delayed call before its delay does, at 300 ms.
func TestDelayedCallsEnd(t *testing.T) {
	const after = 300 * time.Millisecond
	for _, tc := range []struct {
		name     string
		deadline bool
		end      func(f *faulty, c Call)
		code     status.Code
		message  string
	}{
		{"by its deadline", true, func(*faulty, Call) {}, status.DeadlineExceeded, "deadline"},
		{"by a cancel", false, func(_ *faulty, c Call) { c.Cancel() }, status.Canceled, "the call was cancelled by the application"},
		{"by its release", false, func(_ *faulty, c Call) { c.Release() }, status.Canceled, "the call was released before it ended"},
		{"by Close", false, func(f *faulty, _ Call) { f.channel.Close() }, status.Canceled, "the channel is closed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			overFaults(t, faultinjection.Config{Delay: time.Second, DelayPercent: 100, MaxActive: 1}, func(f *faulty) {
				for range 2 {
					q := newQueue(f.t)
					p := CallParams{Method: "/echo/Echo", Queue: q}
					if tc.deadline {
						p.Deadline = time.Now().Add(after)
					}
					c, err := f.channel.CreateCall(p)
					if err != nil {
						return // the channel is closed
					}
					var st clientState
					if e := c.StartBatch([]Op{opSendHeaders(), opSend("x"), opClose(), st.opHeaders(), st.opMessage(), st.opStatus()}, "unary"); e != CallOK {
						f.t.Fatal(e)
					}
					time.AfterFunc(after, func() { tc.end(f, c) })
					wantEvent(f.t, q, "unary", true, after)
					if st.status.Code != tc.code || !strings.Contains(st.status.Message, tc.message) {
						f.t.Errorf("status = %v %q, want %v with %q", st.status.Code, st.status.Message, tc.code, tc.message)
					}
					c.Release()
					if n := f.begun(); n != 0 && !strings.Contains(tc.name, "Close") {
						f.t.Errorf("%d connections were made, or calls begun", n)
					}
				}
			})
		})
	}
}

// TestFaultHeaders: a call asks for its fault by metadata.
func TestFaultHeaders(t *testing.T) {
	overFaults(t, faultinjection.Config{DelayPercent: 100, AbortPercent: 100, Headers: true}, func(f *faulty) {
		c, err := f.channel.CreateCall(CallParams{Method: "/echo/Echo"})
		if err != nil {
			f.t.Fatal(err)
		}
		defer c.Release()
		var st clientState
		start := time.Now()
		c.StartBatch([]Op{opSendHeaders(faultinjection.HeaderDelay, "1500", faultinjection.HeaderAbort, "7"), st.opStatus()}, "call")
		c.Pluck("call", nil)
		if d := time.Since(start); d != 1500*time.Millisecond || st.status.Code != status.PermissionDenied {
			f.t.Errorf("the call ended after %v with %v", d, st.status.Code)
		}
		if st := f.call(CallParams{}, 0); st.Code != status.OK {
			f.t.Errorf("a call that asks for nothing ended with %v %q", st.Code, st.Message)
		}
	})
}

// TestBadFaults: what is wrong is an error of the channel.
func TestBadFaults(t *testing.T) {
	cfg := WithFaultInjection(faultinjection.Config{AbortCode: status.Unavailable, AbortPercent: 200})
	const want = `filter "fault_injection": option AbortPercent is 200, want 0 to 100`
	if _, err := NewChannel("passthrough:///x", WithCredentials(credentials.NewInsecure()), cfg); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("NewChannel = %v, want an error with %q", err, want)
	}
	client, server := inproc.Pair(inproc.Config{})
	defer server.Close()
	defer client.Close()
	if _, err := NewDirectChannel(client, cfg); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("NewDirectChannel = %v, want an error with %q", err, want)
	}
}

// TestDelayAndIdle: a delayed call keeps its channel from going idle.
func TestDelayAndIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSwitchboard(t)
		ch := b.channel(WithIdleTimeout(idleTimeout), WithFaultInjection(faultinjection.Config{Delay: 3 * idleTimeout, DelayPercent: 100}))
		if got := ch.String(); !strings.HasSuffix(got, "CLIENT_CHANNEL client_idle fault_injection client_channel") {
			t.Errorf("the channel is %q", got)
		}
		ch.State(true)
		wantState(t, ch, connectivity.Ready)
		wantCode(t, ch, CallParams{}, status.OK)
		if n := b.dialled(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
		wantIdleAfter(t, ch)
	})
}
