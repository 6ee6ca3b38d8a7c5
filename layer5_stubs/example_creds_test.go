package stubs_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// ExampleWithPerRPCCredentials: a token that is a secret needs a connection that
// nobody can read.
func ExampleWithPerRPCCredentials() {
	token := stubs.WithPerRPCCredentials(credentials.NewBearerToken("t0ken"))
	cc, err := stubs.NewClient("greeter.example", stubs.WithTransportCredentials(credentials.NewTLS(nil)), token)
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	_, err = stubs.NewClient("greeter.example", stubs.WithTransportCredentials(credentials.NewInsecure()), token)
	fmt.Println(cc.Target(), err != nil)
	// Output: greeter.example true
}

// A session is credentials of calls that are fetched when they are needed. This
// one is no secret; most are.
type session struct{}

func (session) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	select { // as a server for tokens would need
	case <-time.After(time.Millisecond):
	case <-ctx.Done(): // the call has ended
		return nil, ctx.Err()
	}
	info, _ := credentials.RequestInfoFromContext(ctx)
	return map[string]string{"x-session": "for " + info.Method}, nil
}

func (session) RequireTransportSecurity() bool { return false }

// A sessionServer answers with the session of the call.
type sessionServer struct{ testpb.UnimplementedTestServer }

func (sessionServer) Unary(ctx context.Context, _ *testpb.Request) (*testpb.Response, error) {
	return &testpb.Response{Text: fmt.Sprint(metadata.ValueFromIncomingContext(ctx, "x-session"))}, nil
}

// ExamplePerRPCCredentials brings credentials for one call. They are asked on a
// goroutine of their own, which nothing but the call waits for.
func ExamplePerRPCCredentials() {
	s, target := serveAs(sessionServer{})
	defer s.Stop()
	cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := exampleContext()
	defer cancel()
	out, err := testpb.NewTestClient(cc).Unary(ctx, &testpb.Request{}, stubs.PerRPCCredentials(session{}))
	fmt.Println(out.GetText(), err)
	// Output: [for /strata.test.Test/Unary] <nil>
}
