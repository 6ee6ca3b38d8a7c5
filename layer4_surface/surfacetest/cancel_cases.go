package surfacetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// cancelCases end calls from outside, at every stage of their life.
func cancelCases() []testCase {
	cases := slices.Concat(
		inBothWays("cancel_in_a_vacuum", "InAVacuum", endInAVacuum),
		inBothWays("cancel_after_accept", "AfterAccept", endAfterAccept),
		inBothWays("cancel_after_client_done", "AfterClientDone", endAfterClientDone),
		inBothWays("cancel_after_round_trip", "AfterRoundTrip", endAfterRoundTrip),
	)
	for n := 1; n <= 6; n++ {
		cases = append(cases, testCase{file: "cancel_before_invoke", name: fmt.Sprint("CancelBeforeInvoke", n),
			test: func(r *rig) { cancelBeforeInvoke(r, n) }})
	}
	for n := 3; n <= 6; n++ {
		cases = append(cases, inBothWays("cancel_after_invoke", fmt.Sprint("AfterInvoke", n),
			func(r *rig, e ending) { endAfterInvoke(r, e, n) })...)
	}
	for n := 1; n <= 4; n++ {
		cases = append(cases, testCase{file: "cancel_with_status", name: fmt.Sprint("CancelWithStatus", n),
			test: func(r *rig) { cancelWithStatus(r, n) }})
	}
	return append(cases,
		testCase{file: "ours/cancel", name: "FirstStatusCounts", test: firstStatusCounts},
		testCase{file: "ours/cancel", name: "CancelRacesWithTrailers", test: cancelRacesWithTrailers},
		testCase{file: "ours/cancel", name: "CancelAfterStatus", test: cancelAfterStatus},
		testCase{file: "ours/cancel", name: "ServerCancels", test: serverCancels},
		testCase{file: "ours/cancel", name: "ReleaseOnClientBeforeTheEvent", test: releaseOnClient},
		testCase{file: "ours/cancel", name: "ReleaseOnServerBeforeTheEvent", test: releaseOnServer},
	)
}

// An ending is how a call is ended from outside: gRPC core's CancellationMode.
type ending struct {
	deadline bool // not cancelled: its deadline passes
}

// inBothWays makes two cases of test: CancelName and DeadlineName.
func inBothWays(file, name string, test func(*rig, ending)) []testCase {
	return []testCase{
		{file: file, name: "Cancel" + name, test: func(r *rig) { test(r, ending{}) }},
		{file: file, name: "Deadline" + name, test: func(r *rig) { test(r, ending{deadline: true}) }},
	}
}

// call creates the call. What the case does with it before apply is done before
// its deadline.
func (e ending) call(r *rig) *clientCall {
	r.Helper()
	if !e.deadline {
		return r.call()
	}
	return r.callWith(surface.CallParams{Method: method, Deadline: r.meanwhile()})
}

// apply cancels the call, unless its deadline will do.
func (e ending) apply(c *clientCall) {
	c.r.Helper()
	if e.deadline {
		c.r.passes()
		return
	}
	if fault := c.Cancel(); fault != surface.CallOK {
		c.r.Errorf("Cancel: %v", fault)
	}
}

// want checks what the client was told.
func (e ending) want(c *clientCall) {
	c.r.Helper()
	code, cause := status.Canceled, context.Canceled
	if e.deadline {
		code, cause = status.DeadlineExceeded, context.DeadlineExceeded
		c.r.wantNow(c.Deadline())
	}
	c.wantCode(code)
	if err := c.status.AsError(nil); !errors.Is(err, cause) {
		c.r.Errorf("the error %v does not match %v", err, cause)
	}
}

// firstOps returns the first n operations of a unary call, in the order in
// which gRPC core's cancel tests take them.
func (c *clientCall) firstOps(n int) []surface.Op {
	ops := []surface.Op{c.recvStatus(), c.recvHeaders(), sendHeaders()}
	if n > len(ops) {
		ops = append(ops, sendMessage("hello you"), sendClose(), c.recvMessage())
	}
	return ops[:n]
}

// endInAVacuum: a call that was never begun ends without an event.
func endInAVacuum(r *rig, e ending) {
	c := e.call(r)
	e.apply(c)
	if e.deadline {
		time.Sleep(2 * short)
	}
	r.quiet()
	c.start(1)
	r.verify(ok(1)) // an empty batch asks nothing of the call
}

// cancelBeforeInvoke: operations of a call that was cancelled complete, and
// the status says why.
func cancelBeforeInvoke(r *rig, n int) {
	c := r.call()
	ending{}.apply(c)
	c.start(1, c.firstOps(n)...)
	r.verify(ok(1))
	ending{}.want(c)
	r.request(101)
	r.quiet() // the server has not heard of it
}

// endAfterInvoke: a call ends that the server never asked for.
func endAfterInvoke(r *rig, e ending, n int) {
	c := e.call(r)
	c.start(1, c.firstOps(n)...)
	e.apply(c)
	r.verify(ok(1))
	e.want(c)
	r.wantText("the answer", c.message, "<nil>")
}

// endAfterAccept: a call ends that the server has accepted. What the server
// was doing completes, and it learns that the call was cancelled.
func endAfterAccept(r *rig, e ending) {
	r.connect()
	c := e.call(r)
	c.start(1, c.firstOps(6)...)
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, s.recvMessage(), sendHeaders(), sendMessage("hello"), s.recvClose())
	e.apply(c)
	r.verify(ok(102), ok(1))
	e.want(c)
	s.wantCancelled(true)
}

