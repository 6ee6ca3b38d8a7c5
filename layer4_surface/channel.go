package surface

import (
	"context"
	"errors"
	"fmt"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
	cq "github.com/strata-grpc/strata/layer3_cq"
	"github.com/strata-grpc/strata/layer4_surface/internal/roster"
	"github.com/strata-grpc/strata/layer4_surface/internal/watch"
)

// A Channel makes calls to a target. Its methods may be called from any
// goroutine at any time.
type Channel struct {
	// Set by newChannel, read-only afterwards.
	target  string
	calls   callPool
	control controller
	direct  transport.Transport // closed with the channel; nil if it is not one transport
	watches watch.Set           // has a lock of its own
	closed  chan struct{}       // closed when Close is done
}

// A controller is what a channel knows of its connections.
type controller interface {
	// State returns the state; tryConnect asks an idle channel to connect.
	State(tryConnect bool) connectivity.State
	// LastError returns why the last connection was lost or not made.
	LastError() error
	// ResetBackoff ends the waiting between attempts.
	ResetBackoff()
	// EnterIdle gives the connections up until they are needed again.
	EnterIdle()
	// Info returns what ChannelInfo has.
	Info() (policy, serviceConfig string)
}

// NewChannel returns a channel to target, such as "dns:///greeter:50051". It
// does no I/O: the first call connects, or State(true). What is wrong with the
// target or an option is an error that quotes it.
func NewChannel(target string, opts ...ChannelOption) (*Channel, error) {
	cfg, err := newChannelConfig(opts)
	if err != nil {
		return nil, fmt.Errorf("surface: channel to %q: %w", target, err)
	}
	var connections *callstack.Builder // set below, before there is one
	cc, err := clientchannel.New(clientchannel.Config{
		Target:            target,
		DefaultScheme:     cfg.defaultScheme,
		Resolvers:         cfg.resolvers,
		Credentials:       cfg.credentials,
		Dialer:            cfg.dialer,
		Authority:         cfg.authority,
		Backoff:           cfg.backoff,
		MinConnectTimeout: cfg.minConnectTimeout,
		Proxy:             cfg.proxy,
		NoProxy:           cfg.noProxy,
		HTTP2:             cfg.http2,
		NewStack: func(t transport.Transport, _ string) (*callstack.ChannelStack, error) {
			return connections.Build(cfg.stackArgs(t))
		},
		Logger: cfg.logger,
		Trace:  cfg.trace,
	})
	if err != nil {
		return nil, fmt.Errorf("surface: channel to %q: %w", target, err)
	}
	cfg.stack.Authority = cc.Authority()
	connections = stacks.ClientSubchannel(cfg.stack)
	var c *Channel
	if err = connections.Check(cfg.stackArgs(nil)); err == nil {
		err = cfg.checkPlainText()
	}
	if err != nil {
		err = fmt.Errorf("surface: channel to %q: %w", target, err)
	} else {
		c, err = newChannel(target, stacks.ClientChannel(cc, cfg.stack), cfg, cc, nil)
	}
	if err != nil {
		cc.Destroy() // which is part of no stack
	}
	return c, err
}

// NewDirectChannel returns a channel that is one connection: no resolution of
// names, no balancing, no reconnecting. It owns t from then on; with an error t is
// still the caller's.
func NewDirectChannel(t transport.Transport, opts ...ChannelOption) (*Channel, error) {
	if t == nil {
		return nil, errors.New("surface: NewDirectChannel without a transport")
	}
	target := t.Name() + ":" + t.Peer().String()
	cfg, err := newChannelConfig(opts)
	if err != nil {
		return nil, fmt.Errorf("surface: channel to %q: %w", target, err)
	}
	if cfg.stack.Authority == "" {
		cfg.stack.Authority = t.Peer().String()
	}
	stack := stacks.ClientDirect(cfg.stack, t.Name() != inprocName)
	if err = stack.Check(cfg.stackArgs(t)); err == nil {
		err = cfg.checkPeer(t.Peer().AuthInfo)
	}
	if err != nil {
		return nil, fmt.Errorf("surface: channel to %q: %w", target, err)
	}
	state := &stateTracker{trace: tracer{sink: cfg.trace}}
	c, err := newChannel(target, stack, cfg, state, t)
	if err == nil {
		c.calls.stack.StartTransportOp(&transport.Op{StartWatch: state})
	}
	return c, err
}

