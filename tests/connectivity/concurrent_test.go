package connectivity

import (
	"runtime"
	"sync"
	"testing"
	"time"

	connectivity "github.com/strata-grpc/strata/layer1_transport/connectivity"
	credentials "github.com/strata-grpc/strata/layer1_transport/credentials"
	cq "github.com/strata-grpc/strata/layer3_cq"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// The sizes of gRPC core's test. With -short a quarter of the goroutines run.
const (
	goroutines = 100
	channels   = 10 // one after another, in each goroutine
	watches    = 10 // one after another, on each channel

	delay      = 10 * time.Millisecond // of a watch
	delayShort = time.Millisecond
	poll       = 30 * time.Second // for an event that has to come
)

// concurrently runs test in many goroutines and checks that none is left.
func concurrently(t *testing.T, test func()) {
	before := runtime.NumGoroutine()
	n := goroutines
	if testing.Short() {
		n /= 4
	}
	var wg sync.WaitGroup
	for range n {
		wg.Go(test)
	}
	wg.Wait()
	wantGoroutines(t, before)
}

// watchOnce watches until the state is another than last or d is over, and
// reports which. No watch is left behind.
func watchOnce(t *testing.T, ch *surface.Channel, last connectivity.State, d time.Duration, q *cq.Queue) (changed bool) {
	if e := ch.WatchConnectivityState(last, time.Now().Add(d), q, nil); e != surface.CallOK {
		t.Errorf("WatchConnectivityState = %v", e)
	}
	ev := q.Next(time.Now().Add(poll))
	if ev.Type != cq.OpComplete {
		t.Errorf("event = %+v, want that of the watch", ev)
	}
	if n := ch.NumWatchers(); n != 0 {
		t.Errorf("%d watchers are left", n)
	}
	return ev.Success
}

// createLoopDestroy makes channels to addr and watches them while they connect
// or fail to.
func createLoopDestroy(t *testing.T, addr string) {
	for range channels {
		q := cq.New(cq.Next, cq.Config{Debug: true})
		ch := newChannel(t, addr, surface.WithCredentials(credentials.NewInsecure()))
		for range watches {
			watchOnce(t, ch, ch.State(true), delay, q)
		}
		ch.Close()
		q.Shutdown()
	}
}

// TestConcurrentConnectivity is concurrent_connectivity_test: many goroutines
// watch channels to nobody, to a server, and to one that closes at once.
func TestConcurrentConnectivity(t *testing.T) {
	for _, tc := range []struct {
		name string
		addr func(t *testing.T) string
	}{
		{"no server", noServer},
		{"a real server", func(t *testing.T) string { return realServer(t) }},
		{"a bogus server", bogusServer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			addr := tc.addr(t)
			concurrently(t, func() { createLoopDestroy(t, addr) })
		})
	}
}

// TestConcurrentWatchesWithShortTimeouts is the second half of that test: watches
// of channels that nobody makes connect all end at their deadlines.
func TestConcurrentWatchesWithShortTimeouts(t *testing.T) {
	addr := noServer(t)
	concurrently(t, func() {
		for range channels {
			q := cq.New(cq.Next, cq.Config{Debug: true})
			ch := newChannel(t, addr, surface.WithCredentials(credentials.NewInsecure()))
			for range watches {
				if s := ch.State(false); s != connectivity.Idle {
					t.Errorf("state = %v, want IDLE", s)
				}
				if watchOnce(t, ch, connectivity.Idle, delayShort, q) {
					t.Error("a watch of an idle channel saw another state")
				}
			}
			ch.Close()
			q.Shutdown()
		}
	})
}

// TestConcurrentWatchersOfOneChannel: many goroutines bring one channel to READY
// together, each with its own watches.
func TestConcurrentWatchersOfOneChannel(t *testing.T) {
	addr := realServer(t)
	ch := newChannel(t, addr, surface.WithCredentials(credentials.NewInsecure()))
	defer ch.Close()
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			q := cq.New(cq.Next, cq.Config{Debug: true})
			defer q.Shutdown()
			connect(t, ch, q)
		})
	}
	wg.Wait()
	if n := ch.NumWatchers(); n != 0 {
		t.Errorf("%d watchers are left", n)
	}
}

// connect watches ch until it is READY.
func connect(t *testing.T, ch *surface.Channel, q *cq.Queue) {
	deadline := time.Now().Add(poll)
	for s := ch.State(true); s != connectivity.Ready; s = ch.State(true) {
		if e := ch.WatchConnectivityState(s, deadline, q, ch); e != surface.CallOK {
			t.Errorf("WatchConnectivityState = %v", e)
			return
		}
		if ev := q.Next(deadline.Add(time.Second)); ev.Type != cq.OpComplete || ev.Tag != ch || !ev.Success {
			t.Errorf("event = %+v in state %v (last error: %v)", ev, ch.State(false), ch.LastError())
			return
		}
	}
}
