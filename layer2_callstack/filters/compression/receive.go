package compression

import (
	"fmt"

	"github.com/strata-grpc/strata/internal/quote"
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
	"github.com/strata-grpc/strata/layer2_callstack/filters/internal/contenttype"
	"github.com/strata-grpc/strata/layer2_callstack/filters/internal/reject"
)

// A peerCoding is what a peer says of codings in its headers.
type peerCoding struct {
	name   string              // grpc-encoding
	accept string              // grpc-accept-encoding
	coding encoding.Compressor // of name, nil if it is none or not known
	heard  bool                // the headers have come, or never will
}

// known reports whether messages in that coding can be read.
func (p *peerCoding) known() bool {
	return p.coding != nil || p.name == "" || p.name == encoding.Identity
}

// A call as the callback of recv_initial_metadata, and when its turn has come.
type (
	onHeaders   call
	headersTurn call
)

func (c *onHeaders) Run(err error)   { c.combiner.Run((*headersTurn)(c), err) }
func (c *headersTurn) Run(err error) { (*call)(c).gotHeaders(err) }

func (c *call) gotHeaders(err error) {
	if err == nil {
		md, server := c.headers, c.args.Accepted != nil
		c.peer.name, c.peer.accept = md.Encoding, md.AcceptEncoding
		if md.Encoding != "" {
			c.peer.coding = c.ch.set.Find(md.Encoding)
		}
		c.plain = c.peer.coding == nil
		// A request that is not gRPC is for http_server to answer. A server
		// that named a coding may still send messages without it, but a client
		// is told at once which ones there are.
		if server && !c.peer.known() && contenttype.Valid(md.ContentType) {
			err = c.refuse(md)
		}
		if !c.ch.cfg.KeepCompressed {
			md.Encoding = ""
		}
		if !server {
			md.AcceptEncoding = ""
		}
	}
	c.peer.heard = true
	early := c.early.Load() // after the callback the call may be over, unless a message waits
	c.headersDone.Run(err)
	if early && c.takeEarly() {
		c.finish(err)
	}
}

// refuse answers a request in a coding that is not known.
func (c *call) refuse(md *metadata.List) error {
	e := fault(status.Unimplemented, "grpc-encoding "+quote.Text(md.Encoding)+" is not supported, "+c.ch.set.Known())
	c.failed = e
	accept := c.ch.set.Accept()
	if accept == "" {
		accept = encoding.Identity // there has to be a list
	}
	reject.Send(c.Next, c.args.Owner, reject.Answer{
		HTTPStatus:     "200",
		ContentType:    contenttype.Media(md.ContentType),
		Code:           e.Code,
		Message:        e.Reason,
		AcceptEncoding: accept,
	})
	return e
}

// A call as the callback of recv_message, and when its turn has come.
type (
	onMessage   call
	messageTurn call
)

func (c *onMessage) Run(err error)   { c.combiner.Run((*messageTurn)(c), err) }
func (c *messageTurn) Run(err error) { (*call)(c).gotMessage(err) }

func (c *call) gotMessage(err error) {
	m := c.message.RecvMessage.Message
	if m == nil || !m.Compressed || c.ch.cfg.KeepCompressed {
		c.messageDone.Run(err)
		return
	}
	if err != nil || c.peer.heard {
		c.finish(err)
		return
	}
	// The application asks for a message before it asks for the headers, which
	// say how it is coded.
	c.combiner.Engage()
	c.away.on.Store(true)
	c.early.Store(true)
	if c.cancelled.Load() { // and whoever did may have looked before
		c.dropEarly()
	}
}

// errEarly is why a message is lost whose headers nobody has asked for.
var errEarly error = fault(status.Internal, "the call ended before the headers were asked for, which say how its message is compressed")

// takeEarly reports whether a message waits for the headers that nobody else ends.
func (c *call) takeEarly() bool { return c.early.Load() && c.early.CompareAndSwap(true, false) }

// dropEarly ends a message that waits for the headers, if one does. The caller need not
// be a callback.
func (c *call) dropEarly() {
	if c.takeEarly() {
		c.combiner.Run((*finishTurn)(c), errEarly)
	}
}

