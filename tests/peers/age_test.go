package peers

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A rolling is calls to a server that ends its connections again and again.
type rolling struct {
	name        string
	age         time.Duration
	short, long time.Duration // how long calls are made, over two connections at least
	size        int           // of the messages
	maxCalls    uint32        // of a connection, 0 for the default
	handler     time.Duration // how long a call takes at least
	stream      bool          // several messages in each call
	tls         bool
	idle        time.Duration // in place of an age; callers are few and pause about as long
}

// TestRollingAges: connections end under callers that know nothing of it. No call
// fails, although none was asked to wait for a connection, and none runs twice.
func TestRollingAges(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	for _, r := range []rolling{
		{"200ms", 200 * ms, 0, 5 * s, 100, 0, 0, false, false, 0},
		{"20ms", 20 * ms, 200 * ms, 5 * s, 100, 0, 0, false, false, 0},
		{"more callers than calls at once", 20 * ms, 0, 5 * s, 100, 8, ms, false, false, 0},
		{"long messages", 50 * ms, 100 * ms, 5 * s, 70_000, 0, 0, false, false, 0},
		{"streams", 50 * ms, 100 * ms, 5 * s, 20_000, 0, ms, true, false, 0},
		{"TLS", 50 * ms, 0, 5 * s, 1000, 0, 0, false, true, 0},
		{"idle connections", 0, 200 * ms, 5 * s, 100, 0, 0, false, false, 2 * ms},
	} {
		t.Run(r.name, func(t *testing.T) {
			if testing.Short() {
				r.long = r.short
			}
			eachPairing(t, r.run)
		})
	}
}

// rollingCallers is how many calls are made at once.
const rollingCallers = 64

func (r *rolling) run(t *testing.T, p pairing) {
	var handled, made, conns atomic.Int64
	began := func() {
		handled.Add(1)
		time.Sleep(r.handler)
	}
	so := serverOptions{maxAge: r.age, maxGrace: 10 * time.Second, maxIdle: r.idle, maxCalls: r.maxCalls, conns: &conns}
	var co clientOptions
	if r.tls {
		id := newIdentity(t)
		so.cert, co.roots, co.serverName = &id.cert, id.roots, certName
	}
	server := p.server.serve(t, handlers{
		unary: func(_ context.Context, _ handlerCall, in *message) (*message, error) {
			began()
			return in, nil
		},
		stream: func(s serverStream) error {
			began()
			return echoStream(s)
		},
	}, so)
	c := p.client.dial(t, server.addr, co)
	ctx, cancel := context.WithTimeout(context.Background(), r.long+patience)
	defer cancel()
	call := r.unary
	if r.stream {
		call = r.chat
	}
	end := time.Now().Add(r.long)
	callers := rollingCallers
	if r.idle > 0 {
		callers = 2
	}
	failures := make(chan error, callers)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for time.Now().Before(end) || conns.Load() < 2 {
				if err := call(ctx, c); err != nil {
					failures <- err
					return
				}
				made.Add(1)
				if r.idle > 0 {
					time.Sleep(rand.N(2 * r.idle))
				}
			}
		})
	}
	wg.Wait()
	close(failures)
	for err := range failures {
		t.Errorf("a call failed: %v", err)
	}
	t.Logf("%d calls over %d connections", made.Load(), conns.Load())
	if made.Load() != handled.Load() {
		t.Errorf("%d calls succeeded, %d ran", made.Load(), handled.Load())
	}
}

func (r *rolling) unary(ctx context.Context, c conn) error {
	got, err := c.unary(ctx, pattern(r.size), nil)
	if err == nil && len(got) != r.size {
		err = fmt.Errorf("an answer of %d bytes, want %d", len(got), r.size)
	}
	return err
}

// chat sends some messages and receives each back.
func (r *rolling) chat(ctx context.Context, c conn) error {
	s, err := c.stream(ctx, nil)
	if err != nil {
		return err
	}
	for range 3 {
		if err = s.SendMsg(&message{Value: pattern(r.size)}); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
		in := new(message)
		if err = s.RecvMsg(in); err != nil {
			return fmt.Errorf("receiving: %w", err)
		}
		if len(in.Value) != r.size {
			return fmt.Errorf("a message of %d bytes, want %d", len(in.Value), r.size)
		}
	}
	if err = s.CloseSend(); err != nil {
		return err
	}
	if err = s.RecvMsg(new(message)); err != io.EOF {
		return fmt.Errorf("the end is %w", err)
	}
	return nil
}
