package surface

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// wantWatchers checks how many watches wait.
func wantWatchers(t *testing.T, ch *Channel, want int) {
	t.Helper()
	if got := ch.NumWatchers(); got != want {
		t.Fatalf("NumWatchers = %d, want %d", got, want)
	}
}

func startWatch(t *testing.T, ch *Channel, last connectivity.State, d time.Duration, q *cq.Queue, tag cq.Tag) {
	t.Helper()
	if e := ch.WatchConnectivityState(last, time.Now().Add(d), q, tag); e != CallOK {
		t.Fatalf("WatchConnectivityState(%v) = %v", last, e)
	}
}

// TestNumExternalConnectivityWatchers is gRPC core's test of that name: watches
// are counted while they wait, and only then, whatever ends them.
func TestNumExternalConnectivityWatchers(t *testing.T) {
	for _, tc := range []struct {
		name string
		test func(t *testing.T, b *switchboard, ch *Channel, q *cq.Queue)
	}{
		{"run_timeouts_test", func(t *testing.T, _ *switchboard, ch *Channel, q *cq.Queue) {
			for round := range 2 {
				for i := range 10 {
					wantWatchers(t, ch, i)
					startWatch(t, ch, connectivity.Idle, time.Second, q, i)
				}
				wantWatchers(t, ch, 10)
				start, seen := time.Now(), map[cq.Tag]bool{}
				for range 10 {
					ev := q.Next(start.Add(time.Hour))
					if ev.Type != cq.OpComplete || ev.Success || time.Since(start) != time.Second {
						t.Fatalf("round %d: event = %+v after %v, want a failure after 1s", round, ev, time.Since(start))
					}
					seen[ev.Tag] = true
				}
				if len(seen) != 10 {
					t.Errorf("round %d: events of %v, want one of each watch", round, seen)
				}
				wantWatchers(t, ch, 0)
				wantState(t, ch, connectivity.Idle)
			}
		}},
		{"run_channel_shutdown_before_timeout_test", func(t *testing.T, _ *switchboard, ch *Channel, q *cq.Queue) {
			startWatch(t, ch, connectivity.Idle, time.Second, q, 1)
			if e := ch.WatchConnectivityState(connectivity.Idle, time.Time{}, q, 2); e != CallOK {
				t.Fatal(e)
			}
			wantWatchers(t, ch, 2)
			ch.Close()
			wantWatchers(t, ch, 0)
			seen := []any{}
			for range 2 {
				ev := q.TryNext()
				if ev.Type != cq.OpComplete || !ev.Success {
					t.Fatalf("event = %+v, want success: SHUTDOWN is another state", ev)
				}
				seen = append(seen, ev.Tag)
			}
			if !slices.Contains(seen, any(1)) || !slices.Contains(seen, any(2)) {
				t.Errorf("events of %v, want 1 and 2", seen)
			}
		}},
		{"a change of the state", func(t *testing.T, _ *switchboard, ch *Channel, q *cq.Queue) {
			startWatch(t, ch, connectivity.Idle, time.Second, q, "idle")
			wantWatchers(t, ch, 1)
			ch.State(true)
			wantEvent(t, q, "idle", true, 0)
			wantWatchers(t, ch, 0)
		}},
		{"a context", func(t *testing.T, _ *switchboard, ch *Channel, _ *cq.Queue) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() {
				if ch.WaitForStateChange(ctx, connectivity.Idle) {
					t.Error("WaitForStateChange saw a change that nobody made")
				}
				wantWatchers(t, ch, 0)
			})
			synctest.Wait()
			wantWatchers(t, ch, 1)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newSwitchboard(t)
				tc.test(t, b, b.channel(), newQueue(t))
			})
		})
	}
}

