package peers

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// grpcGoLib is grpc-go.
type grpcGoLib struct{}

func (grpcGoLib) name() string                   { return "grpc-go" }
func (grpcGoLib) statusOf(err error) *spb.Status { return status.Convert(err).Proto() }

func (l grpcGoLib) serve(t *testing.T, h handlers, o serverOptions) *runningServer {
	t.Helper()
	var opts []grpc.ServerOption
	if o.cert != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{*o.cert}})))
	}
	if o.maxRecv != 0 {
		opts = append(opts, grpc.MaxRecvMsgSize(o.maxRecv))
	}
	if o.maxCalls != 0 {
		opts = append(opts, grpc.MaxConcurrentStreams(o.maxCalls))
	}
	opts = append(opts, grpc.KeepaliveParams(keepalive.ServerParameters{
		MaxConnectionAge: o.maxAge, MaxConnectionAgeGrace: o.maxGrace, MaxConnectionIdle: o.maxIdle,
	}))
	s := grpc.NewServer(opts...)
	s.RegisterService(grpcGoDesc(h), nil)
	lis := o.listen(t)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(lis) }()
	t.Cleanup(func() {
		s.Stop() // perhaps before Serve was reached
		if err := await(t, "Serve of grpc-go to return", ended); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("Serve: %v", err)
		}
	})
	graceful := func(context.Context) error {
		s.GracefulStop()
		return nil
	}
	return &runningServer{addr: lis.Addr().String(), graceful: graceful, stop: s.Stop}
}

// grpcGoDesc describes the tests' service as generated code would.
func grpcGoDesc(h handlers) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: serviceName,
		Methods: []grpc.MethodDesc{{
			MethodName: unaryName,
			Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				in := new(message)
				if err := dec(in); err != nil {
					return nil, err
				}
				if h.unary == nil {
					return in, nil
				}
				out, err := h.unary(ctx, grpcGoCall{}, in)
				if err != nil {
					return nil, err
				}
				return out, nil
			},
		}},
		Streams: []grpc.StreamDesc{{
			StreamName: streamName, ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, s grpc.ServerStream) error {
				if h.stream == nil {
					return echoStream(grpcGoServerStream{s})
				}
				return h.stream(grpcGoServerStream{s})
			},
		}},
	}
}

// grpcGoCall is handlerCall on grpc-go.
type grpcGoCall struct{}

func (grpcGoCall) incoming(ctx context.Context) pairs {
	md, _ := metadata.FromIncomingContext(ctx)
	return md
}

func (grpcGoCall) setHeader(ctx context.Context, md pairs) error  { return grpc.SetHeader(ctx, md) }
func (grpcGoCall) setTrailer(ctx context.Context, md pairs) error { return grpc.SetTrailer(ctx, md) }
func (grpcGoCall) fail(st *spb.Status) error                      { return status.FromProto(st).Err() }

// grpcGoServerStream is serverStream on grpc-go.
type grpcGoServerStream struct{ grpc.ServerStream }

func (s grpcGoServerStream) incoming() pairs           { return grpcGoCall{}.incoming(s.Context()) }
func (s grpcGoServerStream) setHeader(md pairs) error  { return s.SetHeader(md) }
func (s grpcGoServerStream) setTrailer(md pairs)       { s.SetTrailer(md) }
func (s grpcGoServerStream) fail(st *spb.Status) error { return grpcGoCall{}.fail(st) }

func (l grpcGoLib) dial(t *testing.T, target string, o clientOptions) conn {
	t.Helper()
	creds := insecure.NewCredentials()
	if o.roots != nil {
		creds = credentials.NewTLS(&tls.Config{RootCAs: o.roots, ServerName: o.serverName})
	}
	var calls []grpc.CallOption
	if o.maxRecv != 0 {
		calls = append(calls, grpc.MaxCallRecvMsgSize(o.maxRecv))
	}
	if o.maxSend != 0 {
		calls = append(calls, grpc.MaxCallSendMsgSize(o.maxSend))
	}
	opts := []grpc.DialOption{grpc.WithTransportCredentials(creds), grpc.WithDefaultCallOptions(calls...)}
	if o.token != nil {
		opts = append(opts, grpc.WithPerRPCCredentials(o.token))
	}
	cc, err := grpc.NewClient(target, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return grpcGoConn{cc}
}

// grpcGoConn is conn on grpc-go.
type grpcGoConn struct{ cc *grpc.ClientConn }

func (c grpcGoConn) close() { c.cc.Close() }

// with turns options into a context and grpc-go's own.
func (c grpcGoConn) with(ctx context.Context, o *callOptions) (context.Context, []grpc.CallOption) {
	if o == nil {
		return ctx, nil
	}
	if o.send != nil {
		ctx = metadata.NewOutgoingContext(ctx, o.send)
	}
	opts := []grpc.CallOption{grpc.WaitForReady(o.waitForReady)}
	if o.token != nil {
		opts = append(opts, grpc.PerRPCCredentials(o.token))
	}
	return ctx, opts
}

func (c grpcGoConn) unary(ctx context.Context, in []byte, o *callOptions) ([]byte, error) {
	ctx, opts := c.with(ctx, o)
	var header, trailer metadata.MD
	opts = append(opts, grpc.Header(&header), grpc.Trailer(&trailer))
	out := new(message)
	err := c.cc.Invoke(ctx, unaryMethod, &message{Value: in}, out, opts...)
	if o != nil && o.header != nil {
		*o.header = header
	}
	if o != nil && o.trailer != nil {
		*o.trailer = trailer
	}
	return out.GetValue(), err
}

func (c grpcGoConn) stream(ctx context.Context, o *callOptions) (clientStream, error) {
	ctx, opts := c.with(ctx, o)
	s, err := c.cc.NewStream(ctx, &grpc.StreamDesc{StreamName: streamName, ServerStreams: true, ClientStreams: true}, streamMethod, opts...)
	if err != nil {
		return nil, err
	}
	return grpcGoClientStream{s}, nil
}

// grpcGoClientStream is clientStream on grpc-go.
type grpcGoClientStream struct{ grpc.ClientStream }

func (s grpcGoClientStream) header() (pairs, error) {
	md, err := s.Header()
	return md, err
}

func (s grpcGoClientStream) trailer() pairs { return s.Trailer() }
