package stubs_test

import (
	"context"
	"fmt"
	"log"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// A greeter answers with who calls.
type greeter struct{ testpb.UnimplementedTestServer }

func (greeter) Unary(ctx context.Context, _ *testpb.Request) (*testpb.Response, error) {
	return &testpb.Response{Text: fmt.Sprint("hello, ", stubs.Principal(ctx))}, nil
}

// ExampleServerAuth lets those in who have a token. Real tokens travel over TLS
// (Creds), where nobody else can read them.
func ExampleServerAuth() {
	users := map[string]string{"Bearer t0ken": "alice"}
	check := func(_ context.Context, r *stubs.AuthRequest) error {
		token, _ := r.Metadata.Get("authorization")
		user, ok := users[token]
		if !ok {
			return status.Errorf(status.Unauthenticated, "%s is for those with a token", r.Path)
		}
		r.Principal = user // which handlers find with Principal
		return nil
	}
	s, target := serveAs(greeter{}, stubs.ServerAuth(stubs.ServerAuthConfig{Process: check}))
	defer s.Stop()
	cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	client := testpb.NewTestClient(cc)
	ctx, cancel := exampleContext()
	defer cancel()

	for _, token := range []string{"Bearer t0ken", "Bearer guess"} {
		reply, err := client.Unary(metadata.AppendToOutgoingContext(ctx, "authorization", token), new(testpb.Request))
		fmt.Println(reply.GetText(), err)
	}
	// Output:
	// hello, alice <nil>
	//  rpc error: code = Unauthenticated desc = /strata.test.Test/Unary is for those with a token
}

// ExampleCallLimit has two calls at once, from however many clients. What is too
// much is refused at once, so that the others are served well.
func ExampleCallLimit() {
	begun, finish := make(chan bool), make(chan bool)
	slow := &echo{hook: func(context.Context) error {
		begun <- true
		<-finish
		return nil
	}}
	s, target := serveAs(slow, stubs.CallLimit(stubs.CallLimitConfig{MaxConcurrent: 2}))
	defer s.Stop()
	cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	client := testpb.NewTestClient(cc)
	ctx, cancel := exampleContext()
	defer cancel()

	answers := make(chan error)
	for range 2 {
		go func() {
			_, err := client.Unary(ctx, new(testpb.Request))
			answers <- err
		}()
		<-begun
	}
	_, err = client.Unary(ctx, new(testpb.Request))
	fmt.Println("the third:", err)

	close(finish)
	fmt.Println("the first two:", <-answers, <-answers)
	// Output:
	// the third: rpc error: code = ResourceExhausted desc = the server has as many calls at once as it may have: 2 (option MaxConcurrent)
	// the first two: <nil> <nil>
}
