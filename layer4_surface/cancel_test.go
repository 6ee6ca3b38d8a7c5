package surface

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// firstOps returns the first n operations of a unary call, the last of which
// is always recv_status_on_client: gRPC core's cancel tests run with 1 to 6.
func firstOps(st *clientState, n int) []Op {
	ops := []Op{st.opStatus(), st.opHeaders(), opSendHeaders(), opSend("x"), opClose(), st.opMessage()}
	for _, op := range ops[n:] {
		op.Message.Release()
	}
	return ops[:n]
}

func TestCancelBeforeInvoke(t *testing.T) {
	for n := 1; n <= 6; n++ {
		t.Run(fmt.Sprint(n, " operations"), func(t *testing.T) {
			f := newFixture(t)
			c := f.call(CallParams{})
			var st clientState
			c.Cancel()
			f.start(c, "batch", firstOps(&st, n)...)
			f.expect(f.cq, "batch", true)
			st.wantStatus(t, status.Canceled, "the call was cancelled by the application")
			if !errors.Is(st.status.AsError(&st.trailing), context.Canceled) {
				t.Errorf("%v does not match context.Canceled", st.status.Err)
			}
			c.Release()
		})
	}
}

func TestCancelAfterInvoke(t *testing.T) {
	for n := 1; n <= 6; n++ {
		t.Run(fmt.Sprint(n, " operations"), func(t *testing.T) {
			f := newFixture(t)
			c := f.call(CallParams{})
			var st clientState
			f.start(c, "batch", firstOps(&st, n)...)
			f.quiet(f.cq)
			if e := c.CancelWithStatus(status.Unimplemented, "xyz"); e != CallOK {
				t.Errorf("CancelWithStatus = %v", e)
			}
			c.Cancel() // the first one counts
			f.expect(f.cq, "batch", true)
			st.wantStatus(t, status.Unimplemented, "xyz")
			c.Release()
		})
	}
}

func TestCancelWithStatusRefusesOK(t *testing.T) {
	f := newFixture(t)
	c := f.call(CallParams{})
	if e := c.CancelWithStatus(status.OK, ""); e != CallErrorFailed {
		t.Errorf("CancelWithStatus(OK) = %v", e)
	}
	c.Release()
	for _, got := range []CallError{c.Cancel(), c.StartBatch(nil, "x"), c.StartBatchAndExecute(nil, functorFunc(nil))} {
		if got != CallErrorReleased {
			t.Errorf("a released call answers %v", got)
		}
	}
	if c.Valid() || c.Peer() != nil || c.Method() != "" || !c.Deadline().IsZero() || c.ID() != 0 || c.String() != "Call(released)" {
		t.Error("a released call still says something")
	}
	c.Release() // does nothing
	if (Call{}).Valid() || (Call{}).Cancel() != CallErrorReleased {
		t.Error("the zero Call is of use")
	}
	Call{}.Release()
}

func TestCancelAfterAccept(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	c := f.call(CallParams{})
	var st clientState
	f.start(c, "client", opSendHeaders(), opSend("x"), opClose(), st.opHeaders(), st.opMessage(), st.opStatus())
	f.expect(f.scq, "request", true)
	var cancelled bool
	var end CallStatus
	f.start(req.Call, "close", opSendHeaders(), opSend("y"), Op{Type: RecvCloseOnServer, Cancelled: &cancelled, StatusResult: &end})
	c.Cancel()
	f.expect(f.cq, "client", true)
	f.expect(f.scq, "close", true)
	st.wantStatus(t, status.Canceled, "")
	if !cancelled || end.Code != status.Canceled || end.Err == nil {
		t.Errorf("server: cancelled = %t, end = %+v", cancelled, end)
	}
	// The call is over: nothing more can be sent, but batches still end.
	f.start(req.Call, "late", opStatus(status.OK, ""))
	f.expect(f.scq, "late", false)
	req.Call.Release()
	c.Release()
}

// TestServerCancels: the status of a server that cancels reaches the client.
func TestServerCancels(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	c := f.call(CallParams{})
	var st clientState
	f.start(c, "client", opSendHeaders(), opClose(), st.opStatus())
	f.expect(f.scq, "request", true)
	var cancelled bool
	f.start(req.Call, "close", opCancelled(&cancelled))
	req.Call.CancelWithStatus(status.ResourceExhausted, "no more")
	f.expect(f.scq, "close", true)
	f.expect(f.cq, "client", true)
	st.wantStatus(t, status.ResourceExhausted, "no more")
	if !cancelled {
		t.Error("the call does not count as cancelled")
	}
	req.Call.Release()
	c.Release()
}

