package clientchannel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/proxy"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

// NewConnector returns the connector of HTTP/2: it dials, secures the
// connection with creds, sends the preface and waits for the server's SETTINGS,
// all before ctx ends. dial may be nil. One that ignores its context is left
// behind when ctx ends, and what it returns later is closed.
//
// When a server ends a connection because of too many keepalive PINGs, those
// that the connector makes afterwards have twice the time between them. gRFC A8.
// cfg.Logger is told so; the connections get no logger, because the channel
// warns of those that are lost.
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
	calm := newCalmDown(cfg)
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
		cfg := calm.config()
		t, err := http2.Connect(ctx, conn, auth, cfg) // which closes conn if it fails
		if err == nil && cfg.Keepalive.Time > 0 {
			t.PerformOp(&transport.Op{StartWatch: &pingWatch{calm: calm, used: cfg.Keepalive, peer: t.Peer().String()}})
		}
		return t, err
	}
}

// A calmDown is what the connections of one connector have learned from servers
// that found their keepalive PINGs too many. gRFC A8.
type calmDown struct {
	logger *slog.Logger // set by newCalmDown, read-only afterwards

	mu sync.Mutex // a leaf
	// Guarded by mu.
	cfg http2.Config // of the next connection
}

func newCalmDown(cfg http2.Config) *calmDown {
	logger := cfg.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	cfg.Logger = nil
	return &calmDown{logger: logger, cfg: cfg}
}

func (c *calmDown) config() http2.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cfg
}

// tooMany doubles the time of used, unless another connection has done so.
func (c *calmDown) tooMany(used keepalive.Params, peer string) {
	next := used.Doubled()
	c.mu.Lock()
	news := next.Time > c.cfg.Keepalive.Time
	if news {
		c.cfg.Keepalive.Time = next.Time
	}
	c.mu.Unlock()
	if news {
		c.logger.Warn("the server does not take that many keepalive PINGs; new connections of the channel send them half as often",
			"peer", peer, "time", used.Client().Time, "new_time", next.Time)
	}
}

// A pingWatch watches one connection for the reproach of its server.
type pingWatch struct {
	calm *calmDown
	used keepalive.Params
	peer string

	told bool // OnState is not called twice at the same time
}

// OnState is told of the end of the connection.
func (w *pingWatch) OnState(_ connectivity.State, cause error) {
	if !w.told && errors.Is(cause, keepalive.ErrTooManyPings) {
		w.told = true
		w.calm.tooMany(w.used, w.peer)
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

// route decides, once for each channel, how its servers are reached: through the
// channel's proxy, by the application's dialer, through the environment's proxy,
// or directly. Where a proxy stands before a name, the name is left for it to
// look up. gRFC A1.
//
// A resolver of the application, the default one in Config.Resolvers included,
// is used all the same; the proxy then gets the addresses that it found.
func (c *Config) route(target resolver.Target, b resolver.Builder) (resolver.Builder, DialFunc) {
	direct := DialFunc(new(net.Dialer).DialContext)
	if c.Dialer != nil {
		direct = abandoning(c.Dialer)
	}
	rules, _ := proxy.Fixed(c.Proxy) // which New has checked
	if c.Proxy == "" {
		rules = proxy.FromEnvironment()
		if c.Dialer != nil || c.NoProxy || rules == nil {
			return b, direct
		}
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

// defaultConnect is the connector of a channel that was given none.
func defaultConnect(cfg *Config, dial DialFunc) ConnectFunc {
	http2 := cfg.HTTP2
	http2.Trace, http2.Logger = cfg.Trace, cfg.Logger
	return newConnector(cfg.Credentials, dial, http2)
}
