package peers

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
)

// TestGracefulStopLetsCallsEnd: calls that run when a server drains end as if
// nothing was, and new ones find nobody.
func TestGracefulStopLetsCallsEnd(t *testing.T) {
	eachPairing(t, func(t *testing.T, p pairing) {
		const calls = 50
		began, release := make(chan struct{}, calls), make(chan struct{})
		c, server := p.connect(t, handlers{
			unary: func(_ context.Context, _ handlerCall, in *message) (*message, error) {
				began <- struct{}{}
				<-release
				return in, nil
			},
		})
		ctx := testContext(t)
		s, err := c.stream(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, s)
		results := make(chan error, calls)
		for i := range calls {
			go func() { results <- echoNumber(ctx, c, i) }()
		}
		for range calls {
			await(t, "the handlers to begin", began)
		}
		stopped := make(chan error, 1)
		go func() { stopped <- server.graceful(ctx) }()
		waitUntilRefused(ctx, t, server.addr)

		roundTrip(t, s) // the stream goes on
		close(release)
		for range calls {
			if err := await(t, "the calls", results); err != nil {
				t.Error(err)
			}
		}
		roundTrip(t, s)
		select {
		case err := <-stopped:
			t.Fatalf("the server stopped (%v) while a stream was open", err)
		default:
		}
		finish(t, s, 0)
		if err := await(t, "the server to stop", stopped); err != nil {
			t.Error(err)
		}
		_, err = c.unary(ctx, nil, nil)
		wantCode(t, p.client, err, code.Code_UNAVAILABLE)
	})
}

// roundTrip sends a message and receives its echo.
func roundTrip(t *testing.T, s clientStream) {
	t.Helper()
	if err := s.SendMsg(&message{Value: []byte("ping")}); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(new(message)); err != nil {
		t.Fatal(err)
	}
}

// waitUntilRefused waits until a server takes no new connections, which is
// when it drains.
func waitUntilRefused(ctx context.Context, t *testing.T, addr string) {
	t.Helper()
	for ctx.Err() == nil {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		c.Close()
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the server still accepts connections")
}

// TestRollingRestart: while clients make calls all the time, the server is
// replaced by another one at the same address, three times. Calls that wait
// for a connection must not notice: none is lost, none runs twice.
func TestRollingRestart(t *testing.T) {
	eachPairing(t, func(t *testing.T, p pairing) {
		var handled atomic.Int64
		h := handlers{unary: func(_ context.Context, _ handlerCall, in *message) (*message, error) {
			handled.Add(1)
			return in, nil
		}}
		ctx := testContext(t)
		server := p.server.serve(t, h, serverOptions{})
		c := p.client.dial(t, server.addr, clientOptions{})

		var made atomic.Int64
		done := make(chan struct{})
		failures := make(chan error, 8)
		var callers sync.WaitGroup
		for range cap(failures) {
			callers.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					if _, err := c.unary(ctx, pattern(100), &callOptions{waitForReady: true}); err != nil {
						failures <- err
						return
					}
					made.Add(1)
				}
			})
		}
		for range 3 {
			waitForCalls(ctx, t, &made, failures)
			if err := server.graceful(ctx); err != nil {
				t.Errorf("graceful stop: %v", err)
			}
			server = p.server.serve(t, h, serverOptions{addr: server.addr})
		}
		waitForCalls(ctx, t, &made, failures)
		close(done)
		callers.Wait()
		close(failures)
		for err := range failures {
			t.Errorf("a call was lost: %v", err)
		}
		if made.Load() != handled.Load() {
			t.Errorf("%d calls succeeded, %d ran", made.Load(), handled.Load())
		}
	})
}

// waitForCalls waits until another hundred calls were made or one failed.
func waitForCalls(ctx context.Context, t *testing.T, made *atomic.Int64, failures chan error) {
	t.Helper()
	for want := made.Load() + 100; made.Load() < want && len(failures) == 0; time.Sleep(time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("only %d calls were made", made.Load())
		}
	}
}
