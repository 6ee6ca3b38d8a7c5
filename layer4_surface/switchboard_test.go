package surface

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/backoff"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A switchboard is what channels under test connect to: a server behind a
// dialer that answers, refuses or says nothing, as the test wants. It lives in a
// bubble and is gone at the end of it.
type switchboard struct {
	t      *testing.T
	lis    *memconn.Listener
	server *Server

	mu sync.Mutex
	// Guarded by mu.
	answer answering
	dials  int
	conns  []net.Conn // the client's ends
}

// answering is what happens to who dials.
type answering int

const (
	accepts answering = iota
	refusesToConnect
	hangs
)

var errRefused = errors.New("connection refused on purpose")

// exactBackoff has no jitter: attempts at 0 s, 1 s, 2.6 s and so on.
var exactBackoff = backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, MaxDelay: 120 * time.Second}

func newSwitchboard(t *testing.T) *switchboard {
	b := &switchboard{t: t, lis: memconn.Listen()}
	b.serve(newEchoServer(t, WithLogger(quietLogger())).server)
	return b
}

// serve has s answer until the end of the test.
func (b *switchboard) serve(s *Server) {
	b.server = s
	served := make(chan error, 1)
	go func() { served <- s.Serve(b.lis) }()
	synctest.Wait() // a server that is closed first refuses to serve
	b.t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			b.t.Errorf("Serve = %v", err)
		}
	})
}

func (b *switchboard) set(a answering) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = a
}

func (b *switchboard) dialled() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dials
}

// cut ends every connection, as a network does.
func (b *switchboard) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, nc := range b.conns {
		_ = nc.Close()
	}
	b.conns = nil
}

func (b *switchboard) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dials++
	switch b.answer {
	case refusesToConnect:
		return nil, errRefused
	case hangs:
		b.mu.Unlock()
		<-ctx.Done()
		b.mu.Lock()
		return nil, context.Cause(ctx)
	}
	nc, err := b.lis.Dial(ctx)
	if err == nil {
		b.conns = append(b.conns, nc)
	}
	return nc, err
}

// channel returns a channel to the switchboard, closed at the end.
func (b *switchboard) channel(opts ...ChannelOption) *Channel {
	b.t.Helper()
	ch := newMemChannel(b.t, b.dial, append(opts, WithBackoff(exactBackoff))...)
	b.t.Cleanup(ch.Close)
	return ch
}

// channelIn returns a channel that is in the state want. In IDLE, and when it
// connects again, it is accepted.
func (b *switchboard) channelIn(want connectivity.State) *Channel {
	b.t.Helper()
	ch := b.channel()
	switch want {
	case connectivity.Connecting:
		b.set(hangs)
	case connectivity.TransientFailure:
		b.set(refusesToConnect)
	}
	if want != connectivity.Idle {
		ch.State(true)
	}
	synctest.Wait()
	if want == connectivity.Shutdown {
		ch.Close()
	}
	if got := ch.State(false); got != want {
		b.t.Fatalf("the channel is %v, want %v", got, want)
	}
	b.set(accepts)
	return ch
}

// newQueue returns a queue for the events of watches, pings and calls, which has
// to be empty at the end.
func newQueue(t *testing.T) *cq.Queue {
	q := cq.New(cq.Next, cq.Config{Name: "client", Debug: true})
	t.Cleanup(func() {
		q.Shutdown()
		if ev := q.TryNext(); ev.Type != cq.QueueShutdown {
			t.Errorf("left in the queue: %v %v, %d operations outstanding", ev.Type, ev.Tag, q.Pending())
		}
	})
	return q
}

// wantEvent takes the next event, which has to be that of tag and to come
// after exactly that time.
func wantEvent(t *testing.T, q *cq.Queue, tag cq.Tag, success bool, after time.Duration) {
	t.Helper()
	start := time.Now()
	ev := q.Next(start.Add(time.Hour))
	if ev.Type != cq.OpComplete || ev.Tag != tag || ev.Success != success {
		t.Fatalf("event = %v %v success=%t, want %v success=%t", ev.Type, ev.Tag, ev.Success, tag, success)
	}
	if got := time.Since(start); got != after {
		t.Errorf("the event of %v came after %v, want %v", tag, got, after)
	}
}

// wantNoEvent checks that nothing is in the queue once everything has settled.
func wantNoEvent(t *testing.T, q *cq.Queue) {
	t.Helper()
	synctest.Wait()
	if ev := q.TryNext(); ev.Type != cq.QueueTimeout {
		t.Fatalf("event = %v %v success=%t, want none", ev.Type, ev.Tag, ev.Success)
	}
}

// wantCode makes a unary call, which has to end with code.
func wantCode(t *testing.T, ch *Channel, p CallParams, code status.Code) {
	t.Helper()
	if st, _ := echo(t, ch, p, "hello"); st.Code != code {
		t.Errorf("status = %v %q, want %v", st.Code, st.Message, code)
	}
}

func wantState(t *testing.T, ch *Channel, want connectivity.State) {
	t.Helper()
	synctest.Wait()
	if got := ch.State(false); got != want {
		t.Errorf("state = %v, want %v (last error: %v)", got, want, ch.LastError())
	}
}
