package transport

import (
	"errors"
	"fmt"
	"strings"

	"github.com/strata-grpc/strata/layer1_transport/status"
)

// An Error is how a stream ended other than by a status from the peer. It
// keeps the facts that a status loses, so that the layers above can decide on
// a retry and name the cause.
type Error struct {
	// Code is the status that the application sees.
	Code status.Code

	// Layer is who noticed, such as "http2" or "client_channel".
	Layer string

	// Peer is the address of the other end, empty where none was chosen.
	Peer string

	// Reason says what happened: lower case, no full stop, no secrets.
	Reason string

	// Progress says how far the call can have come at the peer.
	Progress Progress

	// HTTP2 is the code of the RST_STREAM or GOAWAY behind it, when HasHTTP2.
	HTTP2    status.HTTP2Code
	HasHTTP2 bool

	// Cause is the error below, nil if this is the first.
	Cause error
}

// Progress is how far a call that failed can have come.
type Progress uint8

const (
	// ProgressUnknown: the peer may have processed the call.
	ProgressUnknown Progress = iota
	// ProgressNotSent: no byte of the call left this process.
	ProgressNotSent
	// ProgressNotSeen: the peer said that it did not process the call, by
	// GOAWAY or REFUSED_STREAM. RFC 9113 §8.7.
	ProgressNotSeen
)

// Error returns "layer: reason (peer): cause".
func (e *Error) Error() string {
	var b strings.Builder
	if e.Layer != "" {
		b.WriteString(e.Layer + ": ")
	}
	b.WriteString(e.Reason)
	if e.Peer != "" {
		b.WriteString(" (peer " + e.Peer + ")")
	}
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// GRPCStatus returns the status that the application sees.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Error()) }

// ProgressOf returns how far the call behind err can have come.
func ProgressOf(err error) Progress {
	var e *Error
	if errors.As(err, &e) {
		return e.Progress
	}
	return ProgressUnknown
}

// TooLong returns how a stream fails whose peer sent a message of length bytes,
// more than op allows.
func TooLong(length int64, op *RecvMessage) *Error {
	reason := fmt.Sprintf("a message of %d bytes passes the receive limit of %d bytes", length, op.Limit)
	if op.LimitName != "" {
		reason += " (" + op.LimitName + ")"
	}
	return &Error{Code: status.ResourceExhausted, Reason: reason}
}
