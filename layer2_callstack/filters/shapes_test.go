package filters_test

import (
	"fmt"
	"log"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
)

// TestContract runs the contract of filters on the examples.
func TestContract(t *testing.T) {
	for _, tc := range []struct {
		name string
		side callstacktest.Side
		f    callstack.Filter
	}{
		{"numbering", callstacktest.Client, numbering()},
		{"reporting", callstacktest.Client, reporting()},
		{"refusing", callstacktest.Server, refusing("/service/other")},
		{"ticketing", callstacktest.Client, ticketing(func(done func(string, error)) { done("ticket", nil) })},
	} {
		t.Run(tc.name, func(t *testing.T) { callstacktest.Run(t, tc.side, tc.f) })
	}
}

// stackOf returns a stack with f alone, above a transport that does what the
// example tells it.
func stackOf(f callstack.Filter, tr *callstacktest.Transport) *callstack.ChannelStack {
	b := callstack.NewBuilder("EXAMPLE")
	b.Add(f)
	b.Add(connected.New()).Terminal()
	s, err := b.Build(callstack.ChannelArgs{Transport: tr})
	if err != nil {
		log.Fatal(err)
	}
	return s
}

// begin begins a call of a stack.
func begin(c *callstacktest.Call, side callstacktest.Side) {
	if err := c.Begin(side.Args()); err != nil {
		log.Fatal(err)
	}
}

// ended prints what the application learns of the end of the call.
func ended(b *callstacktest.Batch) {
	fmt.Println("ended:", b.GotTrailers.Err(), status.CodeOf(b.GotTrailers.Err()))
}

// whole are the operations of a whole unary call.
const whole = transport.OpsSend | transport.OpsRecv