// endAfterClientDone: the client has said all that it had to say.
func endAfterClientDone(r *rig, e ending) {
	r.connect()
	c := e.call(r)
	c.start(1, c.firstOps(6)...)
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, s.recvClose(), sendHeaders(), sendMessage("hello"))
	e.apply(c)
	r.verify(ok(102), ok(1))
	e.want(c)
	s.wantCancelled(true)
}

// endAfterRoundTrip: a message has gone each way; a second one of the server
// is on its way or comes too late, and either is no failure of its batch.
func endAfterRoundTrip(r *rig, e ending) {
	r.connect()
	c := e.call(r)
	c.start(1, sendHeaders(), sendMessage("hello world"), c.recvHeaders(), c.recvMessage())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, s.recvMessage(), sendHeaders(), sendMessage("hello you"))
	r.verify(ok(102), ok(1))
	r.wantText("the request", s.message, "hello world")
	r.wantText("the answer", c.message, "hello you")
	c.start(2, sendClose(), c.recvMessage(), c.recvStatus())
	s.start(103, s.recvClose(), sendMessage("hello again"))
	e.apply(c)
	r.verify(ok(103), ok(2))
	e.want(c)
	s.wantCancelled(true)
}

// cancelWithStatus: the application's own status is the status of the call.
func cancelWithStatus(r *rig, n int) {
	c := r.call()
	ops := []surface.Op{c.recvStatus(), c.recvHeaders(), sendHeaders(), sendClose()}
	c.start(1, ops[:n]...)
	if fault := c.CancelWithStatus(status.Unimplemented, "xyz"); fault != surface.CallOK {
		r.Errorf("CancelWithStatus: %v", fault)
	}
	r.verify(ok(1))
	c.wantStatus(status.Unimplemented, "xyz")
}

// firstStatusCounts: of two cancellations the second changes nothing, and
// one with OK is refused.
func firstStatusCounts(r *rig) {
	c := r.call()
	if fault := c.CancelWithStatus(status.OK, ""); fault != surface.CallErrorFailed {
		r.Errorf("CancelWithStatus with OK: %v", fault)
	}
	c.CancelWithStatus(status.DataLoss, "first")
	c.CancelWithStatus(status.Aborted, "second")
	c.start(1, c.firstOps(6)...)
	r.verify(ok(1))
	c.wantStatus(status.DataLoss, "first")
}

// cancelRacesWithTrailers: a cancellation meets the server's status on the
// way. Whoever is first decides, alike on all sides: a client that has got the
// status leaves a server that was not cancelled.
func cancelRacesWithTrailers(r *rig) {
	const rounds = 50
	for i := range rounds {
		c := r.call()
		c.start(1, sendHeaders(), sendClose(), c.recvHeaders(), c.recvMessage(), c.recvStatus())
		s := r.request(101)
		r.verify(ok(101))
		var cancelling sync.WaitGroup
		cancelling.Go(func() {
			if i%3 > 0 { // otherwise at once, which the status rarely beats
				time.Sleep(time.Duration(i) * time.Microsecond)
			}
			c.Cancel()
		})
		s.start(102, s.recvClose())
		s.start(103, sendHeaders(), sendMessage("hello"), sendStatus(status.OK, "xyz"))
		r.verify(ok(102), either(103), ok(1))
		cancelling.Wait()
		c.wantCode(status.OK, status.Canceled)
		if c.status.Code == status.OK {
			c.wantStatus(status.OK, "xyz")
			s.wantCancelled(false)
		}
		c.free()
		s.free()
	}
}

// cancelAfterStatus: a call that has ended cannot be cancelled any more.
func cancelAfterStatus(r *rig) {
	c := r.call()
	c.start(1, sendHeaders(), c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, s.recvClose(), sendStatus(status.NotFound, "xyz"))
	r.verify(ok(102), ok(1))
	ending{}.apply(c)
	ending{}.apply(c)
	s.Call.Cancel()
	c.start(2, c.recvHeaders(), c.recvMessage())
	r.verify(ok(2)) // there were none, which is no failure
	c.wantStatus(status.NotFound, "xyz")
	s.wantCancelled(false)
}

// serverCancels: the status with which a server cancels reaches the client,
// and the call counts as cancelled.
func serverCancels(r *rig) {
	c := r.call()
	c.start(1, c.firstOps(6)...)
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, s.recvClose())
	s.Call.CancelWithStatus(status.ResourceExhausted, "xyz")
	r.verify(ok(102), ok(1))
	c.wantStatus(status.ResourceExhausted, "xyz")
	s.wantCancelled(true)
}

// releaseOnClient: a call whose handle is given up is cancelled, and its
// batches post their events.
func releaseOnClient(r *rig) {
	c := r.call()
	c.start(1, c.firstOps(6)...)
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, s.recvClose())
	c.Release()
	r.verify(ok(102), ok(1))
	ending{}.want(c)
	s.wantCancelled(true)
	if fault := c.Cancel(); fault != surface.CallErrorReleased {
		r.Errorf("Cancel after Release: %v", fault)
	}
}

// releaseOnServer: the same on the server, whose client learns of it.
func releaseOnServer(r *rig) {
	c := r.call()
	c.start(1, c.firstOps(6)...)
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, s.recvClose())
	s.Call.Release()
	r.verify(ok(102), ok(1))
	c.wantCode(status.Canceled)
	s.wantCancelled(true)
}