// checkPlainText returns which secrets the calls of a channel with a name would
// send in plain text, which is known before there is a connection. The filter has
// tried them out.
func (c *channelConfig) checkPlainText() error {
	if c.credentials.Info().SecurityProtocol != "insecure" {
		return nil
	}
	for _, creds := range c.stack.Auth.Credentials {
		if creds.RequireTransportSecurity() {
			return fmt.Errorf("option WithPerRPCCredentials: credentials %T are secrets that need a secure connection, and the transport credentials are plain text; "+
				"use credentials.NewTLS, or credentials whose RequireTransportSecurity is false", creds)
		}
	}
	return nil
}

// checkPeer returns which secrets may not be sent to the peer of a channel that
// is one connection. The filter has tried them out.
func (c *channelConfig) checkPeer(info credentials.AuthInfo) error {
	for _, creds := range c.stack.Auth.Credentials {
		if err := credentials.CheckPerRPC(creds, info); err != nil {
			return fmt.Errorf("option WithPerRPCCredentials: credentials %T: %s", creds, status.Convert(err).Message())
		}
	}
	return nil
}

// inprocName is the name of the transport that has no HTTP.
const inprocName = "inproc"

// NewLameChannel returns a channel whose calls all end with a status. It
// stands for one that could not be made, in programs that look for faults
// where calls end. The code must not be OK. Its state is TRANSIENT_FAILURE until
// it is closed, pings fail, and the peer of every call is called "lame".
func NewLameChannel(target string, code status.Code, message string) (*Channel, error) {
	state := new(stateTracker)
	cfg, err := newChannelConfig(nil)
	if err != nil {
		return nil, err
	}
	c, err := newChannel(target, stacks.Lame(status.New(code, message)), cfg, state, nil)
	if err == nil {
		c.calls.stack.StartTransportOp(&transport.Op{StartWatch: state})
	}
	return c, err
}

func newChannelConfig(opts []ChannelOption) (channelConfig, error) {
	var cfg channelConfig
	for i, o := range opts {
		if o == nil {
			return cfg, nilOption(i, len(opts))
		}
		o.applyChannel(&cfg)
	}
	if err := cfg.check(); err != nil {
		return cfg, err
	}
	cfg.endConfig = cfg.endConfig.withDefaults()
	cfg.nameLimits("client")
	return cfg, nil
}

func newChannel(target string, b *callstack.Builder, cfg channelConfig, control controller, t transport.Transport) (*Channel, error) {
	stack, err := b.Build(cfg.stackArgs(t))
	if err != nil {
		return nil, fmt.Errorf("surface: channel to %q: %w", target, err)
	}
	c := &Channel{target: target, control: control, direct: t, closed: make(chan struct{})}
	c.calls.stack, c.calls.trace, c.calls.codings = stack, newTracer(cfg.trace), cfg.codings
	c.calls.made = new(roster.Roster[call])
	c.watches.State, c.watches.Perform = func() connectivity.State { return c.State(false) }, stack.StartTransportOp
	if c.calls.trace.on() {
		c.calls.trace.channel("channel.create", target, nil)
	}
	return c, nil
}

