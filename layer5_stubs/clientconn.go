package stubs

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// A ClientConn makes calls to a target: generated clients take it. It wraps a
// channel of layer 4, which connects, reconnects and chooses. All methods may
// be called from any goroutine at any time.
type ClientConn struct {
	// Set by NewClient, read-only afterwards.
	channel *surface.Channel
	calls   []CallOption // for every call
	unary   UnaryInvoker // goes through the interceptors; nil without any
	stream  Streamer     // the same
	trace   observer

	// scratch holds *unaryCall. It belongs to the channel as the calls do.
	scratch sync.Pool
}

var _ ClientConnInterface = (*ClientConn)(nil)

// NewClient returns a channel to target, such as "dns:///greeter:50051". It
// does no I/O: the first call connects, or [ClientConn.Connect]. An error
// quotes what is wrong with the target or an option.
func NewClient(target string, opts ...DialOption) (*ClientConn, error) {
	var cfg dialConfig
	if err := cfg.apply(opts); err != nil {
		return nil, fmt.Errorf("stubs: client of %q: %w", target, err)
	}
	channel, err := surface.NewChannel(target, cfg.channelOptions()...)
	if err != nil {
		return nil, err
	}
	return newClientConn(channel, &cfg), nil
}

// NewClientOn returns a channel that is one connection which exists already,
// such as an end of the in-process transport. It owns t from then on. Options
// about connecting have no meaning.
func NewClientOn(t transport.Transport, opts ...DialOption) (*ClientConn, error) {
	var cfg dialConfig
	if err := cfg.apply(opts); err != nil {
		return nil, fmt.Errorf("stubs: client: %w", err)
	}
	channel, err := surface.NewDirectChannel(t, cfg.channelOptions()...)
	if err != nil {
		return nil, err
	}
	return newClientConn(channel, &cfg), nil
}

func newClientConn(channel *surface.Channel, cfg *dialConfig) *ClientConn {
	cc := &ClientConn{channel: channel, calls: slices.Clip(cfg.calls), trace: observer{cfg.trace}}
	if len(cfg.unary) > 0 {
		cc.unary = chainUnaryClient(cfg.unary, invoke)
	}
	if len(cfg.stream) > 0 {
		cc.stream = chainStreamClient(cfg.stream, newStream)
	}
	return cc
}

// channelOptions turns c into options of layer 4.
func (c *dialConfig) channelOptions() []surface.ChannelOption {
	opts := append([]surface.ChannelOption{
		surface.WithHTTP2(c.http2), surface.WithLogger(c.logger), surface.WithTrace(c.trace),
		surface.WithCompression(c.compression), surface.WithLimitNames("", "client option MaxCallRecvMsgSize"),
	}, c.options...)
	for _, f := range c.filters {
		opts = append(opts, surface.WithFilter(f))
	}
	if dial := c.dialer; dial != nil {
		// The dialer knows the names that it is given, so nobody else resolves
		// a target that is only such a name.
		opts = append(opts, surface.WithDefaultScheme("passthrough"),
			surface.WithDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
				if network == "unix" {
					address = "unix:" + address
				}
				return dial(ctx, address)
			}))
	}
	return opts
}

// combine returns the options of a call with those of all calls before them.
func (cc *ClientConn) combine(opts []CallOption) []CallOption {
	switch {
	case len(cc.calls) == 0:
		return opts
	case len(opts) == 0:
		return cc.calls
	}
	return append(append(make([]CallOption, 0, len(cc.calls)+len(opts)), cc.calls...), opts...)
}

// Target returns what the channel was made for.
func (cc *ClientConn) Target() string { return cc.channel.Target() }

// GetState returns how far the channel is from carrying calls.
func (cc *ClientConn) GetState() connectivity.State { return cc.channel.State(false) }

// Connect makes an idle channel connect. It does not wait for it.
func (cc *ClientConn) Connect() { cc.channel.State(true) }

// WaitForStateChange waits until the state is another than last and reports
// true. It reports false when ctx ended first, or when last is the Shutdown of a
// closed channel, which no other state follows.
func (cc *ClientConn) WaitForStateChange(ctx context.Context, last connectivity.State) bool {
	return cc.channel.WaitForStateChange(ctx, last)
}

// Ready connects and waits until calls can be carried. The error names what the
// last attempt failed with.
func (cc *ClientConn) Ready(ctx context.Context) error { return cc.channel.Ready(ctx) }

// ResetConnectBackoff lets the next attempts to connect begin at once.
func (cc *ClientConn) ResetConnectBackoff() { cc.channel.ResetBackoff() }

// Channel returns the channel of layer 4, for calls without stubs.
func (cc *ClientConn) Channel() *surface.Channel { return cc.channel }

// Close ends the channel: calls under way fail with CANCELLED, wherever they are,
// and every goroutine of the channel is gone when it returns. It never fails. For
// filters that keep a call all the same see [surface.Channel.Close].
func (cc *ClientConn) Close() error {
	cc.channel.Close()
	return nil
}
