// Command hello greets itself over loopback TCP: the first program of a user
// of Strata.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"example.com/hello/hellopb"

	"github.com/strata-grpc/strata"
)

type greeter struct {
	hellopb.UnimplementedGreeterServer
}

func (greeter) SayHello(_ context.Context, in *hellopb.HelloRequest) (*hellopb.HelloReply, error) {
	if in.GetName() == "" {
		return nil, strata.Errorf(strata.InvalidArgument, "nobody to greet")
	}
	return &hellopb.HelloReply{Message: "Hello, " + in.GetName() + "!"}, nil
}

func main() {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := strata.NewServer()
	hellopb.RegisterGreeterServer(s, greeter{})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(lis) }()

	cc, err := strata.NewClient(lis.Addr().String(), strata.WithTransportCredentials(strata.InsecureCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c := hellopb.NewGreeterClient(cc)
	reply, err := c.SayHello(ctx, &hellopb.HelloRequest{Name: "consumer"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.GetMessage())
	if _, err := c.SayHello(ctx, &hellopb.HelloRequest{}); strata.CodeOf(err) != strata.InvalidArgument {
		log.Fatalf("a greeting of nobody ended with %v", err)
	}
	cc.Close()
	if err := s.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
}
