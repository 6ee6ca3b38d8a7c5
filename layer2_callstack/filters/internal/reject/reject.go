// Package reject answers calls that a filter of a server does not let through.
//
// The answer is Trailers-Only, with the :status and the code that the filter
// chooses, and goes straight down from the filter: the ones above never see the
// call begin and only learn that it failed.
package reject

import (
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// An Answer is what a rejected call gets. gRPC-HTTP2 Trailers-Only
type Answer struct {
	HTTPStatus  string // ":status", never empty
	ContentType string
	Code        status.Code
	Message     string

	// AcceptEncoding and Allow are left out when empty.
	AcceptEncoding, Allow string
}

// Send ends the call with a as Trailers-Only, from next downwards. Nothing may
// have been sent before. owner is kept until the trailers are on their way.
//
// The memory is allocated: a call that is rejected is the exception.
func Send(next callstack.CallElem, owner transport.Owner, a Answer) {
	r := &rejection{owner: owner}
	r.md.HTTPStatus, r.md.ContentType, r.md.AcceptEncoding = a.HTTPStatus, a.ContentType, a.AcceptEncoding
	r.md.SetStatus(uint32(a.Code), a.Message)
	if a.Allow != "" {
		r.md.Append("allow", a.Allow)
	}
	r.batch.Ops = transport.OpSendTrailingMetadata
	r.batch.SendTrailingMetadata.MD = &r.md
	r.batch.OnComplete = r
	owner.Ref()
	next.StartBatch(&r.batch)
}

// A rejection is an answer on its way.
type rejection struct {
	owner transport.Owner
	md    metadata.List
	batch transport.StreamOpBatch
}

// Run ends the rejection. Whether the peer learned of it changes nothing.
func (r *rejection) Run(error) { r.owner.Unref() }
