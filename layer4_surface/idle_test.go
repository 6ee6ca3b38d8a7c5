package surface

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	"github.com/strata-grpc/strata/layer2_callstack/filters/clientidle"
)

// idleTimeout of the channels here. They are IDLE that long after the last call, to
// a tenth more.
const (
	idleTimeout = 10 * time.Second
	idleAtMost  = idleTimeout + idleTimeout/10
)

// idleAfter waits for the channel, which is READY, to be IDLE and returns how long
// that was. Nobody else watches.
func idleAfter(t *testing.T, ch *Channel) time.Duration {
	t.Helper()
	q, start := newQueue(t), time.Now()
	startWatch(t, ch, connectivity.Ready, time.Hour, q, "idle")
	if n := ch.NumWatchers(); n != 1 {
		t.Errorf("%d watchers, want the test's", n)
	}
	if got := outcome(t, q); !strings.HasPrefix(got, "true") {
		t.Fatalf("the channel stays %v for an hour", ch.State(false))
	}
	took := time.Since(start)
	wantState(t, ch, connectivity.Idle)
	return took
}

// wantIdleAfter checks that the channel goes idle in the time that it should, after
// its last call ended just now.
func wantIdleAfter(t *testing.T, ch *Channel) {
	t.Helper()
	if d := idleAfter(t, ch); d < idleTimeout || d > idleAtMost {
		t.Errorf("idle after %v, want %v to %v", d, idleTimeout, idleAtMost)
	}
}

// TestIdle: without calls the channel closes its connection gracefully and is IDLE;
// a call makes it connect again, and so does State(true), after which nobody calls.
// No cycle leaves anything behind.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := trace.NewRecorder(trace.LevelEvents)
		b := &switchboard{t: t, lis: memconn.Listen()}
		b.serve(newEchoServer(t, WithLogger(quietLogger()), WithTrace(rec.Endpoint("server", "client"))).server)
		ch := b.channel(WithIdleTimeout(idleTimeout))
		const cycles = 12
		goroutines := 0
		for cycle := 1; cycle <= cycles; cycle++ {
			if cycle%2 == 1 {
				wantCode(t, ch, CallParams{}, status.OK)
			} else {
				ch.State(true)
				wantState(t, ch, connectivity.Ready)
			}
			if n := b.dialled(); n != cycle {
				t.Fatalf("cycle %d: %d connections", cycle, n)
			}
			wantIdleAfter(t, ch)
			goaways, ended := 0, 0
			for _, e := range rec.Events() {
				switch {
				case e.Op == "frame" && e.Dir == trace.DirRecv && strings.HasPrefix(e.Text, "GOAWAY") && strings.Contains(e.Text, "NO_ERROR"):
					goaways++
				case e.Op == "conn.state" && e.Text == connectivity.Shutdown.String():
					ended++
				}
			}
			if goaways != cycle || ended != cycle {
				t.Errorf("cycle %d: the server got %d GOAWAYs and saw %d connections end", cycle, goaways, ended)
			}
			time.Sleep(time.Hour)
			wantState(t, ch, connectivity.Idle)
			if cycle == 2 {
				goroutines = runtime.NumGoroutine()
			}
		}
		// A little is left to those of the runtime and of other tests.
		if n := runtime.NumGoroutine(); n > goroutines+cycles/3 {
			t.Errorf("%d goroutines after %d cycles, %d after 2", n, cycles, goroutines)
		}
	})
}