// TestWatchesHaveNoGoroutine: a watch that waits costs memory and a timer.
func TestWatchesHaveNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t)
		ch := newSwitchboard(t).channelIn(connectivity.Ready)
		before := runtime.NumGoroutine()
		const many = 1000
		for i := range many {
			startWatch(t, ch, connectivity.Ready, time.Hour, q, i)
		}
		synctest.Wait()
		if got := runtime.NumGoroutine(); got > before {
			t.Errorf("%d goroutines with %d watches, %d without", got, many, before)
		}
		wantWatchers(t, ch, many)
		ch.Close()
		wantWatchers(t, ch, 0)
		for range many {
			if ev := q.TryNext(); ev.Type != cq.OpComplete || !ev.Success {
				t.Fatalf("event = %+v", ev)
			}
		}
	})
}

// TestConnectivityWatch is gRPC core's ConnectivityWatch: one channel from IDLE
// over a server that is not there, one that comes and one that leaves.
func TestConnectivityWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, q := newSwitchboard(t), newQueue(t)
		b.set(refusesToConnect)
		ch := b.channel()
		if s := ch.State(false); s != connectivity.Idle {
			t.Errorf("a new channel is %v", s)
		}
		startWatch(t, ch, connectivity.Idle, 500*time.Millisecond, q, 1)
		wantEvent(t, q, 1, false, 500*time.Millisecond)
		wantState(t, ch, connectivity.Idle) // check(false) never leaves IDLE

		startWatch(t, ch, connectivity.Idle, 3*time.Second, q, 2)
		if s := ch.State(true); s != connectivity.Idle {
			t.Errorf("State(true) = %v, want the old state", s)
		}
		wantEvent(t, q, 2, true, 0)
		// CONNECTING has come and gone, since refusing takes no time here.
		startWatch(t, ch, connectivity.Connecting, time.Second, q, 3)
		wantEvent(t, q, 3, true, 0)
		wantState(t, ch, connectivity.TransientFailure)

		b.set(accepts)
		startWatch(t, ch, connectivity.TransientFailure, 10*time.Second, q, 4)
		wantEvent(t, q, 4, true, time.Second) // the backoff
		wantState(t, ch, connectivity.Ready)

		startWatch(t, ch, connectivity.Ready, 10*time.Second, q, 5)
		wantNoEvent(t, q)
		b.server.Close()
		wantEvent(t, q, 5, true, 0)
		wantState(t, ch, connectivity.Idle)
	})
}

// TestWatchesThatEndAtOnce: what is so already is told at once, whatever the
// deadline.
func TestWatchesThatEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, q := newSwitchboard(t), newQueue(t)
		ch := b.channel()
		startWatch(t, ch, connectivity.Ready, -time.Hour, q, "another state, deadline passed")
		wantEvent(t, q, "another state, deadline passed", true, 0)
		startWatch(t, ch, connectivity.Shutdown, time.Hour, q, "SHUTDOWN of an open channel")
		wantEvent(t, q, "SHUTDOWN of an open channel", true, 0)
		startWatch(t, ch, connectivity.Idle, -time.Hour, q, "deadline passed")
		wantEvent(t, q, "deadline passed", false, 0)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		for range 100 { // never by chance
			if !ch.WaitForStateChange(over, connectivity.Ready) || ch.WaitForStateChange(over, connectivity.Idle) {
				t.Fatal("WaitForStateChange with a context that is over does not tell whether the state is another")
			}
		}
		ch.Close()
		startWatch(t, ch, connectivity.Idle, time.Hour, q, "closed")
		wantEvent(t, q, "closed", true, 0)
		startWatch(t, ch, connectivity.Shutdown, time.Hour, q, "nothing follows SHUTDOWN")
		wantEvent(t, q, "nothing follows SHUTDOWN", false, 0)
		if ch.WaitForStateChange(t.Context(), connectivity.Shutdown) {
			t.Error("WaitForStateChange saw something follow SHUTDOWN")
		}
		wantWatchers(t, ch, 0)
	})
}