// CallParams is what a call on a channel begins with.
type CallParams struct {
	// Method is "/service/method". What HTTP/2 does not carry in a path ends the
	// call with INTERNAL when it is sent; [Channel.RegisterCall] refuses it.
	Method string

	// Host is what the server is called in this call; empty for the
	// channel's authority.
	Host string

	// Deadline is when the call must have ended. Zero is never.
	Deadline time.Time

	// Queue gets the events of the call's batches. Nil is a queue of the
	// call's own, which delivers by tag; see [Call.Pluck].
	Queue *cq.Queue

	// Parent is the call on a server on whose behalf this one is made; the
	// zero Call for none. Propagate says what is taken from it. A call on a
	// client is an error, and one that has ended is a parent that has ended.
	Parent    Call
	Propagate Propagation

	// WaitForReady queues the call while the channel cannot connect, instead
	// of failing it. It adds a flag to the call's send_initial_metadata.
	WaitForReady bool

	// Credentials are those of this call, which send their fields behind those of
	// the channel's; nil for none. See also [Call.SetCredentials].
	Credentials credentials.PerRPCCredentials

	// DeadlineWatched says that the caller cancels the call at its deadline,
	// so that no timer is armed for it.
	DeadlineWatched bool

	// Cause is the trace event that led to the call, 0 without a trace.
	Cause trace.EventID
}

// CreateCall returns a new call, which its handle's Release ends. Nothing is
// sent before a batch with SendInitialMetadata. An error says what is wrong
// with p, or that the channel is closed.
func (c *Channel) CreateCall(p CallParams) (Call, error) {
	if len(p.Method) == 0 || p.Method[0] != '/' {
		return Call{}, fmt.Errorf("surface: method %q is not of the form /service/method", p.Method)
	}
	return c.create(&p)
}

// A RegisteredCall is a method of one host that was checked once, for calls on
// the channel that it was registered with. It is a value: equal ones stand for
// the same method. The zero RegisteredCall stands for none.
type RegisteredCall struct {
	channel      *Channel
	method, host string
}

// Method returns the method that was registered.
func (r RegisteredCall) Method() string { return r.method }

// Host returns the host that was registered, empty for the channel's authority.
func (r RegisteredCall) Host() string { return r.host }

// RegisterCall returns the handle of method, "/service/method", at host, which
// may be empty; see CallParams. An error quotes what cannot be sent. Registering
// them once more returns an equal handle.
func (c *Channel) RegisterCall(method, host string) (RegisteredCall, error) {
	switch {
	case len(method) < 2 || method[0] != '/' || !visible(method):
		return RegisteredCall{}, fmt.Errorf("surface: method %q is not of the form /service/method in visible ASCII", method)
	case !visible(host):
		return RegisteredCall{}, fmt.Errorf("surface: host %q of method %q is not visible ASCII", host, method)
	case c.calls.closing.Load():
		return RegisteredCall{}, errChannelClosed()
	}
	return RegisteredCall{c, method, host}, nil
}

// visible reports whether s is ASCII without spaces and controls.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// CreateRegisteredCall is CreateCall for the method and the host of r, which
// stand in the place of those in p.
func (c *Channel) CreateRegisteredCall(r RegisteredCall, p CallParams) (Call, error) {
	if r.channel != c {
		return Call{}, fmt.Errorf("surface: method %q was not registered with the channel to %q", r.method, c.target)
	}
	p.Method, p.Host = r.method, r.host
	return c.create(&p)
}

