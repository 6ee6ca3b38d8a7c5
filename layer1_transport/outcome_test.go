package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"
)

// A timeout is an error like that of a dialer of package net, which matches the
// error of package context.
type timeout struct{}

func (timeout) Error() string        { return "i/o timeout" }
func (timeout) Is(target error) bool { return target == context.DeadlineExceeded }

func TestOutcome(t *testing.T) {
	past, later := time.Now().Add(-time.Second), time.Now().Add(time.Hour)
	reset := &Error{Code: status.Canceled, Layer: "http2", Peer: "a:1", Reason: "stream reset by the peer with CANCEL",
		HTTP2: status.HTTP2Cancel, HasHTTP2: true}
	early := *reset
	early.At = past.Add(-time.Second)
	detailed, err := status.New(status.Aborted, "busy").WithDetails(status.New(status.Internal, "x").Proto())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name            string
		err             error
		deadline        time.Time
		code            status.Code
		message, told   string
		reset           status.HTTP2Code
		canceled, timed bool // which error of package context it matches
	}{
		{"nothing", nil, past, status.OK, "", "", status.HTTP2NoError, false, false},
		{"an error without a status", io.EOF, past, status.Unknown, "EOF", "EOF", status.HTTP2InternalError, false, false},
		{"an error that claims to be OK", &Error{Reason: "odd"}, past, status.Unknown, "odd", "odd", status.HTTP2InternalError, false, false},
		{"a status", status.Error(status.PermissionDenied, "no"), past, status.PermissionDenied, "no", "no", status.HTTP2InadequateSecurity, false, false},
		{"a status with details", detailed.Err(), past, status.Aborted, "busy", "busy", status.HTTP2InternalError, false, false},
		{"a wrapped status: the outer text", fmt.Errorf("auth: %w", status.Error(status.Unauthenticated, "no")), past,
			status.Unauthenticated, "auth: rpc error: code = Unauthenticated desc = no", "auth: rpc error: code = Unauthenticated desc = no", status.HTTP2InternalError, false, false},
		{"the peer is told the reason alone", &Error{Code: status.ResourceExhausted, Layer: "message_size", Peer: "a:1", Reason: "too long", Cause: io.EOF}, past,
			status.ResourceExhausted, "message_size: too long (peer a:1): EOF", "too long", status.HTTP2EnhanceYourCalm, false, false},
		{"of a numbered attempt too", &Error{Code: status.Unavailable, Layer: "client_channel", Attempt: 2, Cause: &Error{Code: status.Unavailable, Layer: "http2", Peer: "a:1", Reason: "gone"}}, past,
			status.Unavailable, "client_channel: attempt 2: http2: gone (peer a:1)", "gone", status.HTTP2RefusedStream, false, false},
		{"the context's cancellation", context.Canceled, past, status.Canceled, "context canceled", "context canceled", status.HTTP2Cancel, true, false},
		{"the context's deadline", context.DeadlineExceeded, later, status.DeadlineExceeded, "context deadline exceeded", "context deadline exceeded", status.HTTP2Cancel, false, true},
		{"CANCEL before the deadline", reset, later, status.Canceled, "http2: stream reset by the peer with CANCEL (peer a:1)", "stream reset by the peer with CANCEL", status.HTTP2Cancel, false, false},
		{"CANCEL before the deadline, looked at after it", &early, past, status.Canceled, "http2: stream reset by the peer with CANCEL (peer a:1)", "stream reset by the peer with CANCEL", status.HTTP2Cancel, false, false},
		{"CANCEL without a deadline", reset, time.Time{}, status.Canceled, "http2: stream reset by the peer with CANCEL (peer a:1)", "stream reset by the peer with CANCEL", status.HTTP2Cancel, false, false},
		{"CANCEL after the deadline", reset, past, status.DeadlineExceeded, "http2: stream reset by the peer with CANCEL (peer a:1)", "stream reset by the peer with CANCEL", status.HTTP2Cancel, false, true},
		{"a cancellation of ours after the deadline", &Error{Code: status.Canceled, Reason: "enough", Cause: context.Canceled}, past,
			status.Canceled, "enough: context canceled", "enough", status.HTTP2Cancel, true, false},
		{"a dialer's timeout is not the call's", &Error{Code: status.Unavailable, Reason: "no connection", Cause: timeout{}}, past,
			status.Unavailable, "no connection: i/o timeout", "no connection", status.HTTP2RefusedStream, false, false},
		{"nor is a peer's deadline", status.Error(status.DeadlineExceeded, "the backend is slow"), later,
			status.DeadlineExceeded, "the backend is slow", "the backend is slow", status.HTTP2Cancel, false, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := OutcomeOf(row.err, row.deadline)
			if o.Code != row.code || o.Message != row.message || o.Told != row.told || o.Reset != row.reset {
				t.Errorf("outcome = %v %q, told %q, reset %v\nwant      %v %q, told %q, reset %v",
					o.Code, o.Message, o.Told, o.Reset, row.code, row.message, row.told, row.reset)
			}
			if c, d := errors.Is(o.Err, context.Canceled), errors.Is(o.Err, context.DeadlineExceeded); c != row.canceled || d != row.timed {
				t.Errorf("matches Canceled: %t, DeadlineExceeded: %t, want %t, %t", c, d, row.canceled, row.timed)
			}
			if row.err != nil && o.Err.Error() != row.err.Error() {
				t.Errorf("the tree reads %q, want %q", o.Err, row.err)
			}
			if again := OutcomeOf(o.Err, row.deadline); again.Code != o.Code {
				t.Errorf("derived again it is %v, want %v", again.Code, o.Code)
			}
			if (o.Details != "") != (row.err == detailed.Err() || row.code == status.Aborted) {
				t.Errorf("details = %q", o.Details)
			}
		})
	}
}

