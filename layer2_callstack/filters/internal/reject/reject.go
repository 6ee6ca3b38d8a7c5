// Package reject answers calls that a filter of a server does not let through.
//
// The answer has the :status and the code that the filter chooses, and goes
// straight down from the filter: the ones above never see the call begin and
// only learn that it failed. It is Trailers-Only, or for a peer that does not
// speak gRPC, text that such a peer shows.
package reject

import (
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// An Answer is what a rejected call gets. gRPC-HTTP2 Trailers-Only
type Answer struct {
	// Text makes Message the body of the answer too. ContentType is then the
	// body's.
	Text bool

	HTTPStatus  string // ":status", never empty
	ContentType string
	Code        status.Code
	Message     string

	// AcceptEncoding and Allow are left out when empty.
	AcceptEncoding, Allow string
}

// Send ends the call with a, from next downwards. Nothing may have been sent
// before. owner is kept until the trailers are on their way.
//
// The memory is allocated: a call that is rejected is the exception.
func Send(next callstack.CallElem, owner transport.Owner, a Answer) {
	r := &rejection{owner: owner}
	first := &r.trailers
	r.batch.Ops = transport.OpSendTrailingMetadata
	if a.Text {
		first = &r.headers
		r.batch.Ops = transport.OpsSend
		r.batch.SendInitialMetadata.MD = first
		r.batch.SendMessage = transport.SendMessage{
			Buf: transport.WrapBuffer([]byte(a.Message + "\n")), Flags: transport.FlagUnframed | transport.FlagNoCompress,
		}
	}
	first.HTTPStatus, first.ContentType, first.AcceptEncoding = a.HTTPStatus, a.ContentType, a.AcceptEncoding
	if a.Allow != "" {
		first.Append("allow", a.Allow)
	}
	r.trailers.SetStatus(uint32(a.Code), a.Message)
	r.batch.SendTrailingMetadata.MD = &r.trailers
	r.batch.OnComplete = r
	owner.Ref()
	next.StartBatch(&r.batch)
}

// A rejection is an answer on its way.
type rejection struct {
	owner             transport.Owner
	headers, trailers metadata.List
	batch             transport.StreamOpBatch
}

// Run ends the rejection. Whether the peer learned of it changes nothing.
func (r *rejection) Run(error) { r.owner.Unref() }
