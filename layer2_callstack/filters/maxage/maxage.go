// Package maxage is the filter that ends a server's connections when they are old
// or have nothing to do, so that clients connect anew: to the servers that there
// are by then. gRFC A9.
//
//	         age, 10 % more or less            grace
//	open ──────────────────────────▶ GOAWAY ──────────▶ cut off
//	  └────no calls for the idle time──▲  └─no call is left─▶ closed, by the transport
//
// # Contract
//
//   - At its age a connection is told to take no more calls, with a GOAWAY that
//     says "max_age". Those that are open go on; where a grace is configured,
//     they are cut off with UNAVAILABLE after it.
//   - The age of each connection is up to 10 % shorter or longer than configured,
//     by chance, as in gRPC core and grpc-go: clients that have connected
//     together, after a server was started, do not do so again all at once. Grace
//     and idle time are exact in that sense. (gRPC core varies the idle time too.)
//   - A connection without calls for the idle time gets a GOAWAY that says
//     "max_idle": never too early, and at the latest a tenth of the time (or 2 ms)
//     too late. The time counts from when the connection was made, and from the end
//     of its last call; that is when the call's memory is given back, and so not
//     before its handler has returned. Grace has no part in it.
//   - Both begin when the connection is set up, after its handshakes.
//   - No call is lost: the transport's GOAWAY lets in what the client has sent
//     before it saw it, and the client is told of everything else that it may be
//     tried elsewhere. RFC 9113 §6.8.
//   - After Destroy nothing of the filter runs.
//   - Not here: peers that are dead (keepalive) or slow (limits of the transport).
//
// # Goroutines
//
//	name   started by              ends when
//	fire   the runtime's timer     the connection is told
//	idle   the same                the same
//
// # Locks
//
// channel.mu guards the timer. It is not held while an operation goes down.
package maxage

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/filters/internal/idle"
)

// Name is the name of the filter.
const Name = "max_age"

const component = "filter:" + Name // in traces

// What the GOAWAYs say, the same as in gRPC core and grpc-go.
const (
	debugAge  = "max_age"
	debugIdle = "max_idle"
)

// jitter is by which part the age of a connection differs from what is
// configured, at most.
const jitter = 0.1

// A Config says how old a server's connections may become. The zero value is
// without a bound.
type Config struct {
	// MaxConnectionAge is after what time a connection takes no more calls, 10 %
	// more or less. Zero is never.
	MaxConnectionAge time.Duration

	// MaxConnectionAgeGrace is how long the calls that are open then may still
	// take, with MaxConnectionAge. Zero is without end.
	MaxConnectionAgeGrace time.Duration

	// MaxConnectionIdle is how long a connection may be without calls. Zero is
	// without end.
	MaxConnectionIdle time.Duration
}

// Enabled reports whether there is anything to do.
func (c Config) Enabled() bool { return c.MaxConnectionAge != 0 || c.MaxConnectionIdle != 0 }

// Validate returns what is wrong with c, nil if nothing is.
func (c Config) Validate() error {
	for _, o := range []struct {
		name  string
		value time.Duration
	}{
		{"MaxConnectionAge", c.MaxConnectionAge},
		{"MaxConnectionAgeGrace", c.MaxConnectionAgeGrace},
		{"MaxConnectionIdle", c.MaxConnectionIdle},
	} {
		if o.value < 0 {
			return fmt.Errorf("option %s is %v, want more than 0, or 0 for no bound", o.name, o.value)
		}
	}
	if c.MaxConnectionAgeGrace > 0 && c.MaxConnectionAge == 0 {
		return fmt.Errorf("option MaxConnectionAgeGrace is %v and MaxConnectionAge is 0, want an age above 0, which the grace begins at", c.MaxConnectionAgeGrace)
	}
	return nil
}

// New returns the filter. It serves servers.
func New(cfg Config) callstack.Filter { return &filter{cfg, rand.Float64} }

type filter struct {
	cfg    Config
	random func() float64 // in [0, 1)
}

func (*filter) Name() string { return Name }

func (f *filter) Validate() error { return f.cfg.Validate() }

func (f *filter) NewChannel(args *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	if err := f.cfg.Validate(); err != nil {
		return nil, err
	}
	ch := &channel{ChannelBase: callstack.ChannelBase{Next: next}, cfg: f.cfg, sink: args.Trace}
	ch.start(f.random)
	return ch, nil
}

