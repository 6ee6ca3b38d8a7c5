package peers

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/code"
)

// concurrentCalls is how many calls run at the same time.
const concurrentCalls = 1000

// TestConcurrentCalls: a thousand calls are in their handlers at the same
// time, over one connection, and each gets its own answer.
func TestConcurrentCalls(t *testing.T) {
	eachPairing(t, func(t *testing.T, p pairing) {
		var running atomic.Int32
		together := make(chan struct{})
		h := handlers{unary: func(ctx context.Context, c handlerCall, in *message) (*message, error) {
			if running.Add(1) == concurrentCalls {
				close(together)
			}
			select {
			case <-together:
				return in, nil
			case <-ctx.Done():
				return nil, c.fail(newStatus(code.Code_ABORTED, fmt.Sprintf("only %d calls came", running.Load())))
			}
		}}
		s := p.server.serve(t, h, serverOptions{maxCalls: 2 * concurrentCalls})
		c := p.client.dial(t, s.addr, clientOptions{})
		runConcurrently(t, concurrentCalls, func(ctx context.Context, i int) error {
			return echoNumber(ctx, c, i)
		})
	})
}

// TestMoreCallsThanStreams: calls beyond the peer's limit of concurrent
// streams wait for their turn. RFC 9113 §5.1.2.
func TestMoreCallsThanStreams(t *testing.T) {
	eachPairing(t, func(t *testing.T, p pairing) {
		const limit = 5
		var running, most atomic.Int32
		h := handlers{unary: func(_ context.Context, _ handlerCall, in *message) (*message, error) {
			n := running.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			running.Add(-1)
			return in, nil
		}}
		s := p.server.serve(t, h, serverOptions{maxCalls: limit})
		c := p.client.dial(t, s.addr, clientOptions{})
		runConcurrently(t, 200, func(ctx context.Context, i int) error { return echoNumber(ctx, c, i) })
		if most.Load() > limit {
			t.Errorf("%d handlers ran at a time, the limit is %d", most.Load(), limit)
		}
	})
}

// TestConcurrentStreams: streams interleave on one connection and each keeps
// its own order.
func TestConcurrentStreams(t *testing.T) {
	eachPairing(t, func(t *testing.T, p pairing) {
		c, _ := p.connect(t, handlers{})
		runConcurrently(t, 50, func(ctx context.Context, i int) error {
			s, err := c.stream(ctx, nil)
			if err != nil {
				return err
			}
			for j := range 40 {
				want := pattern(1 + (i*131+j*977)%5000)
				if err := s.SendMsg(&message{Value: want}); err != nil {
					return err
				}
				got := new(message)
				if err := s.RecvMsg(got); err != nil {
					return err
				}
				if !bytes.Equal(got.GetValue(), want) {
					return fmt.Errorf("stream %d, message %d: %d bytes came back as %d others", i, j, len(want), len(got.GetValue()))
				}
			}
			if err := s.CloseSend(); err != nil {
				return err
			}
			if err := s.RecvMsg(new(message)); err == nil || err.Error() != "EOF" {
				return fmt.Errorf("stream %d ended with %v", i, err)
			}
			return nil
		})
	})
}

// echoNumber makes a call that only it could make and checks the answer.
func echoNumber(ctx context.Context, c conn, i int) error {
	want := binary.BigEndian.AppendUint64(nil, uint64(i))
	got, err := c.unary(ctx, want, nil)
	if err != nil {
		return fmt.Errorf("call %d: %w", i, err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("call %d got the answer %x", i, got)
	}
	return nil
}

// runConcurrently runs n functions at the same time and reports the first
// failures.
func runConcurrently(t *testing.T, n int, run func(ctx context.Context, i int) error) {
	t.Helper()
	ctx := testContext(t)
	var all sync.WaitGroup
	errs := make(chan error, n)
	for i := range n {
		all.Go(func() {
			if err := run(ctx, i); err != nil {
				errs <- err
			}
		})
	}
	all.Wait()
	close(errs)
	if failed := len(errs); failed > 0 {
		t.Fatalf("%d of %d failed, for example: %v", failed, n, <-errs)
	}
}
