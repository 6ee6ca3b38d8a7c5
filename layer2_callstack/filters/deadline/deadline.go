// Package deadline is the filter that ends a call at its deadline. On a client
// the deadline is what the call began with, on a server what the client sent
// in its headers.
//
// # Contract
//
//   - At the deadline the call is cancelled with DEADLINE_EXCEEDED, from the top
//     of the stack, so that filters above which hold batches hear of it.
//   - A client's call whose deadline has passed already fails in Init; a
//     server's fails in recv_initial_metadata, so that nobody works on it.
//   - A call without a deadline, or whose maker watches it, costs nothing.
//   - The timer holds a reference of the call's owner while it is armed. It is
//     stopped by the end of the call or by a cancel, whatever comes first.
//   - Not here: sending the deadline to the peer (layer 4 puts it into the
//     headers, the transport writes it).
//
// # Goroutines
//
//	name   started by              ends when
//	fire   the runtime's timer     the call is cancelled
//
// # Locks
//
// call.mu guards the timer. It is not held while a callback or a batch runs.
package deadline

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// Name is the name of the filter.
const Name = "deadline"

const component = "filter:" + Name // in traces

// New returns the filter. It serves clients and servers.
func New() callstack.Filter { return filter{} }

type filter struct{}

func (filter) Name() string { return Name }

func (filter) NewChannel(args *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &channel{callstack.ChannelBase{Next: next}, args.Trace}, nil
}

type channel struct {
	callstack.ChannelBase
	sink trace.Sink // nil for none
}

func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &call{CallBase: callstack.CallBase{Next: next}, ch: ch}
}

type call struct {
	callstack.CallBase
	ch   *channel
	args *callstack.CallArgs

	accept       *transport.StreamOpBatch // has recv_initial_metadata of a server's call
	headersDone  transport.Done
	trailersDone transport.Done

	// failed is why this filter ended a server's call at its headers, else
	// nil. It is written and read by callbacks only.
	failed error

	mu sync.Mutex
	// Guarded by mu. The timer is made by the first call that needs it and
	// kept. Whoever takes armed from true to false decides: a timer that was
	// stopped does not cancel, and one that fires is not stopped.
	timer *time.Timer

	// Atomic, so that a call without a deadline takes no lock. Written under mu.
	armed atomic.Bool
}

// Init begins a call, unless it is a client's and too late.
func (c *call) Init(args *callstack.CallArgs) error {
	c.args = args
	if c.ofClient() && args.TimeLeft() <= 0 {
		return tooLate()
	}
	return nil
}

// Start arms the timer of a client's call. It may fire at once.
func (c *call) Start() {
	if c.ofClient() {
		c.arm(c.args.Deadline, c.args.TimeLeft())
	}
}

// ofClient reports whether it is the deadline of a client's call that is watched.
func (c *call) ofClient() bool {
	return c.args.Accepted == nil && !c.args.Deadline.IsZero() && !c.args.DeadlineWatched
}

func (c *call) Reset() {
	c.args, c.accept, c.headersDone, c.trailersDone = nil, nil, nil, nil
	c.failed = nil
}

func (c *call) StartBatch(b *transport.StreamOpBatch) {
	if !c.args.DeadlineWatched && (c.args.Accepted != nil || !c.args.Deadline.IsZero()) {
		c.watch(b)
	}
	c.Next.StartBatch(b)
}

// watch takes note of what begins and ends the time of the timer.
func (c *call) watch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvInitialMetadata) && c.args.Accepted != nil {
		c.accept, c.headersDone = b, b.RecvInitialMetadata.Ready
		b.RecvInitialMetadata.Ready = (*onHeaders)(c)
	}
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		c.trailersDone = b.RecvTrailingMetadata.Ready
		b.RecvTrailingMetadata.Ready = (*onTrailers)(c)
	}
	if b.Ops.Has(transport.OpCancelStream) {
		c.disarm()
	}
}

// onHeaders is a server's call as the callback of recv_initial_metadata.
type onHeaders call

func (c *onHeaders) Run(err error) { (*call)(c).gotHeaders(err) }

func (c *call) gotHeaders(err error) {
	if deadline := c.accept.RecvInitialMetadata.MD.Deadline; err == nil && !deadline.IsZero() {
		c.args.Cause = c.accept.Cause
		if left := time.Until(deadline); left > 0 {
			c.arm(deadline, left)
		} else {
			err = tooLate()
			c.failed = err
			callstack.Cancel(c.Next, err)
		}
	}
	c.headersDone.Run(err)
}

// onTrailers is a call as the callback of recv_trailing_metadata.
type onTrailers call

func (c *onTrailers) Run(err error) {
	(*call)(c).disarm()
	if c.failed != nil {
		err = c.failed
	}
	c.trailersDone.Run(err)
}

// arm starts the timer.
func (c *call) arm(deadline time.Time, left time.Duration) {
	c.args.Owner.Ref()
	if sink := c.ch.sink; sink != nil {
		c.args.TraceArm(sink, component, deadline)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed.Store(true)
	if c.timer == nil {
		c.timer = time.AfterFunc(left, c.fire)
	} else {
		c.timer.Reset(left)
	}
}

// disarm stops the timer if it is armed. The reference of a timer that is
// firing already is dropped by fire.
func (c *call) disarm() {
	if !c.armed.Load() {
		return
	}
	c.mu.Lock()
	stopped := c.armed.Swap(false) && c.timer.Stop()
	c.mu.Unlock()
	if stopped {
		c.args.Owner.Unref()
	}
}

// fire runs at the deadline. Its reference keeps the call in the use that it
// was armed in, so it cannot cancel a later one.
func (c *call) fire() {
	c.mu.Lock()
	due := c.armed.Swap(false)
	c.mu.Unlock()
	owner := c.args.Owner
	if due {
		b := &transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: exceeded("deadline passed")}
		if sink := c.ch.sink; sink != nil {
			b.Cause = c.args.TraceFire(sink, component)
		}
		c.args.Top.StartBatch(b)
	}
	owner.Unref()
}

func tooLate() error { return exceeded("deadline passed before the call began") }

func exceeded(reason string) error {
	return &transport.Error{Code: status.DeadlineExceeded, Layer: Name, Reason: reason, Cause: context.DeadlineExceeded}
}
