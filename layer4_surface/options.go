package surface

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/strata-grpc/strata/internal/userpanic"
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/backoff"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
	"github.com/strata-grpc/strata/layer2_callstack/filters/faultinjection"
	"github.com/strata-grpc/strata/layer2_callstack/filters/limit"
	"github.com/strata-grpc/strata/layer2_callstack/filters/serverauth"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// A ChannelOption configures a channel. The interface is sealed.
type ChannelOption interface{ applyChannel(*channelConfig) }

// A ServerOption configures a server. The interface is sealed.
type ServerOption interface{ applyServer(*serverConfig) }

// An Option configures both. The interface is sealed.
type Option interface {
	ChannelOption
	ServerOption
}

// An endConfig is what channels and servers have in common.
type endConfig struct {
	credentials credentials.TransportCredentials
	stack       stacks.Options
	http2       http2.Config
	logger      *slog.Logger
	trace       trace.Sink
	faults      *callstack.FaultLog // of users' filters

	codings *encoding.Set // that stack.Compression stands for, nil if it is wrong
}

// withDefaults returns a copy with what is derived filled in.
func (c endConfig) withDefaults() endConfig {
	if c.logger == nil {
		c.logger = slog.Default()
	}
	c.http2.Logger, c.http2.Trace = c.logger, c.trace
	c.faults = callstack.NewFaultLog(c.logger)
	if c.credentials != nil && c.credentials.Info().SecurityProtocol == "tls" {
		c.stack.Scheme = "https"
	}
	c.codings, _ = c.stack.Compression.Set() // the check of the stack tells the error
	return c
}

// check returns what is wrong with a value that a user has passed in, before it is
// used. A nil pointer may be one that works.
func (c *endConfig) check() error {
	if c.credentials != nil {
		if err := userpanic.Catch(c.credentials, "Info", func() error {
			c.credentials.Info()
			return nil
		}); err != nil {
			return fmt.Errorf("option WithCredentials cannot be used: %w", err)
		}
	}
	if c.logger != nil && c.logger.Handler() == nil {
		return errors.New("option WithLogger cannot be used: the logger has no handler; slog.New makes one that has")
	}
	if userpanic.IsNil(c.trace) { // so an event on trial is kept nowhere
		if err := userpanic.Catch(c.trace, "Emit", func() error {
			c.trace.Emit(&trace.Event{Layer: 4})
			return nil
		}); err != nil {
			return fmt.Errorf("option WithTrace cannot be used: %w", err)
		}
	}
	return nil
}

// nilOption is the error of an option that is nil itself.
func nilOption(i, of int) error { return fmt.Errorf("option number %d of %d is nil", i+1, of) }

// nameLimits says what errors call the limits of messages, unless a layer above
// has said so.
func (c *endConfig) nameLimits(side string) {
	c.stack.SendName = cmp.Or(c.stack.SendName, side+" option WithMaxSendMessageSize")
	c.stack.RecvName = cmp.Or(c.stack.RecvName, side+" option WithMaxRecvMessageSize")
}

// stackArgs returns what the stack above t is made from.
func (c *endConfig) stackArgs(t transport.Transport) callstack.ChannelArgs {
	return callstack.ChannelArgs{Transport: t, Trace: c.trace, Logger: c.logger, Faults: c.faults}
}

// A channelConfig is what the options of a channel say.
type channelConfig struct {
	endConfig

	authority         string
	defaultScheme     string
	resolvers         []resolver.Builder
	dialer            func(ctx context.Context, network, address string) (net.Conn, error)
	proxy             string
	noProxy           bool
	backoff           backoff.Config
	minConnectTimeout time.Duration
}

// A serverConfig is what the options of a server say.
type serverConfig struct {
	endConfig

	hooks          int // given by WithServerAuth
	pending        PendingLimits
	handshake      time.Duration
	maxHandshakes  int
	maxConnections int
}

type endOption func(*endConfig)

func (f endOption) applyChannel(c *channelConfig) { f(&c.endConfig) }
func (f endOption) applyServer(c *serverConfig)   { f(&c.endConfig) }

