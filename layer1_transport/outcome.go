package transport

import (
	"context"
	"errors"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"
)

// An Outcome is what a tree of errors comes to: the status of the call that it
// ended, and the facts that a status loses.
type Outcome struct {
	// Code and Message are the status that the application sees.
	Code    status.Code
	Message string

	// Told is the message for the peer, where this end is the server's: without
	// the layers, the addresses and the causes, which are our own business.
	Told string

	// Details is the value of grpc-status-details-bin, empty without details.
	Details string

	// Reset is the code of RST_STREAM with which this end gives up a stream.
	Reset status.HTTP2Code

	// Err is the tree. It matches an error of package context exactly if the
	// call's own deadline, or a cancellation on this side, ended it.
	Err error

	// Layer, Peer and Attempt are those of the first [Error] that knows them;
	// a layer counts once it gives a reason. Attempt is 0 for a call with one.
	Layer, Peer string
	Attempt     int

	// HTTP2 is the code of the RST_STREAM or GOAWAY behind it, when HasHTTP2.
	HTTP2    status.HTTP2Code
	HasHTTP2 bool

	// Progress says how far the call can have come at the peer.
	Progress Progress
}

// OutcomeOf derives how a call with that deadline, zero for none, ended by err.
// It is the one place where errors become a status and a code of HTTP/2, on
// both sides: gRPC core's grpc_error_get_status. A nil err is OK.
//
// The outermost status in the tree counts. What has none is UNKNOWN, but for
// the errors of package context. A stream that the peer reset with CANCEL after
// the deadline has ended by the deadline: the two ends watch it by their own
// clocks, and a peer that is first can only say CANCEL, RFC 9113 §7.
func OutcomeOf(err error, deadline time.Time) Outcome {
	if err == nil {
		return Outcome{Reset: status.HTTP2NoError}
	}
	st := status.Convert(err)
	o := Outcome{Code: st.Code(), Message: st.Message(), Told: told(err, st), Details: st.DetailsBin(), Err: err}
	o.Progress = ProgressOf(err)
	var at time.Time
	for e := range Nodes(err) {
		o.learn(e)
		if at.IsZero() {
			at = e.At
		}
	}
	o.judge(deadline, at)
	o.Reset = status.ToHTTP2(o.Code)
	return o
}

// learn takes the facts of e that no node before it has known.
func (o *Outcome) learn(e *Error) {
	if o.Layer == "" && e.Reason != "" {
		o.Layer = e.Layer
	}
	if o.Peer == "" {
		o.Peer = e.Peer
	}
	if o.Attempt == 0 {
		o.Attempt = e.Attempt
	}
	if !o.HasHTTP2 {
		o.HTTP2, o.HasHTTP2 = e.HTTP2, e.HasHTTP2
	}
}

// judge decides whether the deadline, or a cancellation on this side, is behind
// it, and makes Err match the errors of package context accordingly. at is when
// the peer reset the stream, zero for now.
func (o *Outcome) judge(deadline, at time.Time) {
	if at.IsZero() {
		at = time.Now()
	}
	due := !deadline.IsZero() && !at.Before(deadline)
	if o.Code == status.Canceled && o.HasHTTP2 && o.HTTP2 == status.HTTP2Cancel && due {
		o.Code, o.Err = status.DeadlineExceeded, &late{o.Err}
	}
	var own error
	switch o.Code {
	case status.DeadlineExceeded:
		own = context.DeadlineExceeded
	case status.Canceled:
		own = context.Canceled
	}
	if own == nil || !errors.Is(o.Err, own) {
		o.Err = HideContext(o.Err)
	}
}

// Passed reports whether deadline has come; the zero deadline never does.
func Passed(deadline time.Time) bool {
	return !deadline.IsZero() && !time.Now().Before(deadline)
}

// told is the message of err for the peer.
func told(err error, st *status.Status) string {
	var carrier interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &carrier) {
		return st.Message()
	}
	e, ok := carrier.(*Error)
	if !ok {
		return st.Message()
	}
	for n := range Nodes(e) {
		if n.Reason != "" {
			return n.Reason
		}
	}
	return ""
}

// A late is an error that stands for the passing of the deadline.
type late struct{ err error }

func (l *late) Error() string   { return l.err.Error() }
func (l *late) Unwrap() []error { return []error{context.DeadlineExceeded, l.err} }

// GRPCStatus returns the status that the application sees.
func (l *late) GRPCStatus() *status.Status { return status.New(status.DeadlineExceeded, l.Error()) }

// DisconnectCode returns how calls end whose connection or channel this side
// ends because of cause: by its status, UNAVAILABLE if it has none.
func DisconnectCode(cause error) status.Code {
	if st, ok := status.FromError(cause); ok && cause != nil {
		return st.Code()
	}
	return status.Unavailable
}
