package stubs

import (
	"slices"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
	"github.com/strata-grpc/strata/layer2_callstack/filters/limit"
	"github.com/strata-grpc/strata/layer2_callstack/filters/serverauth"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// A ServerOption configures a [Server]. The interface is sealed.
type ServerOption interface{ applyServer(*serverConfig) }

// A serverConfig is what the options of a Server say.
type serverConfig struct {
	endConfig

	options []surface.ServerOption // of layer 4, as they are
	limits  CallLimitConfig        // among options too
	maxSend sizeLimit
	unary   []UnaryServerInterceptor
	stream  []StreamServerInterceptor

	propagatePanics bool
	waitForHandlers bool
}

type serverOption func(*serverConfig)

func (f serverOption) applyServer(c *serverConfig) { f(c) }

// serverOptions turns c into options of layer 4.
func (c *serverConfig) serverOptions() []surface.ServerOption {
	opts := append([]surface.ServerOption{
		surface.WithHTTP2(c.http2), surface.WithLogger(c.logger), surface.WithTrace(c.trace),
		surface.WithCompression(c.compression), surface.WithLimitNames("", "server option MaxRecvMsgSize"),
	}, c.options...)
	for _, f := range c.filters {
		opts = append(opts, surface.WithFilter(f))
	}
	return opts
}

// Creds secures the connections. The default, nil, is plain text.
func Creds(creds credentials.TransportCredentials) ServerOption {
	return serverOption(func(c *serverConfig) { c.options = append(c.options, surface.WithCredentials(creds)) })
}

// MaxRecvMsgSize bounds the messages that are received, in bytes. The default,
// 0, is 4 MiB; less than 0 is no bound.
func MaxRecvMsgSize(bytes int) ServerOption {
	return serverOption(func(c *serverConfig) { c.options = append(c.options, surface.WithMaxRecvMessageSize(bytes)) })
}

// MaxSendMsgSize bounds the messages that are sent, in bytes. There is no bound
// without it; 0, or less, lets empty ones through alone.
func MaxSendMsgSize(bytes int) ServerOption {
	return serverOption(func(c *serverConfig) { c.maxSend = limitOf(bytes, "MaxSendMsgSize") })
}

// MaxConcurrentStreams is how many calls a client may have open on one
// connection. The default is 1024.
func MaxConcurrentStreams(n uint32) ServerOption {
	return serverOption(func(c *serverConfig) { c.http2.MaxStreams = n })
}

// KeepaliveParams sets when a silent client is asked for a sign of life. The
// default is every 2 h; [keepalive.Never] switches it off. How old connections may
// become is not among them: see [MaxConnectionAge] and [MaxConnectionIdle].
func KeepaliveParams(p keepalive.Params) ServerOption {
	return serverOption(func(c *serverConfig) { c.http2.Keepalive = p })
}

// KeepaliveEnforcementPolicy sets which PINGs of clients are taken. The default
// is one in 5 min, and in 2 h from a client without calls.
func KeepaliveEnforcementPolicy(p keepalive.EnforcementPolicy) ServerOption {
	return serverOption(func(c *serverConfig) { c.http2.Enforcement = p })
}

// ConnectionTimeout bounds the time from accepting a connection to the first
// SETTINGS of its client. The default, 0, is 10 s. Less is a panic of NewServer, here
// and in the next two.
func ConnectionTimeout(d time.Duration) ServerOption {
	return serverOption(func(c *serverConfig) { c.options = append(c.options, surface.WithHandshakeTimeout(d)) })
}

// MaxHandshakes bounds the connections that have not sent their HTTP/2 preface
// yet; for one more, the oldest of them is closed. The default, 0, is 1000.
func MaxHandshakes(n int) ServerOption {
	return serverOption(func(c *serverConfig) { c.options = append(c.options, surface.WithMaxHandshakes(n)) })
}

// MaxConnections bounds the connections of a server that have not ended; one
// more is closed as soon as it comes. The default, 0, is no bound but that of
// the operating system.
func MaxConnections(n int) ServerOption {
	return serverOption(func(c *serverConfig) { c.options = append(c.options, surface.WithMaxConnections(n)) })
}

// MaxConnectionAge bounds the age of a connection, so that clients connect anew
// now and then, to the servers that there are by then. At age, 10 % more or less
// by chance, the client is told to make no more calls on it, and loses none; grace
// later the calls that have not ended are cut off with UNAVAILABLE. The default of
// both, 0, is no bound: a stream that never ends keeps its connection. A grace without
// an age is a panic of NewServer.
//
// It is what keepalive.ServerParameters of grpc-go has under the names
// MaxConnectionAge and MaxConnectionAgeGrace.
func MaxConnectionAge(age, grace time.Duration) ServerOption {
	return serverOption(func(c *serverConfig) { c.options = append(c.options, surface.WithMaxConnectionAge(age, grace)) })
}

// MaxConnectionIdle bounds the time that a connection is without calls: it is
// ended then, within a tenth of the time more. The default, 0, is no bound.
func MaxConnectionIdle(d time.Duration) ServerOption {
	return serverOption(func(c *serverConfig) { c.options = append(c.options, surface.WithMaxConnectionIdle(d)) })
}

// A CallLimitConfig is the limits of [CallLimit].
type CallLimitConfig = limit.Config

// CallLimit bounds how many calls the server handles at once and how many come in
// a second, over all its connections; see [MaxConcurrentStreams] for those of one
// connection. One more ends with RESOURCE_EXHAUSTED before any handler and before
// its message is read. A call counts until its handler has returned.
//
// Whoever can connect can use it up: it comes before the hook of [ServerAuth], so that
// no more calls than that are asked about, and those that the hook refuses have counted
// too. What is to be shared out among callers who are known is for that hook to limit.
func CallLimit(cfg CallLimitConfig) ServerOption {
	return serverOption(func(c *serverConfig) {
		c.limits = cfg
		c.options = append(c.options, surface.WithLimit(cfg))
	})
}

// A ServerAuthConfig is the hook of [ServerAuth] and how it is run.
type ServerAuthConfig = serverauth.Config

// An AuthRequest is a call that a hook of [ServerAuth] decides about.
type AuthRequest = serverauth.Request

// ServerAuth makes a hook decide about every call when its headers are there,
// before any handler or interceptor and before a message is read. Handlers learn
// from [Principal] who calls. An error of the hook ends the call: one of package
// status as it stands; any other as UNAUTHENTICATED, and its text is not sent. Given
// twice it is a panic of NewServer: one hook asks the others, if there are more.
func ServerAuth(cfg ServerAuthConfig) ServerOption {
	return serverOption(func(c *serverConfig) { c.options = append(c.options, surface.WithServerAuth(cfg)) })
}

// UnaryInterceptor puts one interceptor around all those of
// [ChainUnaryInterceptor]. Nil is none.
func UnaryInterceptor(f UnaryServerInterceptor) ServerOption {
	return serverOption(func(c *serverConfig) {
		if f != nil {
			c.unary = slices.Insert(c.unary, 0, f)
		}
	})
}

// ChainUnaryInterceptor adds interceptors, the outermost first. Those that are nil
// are left out.
func ChainUnaryInterceptor(chain ...UnaryServerInterceptor) ServerOption {
	return serverOption(func(c *serverConfig) { c.unary = appendNonNil(c.unary, chain) })
}

// StreamInterceptor puts one interceptor around all those of
// [ChainStreamInterceptor]. Nil is none.
func StreamInterceptor(f StreamServerInterceptor) ServerOption {
	return serverOption(func(c *serverConfig) {
		if f != nil {
			c.stream = slices.Insert(c.stream, 0, f)
		}
	})
}

// ChainStreamInterceptor adds interceptors, the outermost first. Those that are nil
// are left out.
func ChainStreamInterceptor(chain ...StreamServerInterceptor) ServerOption {
	return serverOption(func(c *serverConfig) { c.stream = appendNonNil(c.stream, chain) })
}

// WithPanicPropagation lets the panic of a handler end the program. Without it
// the call ends with INTERNAL and the panic is logged with its stack.
func WithPanicPropagation() ServerOption {
	return serverOption(func(c *serverConfig) { c.propagatePanics = true })
}

// WaitForHandlers makes [Server.Stop], and a [Server.Shutdown] whose context
// ended, wait for handlers too: they then do not return before handlers that
// ignore their context, and must not be called from one.
func WaitForHandlers(wait bool) ServerOption {
	return serverOption(func(c *serverConfig) { c.waitForHandlers = wait })
}