type channelOption func(*channelConfig)

func (f channelOption) applyChannel(c *channelConfig) { f(c) }

type serverOption func(*serverConfig)

func (f serverOption) applyServer(c *serverConfig) { f(c) }

// WithCredentials secures the connections. A channel has to be given some,
// credentials.NewInsecure() for plain text; a server without any is plain text. Nil
// is without any.
func WithCredentials(creds credentials.TransportCredentials) Option {
	return endOption(func(c *endConfig) { c.credentials = creds })
}

// WithPerRPCCredentials has every call send what creds return, in their order and
// before those of the call itself; see [CallParams]. A channel that is plain text
// cannot be made with credentials that are secrets. Given again it adds more.
func WithPerRPCCredentials(creds ...credentials.PerRPCCredentials) ChannelOption {
	return channelOption(func(c *channelConfig) {
		c.stack.Auth.Credentials = append(c.stack.Auth.Credentials, creds...)
	})
}

// WithLogger sets where warnings go. The default, nil, is slog.Default().
func WithLogger(l *slog.Logger) Option { return endOption(func(c *endConfig) { c.logger = l }) }

// WithTrace sends the events of all layers to sink. The default, nil, is off.
func WithTrace(sink trace.Sink) Option { return endOption(func(c *endConfig) { c.trace = sink }) }

// WithMaxRecvMessageSize bounds the messages that are accepted, in bytes. The
// default, 0, is 4 MiB; less than 0 is no bound.
func WithMaxRecvMessageSize(n int) Option {
	return endOption(func(c *endConfig) { c.stack.MaxRecv = n })
}

// WithMaxSendMessageSize bounds the messages that are sent, in bytes. The
// default, 0, is no bound, and so is less.
func WithMaxSendMessageSize(n int) Option {
	return endOption(func(c *endConfig) { c.stack.MaxSend = n })
}

// WithLimitNames says what errors call the limits of messages that are sent and
// received, for a layer above that sets them by options of its own. The default is
// the names of the two options here.
func WithLimitNames(send, recv string) Option {
	return endOption(func(c *endConfig) { c.stack.SendName, c.stack.RecvName = send, recv })
}

// WithCompression says how messages are coded over HTTP/2. Without it gzip and
// deflate are read, and nothing is compressed unless a call asks for it: by the
// field Encoding of [Op.SendMetadata].
func WithCompression(cfg compression.Config) Option {
	return endOption(func(c *endConfig) { c.stack.Compression = cfg })
}

// WithHTTP2 tunes the connections. Logger and Trace of cfg are ignored; they
// are those of the channel or server.
func WithHTTP2(cfg http2.Config) Option { return endOption(func(c *endConfig) { c.http2 = cfg }) }

// WithFilter adds a filter to the stack of every connection. A place that it
// cannot have is an error of NewChannel, and a panic of NewServer. What it does wrong
// ends the call at hand with INTERNAL and an error that names it, and nothing else:
// see [callstack.Registration.Contained].
func WithFilter(extra stacks.Extra) Option {
	return endOption(func(c *endConfig) { c.stack.Extra = append(c.stack.Extra, extra) })
}

// WithChannelFilter adds a filter above the client_channel, where a call passes
// once, before there is a connection for it. In a channel that is one connection
// it stands above the filters of that. It is contained as those of WithFilter are.
func WithChannelFilter(extra stacks.Extra) ChannelOption {
	return channelOption(func(c *channelConfig) { c.stack.ChannelExtra = append(c.stack.ChannelExtra, extra) })
}

// WithUserAgent puts s before the library's own user-agent.
func WithUserAgent(s string) ChannelOption {
	return channelOption(func(c *channelConfig) { c.stack.UserAgent = s })
}

// WithAuthority replaces the authority that follows from the target; the empty one
// does not.
func WithAuthority(s string) ChannelOption {
	return channelOption(func(c *channelConfig) { c.authority, c.stack.Authority = s, s })
}

