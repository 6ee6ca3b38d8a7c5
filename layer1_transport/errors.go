package transport

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"
)

// An Error is how a stream ended other than by a status from the peer. It
// keeps the facts that a status loses, so that the layers above can decide on
// a retry and name the cause.
//
// Errors form a tree: each layer that has something to add makes an Error with
// the one below as its Cause. [OutcomeOf] derives from a tree how the call
// ended, and [Nodes] walks it.
type Error struct {
	// Code is the status that the application sees.
	Code status.Code

	// Layer is who noticed, such as "http2" or "client_channel".
	Layer string

	// Peer is the address of the other end, empty where none was chosen.
	Peer string

	// Attempt numbers the attempts that were made at a call, from 1 and with
	// those that nobody else hears of. It is 0 where there was but one.
	Attempt int

	// Reason says what happened: lower case, no full stop, no secrets. It is
	// empty where a layer has only facts to add.
	Reason string

	// Progress says how far the call can have come at the peer.
	Progress Progress

	// HTTP2 is the code of the RST_STREAM or GOAWAY behind it, when HasHTTP2.
	HTTP2    status.HTTP2Code
	HasHTTP2 bool

	// At is when the peer reset the stream, zero for any other end. A call
	// whose deadline came later has not ended by that.
	At time.Time

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

// Error returns "layer: attempt: reason (peer): cause" without what is not
// known.
func (e *Error) Error() string {
	var b strings.Builder
	part := func(text string) {
		if b.Len() > 0 && text != "" {
			b.WriteString(": ")
		}
		b.WriteString(text)
	}
	part(e.Layer)
	if e.Attempt > 0 {
		part("attempt " + strconv.Itoa(e.Attempt))
	}
	part(e.Reason)
	if e.Peer != "" {
		b.WriteString(" (peer " + e.Peer + ")")
	}
	if e.Cause != nil {
		part(e.Cause.Error())
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

// Nodes walks the tree of err, from the outside in: each Error in it, also
// those behind other errors and behind [HideContext].
func Nodes(err error) iter.Seq[*Error] {
	return func(yield func(*Error) bool) { walk(err, yield) }
}

// walk calls yield for the Errors of a tree. It reports false once yield has.
func walk(err error, yield func(*Error) bool) bool {
	switch e := err.(type) {
	case *Error:
		return yield(e) && walk(e.Cause, yield)
	case *hiddenContext:
		return walk(e.err, yield)
	case interface{ Unwrap() error }:
		return walk(e.Unwrap(), yield)
	case interface{ Unwrap() []error }:
		for _, branch := range e.Unwrap() {
			if !walk(branch, yield) {
				return false
			}
		}
	}
	return true
}

// HideContext returns err as one that does not match the errors of package
// context, whatever is inside: that a dialer ran out of time must not look like
// the deadline of the call. Everything else is still found by errors.Is and
// errors.As, and the text is the same.
func HideContext(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &hiddenContext{err}
	}
	return err
}

// A hiddenContext has no Unwrap, which errors.Is would follow.
type hiddenContext struct{ err error }

func (h *hiddenContext) Error() string { return h.err.Error() }

// Is reports whether target is in the tree, the context errors excepted.
func (h *hiddenContext) Is(target error) bool {
	return target != context.DeadlineExceeded && target != context.Canceled && errors.Is(h.err, target)
}

// As finds the first error in the tree that fits target.
func (h *hiddenContext) As(target any) bool { return errors.As(h.err, target) }
