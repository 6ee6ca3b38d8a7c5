package faultinjection_test

import (
	"fmt"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
	"github.com/strata-grpc/strata/layer2_callstack/filters/faultinjection"
)

// Numbers from the program make faults come in a known order.
func ExampleNew() {
	numbers := []float64{0.7, 0.2, 0.9}
	b := callstack.NewBuilder("CHANNEL")
	b.Add(faultinjection.New(faultinjection.Config{
		AbortCode: status.Unavailable, AbortPercent: 25, AbortMessage: "one of four",
		Rand: func() float64 {
			n := numbers[0]
			numbers = numbers[1:]
			return n
		},
	}))
	b.Add(connected.New()).Terminal()
	s, err := b.Build(callstack.ChannelArgs{Transport: &callstacktest.Transport{OnBatch: callstacktest.AnswerUnary}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Destroy()
	for range 3 {
		call := callstacktest.NewCall(s)
		if err := call.Begin(callstacktest.Client.Args()); err != nil {
			fmt.Println(err)
		}
		end := call.Do(transport.OpsSend | transport.OpRecvTrailingMetadata)
		fmt.Println(end.GotTrailers.Err())
		call.Unref()
	}
	// Output:
	// <nil>
	// fault_injection: fault injected by the client: one of four
	// <nil>
}

// What is wrong with a configuration is quoted.
func ExampleConfig_Validate() {
	fmt.Println(faultinjection.Config{Delay: time.Second, DelayPercent: 110}.Validate())
	// Output: option DelayPercent is 110, want 0 to 100
}
