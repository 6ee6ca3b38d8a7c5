package stubs

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/backoff"
	"github.com/strata-grpc/strata/layer2_callstack/filters/faultinjection"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// A DialOption configures a [ClientConn]. The interface is sealed.
type DialOption interface{ applyDial(*dialConfig) }

// A CallOption configures one call. The interface is sealed.
type CallOption interface{ applyCall(*callConfig) }

// An Option configures a [ClientConn] as well as a [Server]. The interface is
// sealed.
type Option interface {
	DialOption
	ServerOption
}

// An endConfig is what clients and servers have in common.
type endConfig struct {
	http2  http2.Config
	logger *slog.Logger
	trace  trace.Sink

	compression CompressionConfig
	filters     []ExtraFilter
}

type endOption func(*endConfig)

func (f endOption) applyDial(c *dialConfig)     { f(&c.endConfig) }
func (f endOption) applyServer(c *serverConfig) { f(&c.endConfig) }

// WithLogger sets where warnings go. The default, nil, is slog.Default().
func WithLogger(l *slog.Logger) Option { return endOption(func(c *endConfig) { c.logger = l }) }

// WithTrace sends the events of all layers to sink. The default, nil, is off.
func WithTrace(sink trace.Sink) Option { return endOption(func(c *endConfig) { c.trace = sink }) }

// WithHTTP2 tunes the connections. It replaces what options before it have set
// in cfg, and those after it change single fields.
func WithHTTP2(cfg http2.Config) Option { return endOption(func(c *endConfig) { c.http2 = cfg }) }

// WithMaxHeaderListSize bounds the metadata that is received in a block of
// headers, in bytes as RFC 9113 §6.5.2 counts them. The default is 8 KiB.
func WithMaxHeaderListSize(n uint32) Option {
	return endOption(func(c *endConfig) { c.http2.MaxHeaderList = n })
}

// An ExtraFilter is a filter of one's own with its place: Filter, and the filters
// Before and After which it is to stand.
type ExtraFilter = stacks.Extra

// WithFilter adds a filter to the stack of every connection, where it sees each
// attempt of a call. Package filters of layer 2 is the page on how to write one.
// With a filter that cannot be NewClient fails and NewServer panics. One that panics,
// or breaks a rule, ends the call at hand with Internal and an error that names it.
func WithFilter(extra ExtraFilter) Option {
	return endOption(func(c *endConfig) { c.filters = append(c.filters, extra) })
}

// WithChannelFilter adds a filter that a call passes once, before there is a
// connection for it.
func WithChannelFilter(extra ExtraFilter) DialOption { return passOn(surface.WithChannelFilter(extra)) }

// A dialConfig is what the options of a ClientConn say.
type dialConfig struct {
	endConfig

	options []surface.ChannelOption // of layer 4, as they are
	dialer  func(context.Context, string) (net.Conn, error)
	calls   []CallOption

	unary  []UnaryClientInterceptor
	stream []StreamClientInterceptor
}

type dialOption func(*dialConfig)

func (f dialOption) applyDial(c *dialConfig) { f(c) }

// apply has opts change c, and returns which of them is nil.
func (c *dialConfig) apply(opts []DialOption) error {
	for i, o := range opts {
		if o == nil {
			return nilOption(i, len(opts))
		}
		o.applyDial(c)
	}
	for i, o := range c.calls {
		if o == nil {
			return fmt.Errorf("option WithDefaultCallOptions: %w", nilOption(i, len(c.calls)))
		}
	}
	return nil
}

// nilOption is the error of an option that is nil itself.
func nilOption(i, of int) error { return fmt.Errorf("option number %d of %d is nil", i+1, of) }

// passOn returns the option that gives o to the layer below.
func passOn(o surface.ChannelOption) DialOption {
	return dialOption(func(c *dialConfig) { c.options = append(c.options, o) })
}

// WithTransportCredentials secures the connections: credentials.NewTLS, or
// credentials.NewInsecure for plain text. One or the other has to be chosen.
func WithTransportCredentials(creds credentials.TransportCredentials) DialOption {
	return passOn(surface.WithCredentials(creds))
}

// WithPerRPCCredentials has every call send what creds return, such as
// credentials.NewBearerToken; given again it adds more. Those that are secrets go
// out on secure connections only: a client in plain text is not made with them.
//
// Other than in grpc-go, the context that creds are given has not the values of the
// call's. What is in those an interceptor can put into [PerRPCCredentials].
func WithPerRPCCredentials(creds credentials.PerRPCCredentials) DialOption {
	return passOn(surface.WithPerRPCCredentials(creds))
}

