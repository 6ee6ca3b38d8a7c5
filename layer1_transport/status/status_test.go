package status

import (
	"fmt"
	"strings"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestNilStatusIsOK(t *testing.T) {
	var s *Status
	if s.Code() != OK || s.Message() != "" || s.Err() != nil || s.Details() != nil || s.Proto() != nil || s.HasDetails() || s.WithCause(fmt.Errorf("x")) != nil {
		t.Errorf("the nil Status is %v", s)
	}
	if _, err := s.WithDetails(); err == nil {
		t.Error("details were added to OK")
	}
}

func TestStatus(t *testing.T) {
	s := Newf(NotFound, "no %s", "gopher")
	if s.Code() != NotFound || s.Message() != "no gopher" || s.HasDetails() || len(s.Details()) != 0 {
		t.Errorf("got %v", s)
	}
	const text = "rpc error: code = NotFound desc = no gopher"
	if s.String() != text || s.Err().Error() != text || Errorf(NotFound, "no %s", "gopher").Error() != text || Error(NotFound, "no gopher").Error() != text {
		t.Errorf("got %q and %q, want %q", s, s.Err(), text)
	}
	for _, err := range []error{New(OK, "fine").Err(), Error(OK, "fine"), Errorf(OK, "fine"), New(OK, "").WithCause(fmt.Errorf("x"))} {
		if err != nil {
			t.Errorf("OK as an error is %v", err)
		}
	}
}

func TestDetails(t *testing.T) {
	plain := New(InvalidArgument, "m")
	one, err := plain.WithDetails(wrapperspb.String("a"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := one.WithDetails(durationpb.New(5))
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range []*Status{plain, one, two} {
		if got := len(s.Details()); got != i || s.HasDetails() != (i > 0) {
			t.Errorf("status %d has %d details: WithDetails changed what it was called on", i, got)
		}
	}
	got := two.Details()
	if a, ok := got[0].(*wrapperspb.StringValue); !ok || a.Value != "a" {
		t.Errorf("the first detail is %v", got[0])
	}
	if _, err := New(OK, "").WithDetails(wrapperspb.String("a")); err == nil {
		t.Error("details were added to OK")
	}
	if _, err := plain.WithDetails(wrapperspb.String("\xff")); err == nil {
		t.Error("a detail that cannot be packed was added")
	}
}

func TestUnknownDetail(t *testing.T) {
	p := &spb.Status{Code: 5, Details: []*anypb.Any{{TypeUrl: "type.googleapis.com/no.such.Type"}, {TypeUrl: "type.googleapis.com/google.protobuf.StringValue", Value: []byte{0xff}}}}
	for i, d := range FromProto(p).Details() {
		if _, ok := d.(error); !ok {
			t.Errorf("detail %d is %T, want an error", i, d)
		}
	}
}

// TestProto: conversion is a round trip, and shares nothing on either way.
func TestProto(t *testing.T) {
	s, err := New(Aborted, "m").WithDetails(wrapperspb.String("a"))
	if err != nil {
		t.Fatal(err)
	}
	p := s.Proto()
	want := proto.CloneOf(p)
	back := FromProto(p)
	p.Message = "changed"
	p.Details[0].Value[0] ^= 0xff
	if !proto.Equal(s.Proto(), want) || !proto.Equal(back.Proto(), want) {
		t.Errorf("a change of the proto is seen:\n%v\n%v\nwant %v", s.Proto(), back.Proto(), want)
	}
	data, err := proto.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var received spb.Status
	if err := proto.Unmarshal(data, &received); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(FromProto(&received).Proto(), want) {
		t.Error("the round trip over the wire changes the status")
	}
	if s := FromProto(nil); s.Code() != OK || s.Err() != nil {
		t.Errorf("FromProto(nil) is %v", s)
	}
	if c := FromProto(&spb.Status{Code: -1}).Code(); c != 1<<32-1 {
		t.Errorf("a negative code is %v", c)
	}
}

// TestPrintingShowsNoDetails: details may hold what the message does not.
func TestPrintingShowsNoDetails(t *testing.T) {
	const canary = "CANARY-4711"
	s, err := New(Internal, "m").WithDetails(wrapperspb.String(canary))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{s, *s, s.Err(), s.WithCause(fmt.Errorf("x")), struct{ S *Status }{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%q", "%s"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, canary) {
				t.Errorf("%T with %s shows a detail: %s", v, verb, text)
			}
		}
	}
}
