package stubs

import (
	"fmt"

	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// An observer emits the events of this layer. Whoever uses it asks on() first:
// without a sink an event costs that and nothing else. The emitting methods are
// kept out of line, so that the event which they build does not make the
// caller's memory escape.
type observer struct{ sink trace.Sink }

func (o observer) on() bool { return o.sink != nil }

// stub emits an event of a client.
//
//go:noinline
func (o observer) stub(cause trace.EventID, op, text string, dir trace.Dir, err error) trace.EventID {
	return o.sink.Emit(&trace.Event{Cause: cause, Layer: 5, Component: "stub", Op: op, Text: text, Dir: dir, Err: err})
}

// server emits an event of a server's call.
//
//go:noinline
func (o observer) server(cause trace.EventID, call uint64, op, text string, dir trace.Dir, err error) trace.EventID {
	return o.sink.Emit(&trace.Event{Cause: cause, Layer: 5, Component: "server", Call: call, Op: op, Text: text, Dir: dir, Err: err})
}

// typeText names a message for an event.
func typeText(m any) string { return fmt.Sprintf("%T", m) }
