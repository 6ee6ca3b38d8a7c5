// Package httpserver is the filter of a server that knows what gRPC means in
// HTTP: whether a request is gRPC at all on the way up, and the fields of a
// response on the way down.
//
// # Contract
//
//   - recv_initial_metadata: a request that is not gRPC is answered here and
//     fails further up. recv_trailing_metadata then fails with the same error.
//     The answer is Trailers-Only. Where whoever asks does not speak gRPC, and
//     does not say with te that it takes trailers, it is text.
//   - The slots of :method, :scheme, te and content-type are empty in what goes
//     further up.
//   - send_initial_metadata and Trailers-Only get ":status" 200 and the
//     content-type of the request without its parameters.
//   - te is not asked for: it is there to find proxies that drop trailers, and
//     a proxy that drops te alone does no harm.
//   - Not here: malformed requests in the sense of RFC 9113 §8.1.1, and the
//     host field (the transport); which methods exist (layer 4).
//
// What a request is rejected for, in this order:
//
//	fault                                  :status  grpc-status    without te
//	content-type is not application/grpc   415      UNKNOWN        text
//	:method is not POST                    405      UNKNOWN        text
//	:scheme is neither http nor https      400      INTERNAL
//	:path does not begin with "/"          404      UNIMPLEMENTED
//
// # Goroutines
//
// None.
//
// # Locks
//
// None. Of what a call remembers only headersSent is shared by batches that may be
// started at the same time, and it is atomic.
package httpserver

import (
	"sync/atomic"

	"github.com/strata-grpc/strata/internal/quote"
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/filters/internal/contenttype"
	"github.com/strata-grpc/strata/layer2_callstack/filters/internal/reject"
)

// Name is the name of the filter.
const Name = "http_server"

// New returns the filter.
func New() callstack.Filter { return filter{} }

type filter struct{}

func (filter) Name() string { return Name }

func (filter) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &channel{callstack.ChannelBase{Next: next}}, nil
}

type channel struct{ callstack.ChannelBase }

func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &call{CallBase: callstack.CallBase{Next: next}, contentType: contenttype.GRPC}
}

// A call remembers the callbacks that it stands in for. One of each kind is
// outstanding at most, and they run one after another.
type call struct {
	callstack.CallBase
	owner transport.Owner

	headers      *metadata.List
	headersDone  transport.Done
	trailersDone transport.Done

	// contentType is that of the response. It is written before the headers
	// go up, and nobody responds before that.
	contentType string

	// rejected is why this filter answered the call, nil if it did not. It is
	// written and read by callbacks only.
	rejected error

	// Atomic, since the batches that send may be started at the same time. It
	// is not set by headers that have the trailers in their own batch.
	headersSent atomic.Bool
}

func (c *call) Init(args *callstack.CallArgs) error {
	c.owner = args.Owner
	return nil
}

func (c *call) Reset() {
	c.owner, c.headers, c.headersDone, c.trailersDone = nil, nil, nil, nil
	c.contentType, c.rejected = contenttype.GRPC, nil
	if c.headersSent.Load() { // a load costs less than a store
		c.headersSent.Store(false)
	}
}

func (c *call) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvInitialMetadata) {
		c.headers, c.headersDone = b.RecvInitialMetadata.MD, b.RecvInitialMetadata.Ready
		b.RecvInitialMetadata.Ready = (*onHeaders)(c)
	}
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		c.trailersDone = b.RecvTrailingMetadata.Ready
		b.RecvTrailingMetadata.Ready = (*onTrailers)(c)
	}
	switch trailers := b.Ops.Has(transport.OpSendTrailingMetadata); {
	case b.Ops.Has(transport.OpSendInitialMetadata):
		if !trailers {
			c.headersSent.Store(true)
		}
		c.fill(b.SendInitialMetadata.MD)
	case trailers && !c.headersSent.Load():
		c.fill(b.SendTrailingMetadata.MD) // gRPC-HTTP2 Trailers-Only
	}
	c.Next.StartBatch(b)
}

// fill adds the fields of a response. gRPC-HTTP2 Responses
func (c *call) fill(md *metadata.List) {
	md.HTTPStatus = "200"
	if md.ContentType == "" {
		md.ContentType = c.contentType
	}
}

// onHeaders is a call as the callback of recv_initial_metadata.
type onHeaders call

func (c *onHeaders) Run(err error) { (*call)(c).gotHeaders(err) }

func (c *call) gotHeaders(err error) {
	if err == nil {
		md := c.headers
		if a, ok := check(md); !ok {
			err = &transport.Error{Code: a.Code, Layer: Name, Reason: a.Message}
			c.rejected = err
			reject.Send(c.Next, c.owner, a)
		} else {
			c.contentType = contenttype.Media(md.ContentType)
		}
		md.Method, md.Scheme, md.TE, md.ContentType = "", "", "", ""
	}
	c.headersDone.Run(err)
}

// onTrailers is a call as the callback of recv_trailing_metadata.
type onTrailers call

func (c *onTrailers) Run(err error) {
	if c.rejected != nil {
		err = c.rejected
	}
	c.trailersDone.Run(err)
}

// asText makes an answer one that curl or a browser shows, unless the client
// takes trailers. One to HEAD has no body. RFC 9110 §9.3.2.
func asText(a *reject.Answer, md *metadata.List) {
	if md.TE == "" && md.Method != "HEAD" {
		a.Text, a.ContentType = true, "text/plain; charset=utf-8"
	}
}

// check returns the answer to a request that is not gRPC, or ok. The codes are
// those that a client would derive from the HTTP status alone.
func check(md *metadata.List) (a reject.Answer, ok bool) {
	a.ContentType = contenttype.GRPC
	switch {
	case !contenttype.Valid(md.ContentType):
		a.HTTPStatus, a.Code = "415", status.Unknown
		a.Message = "content-type " + quote.Text(md.ContentType) + " is not gRPC's, want \"application/grpc\""
		asText(&a, md)
	case md.Method != "POST":
		a.HTTPStatus, a.Code, a.Allow = "405", status.Unknown, "POST" // RFC 9110 §15.5.6
		a.Message = "method " + quote.Text(md.Method) + " is not gRPC's, want \"POST\""
		asText(&a, md)
	case md.Scheme != "http" && md.Scheme != "https":
		a.HTTPStatus, a.Code = "400", status.Internal
		a.Message = "scheme " + quote.Text(md.Scheme) + " is neither \"http\" nor \"https\""
	case md.Path == "" || md.Path[0] != '/':
		a.HTTPStatus, a.Code = "404", status.Unimplemented
		a.Message = "path " + quote.Text(md.Path) + " does not begin with \"/\""
	default:
		return a, true
	}
	return a, false
}
