package stubs

import (
	"context"
	"reflect"
)

// A UnaryInvoker makes the call that a [UnaryClientInterceptor] was asked for.
type UnaryInvoker func(ctx context.Context, method string, req, reply any, cc *ClientConn, opts ...CallOption) error

// A UnaryClientInterceptor stands around the unary calls of a channel. It calls
// invoker to go on, any number of times.
type UnaryClientInterceptor func(ctx context.Context, method string, req, reply any, cc *ClientConn, invoker UnaryInvoker, opts ...CallOption) error

// A Streamer begins the call that a [StreamClientInterceptor] was asked for.
type Streamer func(ctx context.Context, desc *StreamDesc, cc *ClientConn, method string, opts ...CallOption) (ClientStream, error)

// A StreamClientInterceptor stands around the beginning of a channel's calls
// with streams. It calls streamer to go on, and may wrap the result.
type StreamClientInterceptor func(ctx context.Context, desc *StreamDesc, cc *ClientConn, method string, streamer Streamer, opts ...CallOption) (ClientStream, error)

// A UnaryServerInfo says which call a [UnaryServerInterceptor] stands around.
type UnaryServerInfo struct {
	// Server is the implementation of the service.
	Server any
	// FullMethod is "/package.Service/Method".
	FullMethod string
}

// A UnaryHandler goes on to the implementation of a unary method.
type UnaryHandler func(ctx context.Context, req any) (any, error)

// A UnaryServerInterceptor stands around a server's unary calls. It calls
// handler to go on.
type UnaryServerInterceptor func(ctx context.Context, req any, info *UnaryServerInfo, handler UnaryHandler) (resp any, err error)

// A StreamServerInfo says which call a [StreamServerInterceptor] stands around.
type StreamServerInfo struct {
	// FullMethod is "/package.Service/Method".
	FullMethod string
	// IsClientStream and IsServerStream say who may send many messages.
	IsClientStream bool
	IsServerStream bool
}

// A StreamServerInterceptor stands around a server's calls with streams. It
// calls handler to go on, and may wrap the stream.
type StreamServerInterceptor func(srv any, ss ServerStream, info *StreamServerInfo, handler StreamHandler) error

// The chains below are put together when a channel or server is made; a call
// allocates nothing for them on a client. The first interceptor is the
// outermost.

// chainUnaryClient returns an invoker that goes through all of chain to last.
func chainUnaryClient(chain []UnaryClientInterceptor, last UnaryInvoker) UnaryInvoker {
	for i := len(chain) - 1; i >= 0; i-- {
		this, next := chain[i], last
		last = func(ctx context.Context, method string, req, reply any, cc *ClientConn, opts ...CallOption) error {
			return this(ctx, method, req, reply, cc, next, opts...)
		}
	}
	return last
}

// chainStreamClient returns a streamer that goes through all of chain to last.
func chainStreamClient(chain []StreamClientInterceptor, last Streamer) Streamer {
	for i := len(chain) - 1; i >= 0; i-- {
		this, next := chain[i], last
		last = func(ctx context.Context, desc *StreamDesc, cc *ClientConn, method string, opts ...CallOption) (ClientStream, error) {
			return this(ctx, desc, cc, method, next, opts...)
		}
	}
	return last
}

// chainUnaryServer makes one interceptor of chain, nil of none. The handler is
// another one in every call, so that going from one to the next is a closure.
func chainUnaryServer(chain []UnaryServerInterceptor) UnaryServerInterceptor {
	if len(chain) == 0 {
		return nil
	}
	first, rest := chain[0], chainUnaryServer(chain[1:])
	if rest == nil {
		return first
	}
	return func(ctx context.Context, req any, info *UnaryServerInfo, handler UnaryHandler) (any, error) {
		return first(ctx, req, info, func(ctx context.Context, req any) (any, error) {
			return rest(ctx, req, info, handler)
		})
	}
}

// chainStreamServer makes one interceptor of chain, nil of none.
func chainStreamServer(chain []StreamServerInterceptor) StreamServerInterceptor {
	if len(chain) == 0 {
		return nil
	}
	first, rest := chain[0], chainStreamServer(chain[1:])
	if rest == nil {
		return first
	}
	return func(srv any, ss ServerStream, info *StreamServerInfo, handler StreamHandler) error {
		return first(srv, ss, info, func(srv any, ss ServerStream) error {
			return rest(srv, ss, info, handler)
		})
	}
}

// appendNonNil adds the interceptors of more that are not nil: an option that
// is switched off by giving nil does nothing.
func appendNonNil[F UnaryClientInterceptor | StreamClientInterceptor | UnaryServerInterceptor | StreamServerInterceptor](chain, more []F) []F {
	for _, f := range more {
		if !reflect.ValueOf(f).IsNil() {
			chain = append(chain, f)
		}
	}
	return chain
}
