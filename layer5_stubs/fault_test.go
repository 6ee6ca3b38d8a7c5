package stubs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// withFaults returns the options of a client with those faults.
func withFaults(cfg stubs.FaultInjectionConfig) options {
	return options{dial: []stubs.DialOption{stubs.WithFaultInjection(cfg)}}
}

// TestFaults: a call of each kind is late and then fails, and the server hears of
// none.
func TestFaults(t *testing.T) {
	for _, kind := range []string{"unary", "stream"} {
		synctest.Test(t, func(t *testing.T) {
			f := newMemFixture(t, &echo{hook: func(context.Context) error { t.Error("the call was served"); return nil }},
				withFaults(stubs.FaultInjectionConfig{
					Delay: time.Second, DelayPercent: 100, AbortCode: status.ResourceExhausted, AbortPercent: 100, AbortMessage: "a test",
				}))
			start := time.Now()
			err := callOf(t.Context(), f, kind)
			wantCode(t, err, status.ResourceExhausted)
			if d := time.Since(start); d != time.Second || !strings.Contains(err.Error(), "fault injected by the client: a test") {
				t.Errorf("%s: the call ended after %v with %v", kind, d, err)
			}
			wantState(t, f, connectivity.Idle)
		})
	}
}

// TestContextEndsADelay: the context of a call, by its deadline or a cancel, ends
// the delay at once.
func TestContextEndsADelay(t *testing.T) {
	for _, kind := range []string{"unary", "stream"} {
		for _, tc := range []struct {
			name string
			ctx  func(context.Context) (context.Context, context.CancelFunc)
			code status.Code
			is   error
		}{
			{"a deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 300*time.Millisecond)
			}, status.DeadlineExceeded, context.DeadlineExceeded},
			{"a cancel", func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(300*time.Millisecond, cancel)
				return ctx, cancel
			}, status.Canceled, context.Canceled},
		} {
			t.Run(kind+" by "+tc.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newMemFixture(t, new(echo), withFaults(stubs.FaultInjectionConfig{Delay: time.Second, DelayPercent: 100, MaxActive: 1}))
					for range 3 { // the place of each is free for the next
						ctx, cancel := tc.ctx(t.Context())
						defer cancel()
						start := time.Now()
						err := callOf(ctx, f, kind)
						wantCode(t, err, tc.code)
						if d := time.Since(start); d != 300*time.Millisecond || !errors.Is(err, tc.is) {
							t.Errorf("the call ended after %v with %v", d, err)
						}
					}
					if _, err := f.client.Unary(t.Context(), new(testpb.Request)); err != nil {
						t.Errorf("a call that waits: %v", err)
					}
				})
			})
		}
	}
}

// TestFaultsByHeaders: a call asks for its own fault by metadata.
func TestFaultsByHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newMemFixture(t, new(echo), withFaults(stubs.FaultInjectionConfig{AbortPercent: 100, Headers: true}))
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-envoy-fault-abort-grpc-request", "7")
		_, err := f.client.Unary(ctx, new(testpb.Request))
		wantCode(t, err, status.PermissionDenied)
		if _, err := f.client.Unary(t.Context(), new(testpb.Request)); err != nil {
			t.Error(err)
		}
	})
}

// TestBadFaults: NewClient says what is wrong.
func TestBadFaults(t *testing.T) {
	_, err := stubs.NewClient("passthrough:///x", stubs.WithTransportCredentials(credentials.NewInsecure()),
		stubs.WithFaultInjection(stubs.FaultInjectionConfig{DelayPercent: 1}))
	if want := "option Delay is 0 with DelayPercent 1"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("NewClient = %v, want an error with %q", err, want)
	}
}