// TestIdleTimeouts has what the option says.
func TestIdleTimeouts(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts []ChannelOption
		want time.Duration // 0 for never
	}{
		{"the default", nil, clientidle.DefaultTimeout},
		{"a minute", []ChannelOption{WithIdleTimeout(time.Minute)}, time.Minute},
		{"less than a second", []ChannelOption{WithIdleTimeout(1)}, time.Second},
		{"none", []ChannelOption{WithIdleTimeout(0)}, 0},
		{"less than none", []ChannelOption{WithIdleTimeout(-time.Minute)}, 0},
		{"the last one counts", []ChannelOption{WithIdleTimeout(0), WithIdleTimeout(time.Minute)}, time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ch := newSwitchboard(t).channel(tc.opts...)
				if got, want := strings.Contains(ch.String(), " client_idle "), tc.want != 0; got != want {
					t.Errorf("the channel is %q", ch)
				}
				wantCode(t, ch, CallParams{}, status.OK)
				if tc.want == 0 {
					time.Sleep(1000 * time.Hour)
					wantState(t, ch, connectivity.Ready)
					return
				}
				if d := idleAfter(t, ch); d < tc.want || d > tc.want+tc.want/10 {
					t.Errorf("idle after %v, want %v to a tenth more", d, tc.want)
				}
			})
		})
	}
}

// longTime is much longer than the timeout, and between two looks at the calls.
const longTime = 10*idleTimeout + time.Millisecond

// beginCall creates a call.
func beginCall(t *testing.T, ch *Channel, p CallParams) *closingCall {
	t.Helper()
	p.Method = "/echo/Echo"
	c, err := ch.CreateCall(p)
	if err != nil {
		t.Fatal(err)
	}
	return &closingCall{Call: c}
}

// What keeps a channel from going idle.

func callNowAndThen(t *testing.T, ch *Channel) {
	for range 10 {
		time.Sleep(idleTimeout - 1)
		wantCode(t, ch, CallParams{}, status.OK)
	}
}

func keepAStreamOpen(t *testing.T, ch *Channel) {
	c := beginCall(t, ch, CallParams{})
	defer c.Release()
	c.StartBatch([]Op{opSendHeaders()}, "begin")
	c.Pluck("begin", nil)
	time.Sleep(longTime)
	c.StartBatch([]Op{opSend("x"), opClose(), c.opMessage(), c.opStatus()}, "end")
	c.Pluck("end", nil)
	c.wantStatus(t, status.OK, "")
	c.message.Release()
}

func keepACallThatHasNotBegun(t *testing.T, ch *Channel) {
	c := beginCall(t, ch, CallParams{})
	time.Sleep(longTime)
	c.Release()
}

func waitForADeadline(t *testing.T, ch *Channel) {
	c := beginCall(t, ch, CallParams{Deadline: time.Now().Add(longTime)})
	c.StartBatch([]Op{opSendHeaders(), c.opStatus()}, "unary")
	c.Pluck("unary", nil)
	c.wantStatus(t, status.DeadlineExceeded, "")
	t.Cleanup(c.Release) // a handle that is kept keeps nothing
}

// TestNotIdle: a channel with calls does not go idle, and does when they have ended.
func TestNotIdle(t *testing.T) {
	for name, busy := range map[string]func(t *testing.T, ch *Channel){
		"short calls with pauses that are a little too short": callNowAndThen,
		"a stream":                           keepAStreamOpen,
		"a call that has not begun":          keepACallThatHasNotBegun,
		"a call that waits for its deadline": waitForADeadline,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newSwitchboard(t)
				ch := b.channel(WithIdleTimeout(idleTimeout))
				wantCode(t, ch, CallParams{}, status.OK)
				busy(t, ch)
				if n := b.dialled(); n != 1 {
					t.Errorf("%d connections, want 1", n)
				}
				wantIdleAfter(t, ch)
			})
		})
	}
}

