package peers

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	credentials "github.com/strata-grpc/strata/layer1_transport/credentials"
	metadata "github.com/strata-grpc/strata/layer1_transport/metadata"
	status "github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// strataLib is Strata.
type strataLib struct{}

func (strataLib) name() string                   { return "strata" }
func (strataLib) statusOf(err error) *spb.Status { return status.Convert(err).Proto() }

func (l strataLib) serve(t *testing.T, h handlers, o serverOptions) *runningServer {
	t.Helper()
	var opts []stubs.ServerOption
	if o.cert != nil {
		opts = append(opts, stubs.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{*o.cert}})))
	}
	if o.maxRecv != 0 {
		opts = append(opts, stubs.MaxRecvMsgSize(o.maxRecv))
	}
	if o.maxCalls != 0 {
		opts = append(opts, stubs.MaxConcurrentStreams(o.maxCalls))
	}
	if o.maxAge != 0 {
		opts = append(opts, stubs.MaxConnectionAge(o.maxAge, o.maxGrace))
	}
	if o.maxIdle != 0 {
		opts = append(opts, stubs.MaxConnectionIdle(o.maxIdle))
	}
	s := stubs.NewServer(append(opts, o.strata...)...)
	s.RegisterService(strataDesc(h), nil)
	lis := o.listen(t)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(lis) }()
	t.Cleanup(func() {
		s.Stop() // perhaps before Serve was reached
		if err := await(t, "Serve of strata to return", ended); err != nil && !errors.Is(err, stubs.ErrServerStopped) {
			t.Errorf("Serve: %v", err)
		}
	})
	return &runningServer{addr: lis.Addr().String(), graceful: s.Shutdown, stop: s.Stop}
}

// strataDesc describes the tests' service as generated code would.
func strataDesc(h handlers) *stubs.ServiceDesc {
	return &stubs.ServiceDesc{
		ServiceName: serviceName,
		Methods: []stubs.MethodDesc{{
			MethodName: unaryName,
			Handler: func(_ any, ctx context.Context, dec func(any) error, _ stubs.UnaryServerInterceptor) (any, error) {
				in := new(message)
				if err := dec(in); err != nil {
					return nil, err
				}
				if h.unary == nil {
					return in, nil
				}
				out, err := h.unary(ctx, strataCall{}, in)
				if err != nil {
					return nil, err
				}
				return out, nil
			},
		}},
		Streams: []stubs.StreamDesc{{
			StreamName: streamName, ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, s stubs.ServerStream) error {
				if h.stream == nil {
					return echoStream(strataServerStream{s})
				}
				return h.stream(strataServerStream{s})
			},
		}},
	}
}

// strataCall is handlerCall on Strata.
type strataCall struct{}

func (strataCall) incoming(ctx context.Context) pairs {
	md, _ := metadata.FromIncomingContext(ctx)
	return md
}

func (strataCall) setHeader(ctx context.Context, md pairs) error  { return stubs.SetHeader(ctx, md) }
func (strataCall) setTrailer(ctx context.Context, md pairs) error { return stubs.SetTrailer(ctx, md) }
func (strataCall) fail(st *spb.Status) error                      { return status.FromProto(st).Err() }

// strataServerStream is serverStream on Strata.
type strataServerStream struct{ stubs.ServerStream }

func (s strataServerStream) incoming() pairs           { return strataCall{}.incoming(s.Context()) }
func (s strataServerStream) setHeader(md pairs) error  { return s.SetHeader(md) }
func (s strataServerStream) setTrailer(md pairs)       { s.SetTrailer(md) }
func (s strataServerStream) fail(st *spb.Status) error { return strataCall{}.fail(st) }

func (l strataLib) dial(t *testing.T, target string, o clientOptions) conn {
	t.Helper()
	creds := credentials.NewInsecure()
	if o.roots != nil {
		creds = credentials.NewTLS(&tls.Config{RootCAs: o.roots, ServerName: o.serverName})
	}
	var calls []stubs.CallOption
	if o.maxRecv != 0 {
		calls = append(calls, stubs.MaxCallRecvMsgSize(o.maxRecv))
	}
	if o.maxSend != 0 {
		calls = append(calls, stubs.MaxCallSendMsgSize(o.maxSend))
	}
	opts := []stubs.DialOption{stubs.WithTransportCredentials(creds), stubs.WithDefaultCallOptions(calls...)}
	if o.token != nil {
		opts = append(opts, stubs.WithPerRPCCredentials(o.token))
	}
	cc, err := stubs.NewClient(target, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return strataConn{cc}
}

// strataConn is conn on Strata.
type strataConn struct{ cc *stubs.ClientConn }

func (c strataConn) close() { c.cc.Close() }

// with turns options into a context and Strata's own.
func (c strataConn) with(ctx context.Context, o *callOptions) (context.Context, []stubs.CallOption) {
	if o == nil {
		return ctx, nil
	}
	if o.send != nil {
		ctx = metadata.NewOutgoingContext(ctx, o.send)
	}
	opts := []stubs.CallOption{stubs.WaitForReady(o.waitForReady)}
	if o.token != nil {
		opts = append(opts, stubs.PerRPCCredentials(o.token))
	}
	return ctx, opts
}

func (c strataConn) unary(ctx context.Context, in []byte, o *callOptions) ([]byte, error) {
	ctx, opts := c.with(ctx, o)
	var header, trailer metadata.MD
	opts = append(opts, stubs.Header(&header), stubs.Trailer(&trailer))
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

func (c strataConn) stream(ctx context.Context, o *callOptions) (clientStream, error) {
	ctx, opts := c.with(ctx, o)
	s, err := c.cc.NewStream(ctx, &stubs.StreamDesc{StreamName: streamName, ServerStreams: true, ClientStreams: true}, streamMethod, opts...)
	if err != nil {
		return nil, err
	}
	return strataClientStream{s}, nil
}

// strataClientStream is clientStream on Strata.
type strataClientStream struct{ stubs.ClientStream }

func (s strataClientStream) header() (pairs, error) {
	md, err := s.Header()
	return md, err
}

func (s strataClientStream) trailer() pairs { return s.Trailer() }
