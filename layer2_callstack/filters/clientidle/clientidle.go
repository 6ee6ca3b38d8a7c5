// Package clientidle is the filter that gives up the connections of a channel
// which nobody calls: the top of CLIENT_CHANNEL, and on unless it is switched off.
//
//	         left IDLE                 ten periods in a row without a call
//	waiting ───────────▶ ticking ─────────────────────────────────────────┐
//	   ▲                  │   ▲ a call began, goes on or has ended        │
//	   │                  └───┘ since the last tick: count from none      │
//	   └────────────────────────── EnterIdle ◀────────────────────────────┘
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
//	tick   the runtime's timer    the time of the next tick is set, or IDLE asked for
//
// # Locks
//
// channel.mu < activities.mu: take channel.mu first. Neither is held while another
// layer runs. A call takes none: it writes a word that belongs to its block.
//
// # Reading order
//
// clientidle.go, activity.go.
package clientidle

import (
	"fmt"
	"sync"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// Name is the name of the filter.
const Name = "client_idle"

// The default of Config.Timeout, which is that of gRPC core and grpc-go, and the
// least that it can be.
const (
	DefaultTimeout = 30 * time.Minute
	MinTimeout     = time.Second
)

// ticks is how often in Timeout the calls are looked at.
const ticks = 10

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
	ch := &channel{
		ChannelBase: callstack.ChannelBase{Next: next}, sink: args.Trace,
		timeout: f.cfg.Timeout, period: (f.cfg.Timeout + ticks - 1) / ticks,
	}
	next.StartTransportOp(&transport.Op{StartWatch: ch})
	return ch, nil
}

// A channel is the filter's part of one channel. It watches the state, so that the
// timer stands still while there is nothing to give up.
type channel struct {
	callstack.ChannelBase
	// Set by NewChannel, read-only afterwards.
	sink            trace.Sink // nil for none
	timeout, period time.Duration

	calls activities

	mu sync.Mutex // taken before calls.mu
	// Guarded by mu.
	timer     *time.Timer // made when it is first needed
	ticking   bool
	quiet     int // periods in a row without a call
	destroyed bool

	running sync.WaitGroup // one for a timer that is set or a tick that runs
}

func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	c := &call{CallBase: callstack.CallBase{Next: next}}
	c.activity = ch.calls.add(c)
	return c
}

// OnState begins to tick when the channel leaves IDLE: by a call, or because it
// was told to connect.
func (ch *channel) OnState(s connectivity.State, _ error) {
	if s == connectivity.Idle || s == connectivity.Shutdown {
		return
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.ticking || ch.destroyed {
		return
	}
	ch.ticking, ch.quiet = true, 0
	ch.running.Add(1)
	if ch.timer == nil {
		ch.timer = time.AfterFunc(ch.period, ch.tick)
	} else {
		ch.timer.Reset(ch.period)
	}
}

// tick looks at the calls, and asks for IDLE if there was none for long enough.
func (ch *channel) tick() {
	defer ch.running.Done()
	if !ch.due() {
		return
	}
	if ch.sink != nil {
		ch.sink.Emit(&trace.Event{Layer: 2, Component: "filter:" + Name, Op: "idle.enter",
			Text: "no call for " + ch.timeout.String()})
	}
	ch.Next.StartTransportOp(&transport.Op{EnterIdle: true})
}

// due reports whether the time has come; if not, the timer is set again.
func (ch *channel) due() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.destroyed {
		return false
	}
	ch.quiet++
	if ch.calls.sweep() {
		ch.quiet = 0
	}
	if ch.quiet >= ticks {
		ch.ticking = false
		return true
	}
	ch.running.Add(1)
	ch.timer.Reset(ch.period)
	return false
}

// Destroy stops the timer and waits for a tick that runs.
func (ch *channel) Destroy() {
	ch.mu.Lock()
	ch.destroyed = true
	if ch.ticking && ch.timer.Stop() {
		ch.running.Done()
	}
	ch.mu.Unlock()
	ch.running.Wait()
}

// A call is the filter's part of one call.
type call struct {
	callstack.CallBase
	activity     *activity
	trailersDone transport.Done
}

// Init begins a call.
func (c *call) Init(*callstack.CallArgs) error {
	c.activity.begin()
	return nil
}

// Reset ends a call of which neither its end nor a cancel was seen.
func (c *call) Reset() {
	c.activity.end()
	c.trailersDone = nil
}

// StartBatch takes note of what ends the call.
func (c *call) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		c.trailersDone = b.RecvTrailingMetadata.Ready
		b.RecvTrailingMetadata.Ready = (*onTrailers)(c)
	}
	if b.Ops.Has(transport.OpCancelStream) {
		c.activity.end()
	}
	c.Next.StartBatch(b)
}

// onTrailers is a call as the callback of recv_trailing_metadata.
type onTrailers call

func (c *onTrailers) Run(err error) {
	c.activity.end()
	c.trailersDone.Run(err)
}
