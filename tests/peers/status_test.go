package peers

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// TestStatuses: every code travels, with its message and details, from unary
// handlers and from streams, before and after a message.
func TestStatuses(t *testing.T) {
	eachPairing(t, func(t *testing.T, p pairing) {
		c, _ := p.connect(t, handlers{
			unary: func(_ context.Context, c handlerCall, in *message) (*message, error) {
				return nil, c.fail(parseStatus(t, in))
			},
			stream: func(s serverStream) error {
				in := new(message)
				if err := s.RecvMsg(in); err != nil {
					return err
				}
				if err := s.SendMsg(in); err != nil {
					return err
				}
				return s.fail(parseStatus(t, in))
			},
		})
		for _, want := range someStatuses(t) {
			t.Run(fmt.Sprintf("%v_%d_details", code.Code(want.GetCode()), len(want.GetDetails())), func(t *testing.T) {
				in, err := proto.Marshal(want)
				if err != nil {
					t.Fatal(err)
				}
				_, err = c.unary(testContext(t), in, nil)
				checkStatus(t, "unary", p.client.statusOf(err), want)

				s, err := c.stream(testContext(t), nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.SendMsg(&message{Value: in}); err != nil {
					t.Fatal(err)
				}
				if err := s.RecvMsg(new(message)); err != nil {
					t.Fatal(err)
				}
				checkStatus(t, "stream", p.client.statusOf(s.RecvMsg(new(message))), want)
			})
		}
	})
}

// someStatuses returns each code that a call can fail with, with messages that
// need escaping, and two statuses with details.
func someStatuses(t *testing.T) []*spb.Status {
	t.Helper()
	var all []*spb.Status
	for c := int32(1); c <= 16; c++ {
		all = append(all, &spb.Status{Code: c, Message: fmt.Sprintf("100%% of %d: \x01 ~ é\r\n日本", c)})
	}
	var details []*anypb.Any
	for _, m := range []proto.Message{
		&errdetails.ErrorInfo{Reason: "QUOTA", Domain: "example.com", Metadata: map[string]string{"k": "v"}},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "f", Description: "d"}}},
		&message{Value: pattern(2000)},
	} {
		a, err := anypb.New(m)
		if err != nil {
			t.Fatal(err)
		}
		details = append(details, a)
	}
	return append(all,
		&spb.Status{Code: int32(code.Code_NOT_FOUND), Message: "no such thing: "},
		&spb.Status{Code: int32(code.Code_NOT_FOUND), Message: " a blank at the beginning"},
		&spb.Status{Code: int32(code.Code_RESOURCE_EXHAUSTED), Message: "details", Details: details},
		&spb.Status{Code: int32(code.Code_INTERNAL), Details: details[:1]})
}

// parseStatus reads the status that a client asks for.
func parseStatus(t *testing.T, in *message) *spb.Status {
	st := new(spb.Status)
	if err := proto.Unmarshal(in.GetValue(), st); err != nil {
		t.Error(err)
	}
	return st
}

// checkStatus compares a status with its details.
func checkStatus(t *testing.T, call string, got, want *spb.Status) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("%s: the status is %v, want %v", call, got, want)
	}
}
