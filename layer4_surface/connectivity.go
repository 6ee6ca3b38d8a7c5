package surface

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// State returns how far the channel is from carrying calls. tryConnect asks a
// channel that is idle to connect, which shows in a later state. From the
// moment when calls are refused because the channel closes it is Shutdown.
//
//	  ┌──────── lost, EnterIdle, no calls ─────────┐
//	  ▼                                            │
//	IDLE ──a call, State(true)──▶ CONNECTING ──▶ READY
//	                                  │            ▲
//	                                  ▼            │ a later attempt
//	                          TRANSIENT_FAILURE ───┘
func (c *Channel) State(tryConnect bool) connectivity.State {
	if c.calls.closing.Load() {
		return connectivity.Shutdown
	}
	return c.control.State(tryConnect)
}

// LastError returns why the last connection was lost or could not be made, nil
// if none was.
func (c *Channel) LastError() error { return c.control.LastError() }

// ResetBackoff lets the next attempts to connect begin at once.
func (c *Channel) ResetBackoff() { c.control.ResetBackoff() }

// EnterIdle gives up the connection, or the attempt to get one, together with
// the addresses and the backoff. Calls under way keep the connection that they
// have until they end; the next one, or one that waits, makes the channel connect
// again. It takes effect a moment later, as State then shows. A channel without
// calls does it by itself: [WithIdleTimeout]. One that is one connection stays as
// it is.
func (c *Channel) EnterIdle() { c.control.EnterIdle() }

// WatchConnectivityState begins a watch of the state, which posts tag to q once:
// with success as soon as the state is another than last, without if it still
// is last at deadline. The zero deadline never comes, and one that has passed is
// like the present. A channel that closes is in SHUTDOWN, which is another state
// too; a watch for the end of that fails at once, since it has none.
//
// The result is [CallErrorCompletionQueueShutdown] if q has shut down, without q
// [CallErrorFailed], and then nothing was begun. A functor of a Callback queue
// runs on a goroutine of the channel, or before WatchConnectivityState returns; it
// must not block.
func (c *Channel) WatchConnectivityState(last connectivity.State, deadline time.Time, q *cq.Queue, tag cq.Tag) CallError {
	if q == nil {
		return CallErrorFailed
	}
	if !q.BeginOp(tag) {
		return CallErrorCompletionQueueShutdown
	}
	c.watches.Start(last, deadline, &notice{queue: q, tag: tag})
	return CallOK
}

// NumWatchers returns how many watches wait, of both forms. A watch is no longer
// counted when its event is posted.
func (c *Channel) NumWatchers() int { return c.watches.Len() }

// A notice is the one event of a watch or a ping.
type notice struct {
	queue      *cq.Queue
	tag        cq.Tag
	completion cq.Completion
}

// Run posts the event of a watch.
func (n *notice) Run(changed bool) { n.queue.EndOp(n.tag, changed, nil, &n.completion) }

// A pingNotice is a notice as the callback of a ping.
type pingNotice notice

// Run posts the event of a ping.
func (n *pingNotice) Run(err error) { (*notice)(n).Run(err == nil) }

// WaitForStateChange waits until the state is another than last and reports
// true. It reports false when ctx ended first, or when last is the SHUTDOWN of a
// closed channel, which no other state follows.
func (c *Channel) WaitForStateChange(ctx context.Context, last connectivity.State) bool {
	changed := make(answer, 1)
	w := c.watches.Start(last, time.Time{}, changed)
	select {
	case <-ctx.Done():
		w.GiveUp()
	case got := <-changed:
		return got
	}
	return <-changed
}

// An answer is where a goroutine waits for the end of its watch.
type answer chan bool

// Run passes the answer on.
func (a answer) Run(changed bool) { a <- changed }

// ChannelInfo is what is known of how a channel chooses its connections.
type ChannelInfo struct {
	// LBPolicy is the name of the load balancing policy, such as "pick_first".
	// Empty for a channel that has nothing to choose from.
	LBPolicy string

	// ServiceConfig is the service config in JSON as the resolver gave it
	// last, empty if it gave none. Nothing is done with it.
	ServiceConfig string
}