// TestReleaseCancels: a call whose handle is gone ends, on both sides.
func TestReleaseCancels(t *testing.T) {
	for _, side := range []string{"client", "server"} {
		t.Run(side, func(t *testing.T) {
			f := newFixture(t)
			req := f.request("request")
			c := f.call(CallParams{})
			var st clientState
			var cancelled bool
			f.start(c, "client", opSendHeaders(), st.opStatus())
			f.expect(f.scq, "request", true)
			f.start(req.Call, "server", opCancelled(&cancelled))
			if side == "client" {
				c.Release()
			} else {
				req.Call.Release()
			}
			f.expect(f.cq, "client", true)
			f.expect(f.scq, "server", true)
			st.wantStatus(t, status.Canceled, "")
			if !cancelled {
				t.Error("the server's call does not count as cancelled")
			}
			c.Release()
			req.Call.Release()
		})
	}
}

// TestReleaseAfterStatus: a server may release a call right after its status.
func TestReleaseAfterStatus(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	c := f.call(CallParams{})
	var st clientState
	f.start(c, "client", opSendHeaders(), opClose(), st.opStatus())
	f.expect(f.scq, "request", true)
	f.start(req.Call, "status", opStatus(status.OK, "fine"))
	f.expect(f.scq, "status", true)
	req.Call.Release()
	f.expect(f.cq, "client", true)
	st.wantStatus(t, status.OK, "fine")
	c.Release()
}

// TestDeadline: a call ends at its deadline, at the exact time, and a server
// learns of it.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		req := f.request("request")
		start := time.Now()
		c := f.call(CallParams{Deadline: start.Add(3 * time.Second)})
		var st clientState
		f.start(c, "client", opSendHeaders(), st.opHeaders(), st.opStatus())
		f.expect(f.scq, "request", true)
		var cancelled bool
		f.start(req.Call, "close", opCancelled(&cancelled))
		f.expect(f.cq, "client", true)
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("the call ended after %v, want 3s", got)
		}
		f.expect(f.scq, "close", true)
		st.wantStatus(t, status.DeadlineExceeded, "")
		if err := st.status.AsError(nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v does not match context.DeadlineExceeded", err)
		}
		if !cancelled {
			t.Error("the server's call does not count as cancelled")
		}
		c.Release()
		req.Call.Release()
	})
}

// TestNegativeDeadline: a deadline in the past ends the call before anything
// was sent.
func TestNegativeDeadline(t *testing.T) {
	f := newFixture(t)
	f.request("request")
	c := f.call(CallParams{Deadline: time.Now().Add(-time.Second)})
	var st clientState
	f.start(c, "client", opSendHeaders(), opClose(), st.opHeaders(), st.opStatus())
	f.expect(f.cq, "client", true)
	st.wantStatus(t, status.DeadlineExceeded, "")
	if err := st.status.AsError(nil); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "before the call began") || strings.Contains(err.Error(), "filter") {
		t.Errorf("error = %v", err)
	}
	f.quiet(f.scq) // the server has heard nothing
	c.Release()
}

// TestInAVacuum: calls without any operation may be cancelled, expire and be
// released.
func TestInAVacuum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		a := f.call(CallParams{})
		a.Cancel()
		a.Release()
		b := f.call(CallParams{Deadline: time.Now().Add(time.Second)})
		time.Sleep(2 * time.Second)
		b.Release()
		f.call(CallParams{}).Release()
		f.quiet(f.cq)
	})
}

