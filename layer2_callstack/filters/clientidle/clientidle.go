// Package clientidle is the filter that gives up the connections of a channel
// which nobody calls: the top of CLIENT_CHANNEL, and on unless it is switched off.
//
//	         left IDLE              no call for Timeout
//	waiting ───────────▶ watching ───────────────────────┐
//	   ▲                                                 │
//	   └─────────────────── EnterIdle ◀──────────────────┘
//
// # Contract
//
//   - After Timeout without calls the channel is told to enter IDLE: resolver,
//     balancer and connections are given up, and the next call makes new ones. It
//     is told by transport.Op.EnterIdle, so it is for a client_channel below.
//   - Never before Timeout, and at most a tenth of it later: time is looked at ten
//     times in Timeout, and not once by a call.
//   - A channel that was only told to connect goes idle as well, Timeout later.
//   - A call counts from its creation to its end, which is recv_trailing_metadata,
//     a cancel, or the recycling of its block. So one that waits for a connection
//     counts, and a handle that is kept after the end does not. A block that was
//     lost to the garbage collector does not count either.
//   - A call that begins at the very moment goes on where it is, or waits and has
//     the channel connect again; it never fails by this.
//   - After Destroy nothing of the filter runs.
//
// # Goroutines
//
//	name   started by             ends when
//	idle   the runtime's timer    IDLE is asked for
//
// # Locks
//
// None of its own. A call takes none: it writes a word that belongs to its block.
package clientidle

import (
	"fmt"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/filters/internal/idle"
)

// Name is the name of the filter.
const Name = "client_idle"

// The default of Config.Timeout, which is that of gRPC core and grpc-go, and the
// least that it can be.
const (
	DefaultTimeout = 30 * time.Minute
	MinTimeout     = time.Second
)

// Config says when a channel goes idle.
type Config struct {
	// Timeout is how long a channel without calls keeps its connections. Zero
	// means DefaultTimeout, less means forever; what is between zero and
	// MinTimeout is raised to that.
	Timeout time.Duration
}

// Enabled reports whether there is anything for the filter to do.
func (c Config) Enabled() bool { return c.Timeout >= 0 }

func (c Config) withDefaults() Config {
	switch {
	case c.Timeout == 0:
		c.Timeout = DefaultTimeout
	case c.Timeout > 0:
		c.Timeout = max(c.Timeout, MinTimeout)
	}
	return c
}

// New returns the filter. A stack that is not [Config.Enabled] is built without it.
func New(cfg Config) callstack.Filter { return filter{cfg.withDefaults()} }

type filter struct{ cfg Config }

func (filter) Name() string { return Name }

func (f filter) NewChannel(args *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	if !f.cfg.Enabled() {
		return nil, fmt.Errorf("option Timeout is %v: a channel that never goes idle is built without the filter", f.cfg.Timeout)
	}
	ch := &channel{ChannelBase: callstack.ChannelBase{Next: next}, sink: args.Trace, timeout: f.cfg.Timeout}
	ch.calls = idle.NewWatch(ch.timeout, ch.idle)
	next.StartTransportOp(&transport.Op{StartWatch: ch})
	return ch, nil
}

// A channel is the filter's part of one channel. It watches the state, so that
// nobody looks while there is nothing to give up.
type channel struct {
	callstack.ChannelBase
	// Set by NewChannel, read-only afterwards.
	sink    trace.Sink // nil for none
	timeout time.Duration

	calls *idle.Watch
}

func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	c := &call{CallBase: callstack.CallBase{Next: next}}
	ch.calls.Add(&c.calls)
	return c
}

// OnState begins to look when the channel leaves IDLE: by a call, or because it was
// told to connect.
func (ch *channel) OnState(s connectivity.State, _ error) {
	if s != connectivity.Idle && s != connectivity.Shutdown {
		ch.calls.Start()
	}
}

// idle asks for IDLE when there was no call for long enough.
func (ch *channel) idle() {
	if ch.sink != nil {
		ch.sink.Emit(&trace.Event{Layer: 2, Component: "filter:" + Name, Op: "idle.enter",
			Text: "no call for " + ch.timeout.String()})
	}
	ch.Next.StartTransportOp(&transport.Op{EnterIdle: true})
}

// Destroy stops the timer and waits for what it runs.
func (ch *channel) Destroy() { ch.calls.Stop() }

// A call is the filter's part of one call.
type call struct {
	callstack.CallBase
	calls        idle.Calls
	trailersDone transport.Done
}

// Init begins a call.
func (c *call) Init(*callstack.CallArgs) error {
	c.calls.Begin()
	return nil
}

// Reset ends a call of which neither its end nor a cancel was seen.
func (c *call) Reset() {
	c.calls.End()
	c.trailersDone = nil
}

// StartBatch takes note of what ends the call.
func (c *call) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		c.trailersDone = b.RecvTrailingMetadata.Ready
		b.RecvTrailingMetadata.Ready = (*onTrailers)(c)
	}
	if b.Ops.Has(transport.OpCancelStream) {
		c.calls.End()
	}
	c.Next.StartBatch(b)
}

// onTrailers is a call as the callback of recv_trailing_metadata.
type onTrailers call

func (c *onTrailers) Run(err error) {
	c.calls.End()
	c.trailersDone.Run(err)
}
