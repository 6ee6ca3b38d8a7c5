package stubs_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// TestCancelRace has 32 callers make calls on one connection and cancel them at
// any moment. Each result is what its caller asked for, and contexts are used
// after their handlers: memory that one call left is never seen by another.
func TestCancelRace(t *testing.T) {
	var late sync.WaitGroup
	f := newFixture(t, &echo{hook: func(ctx context.Context) error {
		if rand.IntN(4) == 0 {
			late.Add(1)
			go func() {
				defer late.Done()
				<-ctx.Done()
				_, _ = metadata.FromIncomingContext(ctx)
				_ = stubs.SetTrailer(ctx, metadata.Pairs("late", "yes"))
				if ctx.Err() == nil || context.Cause(ctx) == nil {
					t.Error("a context is done without an error")
				}
			}()
		}
		if d := rand.IntN(3000); d > 1000 {
			select {
			case <-time.After(time.Duration(d) * time.Microsecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}}, options{})
	var ok, cancelled atomic.Int64
	var callers sync.WaitGroup
	end := time.Now().Add(1500 * time.Millisecond)
	for id := range 32 {
		callers.Go(func() {
			for n := 0; time.Now().Before(end); n++ {
				ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), "id", fmt.Sprint(id)))
				timer := time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, cancel)
				err := checkedCall(ctx, f, fmt.Sprintf("%d/%d", id, n), n%2 == 0)
				timer.Stop()
				cancel()
				switch status.CodeOf(err) {
				case status.OK:
					ok.Add(1)
				case status.Canceled:
					cancelled.Add(1)
				default:
					t.Errorf("call ended with %v", err)
				}
			}
		})
	}
	callers.Wait()
	f.server.Stop() // the handlers of cancelled calls may still be running
	late.Wait()
	if ok.Load() == 0 || cancelled.Load() == 0 {
		t.Errorf("%d calls succeeded and %d were cancelled; the test wants both", ok.Load(), cancelled.Load())
	}
	t.Logf("%d calls succeeded, %d were cancelled", ok.Load(), cancelled.Load())
}

// checkedCall makes a call and checks that its answer is its own.
func checkedCall(ctx context.Context, f *fixture, text string, unary bool) error {
	if unary {
		out, err := f.client.Unary(ctx, &testpb.Request{Text: text})
		if err == nil && out.Text != text {
			return fmt.Errorf("got %q for %q", out.Text, text)
		}
		return err
	}
	stream, err := f.client.Bidi(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	sent := make(chan error, 1)
	go func() {
		for range 3 {
			if err := stream.Send(&testpb.Request{Text: text}); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	n := 0
	for out, err := range stubs.Messages(stream) {
		if err != nil {
			<-sent
			return err
		}
		if out.Text != text {
			return fmt.Errorf("got %q for %q", out.Text, text)
		}
		n++
	}
	if err := <-sent; err != nil && err != io.EOF {
		return err
	}
	if n != 3 {
		return fmt.Errorf("got %d messages of 3 and no error", n)
	}
	return nil
}

// TestStopUnderLoad stops a server, and then the channel, while calls are made.
// Every call ends, and with one of the codes that say so.
func TestStopUnderLoad(t *testing.T) {
	for _, graceful := range []bool{true, false} {
		t.Run(fmt.Sprintf("graceful=%t", graceful), func(t *testing.T) {
			f := newFixture(t, new(echo), options{})
			ctx := within(t)
			var made atomic.Int64
			var callers sync.WaitGroup
			for id := range 16 {
				callers.Go(func() {
					for n := 0; ; n++ {
						err := checkedCall(ctx, f, fmt.Sprintf("%d/%d", id, n), n%2 == 0)
						made.Add(1)
						switch status.CodeOf(err) {
						case status.OK, status.Unavailable:
						case status.Canceled:
							return // the channel is closed
						default:
							t.Errorf("call ended with %v", err)
							return
						}
					}
				})
			}
			for made.Load() < 200 && ctx.Err() == nil {
				runtime.Gosched()
			}
			if graceful {
				f.server.GracefulStop()
			} else {
				f.server.Stop()
			}
			f.cc.Close()
			callers.Wait()
		})
	}
}

// TestSlowReader: a stream of messages that fill every window waits for its
// reader, loses nothing, and leaves other calls alone.
func TestSlowReader(t *testing.T) {
	f := newFixture(t, new(echo), options{})
	ctx := within(t)
	stream, err := f.client.ServerStream(ctx, &testpb.Request{Payload: make([]byte, 200<<10), Responses: 60})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		t.Fatal(err)
	}
	for range 20 { // while the stream's window is full
		if _, err := f.client.Unary(ctx, &testpb.Request{Text: "meanwhile"}); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for msg, err := range stubs.Messages(stream) {
		if err != nil {
			t.Fatal(err)
		}
		if len(msg.Payload) != 200<<10 {
			t.Fatalf("message %d has %d bytes", n, len(msg.Payload))
		}
		n++
	}
	if n != 60 {
		t.Errorf("%d messages, want 60", n)
	}
}
