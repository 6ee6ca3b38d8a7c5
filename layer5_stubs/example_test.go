package stubs_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// serveExample serves an echo on a free port of this machine.
func serveExample(opts ...stubs.ServerOption) (s *stubs.Server, target string) {
	return serveAs(new(echo), opts...)
}

// serveAs serves impl on a free port of this machine.
func serveAs(impl testpb.TestServer, opts ...stubs.ServerOption) (s *stubs.Server, target string) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s = stubs.NewServer(opts...)
	testpb.RegisterTestServer(s, impl)
	go func() {
		if err := s.Serve(lis); err != nil {
			log.Print(err)
		}
	}()
	return s, lis.Addr().String()
}

// exampleContext is what examples give a call at most.
func exampleContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 20*time.Second)
}

// ExampleNewClient makes a unary call and reads its headers and its error.
func ExampleNewClient() {
	s, target := serveExample()
	defer s.Stop()
	cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := exampleContext()
	defer cancel()
	client := testpb.NewTestClient(cc)

	reply, err := client.Unary(ctx, &testpb.Request{Text: "hello"})
	fmt.Println(reply.GetText(), err)

	_, err = client.Unary(ctx, &testpb.Request{Code: int32(status.NotFound), Text: "no such thing"})
	fmt.Println(status.CodeOf(err), "|", err)
	// Output:
	// hello <nil>
	// NotFound | rpc error: code = NotFound desc = no such thing
}

// ExampleNewServer stands an interceptor around the calls of a server.
func ExampleNewServer() {
	logged := func(ctx context.Context, req any, info *stubs.UnaryServerInfo, handler stubs.UnaryHandler) (any, error) {
		resp, err := handler(ctx, req)
		md, _ := metadata.FromIncomingContext(ctx)
		fmt.Println(info.FullMethod, md.Get("user"), status.CodeOf(err))
		return resp, err
	}
	s, target := serveExample(stubs.UnaryInterceptor(logged))
	cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()))
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := exampleContext()
	defer cancel()
	if _, err := testpb.NewTestClient(cc).Unary(metadata.AppendToOutgoingContext(ctx, "user", "gopher"), new(testpb.Request)); err != nil {
		log.Fatal(err)
	}
	cc.Close()
	fmt.Println(s.Shutdown(ctx))
	// Output:
	// /strata.test.Test/Unary [gopher] OK
	// <nil>
}

// ExampleNewClientOn calls a server in the same process.
func ExampleNewClientOn() {
	clientEnd, serverEnd := inproc.Pair(inproc.Config{})
	s := stubs.NewServer()
	testpb.RegisterTestServer(s, new(echo))
	if err := s.ServeTransport(serverEnd); err != nil {
		log.Fatal(err)
	}
	defer s.Stop()
	cc, err := stubs.NewClientOn(clientEnd)
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := exampleContext()
	defer cancel()
	reply, err := testpb.NewTestClient(cc).Unary(ctx, &testpb.Request{Text: "inside"})
	fmt.Println(reply.GetText(), err)
	// Output: inside <nil>
}

// ExampleMessages receives a stream with a loop.
func ExampleMessages() {
	s, target := serveExample()
	defer s.Stop()
	cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := exampleContext()
	defer cancel()
	stream, err := testpb.NewTestClient(cc).ServerStream(ctx, &testpb.Request{Text: "again", Responses: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Close() // leaves nothing running, however the loop ends
	for msg, err := range stubs.Messages(stream) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(msg.Text)
	}
	// Output:
	// again
	// again
}

// ExampleBidiStreamingClient sends and receives at the same time.
func ExampleBidiStreamingClient() {
	s, target := serveExample()
	defer s.Stop()
	cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := exampleContext()
	defer cancel()
	stream, err := testpb.NewTestClient(cc).Bidi(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Close()
	go func() {
		for _, text := range []string{"one", "two"} {
			if err := stream.Send(&testpb.Request{Text: text}); err == io.EOF {
				return // the call has ended; Recv says why
			}
		}
		_ = stream.CloseSend()
	}()
	for {
		msg, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(msg.Text, msg.Received)
	}
	// Output:
	// one 1
	// two 2
}
