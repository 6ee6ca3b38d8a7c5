package compression

import (
	"fmt"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

const component = "filter:" + Name // in traces

// traceCompress tells of the message of b, which has become out; nil if it did not
// get shorter. It is called with a sink only.
//
//go:noinline
func (c *call) traceCompress(b *transport.StreamOpBatch, out *transport.Buffer, err error) {
	before := b.SendMessage.Buf.Len()
	after, text := before, fmt.Sprintf("%s %d bytes would not get shorter", c.send.Name(), before)
	switch {
	case err != nil:
		text = fmt.Sprintf("%s %d bytes", c.send.Name(), before)
	case out != nil:
		after = out.Len()
		text = fmt.Sprintf("%s %d to %d bytes", c.send.Name(), before, after)
	}
	b.Cause = c.ch.sink.Emit(&trace.Event{Cause: b.Cause, Layer: 2, Component: component, Op: "compress", Dir: trace.DirDown,
		Call: c.args.CallID, Text: text, Size: after, Err: err})
}

// traceInflate tells of a received message, which has become out. It is called with
// a sink only.
//
//go:noinline
func (c *call) traceInflate(m, out *transport.Buffer, err error) {
	name := "unknown coding"
	if c.peer.coding != nil {
		name = c.peer.coding.Name()
	}
	text, after := fmt.Sprintf("%s %d bytes", name, m.Len()), 0
	if err == nil {
		after = out.Len()
		text = fmt.Sprintf("%s %d to %d bytes", name, m.Len(), after)
	}
	c.message.Cause = c.ch.sink.Emit(&trace.Event{Cause: c.message.Cause, Layer: 2, Component: component, Op: "inflate", Dir: trace.DirUp,
		Call: c.args.CallID, Text: text, Size: after, Err: err})
}
