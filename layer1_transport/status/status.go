package status

import (
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

// DetailsBin returns the value of the header field grpc-status-details-bin for
// s, a google.rpc.Status, and nothing if s has no details. Those were packed
// when they were added, so what is left to marshal is plain bytes.
func (s *Status) DetailsBin() string {
	if !s.HasDetails() {
		return ""
	}
	raw, err := proto.Marshal(s.Proto())
	if err != nil {
		return ""
	}
	return string(raw)
}