// TestClosure: closures run in place of events, and the slot of the batch is
// free when they do: a stream of batches started from closures stays in the
// block.
func TestClosure(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	c := f.call(CallParams{})
	var st clientState
	ended := make(chan bool, 1)
	ops := []Op{opSendHeaders(), opClose(), st.opHeaders(), st.opStatus()}
	if e := c.StartBatchAndExecute(ops, functorFunc(func(ok bool) { ended <- ok })); e != CallOK {
		t.Fatal(e)
	}
	f.expect(f.scq, "request", true)
	const messages = 50
	sent := 0
	var send functorFunc
	send = func(ok bool) {
		if free := ^req.Call.c.state.Load() & stateSlots; ok && free == stateSlots && sent < messages {
			sent++
			req.Call.StartBatchAndExecute([]Op{opSend("x")}, send)
		}
	}
	if e := req.Call.StartBatchAndExecute([]Op{opSendHeaders()}, send); e != CallOK {
		t.Fatal(e)
	}
	for range messages {
		got := make(chan struct{})
		if e := c.StartBatchAndExecute([]Op{st.opMessage()}, functorFunc(func(bool) { close(got) })); e != CallOK {
			t.Fatal(e)
		}
		<-got
		if s := text(st.message); s != "x" {
			t.Fatalf("received %q", s)
		}
	}
	req.Call.StartBatchAndExecute([]Op{opStatus(status.OK, "")}, functorFunc(func(bool) { req.Call.Release() }))
	if !<-ended || sent != messages {
		t.Errorf("the call failed, or sent %d messages", sent)
	}
	c.Release()
}

// TestMoreBatchesThanSlots: batches beyond those in the block come from the heap.
func TestMoreBatchesThanSlots(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	c := f.call(CallParams{})
	var st clientState
	f.start(c, "status", st.opStatus())
	f.start(c, "headers", st.opHeaders())
	f.start(c, "recv", st.opMessage())
	f.start(c, "send", opSend("x"))
	f.start(c, "begin", opSendHeaders())
	f.start(c, "close", opClose())
	f.expectAll(f.cq, map[cq.Tag]bool{"begin": true, "send": true, "close": true})
	f.expect(f.scq, "request", true)
	var got *transport.Buffer
	f.start(req.Call, "srecv", opRecv(&got))
	f.expect(f.scq, "srecv", true)
	if s := text(got); s != "x" {
		t.Errorf("received %q", s)
	}
	f.start(req.Call, "answer", opSendHeaders(), opStatus(status.OK, ""))
	f.expectAll(f.cq, map[cq.Tag]bool{"status": true, "headers": true, "recv": true})
	f.expect(f.scq, "answer", true)
	c.Release()
	req.Call.Release()
}

// TestPropagation: a call ends no later than the one on whose behalf it is.
func TestPropagation(t *testing.T) {
	f := newFixture(t)
	parentReq := f.request("parent")
	deadline := time.Now().Add(time.Hour)
	pc := f.call(CallParams{Deadline: deadline})
	var pst, st clientState
	f.start(pc, "pclient", opSendHeaders(), pst.opStatus())
	f.expect(f.scq, "parent", true)
	parent := parentReq.Call

	child := f.call(CallParams{Parent: parent, Propagate: PropagateDefaults})
	if d := child.Deadline().Sub(deadline).Abs(); d > time.Second {
		t.Errorf("the child's deadline is off by %v", d)
	}
	sooner := f.call(CallParams{Parent: parent, Propagate: PropagateDeadline, Deadline: deadline.Add(-time.Minute)})
	if !sooner.Deadline().Equal(deadline.Add(-time.Minute)) {
		t.Error("the child's own, sooner deadline was replaced")
	}
	sooner.Release()
	gone := f.call(CallParams{Parent: parent, Propagate: PropagateCancellation})
	gone.Release()
	if n := len(parent.c.children.children); n != 1 {
		t.Errorf("the parent has %d children, want 1", n)
	}
	f.start(child, "child", opSendHeaders(), st.opStatus())
	pc.Cancel()
	f.expectAll(f.cq, map[cq.Tag]bool{"pclient": true, "child": true})
	st.wantStatus(t, status.Canceled, "the call on whose behalf this one was made has ended")

	late := f.call(CallParams{Parent: parent, Propagate: PropagateCancellation})
	var lst clientState
	f.start(late, "late", lst.opStatus())
	f.expect(f.cq, "late", true)
	lst.wantStatus(t, status.Canceled, "")
	for _, c := range []Call{late, child, parent, pc} {
		c.Release()
	}
	orphan := f.call(CallParams{Parent: parent, Propagate: PropagateCancellation})
	f.start(orphan, "orphan", lst.opStatus())
	f.expect(f.cq, "orphan", true)
	orphan.Release()
}
