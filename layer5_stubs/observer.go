package stubs

import (
	"fmt"

	"github.com/strata-grpc/strata/layer1_transport/status"
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
	return o.sink.Emit(&trace.Event{Cause: cause, Layer: 5, Component: "stub", Op: op, Text: text, Dir: dir, Err: o.outcome(err)})
}

// server emits an event of a server's call.
//
//go:noinline
func (o observer) server(cause trace.EventID, call uint64, op, text string, dir trace.Dir, err error) trace.EventID {
	return o.sink.Emit(&trace.Event{Cause: cause, Layer: 5, Component: "server", Call: call, Op: op, Text: text, Dir: dir, Err: o.outcome(err)})
}

// outcome returns err for an event. What a handler says to its client is a
// value, as grpc-message is on the wire: below LevelValues the code is all that
// is told. The layers below tell why a call failed that no handler ended.
func (o observer) outcome(err error) error {
	if err == nil || o.sink.Level() >= trace.LevelValues {
		return err
	}
	return codeOnly(status.CodeOf(err))
}

// codeOnly is an error without its message.
type codeOnly status.Code

func (c codeOnly) Error() string { return "rpc error: code = " + status.Code(c).String() }

// typeText names a message for an event.
func typeText(m any) string { return fmt.Sprintf("%T", m) }
