package compression

import (
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// An away is a call's message that is inflated elsewhere than on the spot. While it
// is, the call's other callbacks run as they come, through the combiner, but the end
// of the call waits for the message.
type away struct {
	// Atomic: the message has come and not ended, since it waits for the headers, or is
	// in the line or about to be. Written by callbacks.
	on atomic.Bool

	// Written before the call joins the line, read until it has left it.
	in *encoding.Inflation

	// For callbacks only.
	ended bool  // the end has come and waits
	end   error // with this error
	lost  error // why a message was lost that had come, nil if none was

	// Guarded by line.mu.
	place      place
	next, prev *call
	why        error // the message was given up, nil if it was not
}

// Why a message is given up.
var (
	errCancelled error = fault(status.Canceled, "the call was cancelled while a message was inflated")
	// errOver is no error to whoever waits for a message: a server's call has ended
	// as its application wanted.
	errOver error = fault(status.Canceled, "the call ended while a message was inflated")
)

// mayLeave reports whether a message may be inflated elsewhere. With a trace it may not
// while other operations of its batch are outstanding, as in a client's unary call:
// whatever is traced notes its event in its batch.
func (c *call) mayLeave() bool {
	return c.ch.sink == nil || c.message.Ops == transport.OpRecvMessage
}

// leave has in inflated elsewhere. The caller is a callback.
func (c *call) leave(in *encoding.Inflation) {
	c.combiner.Engage()
	owner := c.args.Owner
	owner.Ref() // the line's, and one for here
	owner.Ref()
	c.away.in = in
	c.away.on.Store(true)
	if err := c.ch.line.join(c); err != nil {
		c.away.why = err
		c.endAway()
	} else if c.cancelled.Load() { // and whoever did may have looked before
		c.giveUp(errCancelled)
	}
	owner.Unref()
}

// inflateAway is the work for a call that is at work. It does not yield between pieces:
// a processor is left for others, who would only change places with this one, for which
// small calls wait longer (BenchmarkLatencyBesideGzip: 180 µs in place of 65).
func (c *call) inflateAway() {
	defer c.endAway() // also where the compressor ends the goroutine
	defer c.ch.line.leave(c)
	for c.away.in.Step(pieceAway) {
	}
}

// endAway hands over what has come of a message that has left the line, and the line's
// reference.
func (c *call) endAway() {
	owner := c.args.Owner
	c.combiner.Run((*inflatedTurn)(c), nil)
	owner.Unref()
}

// giveUp ends the inflating of a message that nobody wants any more because of why, if
// there is one. The caller has a reference of the owner.
func (c *call) giveUp(why error) {
	if c.away.on.Load() && c.ch.line.drop(c, why) {
		c.endAway()
	}
}

// An inflatedTurn is a call whose message was inflated elsewhere, or given up, when
// its turn has come among the callbacks.
type inflatedTurn call

func (d *inflatedTurn) Run(error) {
	c, a := (*call)(d), &d.away
	in, why := a.in, a.why
	a.in, a.why = nil, nil
	c.inflated(in, why)
}

// An endTurn is a call whose recv_trailing_metadata may end.
type endTurn call

func (d *endTurn) Run(err error) { (*call)(d).passTrailers(err) }