// WithAuthority replaces the :authority that follows from the target.
func WithAuthority(authority string) DialOption { return passOn(surface.WithAuthority(authority)) }

// WithUserAgent puts s before the library's own user-agent.
func WithUserAgent(s string) DialOption { return passOn(surface.WithUserAgent(s)) }

// WithContextDialer makes dial open the connections. It is given an address,
// "unix:" and a path for a Unix socket. A target without a scheme is then the
// address as it stands, and dial resolves the name; "dns:///" in front of it
// has it resolved before. Nil changes nothing.
func WithContextDialer(dial func(ctx context.Context, addr string) (net.Conn, error)) DialOption {
	return dialOption(func(c *dialConfig) { c.dialer = dial })
}

// WithProxy reaches all servers that TCP leads to through one HTTP proxy, which
// has precedence over those of the environment. rawURL is
// http://user:password@host:port; without user and password none are sent. With
// [WithContextDialer] it is the dialer that connects to the proxy.
func WithProxy(rawURL string) DialOption { return passOn(surface.WithProxy(rawURL)) }

// WithNoProxy leaves out the proxies that HTTPS_PROXY names. Without it, servers
// are reached through the proxy that HTTPS_PROXY and NO_PROXY have for them, and
// it is the proxy that looks up their names. [WithContextDialer] does without
// proxies too.
func WithNoProxy() DialOption { return passOn(surface.WithNoProxy()) }

// WithKeepaliveParams sets when a silent server is asked for a sign of life. The
// default is never. A server that finds its PINGs too many ends the connection,
// and the channel then doubles the time; one with the defaults of gRPC takes one
// in 5 min, and none without calls.
func WithKeepaliveParams(p keepalive.Params) DialOption {
	return dialOption(func(c *dialConfig) { c.http2.Keepalive = p })
}

// ConnectParams says how often a connection is attempted.
type ConnectParams struct {
	// Backoff is the wait after a failure. Zero is gRPC's: 1 s, times 1.6, up
	// to 120 s.
	Backoff backoff.Config
	// MinConnectTimeout is the least that an attempt is given. Zero is 20 s.
	MinConnectTimeout time.Duration
}

// WithConnectParams sets how often a connection is attempted.
func WithConnectParams(p ConnectParams) DialOption {
	return dialOption(func(c *dialConfig) {
		c.options = append(c.options, surface.WithBackoff(p.Backoff), surface.WithMinConnectTimeout(p.MinConnectTimeout))
	})
}

// WithIdleTimeout sets how long a channel without calls keeps its connection: after
// d it is Idle, and the next call makes it connect again. It is d to a tenth more;
// less than a second is a second. 0, or less, is never, and without the option it
// is 30 min.
func WithIdleTimeout(d time.Duration) DialOption { return passOn(surface.WithIdleTimeout(d)) }

// A FaultInjectionConfig says which calls are to be late or to fail.
type FaultInjectionConfig = faultinjection.Config

// WithFaultInjection makes a share of the calls late, or fail, as cfg says, without
// a server: to see what becomes of the program. Shares are none unless they are set,
// and Headers lets calls ask for less, so neither a code nor Headers does anything
// alone.
func WithFaultInjection(cfg FaultInjectionConfig) DialOption {
	return passOn(surface.WithFaultInjection(cfg))
}

// WithDefaultCallOptions makes opts apply to every call, before its own. Given
// here, [MaxCallRecvMsgSize] is the default of the channel.
func WithDefaultCallOptions(opts ...CallOption) DialOption {
	return dialOption(func(c *dialConfig) { c.calls = append(c.calls, opts...) })
}

// WithUnaryInterceptor puts one interceptor around all those of
// [WithChainUnaryInterceptor]. Nil is none.
func WithUnaryInterceptor(f UnaryClientInterceptor) DialOption {
	return dialOption(func(c *dialConfig) {
		if f != nil {
			c.unary = slices.Insert(c.unary, 0, f)
		}
	})
}

// WithChainUnaryInterceptor adds interceptors, the outermost first. Those that are
// nil are left out.
func WithChainUnaryInterceptor(chain ...UnaryClientInterceptor) DialOption {
	return dialOption(func(c *dialConfig) { c.unary = appendNonNil(c.unary, chain) })
}

