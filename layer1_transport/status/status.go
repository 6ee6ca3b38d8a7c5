// Package status holds the result of a call: a code, a message and details.
//
// Every call ends with exactly one status. On the client a status that is not
// OK reaches the application as an error; [FromError] gets the status back. On
// the server a handler returns such an error, made with [Error] or [Errorf].
package status

import (
	"context"
	"errors"
	"fmt"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// A Status is the result of a call. It is immutable. The nil Status is OK.
type Status struct {
	code    Code
	message string
	details []*anypb.Any
}

// New returns a status with a code and a message.
func New(c Code, message string) *Status { return &Status{code: c, message: message} }

// Newf returns New(c, fmt.Sprintf(format, args...)).
func Newf(c Code, format string, args ...any) *Status { return New(c, fmt.Sprintf(format, args...)) }

// Code returns the code, OK for nil.
func (s *Status) Code() Code {
	if s == nil {
		return OK
	}
	return s.code
}

// Message returns the text for humans.
func (s *Status) Message() string {
	if s == nil {
		return ""
	}
	return s.message
}

// Err returns the status as an error, nil if it is OK.
func (s *Status) Err() error {
	if s.Code() == OK {
		return nil
	}
	return &statusError{s: s}
}

// String returns the same text as the error of s.
func (s *Status) String() string {
	return fmt.Sprintf("rpc error: code = %s desc = %s", s.Code(), s.Message())
}

// WithDetails returns a copy of s with messages added to its details. It is an
// error if s is OK, which has none, or if a message cannot be packed.
func (s *Status) WithDetails(details ...proto.Message) (*Status, error) {
	if s.Code() == OK {
		return nil, errors.New("status: no details may be added to a status with code OK")
	}
	c := &Status{code: s.code, message: s.message, details: append([]*anypb.Any(nil), s.details...)}
	for _, d := range details {
		packed, err := anypb.New(d)
		if err != nil {
			return nil, fmt.Errorf("status: packing a detail: %w", err)
		}
		c.details = append(c.details, packed)
	}
	return c, nil
}

// Details returns the details, each as a proto.Message, or as an error where
// its type is not linked into the program.
func (s *Status) Details() []any {
	if s == nil {
		return nil
	}
	out := make([]any, 0, len(s.details))
	for _, d := range s.details {
		if m, err := d.UnmarshalNew(); err != nil {
			out = append(out, err)
		} else {
			out = append(out, m)
		}
	}
	return out
}

// Proto returns s as a google.rpc.Status, nil for nil. The result is a copy.
func (s *Status) Proto() *spb.Status {
	if s == nil {
		return nil
	}
	return proto.CloneOf(&spb.Status{Code: int32(s.code), Message: s.message, Details: s.details})
}

// FromProto returns the status that p describes.
func FromProto(p *spb.Status) *Status {
	c := proto.CloneOf(p)
	return &Status{code: Code(c.GetCode()), message: c.GetMessage(), details: c.GetDetails()}
}

// HasDetails reports whether s has any details, without unpacking them.
func (s *Status) HasDetails() bool { return s != nil && len(s.details) > 0 }

// Error returns New(c, message).Err().
func Error(c Code, message string) error { return New(c, message).Err() }

// Errorf returns Error(c, fmt.Sprintf(format, args...)).
func Errorf(c Code, format string, args ...any) error { return Newf(c, format, args...).Err() }

// WithCause returns s as an error that also wraps cause, so that errors.Is and
// errors.As find what is behind a local failure. It is nil if s is OK.
func (s *Status) WithCause(cause error) error {
	if s.Code() == OK {
		return nil
	}
	return &statusError{s: s, cause: cause}
}

// FromError returns the status behind err. It is found through wrapping; the
// message is then that of the outer error. ok is false where err holds none:
// then the code is UNKNOWN, or that of the context error that err is. A nil
// err is OK.
func FromError(err error) (s *Status, ok bool) {
	if err == nil {
		return nil, true
	}
	var carrier interface{ GRPCStatus() *Status }
	if errors.As(err, &carrier) {
		s := carrier.GRPCStatus()
		if s == nil { // an error that claims to be OK contradicts itself
			return New(Unknown, err.Error()), false
		}
		if _, outermost := err.(interface{ GRPCStatus() *Status }); outermost {
			return s, true
		}
		return &Status{code: s.code, message: err.Error(), details: s.details}, true
	}
	return FromContextError(err), false
}

// Convert returns the status behind err, as FromError does.
func Convert(err error) *Status {
	s, _ := FromError(err)
	return s
}

// CodeOf returns the code behind err: OK for nil, UNKNOWN where it has none.
func CodeOf(err error) Code { return Convert(err).Code() }

// FromContextError maps the two errors of package context to their codes and
// every other error to UNKNOWN. A nil err is OK.
func FromContextError(err error) *Status {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return New(DeadlineExceeded, err.Error())
	case errors.Is(err, context.Canceled):
		return New(Canceled, err.Error())
	default:
		return New(Unknown, err.Error())
	}
}

// A statusError is a status that is not OK, as an error.
type statusError struct {
	s     *Status
	cause error
}

func (e *statusError) Error() string       { return e.s.String() }
func (e *statusError) GRPCStatus() *Status { return e.s }
func (e *statusError) Unwrap() error       { return e.cause }

// Is reports whether target is an equal status. A local end by deadline or
// cancellation also matches the error of package context, through Unwrap.
func (e *statusError) Is(target error) bool {
	t, ok := target.(*statusError)
	return ok && t.s.code == e.s.code && t.s.message == e.s.message && proto.Equal(t.s.Proto(), e.s.Proto())
}
