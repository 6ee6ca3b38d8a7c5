package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/status"
)

func TestErrorText(t *testing.T) {
	for _, tc := range []struct {
		err  *Error
		want string
	}{
		{&Error{Reason: "gone"}, "gone"},
		{&Error{Layer: "http2", Reason: "gone"}, "http2: gone"},
		{&Error{Layer: "http2", Reason: "gone", Peer: "10.0.0.1:443"}, "http2: gone (peer 10.0.0.1:443)"},
		{&Error{Layer: "http2", Reason: "gone", Cause: io.EOF}, "http2: gone: EOF"},
		{&Error{Layer: "client_channel", Reason: "no address worked", Peer: "dns:///x",
			Cause: &Error{Layer: "http2", Reason: "refused", Peer: "1.2.3.4:5", Cause: io.EOF}},
			"client_channel: no address worked (peer dns:///x): http2: refused (peer 1.2.3.4:5): EOF"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
		if s := tc.err.GRPCStatus(); s.Message() != tc.want {
			t.Errorf("the status says %q", s.Message())
		}
	}
}

func TestErrorUnwrap(t *testing.T) {
	inner := &Error{Code: status.DeadlineExceeded, Reason: "too late", Cause: context.DeadlineExceeded}
	err := fmt.Errorf("calling: %w", &Error{Code: status.Unavailable, Reason: "gone", Cause: inner})
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) {
		t.Error("errors.Is does not see the cause")
	}
	if (&Error{}).Unwrap() != nil {
		t.Error("an error without a cause unwraps to one")
	}
	if s, ok := status.FromError(err); !ok || s.Code() != status.Unavailable {
		t.Errorf("FromError = %v, %v; want the outer code", s, ok)
	}
}

func TestProgressOf(t *testing.T) {
	notSeen := &Error{Reason: "refused", Progress: ProgressNotSeen}
	for _, tc := range []struct {
		name string
		err  error
		want Progress
	}{
		{"nil", nil, ProgressUnknown},
		{"another error", io.EOF, ProgressUnknown},
		{"an error that says nothing", &Error{}, ProgressUnknown},
		{"an error that says it", notSeen, ProgressNotSeen},
		{"wrapped", fmt.Errorf("x: %w", notSeen), ProgressNotSeen},
		{"behind a status", status.New(status.Unavailable, "m").WithCause(notSeen), ProgressNotSeen},
		{"the outer of two counts", &Error{Progress: ProgressNotSent, Cause: notSeen}, ProgressNotSent},
	} {
		if got := ProgressOf(tc.err); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}

func ExampleError() {
	err := &Error{Code: status.Unavailable, Layer: "http2", Peer: "10.0.0.1:443",
		Reason: "connection closed before the request was sent", Progress: ProgressNotSent, Cause: io.EOF}
	fmt.Println(err)
	fmt.Println(status.CodeOf(err), ProgressOf(err) == ProgressNotSent, errors.Is(err, io.EOF))
	// Output:
	// http2: connection closed before the request was sent (peer 10.0.0.1:443): EOF
	// Unavailable true true
}