// TestOutcomeFacts: the first node that knows a fact counts.
func TestOutcomeFacts(t *testing.T) {
	goaway := &Error{Code: status.Unavailable, Layer: "http2", Peer: "b:2", Reason: "GOAWAY", HTTP2: status.HTTP2EnhanceYourCalm, HasHTTP2: true}
	err := fmt.Errorf("calling: %w", &Error{Code: status.Unavailable, Layer: "client_channel", Attempt: 3, Progress: ProgressNotSeen,
		Cause: errors.Join(io.EOF, HideContext(&Error{Code: status.Unavailable, Layer: "tls", Peer: "a:1", Reason: "closed", Cause: errors.Join(timeout{}, goaway)}))})
	o := OutcomeOf(err, time.Time{})
	if o.Layer != "tls" || o.Peer != "a:1" || o.Attempt != 3 || o.HTTP2 != status.HTTP2EnhanceYourCalm || !o.HasHTTP2 || o.Progress != ProgressNotSeen {
		t.Errorf("outcome = %+v", o)
	}
	var layers []string
	for e := range Nodes(o.Err) {
		layers = append(layers, e.Layer)
	}
	if got := fmt.Sprint(layers); got != "[client_channel tls http2]" {
		t.Errorf("Nodes = %s", got)
	}
	for e := range Nodes(err) {
		if e.Layer != "client_channel" {
			t.Error("Nodes goes on after a break")
		}
		break
	}
	for _, node := range []error{io.EOF, goaway, timeout{}} {
		if !errors.Is(o.Err, node) {
			t.Errorf("errors.Is does not reach %v", node)
		}
	}
	var own timeout
	if !errors.As(o.Err, &own) {
		t.Error("errors.As does not reach what is behind HideContext")
	}
}

func TestDisconnectCode(t *testing.T) {
	for want, cause := range map[status.Code]error{
		status.Unavailable: nil, status.Aborted: status.Error(status.Aborted, "x"), status.Canceled: &Error{Code: status.Canceled},
	} {
		if got := DisconnectCode(cause); got != want {
			t.Errorf("DisconnectCode(%v) = %v, want %v", cause, got, want)
		}
	}
	if got := DisconnectCode(io.EOF); got != status.Unavailable {
		t.Errorf("DisconnectCode(EOF) = %v", got)
	}
}

// A program that got an error from a call asks what was behind it.
func ExampleOutcomeOf() {
	goaway := &Error{Code: status.Unavailable, Layer: "http2", Peer: "10.0.0.1:443", Progress: ProgressNotSeen,
		Reason: `connection ended by the peer with GOAWAY ENHANCE_YOUR_CALM "too_many_pings"`, HTTP2: status.HTTP2EnhanceYourCalm, HasHTTP2: true}
	err := error(&Error{Code: status.Unavailable, Layer: "client_channel", Attempt: 2, Progress: ProgressNotSeen, Cause: goaway})

	o := OutcomeOf(err, time.Time{})
	fmt.Println(o.Code, o.Layer, o.Peer, o.Attempt, o.HTTP2, o.Progress == ProgressNotSeen)
	fmt.Println(o.Message)
	// Output:
	// Unavailable http2 10.0.0.1:443 2 ENHANCE_YOUR_CALM true
	// client_channel: attempt 2: http2: connection ended by the peer with GOAWAY ENHANCE_YOUR_CALM "too_many_pings" (peer 10.0.0.1:443)
}

// Each node of the tree can be looked at, also of an error that a stub returned.
func ExampleNodes() {
	refused := &Error{Code: status.Unavailable, Layer: "connect", Peer: "10.0.0.1:443", Reason: "no connection", Cause: errors.New("connection refused")}
	err := status.New(status.Unavailable, "no connection").WithCause(
		&Error{Code: status.Unavailable, Layer: "client_channel", Reason: "no connection to dns:///greeter", Cause: refused})
	for e := range Nodes(err) {
		fmt.Printf("%s, %s, peer %q\n", e.Layer, e.Reason, e.Peer)
	}
	// Output:
	// client_channel, no connection to dns:///greeter, peer ""
	// connect, no connection, peer "10.0.0.1:443"
}
