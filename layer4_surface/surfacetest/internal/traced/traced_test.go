package traced

import (
	"strings"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// TestFaults: each fault is found, and nothing else is one.
func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		name string
		last trace.Event
		want string // empty for no fault
	}{
		{"nothing wrong", trace.Event{Cause: 5, Component: "call", Op: "call.status", Call: 1}, ""},
		{"another call", trace.Event{Cause: 5, Component: "call", Op: "call.create", Call: 2}, ""},
		{"a cause to come", trace.Event{Cause: 6, Component: "socket", Op: "read"}, "caused by event 6"},
		{"no cause", trace.Event{Component: "call", Op: "match"}, "has no cause"},
		{"no cause, of a queue", trace.Event{Component: "cq:case", Op: "end_op"}, "has no cause"},
		{"a second beginning", trace.Event{Cause: 1, Component: "call", Op: "call.create", Call: 1}, "the same as event 1"},
		{"a value", trace.Event{Fields: []trace.Field{{Name: "x-secret", Value: "v"}}}, "the value of x-secret"},
		{"a message", trace.Event{Fields: []trace.Field{{Name: "grpc-message", Value: "v"}}}, "the value of grpc-message"},
		{"details", trace.Event{Fields: []trace.Field{{Name: "grpc-status-details-bin", Value: "v"}}}, "the value of grpc-status-details-bin"},
	} {
		tr := New()
		client, server, second := tr.Endpoint("client"), tr.Endpoint("server 1"), tr.Endpoint("server 2")
		client.Emit(&trace.Event{Component: "call", Op: "call.create", Call: 1})
		client.Emit(&trace.Event{Cause: 1, Component: "call", Op: "start_batch", Call: 1})
		client.Emit(&trace.Event{Component: "socket", Op: "write"})
		server.Emit(&trace.Event{Cause: 3, Component: "call", Op: "call.status", Call: 1})
		second.Emit(&trace.Event{Cause: 4, Component: "call", Op: "call.status", Call: 1, Fields: []trace.Field{
			{Name: ":path", Value: "/foo"}, {Name: "te", Value: "trailers"}, {Name: "grpc-status", Value: "0"}, {Name: "x-secret"}, {Name: "grpc-message"},
		}})
		if client.Level() != trace.LevelEvents || client.Emit(&tc.last) != 6 {
			t.Error("a level or a number is wrong")
		}
		switch got := tr.Faults(); {
		case tc.want == "" && got != nil:
			t.Errorf("%s: %q", tc.name, got)
		case tc.want != "" && (len(got) != 1 || !strings.Contains(got[0], tc.want)):
			t.Errorf("%s: %q, want one with %q", tc.name, got, tc.want)
		}
	}
}
