// Package limit is the filter of a server that bounds how many calls it has at
// once and how many come in a second, over all its connections together. What is
// too much is refused before anybody works on it.
//
// # Contract
//
//   - recv_initial_metadata: a call over a limit fails with RESOURCE_EXHAUSTED and
//     is cancelled, before the application hears of it and before a message is
//     read. The client reads the limit, its value and the option.
//   - A call counts from its headers until its block is recycled, which is when the
//     stream has ended and the application has released the call: a client that
//     makes calls and resets them cannot have more handlers running than that.
//   - A call has to be within the limits of the server and within those of its
//     method. One that is refused by one of them is not counted by the others, but
//     the rate of its method may have counted it.
//   - One [New] is one set of limits: all stacks that are built with it share them.
//   - Who waits longest is not served first: nobody waits here.
//   - Not here: connections (layer 4), streams of one connection (MaxStreams of the
//     transport), who calls. The hook of server_auth is asked about calls that are
//     within the limits only, so those it refuses have been counted too.
//
// # Goroutines
//
// None. A bucket is filled when it is looked at.
//
// # Locks
//
// bucket.mu is held for a few additions. Calls at once are one atomic word.
package limit

import (
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// Name is the name of the filter.
const Name = "limit"

const component = "filter:" + Name // in traces

// A gate is the limits of the server, or of one of its methods.
type gate struct {
	// Set by newGate, read-only afterwards.
	max      int64 // calls at once, 0 for any number
	rated    bool
	tooMany  error
	tooOften error

	calls  atomic.Int64
	bucket bucket
}

// newGate returns the gate of cfg, nil for none. of is what it is about, " of " and
// a method or nothing.
func newGate(cfg Config, of string) *gate {
	if !cfg.limits() {
		return nil
	}
	g := &gate{max: int64(cfg.MaxConcurrent), rated: cfg.Rate > 0}
	g.tooMany = exhausted("the server has as many calls" + of + " at once as it may have: " +
		strconv.Itoa(cfg.MaxConcurrent) + " (option MaxConcurrent)")
	if g.rated {
		g.tooOften = exhausted("more calls" + of + " come than the server takes: " +
			strconv.FormatFloat(cfg.Rate, 'g', -1, 64) + " a second (option Rate)")
		g.bucket.init(cfg.Rate, cfg.burst(), time.Now())
	}
	return g
}

func exhausted(reason string) error {
	return &transport.Error{Code: status.ResourceExhausted, Layer: Name, Reason: reason}
}

// enter lets a call in, or returns why not.
func (g *gate) enter() error {
	most := g.max
	if most == 0 {
		most = math.MaxInt64
	}
	for {
		n := g.calls.Load()
		if n >= most {
			return g.tooMany
		}
		if g.calls.CompareAndSwap(n, n+1) {
			break
		}
	}
	if g.rated && !g.bucket.take(time.Now()) {
		g.leave()
		return g.tooOften
	}
	return nil
}

// leave takes a call out that was let in.
func (g *gate) leave() { g.calls.Add(-1) }

// New returns the filter. It serves servers.
func New(cfg Config) callstack.Filter {
	f := &filter{cfg: cfg, all: newGate(cfg, ""), methods: make(map[string]*gate, len(cfg.Methods))}
	for path, c := range cfg.Methods {
		f.methods[path] = newGate(c, " of "+path)
	}
	return f
}

type filter struct {
	cfg     Config
	all     *gate            // nil for none
	methods map[string]*gate // by path, nil for none
}

func (f *filter) Name() string    { return Name }
func (f *filter) Validate() error { return f.cfg.Validate() }

func (f *filter) NewChannel(args *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &channel{callstack.ChannelBase{Next: next}, f, args.Trace}, nil
}

// enter lets a call of the method path in, or returns why not. The gates are those
// that it has to leave.
func (f *filter) enter(path string) (held [2]*gate, refused error) {
	for i, g := range [...]*gate{f.methods[path], f.all} {
		if g == nil {
			continue
		}
		if refused = g.enter(); refused != nil {
			leave(&held)
			return held, refused
		}
		held[i] = g
	}
	return held, nil
}

// leave leaves the gates that are held.
func leave(held *[2]*gate) {
	for i, g := range held {
		if g != nil {
			g.leave()
			held[i] = nil
		}
	}
}

type channel struct {
	callstack.ChannelBase
	filter *filter
	sink   trace.Sink // nil for none
}

func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &call{CallBase: callstack.CallBase{Next: next}, ch: ch}
}

type call struct {
	callstack.CallBase
	ch   *channel
	args *callstack.CallArgs

	accept      *transport.StreamOpBatch // has recv_initial_metadata
	headersDone transport.Done
	held        [2]*gate // written by the callback of the headers
}

func (c *call) Init(args *callstack.CallArgs) error {
	c.args = args
	return nil
}

// Reset gives the place of the call to another one.
func (c *call) Reset() {
	leave(&c.held)
	c.args, c.accept, c.headersDone = nil, nil, nil
}

func (c *call) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvInitialMetadata) {
		c.accept, c.headersDone = b, b.RecvInitialMetadata.Ready
		b.RecvInitialMetadata.Ready = (*onHeaders)(c)
	}
	c.Next.StartBatch(b)
}

// onHeaders is a call as the callback of recv_initial_metadata.
type onHeaders call

func (d *onHeaders) Run(err error) {
	c := (*call)(d)
	if err == nil {
		if c.held, err = c.ch.filter.enter(c.accept.RecvInitialMetadata.MD.Path); err != nil {
			if sink := c.ch.sink; sink != nil {
				c.traceRefusal(sink, err)
			}
			callstack.Cancel(c.Next, err)
		}
	}
	c.headersDone.Run(err)
}

// traceRefusal is kept out of line so that it costs nothing without a sink.
//
//go:noinline
func (c *call) traceRefusal(sink trace.Sink, err error) {
	c.accept.Cause = sink.Emit(&trace.Event{Cause: c.accept.Cause, Layer: 2, Component: component, Op: "limit.refuse", Call: c.args.CallID, Err: err})
}
