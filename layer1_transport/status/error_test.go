package status

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A foreign error carries a status without being one of ours.
type foreign struct{ s *Status }

func (f foreign) Error() string       { return "foreign text" }
func (f foreign) GRPCStatus() *Status { return f.s }

func TestFromError(t *testing.T) {
	withDetail, err := New(NotFound, "m").WithDetails(wrapperspb.String("a"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		err     error
		code    Code
		message string
		details int
		ok      bool
	}{
		{"nil", nil, OK, "", 0, true},
		{"a status", Error(NotFound, "m"), NotFound, "m", 0, true},
		{"a status with details", withDetail.Err(), NotFound, "m", 1, true},
		{"a wrapped status has the outer text", fmt.Errorf("outer: %w", withDetail.Err()), NotFound, "outer: rpc error: code = NotFound desc = m", 1, true},
		{"a joined status", errors.Join(io.EOF, Error(Aborted, "m")), Aborted, "EOF\nrpc error: code = Aborted desc = m", 0, true},
		{"the outer of two statuses", New(Internal, "outer").WithCause(Error(NotFound, "inner")), Internal, "outer", 0, true},
		{"a foreign status", foreign{New(DataLoss, "m")}, DataLoss, "m", 0, true},
		{"a wrapped foreign status", fmt.Errorf("outer: %w", foreign{New(DataLoss, "m")}), DataLoss, "outer: foreign text", 0, true},
		{"a foreign error that claims to be OK", foreign{nil}, Unknown, "foreign text", 0, false},
		{"a foreign error with the code OK", foreign{New(OK, "fine")}, Unknown, "foreign text", 0, false},
		{"no status", io.EOF, Unknown, "EOF", 0, false},
		{"a context that was cancelled", context.Canceled, Canceled, "context canceled", 0, false},
		{"a wrapped deadline", fmt.Errorf("reading: %w", context.DeadlineExceeded), DeadlineExceeded, "reading: context deadline exceeded", 0, false},
	} {
		s, ok := FromError(tc.err)
		if s.Code() != tc.code || s.Message() != tc.message || len(s.Details()) != tc.details || ok != tc.ok {
			t.Errorf("%s: FromError = %v with %d details, %v", tc.name, s, len(s.Details()), ok)
		}
		if c := Convert(tc.err); c.Code() != tc.code || c.Message() != tc.message {
			t.Errorf("%s: Convert = %v", tc.name, c)
		}
		if c := CodeOf(tc.err); c != tc.code {
			t.Errorf("%s: CodeOf = %v", tc.name, c)
		}
	}
}

func TestFromContextError(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want Code
	}{
		{nil, OK},
		{context.Canceled, Canceled},
		{context.DeadlineExceeded, DeadlineExceeded},
		{fmt.Errorf("x: %w", context.Canceled), Canceled},
		{io.EOF, Unknown},
		{Error(NotFound, "m"), Unknown}, // it looks at nothing else
	} {
		if got := FromContextError(tc.err).Code(); got != tc.want {
			t.Errorf("FromContextError(%v) = %v, want %v", tc.err, got, tc.want)
		}
	}
}

// TestWithCause: a local end matches the error of package context, which the
// status alone would lose.
func TestWithCause(t *testing.T) {
	err := New(DeadlineExceeded, "no answer in 5s").WithCause(fmt.Errorf("waiting: %w", context.DeadlineExceeded))
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		t.Errorf("errors.Is does not tell what is behind %v", err)
	}
	if got, want := err.Error(), "rpc error: code = DeadlineExceeded desc = no answer in 5s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if errors.Is(Error(DeadlineExceeded, "m"), context.DeadlineExceeded) {
		t.Error("the peer's status matches a local deadline")
	}
	cause := &foreign{New(Internal, "m")}
	var found *foreign
	if !errors.As(New(Unavailable, "m").WithCause(cause), &found) || found != cause {
		t.Error("errors.As does not find the cause")
	}
	if New(Unavailable, "m").WithCause(nil) == nil {
		t.Error("an error without a cause is none")
	}
}

func TestIs(t *testing.T) {
	detailed, err := New(NotFound, "m").WithDetails(wrapperspb.String("a"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name      string
		err, want error
		is        bool
	}{
		{"an equal status", Error(NotFound, "m"), Error(NotFound, "m"), true},
		{"a wrapped one", fmt.Errorf("x: %w", Error(NotFound, "m")), Error(NotFound, "m"), true},
		{"one with a cause", New(NotFound, "m").WithCause(io.EOF), Error(NotFound, "m"), true},
		{"another code", Error(NotFound, "m"), Error(Aborted, "m"), false},
		{"another message", Error(NotFound, "m"), Error(NotFound, "n"), false},
		{"other details", detailed.Err(), Error(NotFound, "m"), false},
		{"the same details", detailed.Err(), FromProto(detailed.Proto()).Err(), true},
		{"another error", Error(NotFound, "m"), io.EOF, false},
	} {
		if got := errors.Is(tc.err, tc.want); got != tc.is {
			t.Errorf("%s: errors.Is = %v", tc.name, got)
		}
	}
}
