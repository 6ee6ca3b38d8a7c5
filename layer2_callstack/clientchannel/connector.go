package clientchannel

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/proxy"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

// NewConnector returns the connector of HTTP/2: it dials, secures the
// connection with creds, sends the preface and waits for the server's SETTINGS,
// all before ctx ends. dial may be nil. One that ignores its context is left
// behind when ctx ends, and what it returns later is closed.
func NewConnector(creds credentials.TransportCredentials, dial DialFunc, cfg http2.Config) ConnectFunc {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	} else {
		dial = abandoning(dial)
	}
	return newConnector(creds, dial, cfg)
}

// newConnector is NewConnector for a dialer that ends with its context.
func newConnector(creds credentials.TransportCredentials, dial DialFunc, cfg http2.Config) ConnectFunc {
	return func(ctx context.Context, addr resolver.Address, authority string) (transport.Transport, error) {
		raw, err := dial(ctx, addr.NetworkOrTCP(), addr.Addr)
		trace.Socket(cfg.Trace, "dial", addr.Addr, err)
		if err != nil {
			return nil, err
		}
		if raw == nil {
			return nil, fmt.Errorf("the dialer returned neither a connection nor an error")
		}
		conn, auth, err := creds.ClientHandshake(ctx, authority, raw)
		if creds.Info().SecurityProtocol == "tls" {
			trace.Socket(cfg.Trace, "tls", addr.Addr, err)
		}
		if err != nil {
			raw.Close()
			return nil, err
		}
		return http2.Connect(ctx, conn, auth, cfg) // which closes conn if it fails
	}
}

// abandoning returns a dialer that returns when its context ends, whatever dial
// does.
func abandoning(dial DialFunc) DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		d := &userDial{done: make(chan struct{})}
		go d.run(ctx, dial, network, address)
		select {
		case <-d.done:
			return d.result()
		case <-ctx.Done():
			if d.over.Swap(true) { // it returns at this moment
				<-d.done
				return d.result()
			}
			return nil, context.Cause(ctx)
		}
	}
}

// A userDial is one use of a dialer of the application.
type userDial struct {
	over atomic.Bool // set by whoever is first: the dialer or the end of its context

	done chan struct{} // closed when the rest is written
	conn net.Conn
	err  error
	why  any // what it panicked with
}

// run ends when the dialer does, which is not the channel's to decide.
func (d *userDial) run(ctx context.Context, dial DialFunc, network, address string) {
	defer func() {
		d.why = recover()
		if d.over.Swap(true) && d.conn != nil {
			d.conn.Close()
		}
		close(d.done)
	}()
	d.conn, d.err = dial(ctx, network, address)
}

// result passes a panic of the dialer on to whoever contains it.
func (d *userDial) result() (net.Conn, error) {
	if d.why != nil {
		panic(d.why)
	}
	return d.conn, d.err
}

// route decides, once for each channel, how its servers are reached: by the
// application's dialer, through the environment's proxy, or directly. Where a
// proxy stands before a name, the name is left for it to look up. gRFC A1.
//
// A resolver of the application, the default one in Config.Resolvers included,
// is used all the same; the proxy then gets the addresses that it found.
func (c *Config) route(target resolver.Target, b resolver.Builder) (resolver.Builder, DialFunc) {
	direct := DialFunc(new(net.Dialer).DialContext)
	if c.Dialer != nil {
		return b, abandoning(c.Dialer)
	}
	rules := proxy.FromEnvironment()
	if c.NoProxy || rules == nil {
		return b, direct
	}
	tunnel := DialFunc(rules.Dial(direct))
	if _, dns := b.(resolver.DNS); !dns || resolver.Find(c.Resolvers, target.Scheme) != nil {
		return b, tunnel // decided for each address
	}
	if rules.Apply(resolver.HostPort(target)) {
		return resolver.Unresolved{}, tunnel
	}
	return b, direct // what NO_PROXY has of the name holds for its addresses
}

// defaultConnect is the connector of a channel that was given none. The
// transport gets no logger: the channel warns of a lost connection itself.
func defaultConnect(cfg *Config, dial DialFunc) ConnectFunc {
	http2 := cfg.HTTP2
	http2.Trace, http2.Logger = cfg.Trace, nil
	return newConnector(cfg.Credentials, dial, http2)
}
