package main

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // as Strata has it by default
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// grpcGoLib is grpc-go with its defaults, and with gzip.
type grpcGoLib struct{}

func (grpcGoLib) serve(idle time.Duration) (string, func(), error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := grpc.NewServer(grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idle}))
	s.RegisterService(grpcGoDesc(), nil)
	go s.Serve(lis) //nolint:errcheck // it ends with the process
	return lis.Addr().String(), s.Stop, nil
}

// grpcGoDesc describes the service as generated code would.
func grpcGoDesc() *grpc.ServiceDesc {
	d := &grpc.ServiceDesc{ServiceName: serviceName}
	for _, m := range unaryMethods {
		d.Methods = append(d.Methods, grpc.MethodDesc{
			MethodName: m.name,
			Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				seen, _ := grpc.Method(ctx)
				defer counts.begin(methodName(m.name), seen)()
				in := new(message)
				if err := dec(in); err != nil {
					return nil, err
				}
				return m.run(in, func(key, value string) {
					_ = grpc.SetHeader(ctx, metadata.Pairs(key, value)) // the call may be over
				})
			},
		})
	}
	for _, m := range streamMethods {
		d.Streams = append(d.Streams, grpc.StreamDesc{
			StreamName: m.name, ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, s grpc.ServerStream) error {
				seen, _ := grpc.Method(s.Context())
				defer counts.begin(methodName(m.name), seen)()
				return m.run(s)
			},
		})
	}
	return d
}

func (grpcGoLib) dial(target string) (func(context.Context) string, func(), error) {
	cc, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, err
	}
	call := func(ctx context.Context) string {
		in, out := &message{Value: []byte("hello")}, new(message)
		err := cc.Invoke(ctx, methodName("Echo"), in, out)
		if err == nil {
			err = checkEcho(in, out)
		}
		return codeName(status.Code(err).String())
	}
	return call, func() { cc.Close() }, nil
}
