package surfacetest

import (
	"fmt"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// streamingCases are calls with more than one message in a direction.
func streamingCases() []testCase {
	var cases []testCase
	for _, n := range []int{0, 1, 3, 10, 30} {
		cases = append(cases, testCase{file: "client_streaming", name: fmt.Sprint("ClientStreaming", n),
			test: func(r *rig) { clientStreaming(r, n) }})
	}
	for _, n := range []int{1, 3, 10, 30} {
		cases = append(cases, testCase{file: "ping_pong_streaming", name: fmt.Sprint("PingPongStreaming", n),
			test: func(r *rig) { pingPongStreaming(r, n) }})
	}
	return append(cases, []testCase{
		{file: "server_streaming", name: "ServerStreaming", test: func(r *rig) { serverStreaming(r, 1) }},
		{file: "server_streaming", name: "ServerStreamingEmptyStream", test: func(r *rig) { serverStreaming(r, 0) }},
		{file: "server_streaming", name: "ServerStreaming10Messages", test: func(r *rig) { serverStreaming(r, 10) }},
		{file: "streaming_error_response", name: "StreamingErrorResponse",
			test: func(r *rig) { streamingErrorResponse(r, false, false) }},
		{file: "streaming_error_response", name: "StreamingErrorResponseRequestStatusEarly",
			test: func(r *rig) { streamingErrorResponse(r, true, false) }},
		{file: "streaming_error_response", name: "StreamingErrorResponseRequestStatusEarlyAndRecvMessageSeparately",
			test: func(r *rig) { streamingErrorResponse(r, true, true) }},
		{file: "server_finishes_request", name: "ServerFinishesRequest", test: serverFinishesRequest},
		{file: "ours/streaming", name: "StatusWithoutHeaders", test: statusWithoutHeaders},
		{file: "ours/streaming", name: "MessageAfterTheStatusFails", test: messageAfterStatus},
		{file: "ours/streaming", name: "ManyBatchesOnOneCall", test: manyBatches},
	}...)
}

// clientStreaming: a client sends n messages, each read before the next, and
// gets one status.
func clientStreaming(r *rig, n int) {
	c := r.call()
	c.start(1, sendHeaders(), c.recvHeaders())
	s := r.request(100)
	r.verify(ok(100))
	s.start(101, sendHeaders())
	r.verify(ok(101), ok(1))
	for i := range n {
		c.start(2, sendMessage(fmt.Sprint("hello ", i)))
		s.start(102, s.recvMessage())
		r.verify(ok(2), ok(102))
		r.wantText("the message", s.message, fmt.Sprint("hello ", i))
	}
	c.start(3, sendClose(), c.recvStatus())
	s.start(103, s.recvMessage())
	r.verify(ok(103))
	r.wantText("the end", s.message, "<nil>")
	s.start(104, s.recvClose(), sendStatus(status.Unimplemented, "xyz"))
	r.verify(ok(104), ok(3))
	c.wantStatus(status.Unimplemented, "xyz")
	s.wantCancelled(false)
}

// serverStreaming: a server sends n messages and the status before the client
// has read any; the client reads them all, and then that there are no more.
func serverStreaming(r *rig, n int) {
	c := r.call()
	c.start(1, sendHeaders(), sendClose(), c.recvStatus())
	c.start(2, c.recvHeaders())
	s := r.request(100)
	r.verify(ok(100))
	s.start(101, sendHeaders())
	r.verify(ok(101), ok(2))
	for i := range n {
		s.start(102, sendMessage(fmt.Sprint("hello ", i)))
		r.verify(ok(102))
	}
	s.start(103, s.recvClose(), sendStatus(status.Unimplemented, "xyz"))
	if n == 0 {
		r.verify(ok(103), ok(1))
	} else {
		r.verify(ok(103))
		r.quiet() // the status comes after the messages
	}
	for i := range n {
		c.start(3, c.recvMessage())
		if i < n-1 {
			r.verify(ok(3))
		} else {
			r.verify(ok(3), ok(1)) // nothing stands before it any more
		}
		r.wantText("the message", c.message, fmt.Sprint("hello ", i))
	}
	c.start(4, c.recvMessage())
	r.verify(ok(4))
	r.wantText("the end", c.message, "<nil>")
	c.wantStatus(status.Unimplemented, "xyz")
	s.wantCancelled(false)
}

// pingPongStreaming: messages go there and back on one call, n times.
func pingPongStreaming(r *rig, n int) {
	c := r.call()
	c.start(1, sendHeaders(), c.recvHeaders(), c.recvStatus())
	s := r.request(100)
	r.verify(ok(100))
	s.start(101, sendHeaders())
	s.start(102, s.recvClose())
	r.verify(ok(101))
	for i := range n {
		c.start(2, sendMessage(fmt.Sprint("ping ", i)), c.recvMessage())
		s.start(103, s.recvMessage())
		r.verify(ok(103))
		r.wantText("the ping", s.message, fmt.Sprint("ping ", i))
		s.start(104, sendMessage(fmt.Sprint("pong ", i)))
		r.verify(ok(104), ok(2))
		r.wantText("the pong", c.message, fmt.Sprint("pong ", i))
	}
	c.start(3, sendClose())
	s.start(104, sendStatus(status.Unimplemented, "xyz"))
	r.verify(ok(1), ok(3), ok(102), ok(104))
	c.wantStatus(status.Unimplemented, "xyz")
	s.wantCancelled(false)
}

// streamingErrorResponse: a client cancels while it streams. It has read one
// message of two, in a batch with its other operations or separately, and has
// asked for the status early, at the beginning, or asks for it now.
func streamingErrorResponse(r *rig, early, separately bool) {
	c := r.call()
	ops := []surface.Op{sendHeaders(), sendClose(), c.recvHeaders()}
	if !separately {
		ops = append(ops, c.recvMessage())
	}
	if early {
		ops = append(ops, c.recvStatus())
	}
	c.start(1, ops...)
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, sendHeaders(), sendMessage("hello"))
	switch {
	case !early:
		r.verify(ok(102), ok(1))
	case separately:
		c.start(4, c.recvMessage())
		r.verify(ok(102), ok(4))
		r.wantText("the first message", c.message, "hello")
	default:
		r.verify(ok(102))
	}
	s.start(103, sendMessage("world"))
	r.verify(ok(103))
	s.start(104, s.recvClose())
	c.Cancel()
	if early {
		r.verify(ok(104), ok(1))
	} else {
		r.wantText("the first message", c.message, "hello")
		c.start(2, c.recvMessage())
		r.verify(ok(104), fails(2)) // what was not read is dropped
		c.start(3, c.recvStatus())
		r.verify(ok(3))
	}
	c.wantCode(status.Canceled)
	s.wantCancelled(true)
}

