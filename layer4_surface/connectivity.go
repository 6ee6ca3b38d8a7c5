package surface

import (
	"context"
	"errors"
	"fmt"
	"sync"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// State returns how far the channel is from carrying calls. tryConnect asks a
// channel that is idle to connect, which shows in a later state. From the
// moment when calls are refused because the channel closes it is Shutdown.
func (c *Channel) State(tryConnect bool) connectivity.State {
	if c.closing.Load() {
		return connectivity.Shutdown
	}
	return c.control.State(tryConnect)
}

// LastError returns why the last connection was lost or could not be made, nil
// if none was.
func (c *Channel) LastError() error { return c.control.LastError() }

// ResetBackoff lets the next attempts to connect begin at once.
func (c *Channel) ResetBackoff() { c.control.ResetBackoff() }

// WaitForStateChange waits until the state is another than last and reports
// true, or false when ctx ended first.
func (c *Channel) WaitForStateChange(ctx context.Context, last connectivity.State) bool {
	w := &stateWaiter{last: last, changed: make(chan struct{})}
	c.calls.stack.StartTransportOp(&transport.Op{StartWatch: w})
	defer c.calls.stack.StartTransportOp(&transport.Op{StopWatch: w})
	select {
	case <-w.changed:
		return true
	case <-ctx.Done():
		return false
	}
}

// A stateWaiter closes changed at the first state that is not last.
type stateWaiter struct {
	last    connectivity.State
	changed chan struct{}
	once    sync.Once
}

// OnState is the watcher's.
func (w *stateWaiter) OnState(s connectivity.State, _ error) {
	if s != w.last {
		w.once.Do(func() { close(w.changed) })
	}
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

// Ping sends one PING and waits for its answer. A channel without a connection
// fails it, and so does one more soon after others with no call in between, since
// the server would take it for abuse: RESOURCE_EXHAUSTED.
func (c *Channel) Ping(ctx context.Context) error {
	p := &pingWaiter{answered: make(chan error, 1)}
	c.calls.stack.StartTransportOp(&transport.Op{Ping: &transport.Ping{OnAck: p}})
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
	mu sync.Mutex // a leaf
	// Guarded by mu.
	state connectivity.State
	cause error
}

// OnState is the watcher's.
func (t *stateTracker) OnState(s connectivity.State, cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = s
	if cause != nil {
		t.cause = cause
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

// ResetBackoff does nothing: nothing is attempted.
func (t *stateTracker) ResetBackoff() {}
