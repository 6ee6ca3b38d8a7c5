package status

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"
)

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
		if s.Code() == OK { // an error that claims to be OK contradicts itself
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
