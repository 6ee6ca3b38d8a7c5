package stubs_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
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
