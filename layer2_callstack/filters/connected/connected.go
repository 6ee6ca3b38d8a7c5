// Package connected is the filter at the bottom of a stack that ends at a
// transport: it gives each call block its stream and hands it the batches.
//
// # Contract
//
//   - A call element owns one transport.Stream, made with the block and used
//     for one call after another.
//   - Batches and transport operations go to the transport as they are.
//   - A stack without a transport, or with a filter below this one, is not built.
//   - Not here: who closes the transport. Whoever made it does.
//
// # Goroutines
//
// None. Callbacks run on the goroutines of the transport.
//
// # Locks
//
// None. A stream takes batches from several goroutines at once.
package connected

import (
	"errors"
	"fmt"

	transport "github.com/strata-grpc/strata/layer1_transport"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// Name is the name of the filter.
const Name = "connected"

// New returns the filter. It is terminal, and its stack needs a transport.
func New() callstack.Filter { return filter{} }

type filter struct{}

func (filter) Name() string { return Name }

func (filter) NewChannel(args *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	if next != nil {
		return nil, errors.New("stands above another filter, must be the last")
	}
	if args.Transport == nil {
		return nil, errors.New("the stack was built without a transport")
	}
	return &channel{t: args.Transport}, nil
}

type channel struct {
	callstack.ChannelBase
	t transport.Transport
}

func (ch *channel) StartTransportOp(op *transport.Op) { ch.t.PerformOp(op) }

func (ch *channel) NewCall(callstack.CallElem) callstack.CallElem {
	stream := ch.t.NewStream()
	if stream == nil {
		panic(fmt.Sprintf("connected: transport %q made no stream", ch.t.Name()))
	}
	return &call{stream}
}

type call struct{ stream transport.Stream }

func (c *call) Init(args *callstack.CallArgs) error {
	c.stream.Init(args.Owner, args.Accepted)
	return nil
}

func (c *call) StartBatch(b *transport.StreamOpBatch) { c.stream.PerformBatch(b) }

func (c *call) Reset() { c.stream.Reset() }
