package surface

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// TestManyListeners: one server is behind listeners of several kinds and
// behind transports that exist already; Shutdown ends all of them.
func TestManyListeners(t *testing.T) {
	counter := new(countingFilter)
	e := newEchoServer(t, WithLogger(quietLogger()), WithFilter(stacks.Extra{Filter: counter, After: []string{"server"}, Before: []string{"message_size"}}))
	served := make(chan error, 6)
	var channels []*Channel
	for i := range 3 {
		mem := memconn.Listen()
		unix, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		for _, lis := range []net.Listener{mem, unix} {
			go func() { served <- e.server.Serve(lis) }()
		}
		client, server := inproc.Pair(inproc.Config{})
		if err := e.server.ServeTransport(server); err != nil {
			t.Fatal(err)
		}
		direct, err := NewDirectChannel(client)
		if err != nil {
			t.Fatal(i, err)
		}
		channels = append(channels, direct,
			newMemChannel(t, func(ctx context.Context, _, _ string) (net.Conn, error) { return mem.Dial(ctx) }),
			newMemChannel(t, func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", unix.Addr().String())
			}))
	}
	var calling sync.WaitGroup
	for _, ch := range channels {
		calling.Go(func() {
			for range 20 {
				if st, body := echo(t, ch, CallParams{}, "hello"); st.Code != status.OK || body != "hello" {
					t.Errorf("status = %v %q, answer %q", st.Code, st.Message, body)
				}
			}
		})
	}
	calling.Wait()
	if n := e.server.accepted.Load(); n != 6 {
		t.Errorf("%d connections are counted, want the 6 that were accepted", n)
	}
	if err := e.server.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	for range 6 {
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	}
	for _, ch := range channels {
		ch.Close()
	}
	if n := e.server.accepted.Load(); n != 0 {
		t.Errorf("%d connections are counted after the end", n)
	}
	wantAllBack(t, counter)
}

// TestMaxConnections: one connection more than there may be is closed at once,
// also while those before it are at their handshakes; when one ends the next is
// taken. Transports that the program made are its own affair.
func TestMaxConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoorstep(t, WithMaxConnections(2))
		for range 3 {
			_, server := inproc.Pair(inproc.Config{})
			if err := d.s.ServeTransport(server); err != nil {
				t.Fatal(err)
			}
		}
		taken := d.dial() // and says nothing
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		tr, err := http2.Connect(ctx, d.dial(), nil, http2.Config{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got := d.ends(d.dial()); got != 0 {
				t.Errorf("a connection too many was closed after %v, want at once", got)
			}
		}
		tr.Close()
		synctest.Wait()
		if tr, err = http2.Connect(ctx, d.dial(), nil, http2.Config{}); err != nil {
			t.Fatalf("when one has ended: %v", err)
		}
		taken.Close()
		synctest.Wait()
		second, err := http2.Connect(ctx, d.dial(), nil, http2.Config{})
		if err != nil {
			t.Fatalf("when one has given up its handshake: %v", err)
		}
		synctest.Wait()
		if logged := d.logged.String(); !strings.Contains(logged, "the server has 2 connections, which is as many as it may have") || strings.Count(logged, "level=WARN") != 1 {
			t.Errorf("log:\n%s", logged)
		}
		tr.Close()
		second.Close()
	})
}

// TestMaxConnectionsUnderRush: however many come at once, no more are served.
func TestMaxConnectionsUnderRush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoorstep(t, WithMaxConnections(5))
		var rush sync.WaitGroup
		var got atomic.Int32
		for range 50 {
			nc := d.dial()
			rush.Go(func() {
				tr, err := http2.Connect(t.Context(), nc, nil, http2.Config{})
				if err != nil {
					_, _ = io.Copy(io.Discard, nc)
					return
				}
				got.Add(1)
				time.Sleep(time.Minute)
				tr.Close()
			})
		}
		rush.Wait()
		if n := got.Load(); n != 5 {
			t.Errorf("%d connections were served at once, want 5", n)
		}
	})
}

// TestShutdownUnderLoad: whatever callers do as the server ends gracefully, a
// call is answered or its client reads UNAVAILABLE, and every block comes back.
func TestShutdownUnderLoad(t *testing.T) {
	for _, over := range []string{"inproc", "http2"} {
		t.Run(over, func(t *testing.T) {
			for range 3 {
				counter := new(countingFilter)
				e := newEchoServer(t, WithLogger(quietLogger()), WithFilter(stacks.Extra{Filter: counter, After: []string{"server"}, Before: []string{"message_size"}}))
				ch := connectBy(t, e.server, over)
				var calling sync.WaitGroup
				var done atomic.Int32
				for range 4 {
					calling.Go(func() {
						for {
							st, body := echo(t, ch, CallParams{}, "hello")
							if st.Code == status.Unavailable {
								return
							}
							if st.Code != status.OK || body != "hello" {
								t.Errorf("status = %v %q, answer %q", st.Code, st.Message, body)
								return
							}
							done.Add(1)
						}
					})
				}
				for done.Load() < 20 {
					runtime.Gosched()
				}
				if err := e.server.Shutdown(t.Context()); err != nil {
					t.Errorf("Shutdown = %v", err)
				}
				calling.Wait()
				ch.Close()
				wantAllBack(t, counter)
				e.mu.Lock()
				if calls := e.calls; calls < int(done.Load()) {
					t.Errorf("the server answered %d calls, and clients had %d answers", calls, done.Load())
				}
				e.mu.Unlock()
			}
		})
	}
}
