package surfacetest

import (
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// bufferingCases are about what may wait until more is sent.
func bufferingCases() []testCase {
	buffers := []Capability{WriteBuffering}
	return []testCase{
		{file: "write_buffering", name: "WriteBufferingWorks", needs: buffers, test: writeBuffering},
		{file: "write_buffering_at_end", name: "WriteBufferingAtEnd", needs: buffers, test: writeBufferingAtEnd},
		{file: "ours/write_buffering", name: "CorkedHeadersWait", needs: buffers, test: corkedHeaders},
		{file: "ours/write_buffering", name: "WriteThroughWaitsForNothing", needs: buffers, test: writeThrough},
	}
}

// hinted is send_message that may wait for more.
func hinted(text string) surface.Op { return flagged(sendMessage(text), transport.FlagBufferHint) }

// hintedCall begins a call on which a hinted message has completed, and does not
// arrive. Tags 1 and 103 are outstanding: the status, and the server's receive.
func hintedCall(r *rig) (*clientCall, *serverCall) {
	r.Helper()
	c := r.call()
	c.start(1, c.recvStatus())
	c.start(2, sendHeaders(), c.recvHeaders())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, sendHeaders())
	s.start(103, s.recvMessage())
	r.verify(ok(102), ok(2))
	c.start(3, hinted("hello world"))
	r.verify(ok(3))
	r.quiet()
	return c, s
}

// writeBuffering: a hinted message waits for one without the hint.
func writeBuffering(r *rig) {
	c, s := hintedCall(r)
	c.start(4, sendMessage("abc123"))
	r.verify(ok(4), ok(103))
	r.wantText("the first message", s.message, "hello world")
	s.start(104, s.recvMessage())
	r.verify(ok(104))
	r.wantText("the second message", s.message, "abc123")
	c.start(5, sendClose())
	s.start(105, s.recvClose(), sendStatus(status.OK, "xyz"))
	r.verify(ok(5), ok(105), ok(1))
	c.wantStatus(status.OK, "xyz")
	s.wantCancelled(false)
}

// writeBufferingAtEnd: a hinted message that was the last waits for the half-close.
func writeBufferingAtEnd(r *rig) {
	c, s := hintedCall(r)
	c.start(4, sendClose())
	r.verify(ok(4), ok(103))
	r.wantText("the message", s.message, "hello world")
	s.start(104, s.recvMessage())
	r.verify(ok(104))
	r.wantText("the end", s.message, "<nil>")
	s.start(105, s.recvClose(), sendStatus(status.OK, "xyz"))
	r.verify(ok(105), ok(1))
	c.wantStatus(status.OK, "xyz")
	s.wantCancelled(false)
}

// corkedHeaders: corked headers complete, and the server hears of the call when
// the message comes that they wait for.
func corkedHeaders(r *rig) {
	simpleRequest(r) // what greets the server is written then, or it would take the headers with it
	c := r.call()
	s := r.request(101)
	c.start(1, flagged(sendHeaders("key", "value"), transport.FlagCorked))
	r.verify(ok(1))
	r.quiet()
	c.start(2, sendMessage("hello world"), sendClose())
	r.verify(ok(2), ok(101))
	r.wantPairs("headers", s.Metadata, "key", "value")
	s.start(102, s.recvMessage())
	r.verify(ok(102))
	r.wantText("the message", s.message, "hello world")
	c.start(3, c.recvStatus())
	s.start(103, s.recvClose(), sendStatus(status.OK, "xyz"))
	r.verify(ok(103), ok(3))
	c.wantStatus(status.OK, "xyz")
	s.wantCancelled(false)
}

// writeThrough: a message that is to be written through takes with it what waits.
func writeThrough(r *rig) {
	c, s := hintedCall(r)
	c.start(4, flagged(sendMessage("abc123"), transport.FlagBufferHint|transport.FlagWriteThrough))
	r.verify(ok(4), ok(103))
	s.start(104, s.recvMessage())
	r.verify(ok(104))
	r.wantText("the second message", s.message, "abc123")
	s.start(105, s.recvClose(), sendStatus(status.OK, "xyz"))
	r.verify(ok(105), ok(1))
	c.wantStatus(status.OK, "xyz")
}