// serverFinishesRequest: the status ends a call whose client has not
// half-closed, and has nothing to do for it.
func serverFinishesRequest(r *rig) {
	c := r.call()
	c.start(1, sendHeaders(), c.recvHeaders(), c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, sendHeaders(), sendStatus(status.OK, "xyz"), s.recvClose())
	r.verify(ok(102), ok(1))
	c.wantStatus(status.OK, "xyz")
	s.wantCancelled(false)
}

// statusWithoutHeaders: a client is told whether there were headers: a server may
// answer with the status alone.
func statusWithoutHeaders(r *rig) {
	for _, headers := range []bool{false, true} {
		c := r.call()
		c.start(1, sendHeaders(), sendClose(), c.recvHeaders(), c.recvMessage(), c.recvStatus())
		s := r.request(101)
		r.verify(ok(101))
		ops := []surface.Op{sendStatus(status.NotFound, "xyz", "key", "value"), s.recvClose()}
		if headers {
			ops = append(ops, sendHeaders())
		}
		s.start(102, ops...)
		r.verify(ok(102), ok(1))
		c.wantStatus(status.NotFound, "xyz")
		if c.trailersOnly == headers {
			r.Errorf("headers were sent: %t, trailers only: %t", headers, c.trailersOnly)
		}
		if n := c.initial.Len(); n != 0 {
			r.Errorf("there are %d pairs of headers", n)
		}
		r.wantText("the message", c.message, "<nil>")
		r.wantPairs("trailers", &c.trailing, "key", "value")
		s.wantCancelled(false)
	}
}

// messageAfterStatus: a message to a server that has ended the call fails, and
// the status is still the server's.
func messageAfterStatus(r *rig) {
	c := r.call()
	c.start(1, sendHeaders(), c.recvHeaders())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, sendHeaders(), sendStatus(status.FailedPrecondition, "xyz"), s.recvClose())
	c.start(2, c.recvMessage())
	r.verify(ok(102), ok(1), ok(2))
	r.wantText("the end", c.message, "<nil>")
	c.start(3, sendMessage("hello world"))
	r.verify(fails(3))
	c.start(4, c.recvStatus())
	r.verify(ok(4))
	c.wantStatus(status.FailedPrecondition, "xyz")
	s.wantCancelled(false)
}

// manyBatches: each operation is a batch of its own, and those of different
// kinds are outstanding together, on one call, a hundred times.
func manyBatches(r *rig) {
	c := r.callWith(surface.CallParams{Method: method, Deadline: time.Now().Add(patience)})
	c.start(1, c.recvStatus())
	c.start(2, c.recvHeaders())
	c.start(3, c.recvMessage())
	c.start(4, sendHeaders())
	s := r.request(101)
	r.verify(ok(4), ok(101))
	s.start(102, s.recvClose())
	s.start(103, sendHeaders())
	r.verify(ok(103), ok(2))
	for i := range 100 {
		s.start(104, s.recvMessage())
		c.start(5, sendMessage(fmt.Sprint(i)))
		r.verify(ok(5), ok(104))
		r.wantText("what the server got", s.message, fmt.Sprint(i))
		s.start(105, sendMessage(fmt.Sprint(-i)))
		c.start(6) // a batch without operations is no hindrance
		r.verify(ok(105), ok(3), ok(6))
		r.wantText("what the client got", c.message, fmt.Sprint(-i))
		c.start(3, c.recvMessage())
	}
	c.start(7, sendClose())
	s.start(106, s.recvMessage())
	r.verify(ok(7), ok(106))
	r.wantText("the end of the client's messages", s.message, "<nil>")
	s.start(107, sendStatus(status.OK, "xyz"))
	r.verify(ok(107), ok(102), ok(3), ok(1))
	r.wantText("the end of the server's messages", c.message, "<nil>")
	c.wantStatus(status.OK, "xyz")
	s.wantCancelled(false)
}