// A channel is one connection.
type channel struct {
	callstack.ChannelBase

	// Set by NewChannel and start, read-only afterwards.
	cfg  Config
	sink trace.Sink    // nil for none
	age  time.Duration // of this connection

	calls  *idle.Watch    // nil if nobody wants to know
	timers sync.WaitGroup // armed or running; at most one

	mu sync.Mutex // a leaf
	// Guarded by mu.
	timer     *time.Timer
	old       bool // the age was reached, and the timer is for the grace
	destroyed bool
}

// start arms the timers.
func (ch *channel) start(random func() float64) {
	if ch.cfg.MaxConnectionAge > 0 {
		ch.age = jittered(ch.cfg.MaxConnectionAge, random())
		ch.mu.Lock()
		ch.timers.Add(1)
		ch.timer = time.AfterFunc(ch.age, ch.fire)
		ch.mu.Unlock()
	}
	if ch.cfg.MaxConnectionIdle > 0 {
		ch.calls = idle.NewWatch(ch.cfg.MaxConnectionIdle, ch.idle)
		ch.calls.Start()
	}
}

// jittered returns age, shorter by a part of up to jitter where r is less than
// one half, and longer where it is more. r is in [0, 1).
func jittered(age time.Duration, r float64) time.Duration {
	if d := float64(age) * (1 - jitter + 2*jitter*r); d < math.MaxInt64 {
		return time.Duration(d)
	}
	return math.MaxInt64
}

// fire runs at the age of the connection, and after the grace.
func (ch *channel) fire() {
	defer ch.timers.Done()
	ch.mu.Lock()
	cut, destroyed := ch.old, ch.destroyed
	ch.old = true
	if grace := ch.cfg.MaxConnectionAgeGrace; !cut && !destroyed && grace > 0 {
		ch.timers.Add(1)
		ch.timer.Reset(grace)
	}
	ch.mu.Unlock()
	switch {
	case destroyed:
	case cut:
		ch.cut()
	default:
		ch.goAway("age.goaway", ch.age, debugAge)
	}
}

// idle runs when there were no calls for the idle time.
func (ch *channel) idle() { ch.goAway("idle.goaway", ch.cfg.MaxConnectionIdle, debugIdle) }

// goAway begins the graceful end. A connection that ends already is left alone
// by the transport.
func (ch *channel) goAway(event string, after time.Duration, debug string) {
	if ch.sink != nil {
		ch.sink.Emit(&trace.Event{Layer: 2, Component: component, Op: event, Dir: trace.DirDown, Text: after.String()})
	}
	ch.Next.StartTransportOp(&transport.Op{Goaway: &transport.Goaway{Code: status.HTTP2NoError, Debug: debug}})
}

// cut ends the calls that the grace was not enough for.
func (ch *channel) cut() {
	err := &transport.Error{
		Code: status.Unavailable, Layer: Name,
		Reason: fmt.Sprintf("the connection was %v old, and the %v that its calls had to end are over (MaxConnectionAge and MaxConnectionAgeGrace)",
			ch.age.Round(time.Millisecond), ch.cfg.MaxConnectionAgeGrace),
	}
	if ch.sink != nil {
		ch.sink.Emit(&trace.Event{Layer: 2, Component: component, Op: "age.cut", Dir: trace.DirDown, Err: err})
	}
	ch.Next.StartTransportOp(&transport.Op{Disconnect: err})
}

// Destroy stops the timers and waits for one that fires.
func (ch *channel) Destroy() {
	ch.mu.Lock()
	ch.destroyed = true
	if ch.timer != nil && ch.timer.Stop() {
		ch.timers.Done()
	}
	ch.mu.Unlock()
	ch.timers.Wait()
	if ch.calls != nil {
		ch.calls.Stop()
	}
}

// NewCall returns an element that counts, if somebody wants to know.
func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	c := &call{CallBase: callstack.CallBase{Next: next}}
	if ch.calls == nil {
		return &c.CallBase
	}
	ch.calls.Add(&c.calls)
	return c
}

type call struct {
	callstack.CallBase
	calls idle.Calls
}

func (c *call) Init(*callstack.CallArgs) error {
	c.calls.Begin()
	return nil
}

func (c *call) Reset() { c.calls.End() }
