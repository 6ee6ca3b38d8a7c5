package clientauth

import (
	"maps"
	"slices"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// Of a call that is held the transport does not know, so it cannot tell it that
// the connection was lost. The filter watches the connection for those calls. Who
// closes the channel cancels them first, if that is layer 4.

// wait takes note that c is held. It returns why that is no use, if the connection
// has ended.
func (ch *channel) wait(c *call) error {
	if ch.t != nil {
		ch.watch.Do(ch.startWatch)
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.ended {
		return ch.lost(ch.cause)
	}
	if ch.waiting == nil {
		ch.waiting = make(map[*call]struct{})
	}
	ch.waiting[c] = struct{}{}
	return nil
}

// waited is the end of wait.
func (ch *channel) waited(c *call) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	delete(ch.waiting, c)
}

func (ch *channel) startWatch() { ch.t.PerformOp(&transport.Op{StartWatch: ch}) }

// OnState is told by the transport how it is. A call that is held when the
// connection ends has sent nothing, so that it may go to another one.
func (ch *channel) OnState(s connectivity.State, cause error) {
	if s == connectivity.TransientFailure || s == connectivity.Shutdown {
		ch.end(cause)
	}
}

// StartTransportOp passes op on. A channel that is one connection is closed by it:
// calls that are held end by the reason for that, before the transport has one.
func (ch *channel) StartTransportOp(op *transport.Op) {
	if op.Disconnect != nil {
		ch.end(op.Disconnect)
	}
	ch.Next.StartTransportOp(op)
}

// end gives up all calls that are held, because of cause, and those that are still
// to come.
func (ch *channel) end(cause error) {
	ch.mu.Lock()
	ch.ended, ch.cause = true, cause
	calls := slices.Collect(maps.Keys(ch.waiting))
	for _, c := range calls {
		c.args.Owner.Ref() // fetch holds one until it has called waited
	}
	ch.mu.Unlock()
	for _, c := range calls {
		owner := c.args.Owner
		c.giveUp(ch.lost(cause))
		owner.Unref()
	}
}

// giveUp ends a held call with err. Caller holds a reference of the owner, or has
// a batch outstanding.
func (c *call) giveUp(err error) {
	c.mu.Lock()
	decides := c.asking
	stop := c.settleLocked()
	c.mu.Unlock()
	if decides {
		callstack.Cancel(c.Next, err)
		c.hold.Open(c.Next, c.args)
		stop()
	}
}

// Destroy ends the watch.
func (ch *channel) Destroy() {
	watched := ch.t != nil
	ch.watch.Do(func() { watched = false })
	if watched {
		ch.t.PerformOp(&transport.Op{StopWatch: ch})
	}
}
