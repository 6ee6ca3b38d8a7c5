package compression

import (
	"errors"
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

// onHeaders is a call as the callback of recv_initial_metadata.
type onHeaders call

func (c *onHeaders) Run(err error) { (*call)(c).gotHeaders(err) }

func (c *call) gotHeaders(err error) {
	if err == nil {
		md, server := c.headers, c.args.Accepted != nil
		c.peer.name, c.peer.accept = md.Encoding, md.AcceptEncoding
		if md.Encoding != "" {
			c.peer.coding = c.ch.set.Find(md.Encoding)
		}
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
	c.headersDone.Run(err)
	c.finishEarly(err)
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

// onMessage is a call as the callback of recv_message.
type onMessage call

func (c *onMessage) Run(err error) { (*call)(c).gotMessage(err) }

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
	c.early.Store(true)
	if c.cancelled.Load() { // and whoever did may have looked before
		c.finishEarly(errEarly)
	}
}

// errEarly is why a message is lost whose headers nobody has asked for.
var errEarly error = fault(status.Internal, "the call ended before the headers were asked for, which say how its message is compressed")

// finishEarly is finish for a message that waits for the headers, if one does.
func (c *call) finishEarly(err error) {
	if c.early.Load() && c.early.CompareAndSwap(true, false) {
		c.finish(err)
	}
}

// finish ends recv_message with a compressed message.
func (c *call) finish(err error) {
	op := &c.message.RecvMessage
	m := op.Message
	op.Message = nil
	if err == nil {
		op.Message, err = c.inflate(m, op)
		if c.ch.sink != nil {
			c.traceInflate(m, op.Message, err)
		}
		if err != nil {
			c.cancel(err)
		}
	}
	m.Release()
	c.messageDone.Run(err)
}

// inflate returns what m holds, for op. An error is the end of the call.
func (c *call) inflate(m *transport.Buffer, op *transport.RecvMessage) (*transport.Buffer, error) {
	if c.peer.coding == nil {
		return nil, c.unexpected()
	}
	out, err := encoding.Inflate(c.peer.coding, m, op.Limit)
	if err == nil {
		return out, nil
	}
	if !errors.Is(err, encoding.ErrLimit) {
		return nil, fault(status.Internal, err.Error())
	}
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

// onTrailers is a call as the callback of recv_trailing_metadata.
type onTrailers call

func (c *onTrailers) Run(err error) {
	if c.failed != nil {
		err = c.failed
	}
	c.trailers.Encoding, c.trailers.AcceptEncoding = "", ""
	c.peer.heard = true
	(*call)(c).dropHeld()
	(*call)(c).finishEarly(errEarly)
	c.trailersDone.Run(err)
}
