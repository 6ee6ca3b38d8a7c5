package clientchannel

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/balancer"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/subchannel"
)

// Name is the name of the filter.
const Name = "client_channel"

// A ClientChannel is the filter client_channel and its part of the one channel
// stack in which it stands. It is idle until the first call, or until it is
// asked to connect.
//
// All methods may be called from any goroutine at any time.
type ClientChannel struct {
	// Set by New, read-only afterwards.
	cfg       Config
	target    resolver.Target
	builder   resolver.Builder
	authority string
	done      chan struct{} // closed when the state is SHUTDOWN

	serial  serializer
	queue   pickQueue
	wg      sync.WaitGroup // every goroutine of the channel
	control control        // Owned by the serializer; no lock.

	// Atomic.
	state         atomic.Uint32 // connectivity.State, written on the serializer
	lastErr       atomic.Pointer[datedError]
	serviceConfig atomic.Pointer[string] // of the last result; nil before the first
	inStack       atomic.Bool
}

var (
	_ callstack.Filter      = (*ClientChannel)(nil)
	_ callstack.ChannelElem = (*ClientChannel)(nil)
)

// New returns a channel in state IDLE. It checks cfg and does no I/O.
func New(cfg Config) (*ClientChannel, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	target, builder, err := cfg.resolveTarget()
	if err != nil {
		return nil, err
	}
	authority, err := cfg.authority(target, builder)
	if err != nil {
		return nil, err
	}
	if cfg.Connect == nil {
		var dial DialFunc
		builder, dial = cfg.route(target, builder)
		cfg.Connect = defaultConnect(&cfg, dial)
	}
	c := &ClientChannel{cfg: cfg, target: target, builder: builder, authority: authority, done: make(chan struct{})}
	c.serial = serializer{start: c.wg.Go, trace: cfg.Trace}
	c.control.env = subchannel.Env{
		Connect: cfg.Connect, NewStack: cfg.NewStack,
		Backoff: cfg.Backoff, MinConnectTimeout: cfg.MinConnectTimeout,
		Target: cfg.Target, Authority: authority, Logger: cfg.Logger, Trace: cfg.Trace,
		Schedule: c.serial.schedule, Go: c.wg.Go, OnError: c.onConnectionError,
	}
	c.control.env.Init()
	c.queue.picker.Store(c.idlePicker())
	return c, nil
}

// Name returns "client_channel".
func (c *ClientChannel) Name() string { return Name }

// NewChannel returns c itself. It must be the last filter of one stack.
func (c *ClientChannel) NewChannel(args *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	if next != nil {
		return nil, fmt.Errorf("client_channel must be the last filter of %s: it passes calls on to stacks of its own", args.Name)
	}
	if c.inStack.Swap(true) {
		return nil, errors.New("client_channel stands in a stack already; each channel needs a value of its own")
	}
	return c, nil
}

// NewCall returns the channel's part of a call block.
func (c *ClientChannel) NewCall(callstack.CallElem) callstack.CallElem { return &call{ch: c} }

// Target returns the target that the channel was made for.
func (c *ClientChannel) Target() string { return c.cfg.Target }

// Authority returns the :authority of calls that name no other.
func (c *ClientChannel) Authority() string { return c.authority }

// State returns the state. With tryConnect an idle channel begins to connect.
func (c *ClientChannel) State(tryConnect bool) connectivity.State {
	s := connectivity.State(c.state.Load())
	if tryConnect && s == connectivity.Idle {
		c.serial.schedule(c.exitIdle)
	}
	return s
}

// LastError returns why the channel could not connect, or lost its connection,
// with the age of that error. It is nil while the channel is READY.
func (c *ClientChannel) LastError() error {
	if e := c.lastErr.Load(); e != nil {
		return e.aged()
	}
	return nil
}

// Info returns the name of the policy that chooses connections, and the service
// config that the resolver gave last, empty if it gave none.
func (c *ClientChannel) Info() (policy, serviceConfig string) {
	if p := c.serviceConfig.Load(); p != nil {
		serviceConfig = *p
	}
	return c.cfg.Balancer.Name(), serviceConfig
}

// EnterIdle gives up resolver, balancer and connections; open calls go on.
func (c *ClientChannel) EnterIdle() { c.serial.schedule(c.enterIdle) }

// ResetBackoff ends the waits after failures, so that the next attempt comes
// at once.
func (c *ClientChannel) ResetBackoff() { c.serial.schedule(c.resetBackoff) }

// StartTransportOp carries out op on the channel.
//
// Disconnect shuts the channel down: queued calls fail with its error, those
// under way too. A watcher is told of the present state first. A ping needs a
// connection. EnterIdle is the method of that name. Goaway and Accept mean nothing
// to a client's channel.
func (c *ClientChannel) StartTransportOp(op *transport.Op) {
	if w := op.StartWatch; w != nil {
		if !c.serial.schedule(func() { c.startWatch(w) }) {
			c.tell(w, connectivity.Shutdown, c.shutdownError())
		}
	}
	if w := op.StopWatch; w != nil {
		c.serial.schedule(func() { c.stopWatch(w) })
	}
	if op.Ping != nil {
		c.ping(op.Ping)
	}
	if op.EnterIdle {
		c.EnterIdle()
	}
	if err := op.Disconnect; err != nil {
		c.serial.schedule(func() { c.shutdown(err) })
	}
}

// ping goes to the subchannel that a call would go to.
func (c *ClientChannel) ping(p *transport.Ping) {
	if conn := c.pickForPing(); conn != nil {
		conn.Transport().PerformOp(&transport.Op{Ping: p})
		return
	}
	err := &transport.Error{Code: codeUnavailable, Layer: Name, Reason: "channel not connected", Progress: transport.ProgressNotSent}
	for _, done := range []transport.Done{p.OnInitiate, p.OnAck} {
		if done != nil {
			done.Run(err)
		}
	}
}

// pickForPing returns the connection to ping, nil if there is none. The picker is
// asked in READY only: in IDLE it would connect, which is for calls to do.
func (c *ClientChannel) pickForPing() *subchannel.Conn {
	if c.State(false) != connectivity.Ready {
		return nil
	}
	r := c.safePick(c.queue.picker.Load(), balancer.PickInfo{})
	if r.Kind != balancer.PickComplete {
		return nil
	}
	if sub, ok := r.Subchannel.(*subchannel.Subchannel); ok {
		return sub.Conn()
	}
	return nil
}

// errDestroyed is the cause when a channel is destroyed without Disconnect.
var errDestroyed = errors.New("the channel was closed")

// Destroy shuts the channel down, if nobody has, and waits for all of its
// goroutines. It must not be called from a callback of the channel.
func (c *ClientChannel) Destroy() {
	c.serial.schedule(func() { c.shutdown(errDestroyed) })
	<-c.done
	c.wg.Wait()
}
