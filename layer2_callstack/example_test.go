package callstack_test

import (
	"fmt"

	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// A stack is declared, not counted out: each filter says what it must stand
// above or below.
func ExampleNewBuilder() {
	b := callstack.NewBuilder("EXAMPLE")
	b.Add(named{name: "transport"}).Terminal()
	b.Add(named{name: "headers"}).After("limits")
	b.Add(named{name: "limits"})
	b.Add(named{name: "audit"}).Before("limits").If(func(args *callstack.ChannelArgs) bool { return args.Trace == nil })
	s, err := b.Build(callstack.ChannelArgs{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s)
	// Output: EXAMPLE audit limits headers transport
}

// Constraints that contradict each other are an error that shows how.
func ExampleBuilder_Build() {
	b := callstack.NewBuilder("EXAMPLE")
	b.Add(named{name: "transport"}).Terminal()
	b.Add(named{name: "headers"}).After("limits")
	b.Add(named{name: "limits"}).After("headers")
	_, err := b.Build(callstack.ChannelArgs{})
	fmt.Println(err)
	// Output:
	// callstack: EXAMPLE: cycle headers → limits → headers: "limits" is to stand after "headers", "headers" is to stand after "limits"
}
