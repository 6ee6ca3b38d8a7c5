// Package faultinjection is the filter that makes a share of a client's calls late,
// or fail, on purpose: to see what becomes of the program. gRFC A33.
//
// # Contract
//
//   - What becomes of a call is decided once, when its initial metadata comes down:
//     a delay, an end, the one after the other, or nothing. The two are drawn
//     independently of each other.
//   - A delay keeps what the call sends and asks for from then on, so that until its
//     end nothing is sent and nobody connects. A cancel or the deadline, whoever
//     watches it, ends it at once, and so does the end of the channel.
//   - An end cancels the call below with the code that is configured. The batch is
//     passed on and fails there. Nothing of it is sent.
//   - With Config.Headers a call can ask for a fault by headers of its own, within
//     what is configured. They are sent on.
//   - A delay holds a reference of the call's owner, and one of Config.MaxActive,
//     which is given back once however the delay ends.
//   - A call without a fault allocates nothing.
//   - After Destroy nothing of the filter runs.
//   - Not here: faults of a server, of messages, or of what is received.
//
// # Goroutines
//
//	name   started by             ends when
//	fire   the runtime's timer    the call goes on or is cancelled
//
// # Locks
//
// channel.mu guards the timers of its calls. It is not held while a callback or a
// batch runs, and calls take it that are delayed or cancelled.
//
// # Reading order
//
// config.go, faultinjection.go, delay.go.
package faultinjection

import (
	"sync"
	"sync/atomic"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// Name is the name of the filter.
const Name = "fault_injection"

const component = "filter:" + Name // in traces

// New returns the filter. It serves clients.
func New(cfg Config) callstack.Filter { return &filter{cfg: cfg} }

// A filter counts the delays of all channels that it stands in.
type filter struct {
	cfg    Config
	active atomic.Int64 // calls that are delayed now
}

func (f *filter) Name() string { return Name }

// Validate returns what is wrong with the configuration.
func (f *filter) Validate() error { return f.cfg.Validate() }

func (f *filter) NewChannel(args *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &channel{ChannelBase: callstack.ChannelBase{Next: next}, filter: f, sink: args.Trace}, nil
}

// enter takes the place of one more fault, if there is one.
func (f *filter) enter() bool {
	if limit := int64(f.cfg.MaxActive); limit > 0 && f.active.Add(1) > limit {
		f.leave()
		return false
	}
	return true
}

// leave gives the place back.
func (f *filter) leave() {
	if f.cfg.MaxActive > 0 {
		f.active.Add(-1)
	}
}

type channel struct {
	callstack.ChannelBase
	// Set by NewChannel, read-only afterwards.
	filter *filter
	sink   trace.Sink // nil for none

	mu sync.Mutex // a leaf
	// Guarded by mu.
	delayed map[*call]struct{} // those whose timer is set
	closed  bool               // nobody is delayed any more

	timers sync.WaitGroup // that are set or fire
}

func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &call{CallBase: callstack.CallBase{Next: next}, ch: ch}
}

// A call is the filter's part of one call. It has nothing to do until a fault is
// drawn for the call.
type call struct {
	callstack.CallBase
	ch   *channel
	args *callstack.CallArgs

	hold  callstack.Hold
	fault fault         // what was drawn; set before the timer, read by fire
	cause trace.EventID // of what fire does

	// Guarded by ch.mu. The timer is made by the first delay and kept.
	timer *time.Timer
	ended bool // cancelled, so that no delay begins any more
}

// StartTransportOp passes op on. The end of the channel is that of all delays.
func (ch *channel) StartTransportOp(op *transport.Op) {
	ch.Next.StartTransportOp(op)
	if op.Disconnect != nil {
		ch.close()
	}
}

// Destroy waits until no timer is left.
func (ch *channel) Destroy() {
	ch.close()
	ch.timers.Wait()
}

// Init begins a call.
func (c *call) Init(args *callstack.CallArgs) error {
	c.args = args
	return nil
}

// Reset forgets the call.
func (c *call) Reset() {
	c.hold.Reset()
	c.args, c.fault, c.cause, c.ended = nil, fault{}, 0, false
}

// StartBatch draws the fault of the call when that begins, and keeps what comes
// during a delay.
func (c *call) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpSendInitialMetadata) {
		c.inject(b)
	}
	if b.Ops.Has(transport.OpCancelStream) {
		c.stop()
	}
	c.hold.StartBatch(c.Next, c.args, b)
}

// inject draws the fault of the call that b begins, and has it happen.
func (c *call) inject(b *transport.StreamOpBatch) {
	f := c.ch.filter
	drawn := f.cfg.draw(b.SendInitialMetadata.MD)
	if drawn == (fault{}) || !f.enter() {
		return
	}
	if drawn.delay > 0 {
		c.delay(b, drawn)
		return
	}
	f.leave()
	c.abort(drawn, b.Cause)
}

// abort ends the call. What comes down after it fails below.
func (c *call) abort(drawn fault, cause trace.EventID) {
	err := drawn.err()
	cancel := &transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: err}
	if sink := c.ch.sink; sink != nil {
		cancel.Cause = sink.Emit(&trace.Event{Cause: cause, Layer: 2, Component: component, Op: "fault.abort",
			Call: c.args.CallID, Text: drawn.code.String(), Err: err})
	}
	c.Next.StartBatch(cancel)
}
