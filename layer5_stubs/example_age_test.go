package stubs_test

import (
	"fmt"
	"log"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// ExampleMaxConnectionAge has clients connect anew every half hour, so that servers
// that are added get a share of them, and ends connections that nobody uses. Here
// that is after 50 ms, which the next call does not notice.
func ExampleMaxConnectionAge() {
	s, target := serveExample(
		stubs.MaxConnectionAge(30*time.Minute, 5*time.Minute), // calls have 5 minutes to end
		stubs.MaxConnectionIdle(50*time.Millisecond),
	)
	defer s.Stop()
	cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	client := testpb.NewTestClient(cc)
	ctx, cancel := exampleContext()
	defer cancel()

	for range 2 {
		reply, err := client.Unary(ctx, &testpb.Request{Text: "hello"})
		fmt.Println(reply.GetText(), err)
		cc.WaitForStateChange(ctx, connectivity.Ready)
		fmt.Println(cc.GetState())
	}
	// Output:
	// hello <nil>
	// IDLE
	// hello <nil>
	// IDLE
}
