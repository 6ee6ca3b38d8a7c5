// Package httpclient is the filter of a client that knows what gRPC means in
// HTTP: the fields of a request on the way down, and on the way up whether
// the response is gRPC at all.
//
// # Contract
//
//   - send_initial_metadata: fills the slots of :method, :scheme, te,
//     content-type and user-agent. A content-type that is there stays, so that
//     the layers above may name a subtype.
//   - recv_initial_metadata: headers without a gRPC content-type end the call
//     with the status that their HTTP status maps to. With one, the HTTP
//     status is not looked at: grpc-status decides.
//   - recv_trailing_metadata: Trailers-Only without grpc-status end the call so
//     too, whatever their content-type; with it they are taken for gRPC.
//   - The slots of HTTP are empty in what goes further up.
//   - Not here: the body of a response that is not gRPC, which is dropped; the
//     codings of the wire, and whether pseudo-headers are valid (the transport).
//
// # Goroutines
//
// None.
//
// # Locks
//
// None. What a callback leaves for another needs none: those of one call run one
// after another.
package httpclient

import (
	"fmt"
	"strings"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/filters/internal/contenttype"
)

// Name is the name of the filter.
const Name = "http_client"

// DefaultUserAgent is what the library calls itself in user-agent, in the form
// of gRPC-HTTP2 User-Agent.
const DefaultUserAgent = "grpc-go-strata/0.1.0"

// Config says what requests tell of their client.
type Config struct {
	// Scheme is "http" or "https"; empty means "http".
	Scheme string

	// UserAgent stands before DefaultUserAgent; empty means nothing does.
	UserAgent string
}

// Validate returns what is wrong with c, nil if nothing is.
func (c Config) Validate() error {
	switch c.Scheme {
	case "", "http", "https":
	default:
		return fmt.Errorf("option Scheme is %q, want \"http\" or \"https\"", c.Scheme)
	}
	if i := strings.IndexFunc(c.UserAgent, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
		return fmt.Errorf("option UserAgent is %q, where byte %d is not printable ASCII", c.UserAgent, i)
	}
	return nil
}

// withDefaults returns what is sent for c.
func (c Config) withDefaults() Config {
	if c.Scheme == "" {
		c.Scheme = "http"
	}
	// Spaces at the ends would not survive the wire. RFC 9113 §8.2.1
	c.UserAgent = strings.TrimLeft(strings.TrimSpace(c.UserAgent)+" "+DefaultUserAgent, " ")
	return c
}

// New returns the filter.
func New(cfg Config) callstack.Filter { return &filter{cfg} }

type filter struct{ cfg Config }

func (f *filter) Name() string { return Name }

func (f *filter) Validate() error { return f.cfg.Validate() }

func (f *filter) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	cfg := f.cfg.withDefaults()
	return &channel{callstack.ChannelBase{Next: next}, cfg.Scheme, cfg.UserAgent}, nil
}

type channel struct {
	callstack.ChannelBase
	scheme, userAgent string
}

func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &call{CallBase: callstack.CallBase{Next: next}, ch: ch}
}

// A call remembers the callbacks that it stands in for. One of each kind is
// outstanding at most, and they run one after another.
type call struct {
	callstack.CallBase
	ch *channel

	headers     *transport.RecvInitialMetadata
	headersDone transport.Done

	trailers     *transport.RecvTrailingMetadata
	trailersDone transport.Done

	// failed is why this filter ended the call, nil if it did not. It is
	// written and read by callbacks only.
	failed error
}

func (c *call) Reset() { *c = call{CallBase: c.CallBase, ch: c.ch} }

func (c *call) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpSendInitialMetadata) {
		c.fill(b.SendInitialMetadata.MD)
	}
	if b.Ops.Has(transport.OpRecvInitialMetadata) {
		c.headers, c.headersDone = &b.RecvInitialMetadata, b.RecvInitialMetadata.Ready
		b.RecvInitialMetadata.Ready = (*onHeaders)(c)
	}
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		c.trailers, c.trailersDone = &b.RecvTrailingMetadata, b.RecvTrailingMetadata.Ready
		b.RecvTrailingMetadata.Ready = (*onTrailers)(c)
	}
	c.Next.StartBatch(b)
}

// fill adds the fields of a request. gRPC-HTTP2 Requests
func (c *call) fill(md *metadata.List) {
	md.Method, md.Scheme, md.TE = "POST", c.ch.scheme, "trailers"
	md.UserAgent = c.ch.userAgent
	if md.ContentType == "" {
		md.ContentType = contenttype.GRPC
	}
}

// onHeaders is a call as the callback of recv_initial_metadata.
type onHeaders call

func (c *onHeaders) Run(err error) { (*call)(c).gotHeaders(err) }

func (c *call) gotHeaders(err error) {
	// The fields of Trailers-Only are with the trailers.
	if err == nil && !c.headers.TrailersOnly {
		md := c.headers.MD
		if !contenttype.Valid(md.ContentType) {
			err = notGRPC(md, c.headers.Peer, nil)
			c.failed = err
			callstack.Cancel(c.Next, err)
		}
		strip(md)
	}
	c.headersDone.Run(err)
}

// onTrailers is a call as the callback of recv_trailing_metadata.
type onTrailers call

func (c *onTrailers) Run(err error) { (*call)(c).gotTrailers(err) }

func (c *call) gotTrailers(err error) {
	md := c.trailers.MD
	switch {
	case c.failed != nil:
		err = c.failed
	case md.HTTPStatus != "" && !md.HasStatus:
		// Only Trailers-Only have ":status", and these came from something
		// that does not speak gRPC, such as a proxy.
		var peer *transport.PeerSlot
		if c.headers != nil {
			peer = c.headers.Peer
		}
		err = notGRPC(md, peer, err)
	}
	strip(md)
	c.trailersDone.Run(err)
}

// strip empties the slots that only HTTP uses.
func strip(md *metadata.List) { md.HTTPStatus, md.ContentType = "", "" }
