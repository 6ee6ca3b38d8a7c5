package stubs_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// wantState checks the state once everything has settled.
func wantState(t *testing.T, f *fixture, want connectivity.State) {
	t.Helper()
	synctest.Wait()
	if got := f.cc.GetState(); got != want {
		t.Errorf("the state is %v, want %v", got, want)
	}
}

// TestIdleTimeout: a client without calls is Idle, of which who waits for a state
// hears; a call or Connect makes it connect again. Calls of every kind keep it.
func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 10 * time.Second
		f := newMemFixture(t, new(echo), options{dial: []stubs.DialOption{stubs.WithIdleTimeout(timeout)}})
		wantIdle := func() {
			t.Helper()
			start := time.Now()
			if !f.cc.WaitForStateChange(within(t), connectivity.Ready) {
				t.Fatal("the client stays Ready")
			}
			if d := time.Since(start); d < timeout || d > timeout+timeout/10 {
				t.Errorf("Idle after %v, want %v to a tenth more", d, timeout)
			}
			wantState(t, f, connectivity.Idle)
		}
		for range 3 {
			if _, err := f.client.Unary(t.Context(), &testpb.Request{Text: "x"}); err != nil {
				t.Fatal(err)
			}
			wantIdle()
			f.cc.Connect()
			wantState(t, f, connectivity.Ready)
			wantIdle()
		}
		stream, err := f.client.Bidi(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			time.Sleep(3 * timeout)
			wantState(t, f, connectivity.Ready)
			if err := stream.Send(&testpb.Request{Text: "x"}); err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
		if _, err := stream.Recv(); err != io.EOF {
			t.Errorf("Recv = %v, want the end", err)
		}
		wantIdle()
	})
}

// TestIdleTimeoutOff: 0 is never, as in grpc-go, and so is less.
func TestIdleTimeoutOff(t *testing.T) {
	for _, d := range []time.Duration{0, -time.Second} {
		synctest.Test(t, func(t *testing.T) {
			f := newMemFixture(t, new(echo), options{dial: []stubs.DialOption{stubs.WithIdleTimeout(d)}})
			ready(t, f)
			time.Sleep(1000 * time.Hour)
			wantState(t, f, connectivity.Ready)
		})
	}
}

// TestIdleAfterAnEarlyEnd: a stream that was left alone with its context cancelled
// is no call any more.
func TestIdleAfterAnEarlyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newMemFixture(t, new(echo), options{})
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := f.client.Bidi(ctx)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		wantState(t, f, connectivity.Ready)
		cancel()
		time.Sleep(33 * time.Minute)
		wantState(t, f, connectivity.Idle)
		_, err = stream.Recv()
		wantCode(t, err, status.Canceled)
	})
}