// Info returns what is known of the channel now: gRPC core's
// grpc_channel_get_info.
func (c *Channel) Info() ChannelInfo {
	policy, serviceConfig := c.control.Info()
	return ChannelInfo{LBPolicy: policy, ServiceConfig: serviceConfig}
}

// Ready connects and waits until calls can be carried. Attempts that fail are
// repeated; the error at the end of ctx names the cause of the last failure,
// and matches the errors of package context.
func (c *Channel) Ready(ctx context.Context) error {
	for {
		s := c.State(true)
		switch s {
		case connectivity.Ready:
			return nil
		case connectivity.Shutdown:
			return c.notReady(s, status.Canceled, context.Canceled)
		}
		if !c.WaitForStateChange(ctx, s) {
			return c.notReady(s, status.FromContextError(ctx.Err()).Code(), context.Cause(ctx))
		}
	}
}

// notReady words why the channel has not become ready.
func (c *Channel) notReady(s connectivity.State, code status.Code, cause error) error {
	why := ""
	if last := c.LastError(); last != nil {
		why = "; last connection error: " + last.Error()
		cause = errors.Join(cause, last)
	}
	return status.Newf(code, "channel to %q is %v%s", c.target, s, why).WithCause(cause)
}

// StartPing sends one PING. It posts tag to q once: with success when the answer
// came, without when there is no connection, when that is lost before, or when
// the ping is one too many; see Ping. It does not make a channel connect. The
// result is [CallErrorCompletionQueueShutdown] if q has shut down, without q
// [CallErrorFailed], and then nothing was sent.
func (c *Channel) StartPing(q *cq.Queue, tag cq.Tag) CallError {
	if q == nil {
		return CallErrorFailed
	}
	if !q.BeginOp(tag) {
		return CallErrorCompletionQueueShutdown
	}
	c.ping(&pingNotice{queue: q, tag: tag})
	return CallOK
}

// ping has the stack send a PING whose end done is told once.
func (c *Channel) ping(done transport.Done) {
	c.calls.stack.StartTransportOp(&transport.Op{Ping: &transport.Ping{OnAck: done}})
}

// Ping sends one PING and waits for its answer. A channel without a connection
// fails it, and so does one more soon after others with no call in between, since
// the server would take it for abuse: RESOURCE_EXHAUSTED.
func (c *Channel) Ping(ctx context.Context) error {
	p := &pingWaiter{answered: make(chan error, 1)}
	c.ping(p)
	select {
	case err := <-p.answered:
		if err != nil {
			return fmt.Errorf("surface: ping: %w", err)
		}
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).WithCause(context.Cause(ctx))
	}
}

// A pingWaiter passes the end of a PING on.
type pingWaiter struct{ answered chan error }

// Run is the answer.
func (p *pingWaiter) Run(err error) { p.answered <- err }

// A stateTracker is the controller of a channel that cannot choose: its state
// is that of its only connection.
type stateTracker struct {
	// Set before the watch begins, read-only afterwards.
	trace tracer

	mu sync.Mutex // a leaf
	// Guarded by mu.
	state connectivity.State
	cause error
}

// OnState is the watcher's.
func (t *stateTracker) OnState(s connectivity.State, cause error) {
	t.mu.Lock()
	old := t.state
	t.state = s
	if cause != nil {
		t.cause = cause
	}
	t.mu.Unlock()
	if t.trace.on() && s != old {
		t.trace.channel("connectivity", old.String()+" to "+s.String(), cause)
	}
}

// State returns the last state. There is nothing to connect.
func (t *stateTracker) State(bool) connectivity.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

// LastError returns why the connection ended.
func (t *stateTracker) LastError() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cause
}

// ResetBackoff and EnterIdle do nothing: nothing is attempted, and a connection
// that is given up does not come back.
func (t *stateTracker) ResetBackoff() {}

// EnterIdle does nothing.
func (t *stateTracker) EnterIdle() {}

// Info returns nothing: there is no policy and no resolver.
func (t *stateTracker) Info() (policy, serviceConfig string) { return "", "" }