// TestWatchNeedsAQueue: one that has shut down refuses watches and pings.
func TestWatchNeedsAQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := newSwitchboard(t).channelIn(connectivity.Ready)
		q := cq.New(cq.Next, cq.Config{})
		q.Shutdown()
		if e := ch.WatchConnectivityState(connectivity.Ready, time.Time{}, q, 1); e != CallErrorCompletionQueueShutdown {
			t.Errorf("WatchConnectivityState = %v, want %v", e, CallErrorCompletionQueueShutdown)
		}
		if e := ch.StartPing(q, 2); e != CallErrorCompletionQueueShutdown {
			t.Errorf("StartPing = %v, want %v", e, CallErrorCompletionQueueShutdown)
		}
		wantWatchers(t, ch, 0)
	})
}

// TestWatchOnPluckAndCallback: watches and pings post to queues of every kind.
func TestWatchOnPluckAndCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := newSwitchboard(t).channelIn(connectivity.Ready)
		pluck := cq.New(cq.Pluck, cq.Config{Debug: true})
		startWatch(t, ch, connectivity.Ready, time.Second, pluck, "watch")
		if e := ch.StartPing(pluck, "ping"); e != CallOK {
			t.Fatal(e)
		}
		if ev := pluck.Pluck("ping", time.Now().Add(time.Minute)); !ev.Success {
			t.Errorf("ping: %+v", ev)
		}
		if ev := pluck.Pluck("watch", time.Now().Add(time.Minute)); ev.Type != cq.OpComplete || ev.Success {
			t.Errorf("watch: %+v, want a failure at the deadline", ev)
		}
		pluck.Shutdown()

		callback := cq.New(cq.Callback, cq.Config{})
		ran := make(chan string, 3)
		tell := func(what string) functorFunc { return func(ok bool) { ran <- fmt.Sprint(what, " ", ok) } }
		startWatch(t, ch, connectivity.Ready, time.Second, callback, tell("timeout"))
		if got := <-ran; got != "timeout false" {
			t.Error(got)
		}
		startWatch(t, ch, connectivity.Idle, time.Second, callback, tell("other"))
		if got := <-ran; got != "other true" {
			t.Error(got)
		}
		if e := ch.StartPing(callback, tell("ping")); e != CallOK {
			t.Fatal(e)
		}
		if got := <-ran; got != "ping true" {
			t.Error(got)
		}
		// A functor may watch on, until the channel is closed.
		var states []connectivity.State
		var again functorFunc
		again = func(bool) {
			states = append(states, ch.State(false))
			if s := ch.State(false); s != connectivity.Shutdown {
				ch.WatchConnectivityState(s, time.Time{}, callback, again)
			}
		}
		ch.WatchConnectivityState(connectivity.Ready, time.Time{}, callback, again)
		ch.EnterIdle()
		synctest.Wait()
		ch.Close()
		if want := []connectivity.State{connectivity.Idle, connectivity.Shutdown}; !slices.Equal(states, want) {
			t.Errorf("the functor saw %v, want %v", states, want)
		}
		callback.Shutdown()
	})
}

// TestWatchersOfAChangingChannel: many goroutines watch while the connection
// is lost and made again; each change wakes every one of them, and in the end
// nobody waits.
func TestWatchersOfAChangingChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSwitchboard(t)
		ch := b.channel()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				q := cq.New(cq.Next, cq.Config{Debug: true})
				defer q.Shutdown()
				for n := 0; ; n++ {
					s := ch.State(true)
					if s == connectivity.Shutdown {
						if n < 10 {
							t.Errorf("a goroutine saw %d states, want at least 10", n)
						}
						return
					}
					ch.WatchConnectivityState(s, time.Now().Add(time.Minute), q, n)
					if ev := q.Next(time.Time{}); ev.Tag != n || !ev.Success {
						t.Errorf("watch %d of %v: %+v", n, s, ev)
						return
					}
				}
			})
		}
		for range 10 {
			time.Sleep(time.Second)
			b.cut()
		}
		time.Sleep(time.Second)
		ch.Close()
		wg.Wait()
		wantWatchers(t, ch, 0)
	})
}
