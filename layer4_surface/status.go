package surface

import (
	"context"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// A CallStatus is how a call ended.
type CallStatus struct {
	// Code and Message are the status: what the peer sent, or what was made of
	// Err where it sent none.
	Code    status.Code
	Message string

	// Err is why there is no status from the peer, nil if there is one. It
	// keeps what Code loses: the layer, the peer, the HTTP/2 code, the cause.
	Err error
}

// detailsKey holds a serialised google.rpc.Status. It is part of the trailers.
const detailsKey = "grpc-status-details-bin"

// AsError returns the status as an error for the application, nil for OK.
// trailers are those of the same call; details in them become details of the
// status, unless they contradict it.
func (s *CallStatus) AsError(trailers *metadata.List) error {
	if s.Code == status.OK {
		return nil
	}
	if trailers != nil {
		if raw, ok := trailers.Get(detailsKey); ok {
			var p spb.Status
			if proto.Unmarshal([]byte(raw), &p) == nil && status.Code(p.GetCode()) == s.Code {
				return status.FromProto(&p).WithCause(s.Err)
			}
		}
	}
	if s.Err != nil { // a filter of ours may have said more
		if st := status.Convert(s.Err); st.HasDetails() && st.Code() == s.Code {
			return st.WithCause(s.Err)
		}
	}
	return status.New(s.Code, s.Message).WithCause(s.Err)
}

// deriveStatus fills s from what the end of the call brought: the one place
// where trailers become a status; for errors that is transport.OutcomeOf. The
// first status to reach the transport wins there.
//
// An error counts before a status in md: it is the fault that a filter found
// in a response whose trailers may say OK, as gRPC core's batch error does.
// Without either the stream ended properly and the server forgot its
// grpc-status, which is UNKNOWN.
func deriveStatus(s *CallStatus, md *metadata.List, err error, deadline time.Time) {
	switch {
	case err != nil:
		o := transport.OutcomeOf(err, deadline)
		*s = CallStatus{Code: o.Code, Message: o.Message, Err: o.Err}
	case md.HasStatus:
		*s = CallStatus{Code: status.Code(md.Status), Message: md.Message}
		// The two ends watch the deadline by their own clocks, and which of
		// them was first must not decide what the application sees.
		if s.Code == status.DeadlineExceeded && transport.Passed(deadline) {
			s.Err = newLocalError(s.Code, s.Message)
		}
	default:
		*s = CallStatus{Code: status.Unknown, Message: "the server ended the call without a grpc-status"}
	}
}

// A localError is a status that this end decided: a cancellation, a deadline,
// a refusal. Its text is exactly the message, so that the application reads
// what CancelWithStatus was given.
type localError struct {
	code    status.Code
	message string
	cause   error
}

// newLocalError gives DEADLINE_EXCEEDED and CANCELLED the errors of package
// context as their cause, under which an application looks for them.
func newLocalError(code status.Code, message string) *localError {
	e := &localError{code: code, message: message}
	switch code {
	case status.DeadlineExceeded:
		e.cause = context.DeadlineExceeded
	case status.Canceled:
		e.cause = context.Canceled
	}
	return e
}

func (e *localError) Error() string              { return e.message }
func (e *localError) Unwrap() error              { return e.cause }
func (e *localError) GRPCStatus() *status.Status { return status.New(e.code, e.message) }
