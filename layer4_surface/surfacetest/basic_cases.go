package surfacetest

import (
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// basicCases are calls that end well.
func basicCases() []testCase {
	return []testCase{
		{file: "no_op", name: "NoOp", test: func(*rig) {}},
		{file: "empty_batch", name: "EmptyBatch", test: emptyBatch},
		{file: "simple_request", name: "SimpleRequest", test: simpleRequest},
		{file: "simple_request", name: "SimpleRequest10", test: func(r *rig) {
			for range 10 {
				simpleRequest(r)
			}
		}},
		{file: "request_with_payload", name: "RequestWithPayload", test: requestWithPayload},
	}
}

// emptyBatch: a batch without operations posts its tag, on a call that was
// never begun.
func emptyBatch(r *rig) {
	c := r.call()
	c.start(1)
	r.verify(ok(1))
}

// simpleRequest: a call without messages is answered with UNIMPLEMENTED "xyz".
func simpleRequest(r *rig) {
	c := r.call()
	c.start(1, sendHeaders(), sendClose(), c.recvHeaders(), c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	if s.Call.Peer() == nil {
		r.Error("the server does not know its peer")
	}
	if s.Details.Method != method {
		r.Errorf("method = %q, want %q", s.Details.Method, method)
	}
	s.start(102, sendHeaders(), sendStatus(status.Unimplemented, "xyz"), s.recvClose())
	r.verify(ok(102), ok(1))
	c.wantStatus(status.Unimplemented, "xyz")
	s.wantCancelled(false)
	if c.Peer() == nil {
		r.Error("the client does not know its peer")
	}
}

// requestWithPayload: the client sends one message, and the server reads it.
func requestWithPayload(r *rig) {
	c := r.call()
	c.start(1, sendHeaders(), sendMessage("hello world"), sendClose(), c.recvHeaders(), c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, s.recvMessage())
	r.verify(ok(102))
	r.wantText("the request", s.message, "hello world")
	s.start(103, s.recvClose(), sendHeaders(), sendStatus(status.OK, "xyz"))
	r.verify(ok(103), ok(1))
	c.wantStatus(status.OK, "xyz")
	s.wantCancelled(false)
}
