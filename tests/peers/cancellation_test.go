package peers

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
)

// TestDeadlineTravels: the handler's context has the client's deadline.
func TestDeadlineTravels(t *testing.T) {
	eachPairing(t, func(t *testing.T, p pairing) {
		seen := make(chan time.Duration, 1)
		c, _ := p.connect(t, handlers{unary: func(ctx context.Context, _ handlerCall, in *message) (*message, error) {
			left := time.Duration(-1)
			if deadline, ok := ctx.Deadline(); ok {
				left = time.Until(deadline)
			}
			seen <- left
			return in, nil
		}})
		for _, want := range []time.Duration{patience, time.Hour, 1000 * time.Hour} {
			ctx, cancel := context.WithTimeout(context.Background(), want)
			_, err := c.unary(ctx, nil, nil)
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			// Rounding up to fewer digits may add to it, at most an hour in
			// 1000 hours. gRPC-HTTP2 Timeout.
			if got := <-seen; got < want-patience || got > want+want/100 {
				t.Errorf("the handler has %v left of %v", got, want)
			}
		}
		if _, err := c.unary(context.Background(), nil, nil); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != -1 {
			t.Errorf("a call without a deadline has %v left", got)
		}
	})
}

// blockingHandlers are handlers that wait for the end of their context. The
// channel says what that was.
func blockingHandlers() (h handlers, began chan struct{}, ended chan error) {
	began, ended = make(chan struct{}, 16), make(chan error, 16)
	wait := func(ctx context.Context) error {
		began <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	return handlers{
		unary:  func(ctx context.Context, _ handlerCall, _ *message) (*message, error) { return nil, wait(ctx) },
		stream: func(s serverStream) error { return wait(s.Context()) },
	}, began, ended
}

// TestDeadlineEndsBothSides: the deadline passes on the client and in the
// handler, and nobody waits much longer.
func TestDeadlineEndsBothSides(t *testing.T) {
	eachPairing(t, func(t *testing.T, p pairing) {
		h, began, ended := blockingHandlers()
		c, _ := p.connect(t, h)
		call := func(name string, make func(ctx context.Context) error) {
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			defer cancel()
			begin := time.Now()
			err := make(ctx)
			wantCode(t, p.client, err, code.Code_DEADLINE_EXCEEDED)
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("%s: the client waited %v for a deadline of 200 ms", name, took)
			}
			await(t, name+": the handler to begin", began)
			// Either the handler's own clock or the client's RST_STREAM is first.
			if err := await(t, name+": the handler's end", ended); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
				t.Errorf("%s: the handler's context ended with %v", name, err)
			}
		}
		call("unary", func(ctx context.Context) error {
			_, err := c.unary(ctx, nil, nil)
			return err
		})
		call("stream", func(ctx context.Context) error {
			s, err := c.stream(ctx, nil)
			if err != nil {
				return err
			}
			return s.RecvMsg(new(message))
		})
	})
}

// TestCancelReachesHandler: when the client cancels, the handler's context
// ends, for unary calls and for streams, and so it does when the client's
// connection goes.
func TestCancelReachesHandler(t *testing.T) {
	eachPairing(t, func(t *testing.T, p pairing) {
		h, began, ended := blockingHandlers()
		c, s := p.connect(t, h)
		t.Run("unary", func(t *testing.T) {
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			result := make(chan error, 1)
			go func() {
				_, err := c.unary(ctx, nil, nil)
				result <- err
			}()
			await(t, "the handler to begin", began)
			cancel()
			wantCode(t, p.client, await(t, "the client's end", result), code.Code_CANCELLED)
			wantCanceled(t, await(t, "the handler's end", ended))
		})
		t.Run("stream", func(t *testing.T) {
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			s, err := c.stream(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			await(t, "the handler to begin", began)
			cancel()
			wantCode(t, p.client, s.RecvMsg(new(message)), code.Code_CANCELLED)
			wantCanceled(t, await(t, "the handler's end", ended))
		})
		t.Run("connection", func(t *testing.T) {
			other := p.client.dial(t, s.addr, clientOptions{})
			s, err := other.stream(testContext(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			await(t, "the handler to begin", began)
			other.close()
			wantCode(t, p.client, s.RecvMsg(new(message)), code.Code_CANCELLED)
			wantCanceled(t, await(t, "the handler's end", ended))
		})
	})
}

// wantCanceled checks what ended a handler's context.
func wantCanceled(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the handler's context ended with %v, want %v", err, context.Canceled)
	}
}

// TestCancelBeforeCall: a context that is over makes no call.
func TestCancelBeforeCall(t *testing.T) {
	eachPairing(t, func(t *testing.T, p pairing) {
		c, _ := p.connect(t, handlers{unary: func(_ context.Context, _ handlerCall, in *message) (*message, error) {
			t.Error("the call reached the server")
			return in, nil
		}})
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := c.unary(ctx, nil, nil)
		wantCode(t, p.client, err, code.Code_CANCELLED)
		ctx, cancel = context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
		defer cancel()
		_, err = c.unary(ctx, nil, nil)
		wantCode(t, p.client, err, code.Code_DEADLINE_EXCEEDED)
	})
}

// TestStatusWhileSending: a server may end a call before it has read all; the
// client learns it from SendMsg as io.EOF and from RecvMsg as the status.
func TestStatusWhileSending(t *testing.T) {
	eachPairing(t, func(t *testing.T, p pairing) {
		c, _ := p.connect(t, handlers{stream: func(s serverStream) error {
			if err := s.RecvMsg(new(message)); err != nil {
				return err
			}
			return s.fail(newStatus(code.Code_FAILED_PRECONDITION, "enough"))
		}})
		s, err := c.stream(testContext(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			err = s.SendMsg(&message{Value: pattern(10 << 10)})
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("SendMsg ended with %v, want EOF", err)
		}
		err = s.RecvMsg(new(message))
		wantCode(t, p.client, err, code.Code_FAILED_PRECONDITION)
		if got := p.client.statusOf(err).GetMessage(); got != "enough" {
			t.Errorf("the message is %q", got)
		}
	})
}

// TestServerStops: a server that goes away ends its calls with UNAVAILABLE.
func TestServerStops(t *testing.T) {
	eachPairing(t, func(t *testing.T, p pairing) {
		h, began, ended := blockingHandlers()
		c, server := p.connect(t, h)
		s, err := c.stream(testContext(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		await(t, "the handler to begin", began)
		go server.stop()
		wantCode(t, p.client, s.RecvMsg(new(message)), code.Code_UNAVAILABLE)
		wantCanceled(t, await(t, "the handler's end", ended))
	})
}
