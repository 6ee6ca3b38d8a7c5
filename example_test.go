package strata_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/strata-grpc/strata"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// greeter is the description of a service, as protoc-gen-go-strata writes one
// from a .proto file. Its method takes a name and returns a greeting.
var greeter = strata.ServiceDesc{
	ServiceName: "example.Greeter",
	Methods: []stubs.MethodDesc{{
		MethodName: "SayHello",
		Handler: func(_ any, ctx context.Context, decode func(any) error, _ stubs.UnaryServerInterceptor) (any, error) {
			name := new(wrapperspb.StringValue)
			if err := decode(name); err != nil {
				return nil, err
			}
			if name.Value == "" {
				return nil, strata.Errorf(strata.InvalidArgument, "whom shall I greet?")
			}
			return wrapperspb.String("Hello, " + name.Value + "!"), nil
		},
	}},
}

// serve starts a server on a free port of this machine.
func serve() (s *strata.Server, addr string) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s = strata.NewServer()
	s.RegisterService(&greeter, nil)
	go func() {
		if err := s.Serve(lis); err != nil {
			log.Print(err)
		}
	}()
	return s, lis.Addr().String()
}

// Example serves a method and calls it.
func Example() {
	s, addr := serve()
	cc, err := strata.NewClient(addr, strata.WithTransportCredentials(strata.InsecureCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	// With generated code: greeterpb.NewGreeterClient(cc).SayHello(ctx, …).
	reply := new(wrapperspb.StringValue)
	err = cc.Invoke(ctx, "/example.Greeter/SayHello", wrapperspb.String("gopher"), reply)
	fmt.Println(reply.Value, err)

	err = cc.Invoke(ctx, "/example.Greeter/SayHello", wrapperspb.String(""), reply)
	fmt.Println(strata.CodeOf(err), strata.StatusOf(err).Message())

	cc.Close()
	fmt.Println(s.Shutdown(ctx))
	// Output:
	// Hello, gopher! <nil>
	// InvalidArgument whom shall I greet?
	// <nil>
}

// ExampleNewClient shows what a call says when nobody can be reached.
func ExampleNewClient() {
	cc, err := strata.NewClient("127.0.0.1:1", strata.WithTransportCredentials(strata.InsecureCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	err = cc.Invoke(context.Background(), "/example.Greeter/SayHello", wrapperspb.String("anybody"), new(wrapperspb.StringValue))
	fmt.Println(strata.CodeOf(err))

	_, err = strata.NewClient("127.0.0.1:1")
	fmt.Println(err)
	// Output:
	// Unavailable
	// surface: channel to "127.0.0.1:1": clientchannel: no credentials are set; use credentials.NewTLS for TLS, or credentials.NewInsecure for plaintext
}

// ExampleNewServer shuts a server down that nobody calls.
func ExampleNewServer() {
	s, _ := serve()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(s.Shutdown(ctx))
	// Output: <nil>
}