// TestIdleWithoutServer: a channel that cannot connect gives up trying, unless a
// call waits for it.
func TestIdleWithoutServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, q := newSwitchboard(t), newQueue(t)
		b.set(refusesToConnect)
		ch := b.channel(WithIdleTimeout(idleTimeout))
		c, err := ch.CreateCall(CallParams{Method: "/echo/Echo", Queue: q, WaitForReady: true})
		if err != nil {
			t.Fatal(err)
		}
		var st clientState
		if e := c.StartBatch([]Op{opSendHeaders(), opSend("x"), opClose(), st.opMessage(), st.opStatus()}, "waiting"); e != CallOK {
			t.Fatal(e)
		}
		time.Sleep(longTime)
		wantState(t, ch, connectivity.TransientFailure)
		c.Cancel()
		wantEvent(t, q, "waiting", true, 0)
		st.wantStatus(t, status.Canceled, "")
		c.Release()
		time.Sleep(idleTimeout - time.Millisecond)
		wantState(t, ch, connectivity.TransientFailure)
		time.Sleep(idleAtMost - idleTimeout + time.Millisecond)
		wantState(t, ch, connectivity.Idle)
		tried := b.dialled()
		time.Sleep(time.Hour)
		if n := b.dialled(); n != tried {
			t.Errorf("%d attempts to connect in an hour of IDLE", n-tried)
		}
		b.set(accepts)
		wantCode(t, ch, CallParams{}, status.OK)
	})
}

// TestIdleAndAnAbandonedCall: a call whose handle was released, and its event never
// fetched, is no call any more.
func TestIdleAndAnAbandonedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := newSwitchboard(t).channel(WithIdleTimeout(idleTimeout))
		c, err := ch.CreateCall(CallParams{Method: "/echo/Echo"})
		if err != nil {
			t.Fatal(err)
		}
		var st clientState
		if e := c.StartBatch([]Op{opSendHeaders(), st.opHeaders()}, "begin"); e != CallOK {
			t.Fatal(e)
		}
		wantState(t, ch, connectivity.Ready)
		c.Release()
		wantIdleAfter(t, ch)
	})
}

// TestCallWhileGoingIdle lets calls begin about when the channel goes idle. Each of
// them ends well, on the old connection or on another.
func TestCallWhileGoingIdle(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 30
	}
	synctest.Test(t, func(t *testing.T) {
		b := newSwitchboard(t)
		ch := b.channel(WithIdleTimeout(clientidle.MinTimeout))
		call := func() {
			st, body := echo(t, ch, CallParams{}, "hello")
			if st.Code != status.OK || body != "hello" {
				t.Errorf("status = %v %q, answer %q", st.Code, st.Message, body)
			}
		}
		for range rounds {
			ch.State(true)
			synctest.Wait() // it goes idle in exactly the timeout
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					time.Sleep(clientidle.MinTimeout + time.Duration(rand.IntN(2)))
					call()
				})
			}
			wg.Wait()
			time.Sleep(2 * clientidle.MinTimeout)
			wantState(t, ch, connectivity.Idle)
		}
		if n := b.dialled(); n <= rounds {
			t.Errorf("%d connections in %d rounds: no call had to connect again", n, rounds)
		}
	})
}

// TestIdleRaces is calls, idle timeouts and Close all at once, for the race
// detector. A call fails only because the channel is closed.
func TestIdleRaces(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			b := newSwitchboard(t)
			ch := b.channel(WithIdleTimeout(clientidle.MinTimeout))
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for ctx.Err() == nil {
						time.Sleep(time.Duration(rand.Int64N(int64(2 * clientidle.MinTimeout))))
						c, err := ch.CreateCall(CallParams{Method: "/echo/Echo"})
						if err != nil {
							if !errors.Is(err, context.Canceled) {
								t.Error(err)
							}
							return
						}
						var st clientState
						c.StartBatch([]Op{opSendHeaders(), opSend("x"), opClose(), st.opMessage(), st.opStatus()}, "unary")
						c.Pluck("unary", nil)
						st.message.Release()
						c.Release()
						if st.status.Code != status.OK && st.status.Code != status.Canceled {
							t.Errorf("status = %v %q", st.status.Code, st.status.Message)
						}
					}
				})
			}
			time.AfterFunc(20*time.Second, ch.Close)
			wg.Wait()
		})
	}
}