// WithDefaultScheme sets the scheme of targets that have none; "dns" if not set.
func WithDefaultScheme(scheme string) ChannelOption {
	return channelOption(func(c *channelConfig) { c.defaultScheme = scheme })
}

// WithResolvers adds resolvers, which come before the default ones.
func WithResolvers(builders ...resolver.Builder) ChannelOption {
	return channelOption(func(c *channelConfig) { c.resolvers = append(c.resolvers, builders...) })
}

// WithDialer replaces net.Dialer, and the proxies of the environment, for making
// connections. Nil replaces nothing.
func WithDialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) ChannelOption {
	return channelOption(func(c *channelConfig) { c.dialer = dial })
}

// WithProxy reaches all servers that TCP leads to through one HTTP proxy, which
// has precedence over those of the environment. rawURL is
// http://user:password@host:port; without user and password none are sent. The
// proxy looks up the names of servers. With a dialer it is the dialer that
// connects to the proxy.
func WithProxy(rawURL string) ChannelOption {
	return channelOption(func(c *channelConfig) { c.proxy = rawURL })
}

// WithNoProxy leaves out the proxies that HTTPS_PROXY names.
func WithNoProxy() ChannelOption { return channelOption(func(c *channelConfig) { c.noProxy = true }) }

// WithBackoff sets how long a channel waits between attempts to connect.
func WithBackoff(cfg backoff.Config) ChannelOption {
	return channelOption(func(c *channelConfig) { c.backoff = cfg })
}

// WithMinConnectTimeout sets the least time that an attempt to connect is
// given. The default, 0, is 20 s.
func WithMinConnectTimeout(d time.Duration) ChannelOption {
	return channelOption(func(c *channelConfig) { c.minConnectTimeout = d })
}

// WithIdleTimeout sets how long a channel without calls keeps its connection, its
// addresses and its resolver: after d it is IDLE, as by [Channel.EnterIdle], and
// the next call makes it connect again. It is d to a tenth more; less than a second
// is a second. 0, or less, is never, and without the option it is 30 min. A channel
// that is one connection keeps it.
func WithIdleTimeout(d time.Duration) ChannelOption {
	if d <= 0 {
		d = -1 // in the configuration of the filter 0 is the default
	}
	return channelOption(func(c *channelConfig) { c.stack.Idle.Timeout = d })
}

// WithFaultInjection makes a share of the calls late, or fail, as cfg says, without
// a server: to see what becomes of the program. What is wrong with cfg is an error
// of the channel.
func WithFaultInjection(cfg faultinjection.Config) ChannelOption {
	return channelOption(func(c *channelConfig) { c.stack.FaultInjection = cfg })
}

// PendingLimits bound the calls of one method that wait for a request, and so
// the memory that clients can take up by calling faster than the application
// requests. The zero value of a field stands for gRPC core's.
type PendingLimits struct {
	// Soft is from where on calls are refused at random, with a probability
	// that grows up to Hard. Zero means 1000.
	Soft int
	// Hard is from where on every call is refused. Zero means 3000.
	Hard int
	// MaxWait is how long a call may wait: one that has waited longer is refused
	// when the next call or request of its method comes. Zero means 30 s.
	MaxWait time.Duration
}

// The defaults of PendingLimits.
const (
	DefaultPendingSoft    = 1000
	DefaultPendingHard    = 3000
	DefaultPendingMaxWait = 30 * time.Second
)

func (l PendingLimits) withDefaults() PendingLimits {
	if l.Soft == 0 {
		l.Soft = DefaultPendingSoft
	}
	if l.Hard == 0 {
		l.Hard = max(DefaultPendingHard, l.Soft)
	}
	l.Soft = min(l.Soft, l.Hard)
	if l.MaxWait == 0 {
		l.MaxWait = DefaultPendingMaxWait
	}
	return l
}