// create makes the call that p describes. Its method was checked.
func (c *Channel) create(p *CallParams) (Call, error) {
	if p.Parent.c != nil && p.Parent.c.server == nil {
		return Call{}, fmt.Errorf("surface: the parent of a call to %q is a call on a client, want one on a server", p.Method)
	}
	call, generation := c.calls.get()
	h := Call{call, generation}
	call.method, call.deadline, call.queue = p.Method, p.Deadline, p.Queue
	if p.Queue == nil {
		call.queue = &call.ownQueue
	}
	if p.WaitForReady {
		call.simFlags = transport.FlagWaitForReady | transport.FlagWaitForReadyExplicitlySet
	}
	if p.Parent.c != nil {
		h.inheritDeadline(p)
	}
	args := &call.stack.Args
	args.Owner, args.Path, args.Authority = call, p.Method, p.Host
	args.Deadline, args.CallID = call.deadline, call.id
	args.Credentials = p.Credentials
	// Whoever watches the deadline of p does not watch a parent's.
	args.DeadlineWatched = p.DeadlineWatched && call.deadline.Equal(p.Deadline)
	if !call.deadline.IsZero() || call.pool.trace.on() {
		args.Start = time.Now()
	}
	if call.pool.trace.on() {
		args.Cause = call.pool.trace.create(call, p.Cause)
	}
	fault := call.stack.Init()
	// Only now: whoever ends the parent may cancel this call at once.
	orphan := p.Parent.c != nil && !h.inheritCancellation(p)
	switch {
	case fault != nil:
		call.cancel(fault)
	case p.Parent.c != nil && p.Propagate.halfCensus():
		call.cancel(newLocalError(status.Unknown, "one of the two census contexts was to be propagated without the other"))
	case orphan:
		call.cancel(newLocalError(status.Canceled, "the call on whose behalf this one is made has ended"))
	case !call.deadline.IsZero() && !call.deadline.After(args.Start):
		call.cancel(newLocalError(status.DeadlineExceeded,
			fmt.Sprintf("the deadline passed %v before the call began", args.Start.Sub(call.deadline))))
	}
	// Looked at last: a Close that is not seen here finds the call, or what it begins
	// with finds the channel closed; see cancelAll.
	if c.calls.closing.Load() {
		h.Release()
		return Call{}, errChannelClosed()
	}
	return h, nil
}

// channelClosed is the message of calls that a closed channel ends.
const channelClosed = "the channel is closed"

// errChannelClosed is why a closed channel creates and registers no calls.
func errChannelClosed() error {
	return status.New(status.Canceled, channelClosed).WithCause(context.Canceled)
}

// inheritDeadline takes the parent's deadline if p asks for it.
func (h Call) inheritDeadline(p *CallParams) {
	parent := p.Parent
	if p.Propagate&PropagateDeadline == 0 || !parent.c.Acquire(parent.generation) {
		return
	}
	defer parent.c.Unref()
	if d := parent.c.deadline; !d.IsZero() {
		if h.c.deadline.IsZero() || d.Before(h.c.deadline) {
			h.c.deadline = d
		}
	}
}

// inheritCancellation makes the call end with its parent if p asks for it. It
// reports false if the parent has ended already.
func (h Call) inheritCancellation(p *CallParams) bool {
	parent := p.Parent
	if p.Propagate&PropagateCancellation == 0 {
		return true
	}
	if !parent.c.Acquire(parent.generation) {
		return false
	}
	defer parent.c.Unref()
	if !parent.c.adopt(h) {
		return false
	}
	h.c.parent = parent
	return true
}

// Target returns what the channel was made for.
func (c *Channel) Target() string { return c.target }

// String shows the target and the filters.
func (c *Channel) String() string { return c.target + " " + c.calls.stack.String() }

// Close ends the channel: its calls are cancelled with CANCELLED, watches and pings
// end, and it returns when every goroutine of the channel is gone. Handles of calls
// stay valid until their Release; what is started through them fails. A filter of the
// user's that keeps something of a call all the same has a second to give it back,
// or two, after which the call ends with INTERNAL: Close does not wait for that. It
// must not be called from a callback of the channel.
func (c *Channel) Close() {
	if c.calls.closing.Swap(true) {
		<-c.closed
		return
	}
	var event trace.EventID
	if c.calls.trace.on() {
		event = c.calls.trace.channel("channel.close", c.target, nil)
	}
	err := newLocalError(status.Canceled, channelClosed)
	c.calls.cancelAll(err, event)
	c.calls.stack.StartTransportOp(&transport.Op{Disconnect: err})
	c.watches.Close()
	if c.direct != nil {
		c.direct.Close()
	}
	c.calls.stack.Stop()
	c.calls.stack.Destroy()
	close(c.closed)
}
