// Package compression is the filter that knows how messages are coded. It
// knows one coding, identity, and refuses the rest in the way that the gRPC
// compression document asks for.
//
// # Contract
//
//   - recv_initial_metadata on a server: a request in a coding that is not
//     known is answered with UNIMPLEMENTED and the codings that are.
//   - recv_message: a message with the Compressed-Flag ends the call with
//     INTERNAL, since no coding was agreed on. gRPC-HTTP2 Compressed-Flag
//   - send_message passes as it is; grpc-encoding and grpc-accept-encoding are
//     not sent, because identity is never listed.
//   - The slots of grpc-encoding and grpc-accept-encoding are empty in what
//     goes further up.
//   - Not here: gzip and deflate, which need a registry of compressors, and
//     with them the size limit while inflating.
package compression

import (
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/filters/internal/contenttype"
	"github.com/strata-grpc/strata/layer2_callstack/filters/internal/reject"
)

// Name is the name of the filter.
const Name = "compression"

// identity is the coding of messages that are not compressed.
const identity = "identity"

// New returns the filter. It serves clients and servers.
func New() callstack.Filter { return filter{} }

type filter struct{}

func (filter) Name() string { return Name }

func (filter) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &channel{callstack.ChannelBase{Next: next}}, nil
}

type channel struct{ callstack.ChannelBase }

func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &call{CallBase: callstack.CallBase{Next: next}}
}

// A call remembers the callbacks that it stands in for. One of each kind is
// outstanding at most, and they run one after another.
type call struct {
	callstack.CallBase
	args *callstack.CallArgs

	headers      *metadata.List
	headersDone  transport.Done
	message      *transport.RecvMessage
	messageDone  transport.Done
	trailers     *metadata.List
	trailersDone transport.Done

	// encoding is the peer's grpc-encoding. failed is why this filter ended
	// the call, nil if it did not. Both are for callbacks only.
	encoding string
	failed   error
}

func (c *call) Init(args *callstack.CallArgs) error {
	c.args = args
	return nil
}

func (c *call) Reset() { *c = call{CallBase: c.CallBase} }

func (c *call) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvInitialMetadata) {
		c.headers, c.headersDone = b.RecvInitialMetadata.MD, b.RecvInitialMetadata.Ready
		b.RecvInitialMetadata.Ready = (*onHeaders)(c)
	}
	if b.Ops.Has(transport.OpRecvMessage) {
		c.message, c.messageDone = &b.RecvMessage, b.RecvMessage.Ready
		b.RecvMessage.Ready = (*onMessage)(c)
	}
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		c.trailers, c.trailersDone = b.RecvTrailingMetadata.MD, b.RecvTrailingMetadata.Ready
		b.RecvTrailingMetadata.Ready = (*onTrailers)(c)
	}
	c.Next.StartBatch(b)
}

// onHeaders is a call as the callback of recv_initial_metadata.
type onHeaders call

func (c *onHeaders) Run(err error) { (*call)(c).gotHeaders(err) }

func (c *call) gotHeaders(err error) {
	if err == nil {
		md := c.headers
		c.encoding = md.Encoding
		// A request that is not gRPC is for http_server to answer. A client
		// that named a coding may still send messages without it, but a server
		// tells it at once which ones there are.
		if c.args.Accepted != nil && !known(md.Encoding) && contenttype.Valid(md.ContentType) {
			err = c.refuse(md)
		}
		strip(md)
	}
	c.headersDone.Run(err)
}

// refuse answers a request in a coding that is not known.
func (c *call) refuse(md *metadata.List) error {
	e := &transport.Error{
		Code:   status.Unimplemented,
		Layer:  Name,
		Reason: "grpc-encoding " + contenttype.Quote(md.Encoding) + " is not supported, only \"identity\" is",
	}
	c.failed = e
	reject.Send(c.Next, c.args.Owner, reject.Answer{
		HTTPStatus:     "200",
		ContentType:    contenttype.Media(md.ContentType),
		Code:           e.Code,
		Message:        e.Reason,
		AcceptEncoding: identity,
	})
	return e
}

// onMessage is a call as the callback of recv_message.
type onMessage call

func (c *onMessage) Run(err error) { (*call)(c).gotMessage(err) }

func (c *call) gotMessage(err error) {
	if m := c.message.Message; err == nil && m != nil && m.Compressed {
		m.Release()
		c.message.Message = nil
		err = c.unexpected()
		c.failed = err
		callstack.Cancel(c.Next, err)
	}
	c.messageDone.Run(err)
}

// unexpected is the end of a call that got a message it cannot read.
func (c *call) unexpected() error {
	e := &transport.Error{Code: status.Internal, Layer: Name}
	if known(c.encoding) {
		e.Reason = "message has the Compressed-Flag, but the peer named no grpc-encoding"
	} else {
		e.Reason = "message is in grpc-encoding " + contenttype.Quote(c.encoding) + ", which was not offered"
	}
	return e
}

// onTrailers is a call as the callback of recv_trailing_metadata.
type onTrailers call

func (c *onTrailers) Run(err error) {
	if c.failed != nil {
		err = c.failed
	}
	strip(c.trailers)
	c.trailersDone.Run(err)
}

// known reports whether messages in that coding can be read.
func known(encoding string) bool { return encoding == "" || encoding == identity }

// strip empties the slots that nobody above needs.
func strip(md *metadata.List) { md.Encoding, md.AcceptEncoding = "", "" }
