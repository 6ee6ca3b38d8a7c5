package stubs_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// A client that is used now and then need not keep its connection in between.
func ExampleWithIdleTimeout() {
	s, target := serveExample()
	defer s.Stop()
	cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()),
		stubs.WithIdleTimeout(time.Second))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := exampleContext()
	defer cancel()
	call := func() {
		if _, err := testpb.NewTestClient(cc).Unary(ctx, &testpb.Request{Text: "hello"}); err != nil {
			log.Fatal(err)
		}
		fmt.Println(cc.GetState())
	}
	call()
	cc.WaitForStateChange(ctx, connectivity.Ready) // in a second
	fmt.Println(cc.GetState())
	call() // connects again
	// Output:
	// READY
	// IDLE
	// READY
}

// How does a program behave when its server does not? No server is needed to see.
func ExampleWithFaultInjection() {
	cc, err := stubs.NewClient("dns:///greeter:50051", stubs.WithTransportCredentials(credentials.NewInsecure()),
		stubs.WithFaultInjection(stubs.FaultInjectionConfig{
			Delay: 10 * time.Millisecond, DelayPercent: 100,
			AbortCode: status.Unavailable, AbortMessage: "as if the server were gone", AbortPercent: 100,
		}))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	_, err = testpb.NewTestClient(cc).Unary(context.Background(), new(testpb.Request))
	fmt.Println(err)
	fmt.Println(cc.GetState())
	// Output:
	// rpc error: code = Unavailable desc = fault_injection: fault injected by the client: as if the server were gone
	// IDLE
}
