package compression

import (
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// startSend prepares a batch that sends or cancels. It reports true if the
// batch needs no passing on any more.
func (c *call) startSend(b *transport.StreamOpBatch) (done bool) {
	switch {
	case b.Ops.Has(transport.OpCancelStream):
		c.startCancel(b)
		return true
	case b.Ops.Has(transport.OpSendInitialMetadata):
		if b.SendMessage.Flags&transport.FlagUnframed == 0 { // else it is no answer of gRPC
			c.choose(b.SendInitialMetadata.MD)
		}
		c.release()
	case c.state.Load() != stateKnown && c.hold(b):
		return true
	}
	if b.Ops.Has(transport.OpSendMessage) && c.state.Load() == stateKnown {
		c.compress(b)
	}
	return false
}

// startCancel passes a cancel on, and ends what waits for something else than the
// stream.
func (c *call) startCancel(b *transport.StreamOpBatch) {
	owner, why := c.args.Owner, b.CancelErr
	if why == nil {
		why = errCancelled
	}
	owner.Ref() // the cancel may end the call
	c.cancelled.Store(true)
	c.Next.StartBatch(b)
	c.dropHeld() // a cancelled stream fails what comes to it
	c.dropEarly()
	c.giveUp(why)
	owner.Unref()
}

// choose decides about the coding of the call's messages and fills in the
// header fields.
func (c *call) choose(md *metadata.List) {
	name := c.wanted(md.Encoding)
	// The message SHALL be sent uncompressed where the client is known not to
	// support the coding, by the gRPC compression document.
	if name != "" && c.args.Accepted != nil && !encoding.Accepts(c.peer.accept, name) {
		name = ""
	}
	if name != "" {
		c.send = c.ch.set.Find(name)
		if c.send == nil && !c.ch.cfg.KeepCompressed {
			callstack.Cancel(c.Next, fault(status.Internal, c.ch.set.Check(name).Error()))
		}
	}
	md.Encoding, md.AcceptEncoding = name, c.ch.set.Accept()
}

// wanted returns the name of the coding that is wanted, empty for identity. The
// call's own wish counts before the default.
func (c *call) wanted(wish string) string {
	switch cfg := &c.ch.cfg; {
	case wish == encoding.Identity || wish == "" && cfg.Send == encoding.Identity:
		return ""
	case wish != "":
		return wish
	case cfg.Send == "" && cfg.Mirror && c.peer.coding != nil:
		return c.peer.name
	default:
		return cfg.Send
	}
}

// compress compresses the message of b if that is wanted and of use.
// gRPC-HTTP2 Compressed-Flag
func (c *call) compress(b *transport.StreamOpBatch) {
	m := &b.SendMessage
	if c.send == nil || m.Flags&transport.FlagNoCompress != 0 || m.Buf.Compressed || m.Buf.Len() < c.ch.cfg.MinSize {
		return
	}
	out, err := encoding.Compress(c.send, m.Buf)
	if c.ch.sink != nil {
		c.traceCompress(b, out, err)
	}
	switch {
	case err != nil:
		c.ch.tellPanic(err)
		// The batch is passed on: the cancelled stream fails it in order.
		callstack.Cancel(c.Next, fault(status.Internal, err.Error()))
	case out != nil:
		m.Buf.Release()
		m.Buf = out
	}
}
