package surfacetest

import (
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// deadlineCases are about time; the deadlines that do what a cancellation does
// are among cancelCases.
func deadlineCases() []testCase {
	return []testCase{
		{file: "negative_deadline", name: "NegativeDeadline", test: negativeDeadline},
		{file: "timeout_before_request_call", name: "TimeoutBeforeRequestCall", test: timeoutBeforeRequestCall},
		{file: "timeout_before_request_call", name: "TimeoutBeforeRequestCallWithRegisteredMethod", bare: true,
			test: func(r *rig) { timeoutBeforeRegisteredCall(r, surface.PayloadNone) }},
		{file: "timeout_before_request_call", name: "TimeoutBeforeRequestCallWithRegisteredMethodWithPayload", bare: true,
			test: func(r *rig) { timeoutBeforeRegisteredCall(r, surface.PayloadReadInitial) }},
		{file: "ours/deadline", name: "BothEndsAtOnce", test: bothEndsAtOnce},
		{file: "ours/deadline", name: "StatusAtTheDeadline", test: statusAtTheDeadline},
	}
}

// negativeDeadline: a call whose deadline has passed ends at once, and the
// server does not hear of it.
func negativeDeadline(r *rig) {
	start := time.Now()
	c := r.callWith(surface.CallParams{Method: method, Deadline: start.Add(-time.Second)})
	c.start(1, sendHeaders(), sendClose(), c.recvHeaders(), c.recvStatus())
	r.verify(ok(1))
	r.wantNow(start)
	c.wantCode(status.DeadlineExceeded)
	r.request(101)
	r.quiet()
}

// timeoutBeforeRequestCall: a call expires before the server asks for one.
func timeoutBeforeRequestCall(r *rig) {
	expire(r)
	r.wantDeadOrNone(r.request(101), 101)
}

// timeoutBeforeRegisteredCall: the same for a method with a list of its own.
func timeoutBeforeRegisteredCall(r *rig, payload surface.PayloadHandling) {
	r.server = r.newServer()
	m, err := r.server.RegisterMethod(method, "", payload)
	if err != nil {
		r.Fatal(err)
	}
	r.serve()
	r.openChannel()
	expire(r)
	r.wantDeadOrNone(r.requestRegistered(101, m, payload == surface.PayloadReadInitial), 101)
}

// expire makes a call that nobody answers until its deadline has passed.
func expire(r *rig) {
	e := ending{deadline: true}
	c := e.call(r)
	c.start(1, sendHeaders(), sendMessage("hello"), sendClose(), c.recvHeaders(), c.recvStatus())
	e.apply(c)
	r.verify(ok(1))
	e.want(c)
	r.quiet() // and meanwhile the server hears of it
}

// wantDeadOrNone checks a request that was posted when the only call there was
// had expired: it fails when the server ends. A server that has not heard of
// the end of the call, as may be where time is real, hands it out; then it
// counts as cancelled.
func (r *rig) wantDeadOrNone(s *serverCall, tag cq.Tag) {
	r.Helper()
	if r.fixture.Virtual {
		r.quiet()
	}
	r.shutdownAndNotify(1000)
	r.verify(either(tag), ok(1000))
	if s.Call.Valid() {
		s.start(103, s.recvClose())
		r.verify(ok(103))
		s.wantCancelled(true)
	}
}

// A crowd is some calls with one deadline, all of them accepted.
type crowd struct {
	clients []*clientCall
	servers []*serverCall
}

// gather makes a crowd of n. The tags of the clients begin at 1; the server's
// recv_close_on_server have those from 201 on.
func gather(r *rig, n int, deadline time.Time) *crowd {
	g := new(crowd)
	for i := range n {
		c := r.callWith(surface.CallParams{Method: method, Deadline: deadline})
		c.start(1+i, c.firstOps(6)...)
		s := r.request(101 + i)
		r.verify(ok(101 + i))
		s.start(201+i, s.recvClose())
		g.clients, g.servers = append(g.clients, c), append(g.servers, s)
	}
	return g
}

// ends lists the events of the ends of all calls.
func (g *crowd) ends() (want []expected) {
	for i := range g.clients {
		want = append(want, ok(1+i), ok(201+i))
	}
	return want
}

// bothEndsAtOnce: client and server watch a deadline by their own timers, which
// go off together. Whichever is first, the client sees DEADLINE_EXCEEDED and
// the server a call that was cancelled.
func bothEndsAtOnce(r *rig) {
	r.connect()
	deadline := r.meanwhile()
	g := gather(r, 10, deadline)
	r.passes()
	r.verify(g.ends()...)
	for i, c := range g.clients {
		ending{deadline: true}.want(c)
		g.servers[i].wantCancelled(true)
		if d := g.servers[i].Details.Deadline; d.Before(deadline) {
			r.Errorf("the server gives the call up %v before the client", deadline.Sub(d))
		}
	}
}

// statusAtTheDeadline: the server's status comes when the call expires. The
// client sees one of the two and nothing else, and where it saw the status
// nothing was cancelled.
func statusAtTheDeadline(r *rig) {
	r.connect()
	deadline := r.meanwhile()
	g := gather(r, 10, deadline)
	r.passes()
	time.Sleep(time.Until(deadline))
	want := g.ends()
	for i, s := range g.servers {
		s.start(301+i, sendHeaders(), sendMessage("hello"), sendStatus(status.OK, "xyz"))
		want = append(want, either(301+i))
	}
	r.verify(want...)
	ended, cancelled := 0, 0
	for i, c := range g.clients {
		c.wantCode(status.OK, status.DeadlineExceeded)
		if c.status.Code == status.OK {
			ended++
		}
		if g.servers[i].cancelled {
			cancelled++
		}
	}
	if ended+cancelled > len(g.clients) {
		r.Errorf("%d clients have the status, and %d servers were cancelled, of %d", ended, cancelled, len(g.clients))
	}
}