// checkNumbers returns which option cannot be that number.
func (c *serverConfig) checkNumbers() error {
	l := c.pending
	for _, o := range []struct {
		name  string
		value int64
		text  any
	}{
		{"WithPendingLimits: Soft", int64(l.Soft), l.Soft},
		{"WithPendingLimits: Hard", int64(l.Hard), l.Hard},
		{"WithPendingLimits: MaxWait", int64(l.MaxWait), l.MaxWait},
		{"WithHandshakeTimeout", int64(c.handshake), c.handshake},
		{"WithMaxHandshakes", int64(c.maxHandshakes), c.maxHandshakes},
		{"WithMaxConnections", int64(c.maxConnections), c.maxConnections},
	} {
		if o.value < 0 {
			return fmt.Errorf("option %s is %v, want more than 0, or 0 for the default", o.name, o.text)
		}
	}
	if l.Hard > 0 && l.Soft > l.Hard {
		return fmt.Errorf("option WithPendingLimits: Soft is %d and Hard is %d, want Soft to be no more than Hard", l.Soft, l.Hard)
	}
	return nil
}

// WithPendingLimits bounds the calls that wait for a request. Less than zero, and a
// Soft above Hard, is a panic of NewServer.
func WithPendingLimits(l PendingLimits) ServerOption {
	return serverOption(func(c *serverConfig) { c.pending = l })
}

// WithServerAuth makes a hook decide about every call when its headers are there,
// before the application hears of it and before any message is read. Who the hook
// has found the caller to be is in [CallDetails]. One without a Process is a panic
// of NewServer, and so are two hooks: one of them would let in whom the other
// refuses. A server that ends does not wait for a hook that ignores its context.
func WithServerAuth(cfg serverauth.Config) ServerOption {
	return serverOption(func(c *serverConfig) { c.stack.ServerAuth, c.hooks = &cfg, c.hooks+1 })
}

// WithLimit bounds how many calls the server has at once and how many come in a
// second, over all its connections. One more is refused with RESOURCE_EXHAUSTED
// before the application hears of it and before any message is read. It comes before
// the hook of [WithServerAuth], which is not asked about what is refused. Limits
// that cannot be are a panic of NewServer; of several options the last counts.
func WithLimit(cfg limit.Config) ServerOption {
	return serverOption(func(c *serverConfig) { c.stack.Limit = cfg })
}

// WithHandshakeTimeout bounds the time from accepting a connection to the first
// SETTINGS of its client. The default, 0, is [DefaultHandshakeTimeout]. Less is a
// panic of NewServer, here and in the next two.
func WithHandshakeTimeout(d time.Duration) ServerOption {
	return serverOption(func(c *serverConfig) { c.handshake = d })
}

// WithMaxHandshakes bounds the connections that have not sent their HTTP/2
// preface yet. The default, 0, is [DefaultMaxHandshakes].
func WithMaxHandshakes(n int) ServerOption {
	return serverOption(func(c *serverConfig) { c.maxHandshakes = n })
}

// WithMaxConnections bounds the connections that Serve has accepted and that
// have not ended: gRPC core's grpc.max_allowed_incoming_connections. One more is
// closed as soon as it comes. The default, 0, is no bound but that of the
// operating system.
func WithMaxConnections(n int) ServerOption {
	return serverOption(func(c *serverConfig) { c.maxConnections = n })
}

// WithMaxConnectionAge bounds the age of a connection, counted from the end of its
// handshakes: clients then connect anew, to the servers that there are by then.
// At age, 10 % more or less by chance, the client is told to make no more calls on
// it, and loses none; grace later the calls that have not ended are cut off with
// UNAVAILABLE. The default of both, 0, is no bound; a grace without an age is a panic
// of NewServer.
//
// Connections within the process grow old as well, and a channel that is one such
// connection ends with it.
func WithMaxConnectionAge(age, grace time.Duration) ServerOption {
	return serverOption(func(c *serverConfig) {
		c.stack.MaxAge.MaxConnectionAge, c.stack.MaxAge.MaxConnectionAgeGrace = age, grace
	})
}

// WithMaxConnectionIdle bounds the time that a connection is without calls: it is
// ended then, within a tenth of the time more. The default, 0, is no bound.
func WithMaxConnectionIdle(d time.Duration) ServerOption {
	return serverOption(func(c *serverConfig) { c.stack.MaxAge.MaxConnectionIdle = d })
}