// A finishTurn is a call whose message has waited for the headers, in vain.
type finishTurn call

func (c *finishTurn) Run(err error) { (*call)(c).finish(err) }

// finish ends recv_message with a compressed message, or has it inflated elsewhere.
func (c *call) finish(err error) {
	m, in := c.message.RecvMessage.Message, (*encoding.Inflation)(nil)
	if err == nil && c.peer.coding != nil {
		in = encoding.Begin(c.peer.coding, m, c.message.RecvMessage.Limit)
		if c.mayLeave() {
			if m.Len() > mostWire || in.Step(mostSpot) {
				c.leave(in)
				return
			}
		}
		for in.Step(0) {
		}
	}
	c.inflated(in, err)
}

// inflated ends recv_message with what has come of a compressed message, and the call if
// that has waited. in is nil where its coding is not known. why is why nobody wants the
// message, nil if somebody does.
func (c *call) inflated(in *encoding.Inflation, why error) {
	op, a := &c.message.RecvMessage, &c.away
	m := op.Message
	op.Message = nil
	err := why
	if why == nil {
		op.Message, err = c.result(in, m)
		if c.ch.sink != nil {
			c.traceInflate(m, op.Message, err)
		}
		if err != nil {
			c.cancel(err)
		}
	} else if in != nil {
		out, _ := in.End()
		out.Release()
	}
	m.Release()
	if why == errOver {
		err = nil
	} else if why != nil {
		a.lost = why
	}
	if a.on.Load() {
		a.on.Store(false)
	}
	ended, end := a.ended, a.end
	a.ended, a.end = false, nil
	c.messageDone.Run(err)
	if ended { // behind whatever the application has asked for meanwhile
		c.combiner.Run((*endTurn)(c), end)
	}
}

// result returns what m holds, which in has inflated. An error is the end of the call.
func (c *call) result(in *encoding.Inflation, m *transport.Buffer) (*transport.Buffer, error) {
	if in == nil {
		return nil, c.unexpected()
	}
	out, err := in.End()
	if err == nil {
		return out, nil
	}
	if err != encoding.ErrLimit {
		c.ch.tellPanic(err)
		return nil, fault(status.Internal, err.Error())
	}
	op := &c.message.RecvMessage
	limit := op.Limit
	if limit <= 0 {
		limit = encoding.MaxInflated
	}
	reason := fmt.Sprintf("a message of %d bytes passes the receive limit of %d bytes once inflated", m.Len(), limit)
	if op.LimitName != "" {
		reason += " (" + op.LimitName + ")"
	}
	return nil, fault(status.ResourceExhausted, reason)
}

// unexpected is the end of a call that got a message it cannot read.
func (c *call) unexpected() error {
	if c.peer.known() {
		return fault(status.Internal, "message has the Compressed-Flag, but the peer named no grpc-encoding")
	}
	return fault(status.Internal, "message is in grpc-encoding "+quote.Text(c.peer.name)+", which was not offered, "+c.ch.set.Known())
}

// A call as the callback of recv_trailing_metadata, and when its turn has come.
type (
	onTrailers   call
	trailersTurn call
)

func (c *onTrailers) Run(err error)   { c.combiner.Run((*trailersTurn)(c), err) }
func (c *trailersTurn) Run(err error) { (*call)(c).gotTrailers(err) }

func (c *call) gotTrailers(err error) {
	c.peer.heard = true
	c.dropHeld()
	if c.takeEarly() {
		c.finish(errEarly)
	}
	switch {
	case !c.away.on.Load():
		c.passTrailers(err)
		return
	case err != nil:
		c.away.ended, c.away.end = true, err
		c.giveUp(err)
	case c.args.Accepted != nil:
		c.away.ended = true
		c.giveUp(errOver)
	default: // the server's answer is this message and the status
		c.away.ended = true
	}
}

// passTrailers ends recv_trailing_metadata. The peer may have ended well a call whose
// message nobody gets.
func (c *call) passTrailers(err error) {
	if c.failed != nil {
		err = c.failed
	} else if err == nil {
		err = c.away.lost
	}
	c.trailers.Encoding, c.trailers.AcceptEncoding = "", ""
	c.trailersDone.Run(err)
}
