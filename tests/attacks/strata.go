package main

import (
	"context"
	"log/slog"
	"net"
	"time"

	credentials "github.com/strata-grpc/strata/layer1_transport/credentials"
	metadata "github.com/strata-grpc/strata/layer1_transport/metadata"
	status "github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// strataLib is Strata with its defaults: attacks are against what ships. Those
// with @idle are against what SECURITY.md advises.
type strataLib struct{}

func (strataLib) serve(idle time.Duration) (string, func(), error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := stubs.NewServer(stubs.WithLogger(slog.New(slog.DiscardHandler)), stubs.MaxConnectionIdle(idle))
	s.RegisterService(strataDesc(), nil)
	go s.Serve(lis) //nolint:errcheck // it ends with the process
	return lis.Addr().String(), s.Stop, nil
}

// strataDesc describes the service as generated code would.
func strataDesc() *stubs.ServiceDesc {
	d := &stubs.ServiceDesc{ServiceName: serviceName}
	for _, m := range unaryMethods {
		d.Methods = append(d.Methods, stubs.MethodDesc{
			MethodName: m.name,
			Handler: func(_ any, ctx context.Context, dec func(any) error, _ stubs.UnaryServerInterceptor) (any, error) {
				seen, _ := stubs.Method(ctx)
				defer counts.begin(methodName(m.name), seen)()
				in := new(message)
				if err := dec(in); err != nil {
					return nil, err
				}
				return m.run(in, func(key, value string) {
					_ = stubs.SetHeader(ctx, metadata.Pairs(key, value)) // the call may be over
				})
			},
		})
	}
	for _, m := range streamMethods {
		d.Streams = append(d.Streams, stubs.StreamDesc{
			StreamName: m.name, ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, s stubs.ServerStream) error {
				seen, _ := stubs.Method(s.Context())
				defer counts.begin(methodName(m.name), seen)()
				return m.run(s)
			},
		})
	}
	return d
}

func (strataLib) dial(target string) (func(context.Context) string, func(), error) {
	cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()),
		stubs.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, nil, err
	}
	call := func(ctx context.Context) string {
		in, out := &message{Value: []byte("hello")}, new(message)
		err := cc.Invoke(ctx, methodName("Echo"), in, out)
		if err == nil {
			err = checkEcho(in, out)
		}
		return codeName(status.CodeOf(err).String())
	}
	return call, func() { cc.Close() }, nil
}
