package surface

import (
	"context"
	"errors"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

func TestDeriveStatus(t *testing.T) {
	lost := &transport.Error{Code: status.Unavailable, Layer: "http2", Peer: "10.0.0.1:443", Reason: "connection closed by peer"}
	withStatus := func(code uint32, message string) *metadata.List {
		l := new(metadata.List)
		l.SetStatus(code, message)
		return l
	}
	for _, row := range []struct {
		name    string
		md      *metadata.List
		err     error
		code    status.Code
		message string
		keeps   error // what Err wraps
	}{
		{"the peer's status", withStatus(5, "not here"), nil, status.NotFound, "not here", nil},
		{"OK", withStatus(0, ""), nil, status.OK, "", nil},
		{"an error counts before a status", withStatus(0, ""), lost, status.Unavailable, "http2: connection closed by peer (peer 10.0.0.1:443)", lost},
		{"an error of a transport", new(metadata.List), lost, status.Unavailable, "http2: connection closed by peer (peer 10.0.0.1:443)", lost},
		{"a local cancellation", new(metadata.List), newLocalError(status.Canceled, "xyz"), status.Canceled, "xyz", context.Canceled},
		{"a local deadline", new(metadata.List), newLocalError(status.DeadlineExceeded, "late"), status.DeadlineExceeded, "late", context.DeadlineExceeded},
		{"a plain error", new(metadata.List), errors.New("boom"), status.Unknown, "boom", nil},
		{"neither", new(metadata.List), nil, status.Unknown, "the server ended the call without a grpc-status", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := CallStatus{Err: errors.New("left over")}
			deriveStatus(&s, row.md, row.err, time.Time{})
			if s.Code != row.code || s.Message != row.message {
				t.Errorf("status = %v %q, want %v %q", s.Code, s.Message, row.code, row.message)
			}
			if row.keeps != nil && !errors.Is(s.AsError(nil), row.keeps) {
				t.Errorf("%v does not wrap %v", s.AsError(nil), row.keeps)
			}
			if (s.AsError(nil) == nil) != (row.code == status.OK) {
				t.Errorf("AsError = %v", s.AsError(nil))
			}
		})
	}
}

// TestNearDeadline: whichever end notices the deadline first, the error is the
// same.
func TestNearDeadline(t *testing.T) {
	reset := &transport.Error{Code: status.Canceled, HTTP2: status.HTTP2Cancel, HasHTTP2: true, Reason: "reset"}
	past := time.Now().Add(-time.Second)
	for _, row := range []struct {
		name     string
		deadline time.Time
		code     status.Code // of the trailers, without err
		err      error
		want     status.Code
		match    bool
	}{
		{"the server's own status", past, status.DeadlineExceeded, nil, status.DeadlineExceeded, true},
		{"the server's own status, too early", time.Now().Add(time.Hour), status.DeadlineExceeded, nil, status.DeadlineExceeded, false},
		{"RST_STREAM CANCEL", past, 0, reset, status.DeadlineExceeded, true},
		{"RST_STREAM CANCEL, too early", time.Now().Add(time.Hour), 0, reset, status.Canceled, false},
		{"RST_STREAM CANCEL of a call without a deadline", time.Time{}, 0, reset, status.Canceled, false},
		{"a local cancellation", past, 0, newLocalError(status.Canceled, "x"), status.Canceled, false},
		{"another status", past, status.NotFound, nil, status.NotFound, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			var s CallStatus
			md := new(metadata.List)
			md.SetStatus(uint32(row.code), "late")
			deriveStatus(&s, md, row.err, row.deadline)
			if got := errors.Is(s.AsError(nil), context.DeadlineExceeded); got != row.match || s.Code != row.want {
				t.Errorf("%v matches context.DeadlineExceeded: %t, want %v, %t", s.AsError(nil), got, row.want, row.match)
			}
		})
	}
}

// TestDetailsThatContradict: details of another code than the status are not
// of this status.
func TestDetailsThatContradict(t *testing.T) {
	st, err := status.New(status.NotFound, "a").WithDetails(status.New(status.Internal, "b").Proto())
	if err != nil {
		t.Fatal(err)
	}
	trailers := pairs(detailsKey, st.DetailsBin())
	s := CallStatus{Code: status.Aborted, Message: "m"}
	if got := status.Convert(s.AsError(trailers)); got.Code() != status.Aborted || got.HasDetails() {
		t.Errorf("AsError = %v with details %v", got, got.Details())
	}
	s.Code = status.NotFound
	if got := status.Convert(s.AsError(trailers)); !got.HasDetails() {
		t.Errorf("AsError = %v, want details", got)
	}
	s = CallStatus{Code: status.NotFound, Message: "m"}
	if got := status.Convert(s.AsError(pairs(detailsKey, "\xff"))); got.Message() != "m" {
		t.Errorf("AsError with bad details = %v", got)
	}
}
