package compression

import (
	"errors"
	"fmt"

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
		c.peer = peerCoding{name: md.Encoding, accept: md.AcceptEncoding}
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
	c.headersDone.Run(err)
}

// refuse answers a request in a coding that is not known.
func (c *call) refuse(md *metadata.List) error {
	e := fault(status.Unimplemented, "grpc-encoding "+contenttype.Quote(md.Encoding)+" is not supported, "+c.ch.set.Known())
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
	if m := c.message.Message; err == nil && m != nil && m.Compressed && !c.ch.cfg.KeepCompressed {
		c.message.Message, err = c.inflate(m)
		m.Release()
		if err != nil {
			c.cancel(err)
		}
	}
	c.messageDone.Run(err)
}

// inflate returns what m holds. An error is the end of the call.
func (c *call) inflate(m *transport.Buffer) (*transport.Buffer, error) {
	if c.peer.coding == nil {
		return nil, c.unexpected()
	}
	out, err := encoding.Inflate(c.peer.coding, m, c.message.Limit)
	if err == nil {
		return out, nil
	}
	if !errors.Is(err, encoding.ErrLimit) {
		return nil, fault(status.Internal, err.Error())
	}
	limit := c.message.Limit
	if limit <= 0 {
		limit = encoding.MaxInflated
	}
	reason := fmt.Sprintf("a message of %d bytes passes the receive limit of %d bytes once inflated", m.Len(), limit)
	if c.message.LimitName != "" {
		reason += " (" + c.message.LimitName + ")"
	}
	return nil, fault(status.ResourceExhausted, reason)
}

// unexpected is the end of a call that got a message it cannot read.
func (c *call) unexpected() error {
	if c.peer.known() {
		return fault(status.Internal, "message has the Compressed-Flag, but the peer named no grpc-encoding")
	}
	return fault(status.Internal, "message is in grpc-encoding "+contenttype.Quote(c.peer.name)+", which was not offered, "+c.ch.set.Known())
}

// onTrailers is a call as the callback of recv_trailing_metadata.
type onTrailers call

func (c *onTrailers) Run(err error) {
	if c.failed != nil {
		err = c.failed
	}
	c.trailers.Encoding, c.trailers.AcceptEncoding = "", ""
	(*call)(c).dropHeld()
	c.trailersDone.Run(err)
}