// WithStreamInterceptor puts one interceptor around all those of
// [WithChainStreamInterceptor]. Nil is none.
func WithStreamInterceptor(f StreamClientInterceptor) DialOption {
	return dialOption(func(c *dialConfig) {
		if f != nil {
			c.stream = slices.Insert(c.stream, 0, f)
		}
	})
}

// WithChainStreamInterceptor adds interceptors, the outermost first. Those that are
// nil are left out.
func WithChainStreamInterceptor(chain ...StreamClientInterceptor) DialOption {
	return dialOption(func(c *dialConfig) { c.stream = appendNonNil(c.stream, chain) })
}

// A callConfig is what the options of a call say.
type callConfig struct {
	header, trailer *metadata.MD
	peer            *peer.Peer
	flags           uint32 // of send_initial_metadata
	authority       string
	credentials     credentials.PerRPCCredentials
	maxSend         sizeLimit
	maxRecv         int // 0 is the channel's
	compressor      string
	compressed      *bool
	onFinish        []func(error)
}

// apply adds what opts say. One that is nil is an error, with which the call ends.
func (c *callConfig) apply(opts []CallOption) error {
	for i, o := range opts {
		if o == nil {
			return status.Newf(status.Internal, "stubs: client: call %v; leave it out", nilOption(i, len(opts))).Err()
		}
		o.applyCall(c)
	}
	return nil
}

// store gives what was asked for to whoever did: the call has ended and its
// handle is still valid.
func (c *callConfig) store(call surface.Call, headers, trailers *metadata.List) {
	if c.header != nil {
		*c.header = headers.MD()
	}
	if c.trailer != nil {
		*c.trailer = trailers.MD()
	}
	if c.peer != nil {
		if p := call.Peer(); p != nil {
			*c.peer = *p
		}
	}
}

// finish tells whoever asked that the call has ended with err.
func (c *callConfig) finish(err error) {
	for _, f := range c.onFinish {
		f(err)
	}
}

type callOption func(*callConfig)

func (f callOption) applyCall(c *callConfig) { f(c) }

// Header has the server's headers stored in md when the call has ended. Here and
// in the next two nil asks for nothing.
func Header(md *metadata.MD) CallOption { return callOption(func(c *callConfig) { c.header = md }) }

// Trailer has the server's trailers stored in md when the call has ended.
func Trailer(md *metadata.MD) CallOption { return callOption(func(c *callConfig) { c.trailer = md }) }

// Peer has the server that took the call stored in p when it has ended. p stays
// as it is where the call did not get as far as that.
func Peer(p *peer.Peer) CallOption { return callOption(func(c *callConfig) { c.peer = p }) }

// WaitForReady says whether a call waits while the channel cannot connect. The
// default is to fail with UNAVAILABLE and say why it cannot.
func WaitForReady(wait bool) CallOption {
	flags := transport.FlagWaitForReadyExplicitlySet
	if wait {
		flags |= transport.FlagWaitForReady
	}
	return callOption(func(c *callConfig) { c.flags = flags })
}

// CallAuthority replaces the :authority of the channel.
func CallAuthority(authority string) CallOption {
	return callOption(func(c *callConfig) { c.authority = authority })
}

// PerRPCCredentials has a call send what creds return, behind what those of
// [WithPerRPCCredentials] do. A call that would send secrets in plain text ends with
// UNAUTHENTICATED, and nothing of it is sent. Nil is none of the call's own.
func PerRPCCredentials(creds credentials.PerRPCCredentials) CallOption {
	return callOption(func(c *callConfig) { c.credentials = creds })
}

// OnFinish has f called once, with the error that the call ended with. For a
// stream that is on a goroutine of its own. A call that NewStream refused
// does not begin, and so does not end. Nil is not called.
func OnFinish(f func(err error)) CallOption {
	return callOption(func(c *callConfig) {
		if f != nil {
			c.onFinish = append(c.onFinish, f)
		}
	})
}

// MaxCallSendMsgSize bounds the messages that a call sends, in bytes. There is
// no bound without it; 0, or less, lets empty ones through alone.
func MaxCallSendMsgSize(bytes int) CallOption {
	limit := limitOf(bytes, "MaxCallSendMsgSize")
	return callOption(func(c *callConfig) { c.maxSend = limit })
}

// MaxCallRecvMsgSize bounds the messages that a call receives, in bytes. The
// default is 4 MiB. A longer message is refused before it is read. Less than 1 is 1,
// other than at [MaxRecvMsgSize] of a server.
func MaxCallRecvMsgSize(bytes int) CallOption {
	return callOption(func(c *callConfig) { c.maxRecv = max(bytes, 1) })
}
