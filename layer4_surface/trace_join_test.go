package surface

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A story is the events of a recording, to be asked for what led to what.
type story struct {
	t       *testing.T
	records []trace.Record
}

// find returns the n-th event of that name at an endpoint, counted from 0. Its
// component may stand before the name, or its tag after it.
func (s *story) find(endpoint, op string, n int) trace.Record {
	s.t.Helper()
	for _, r := range s.records {
		if r.Endpoint == endpoint && (r.Op == op || r.Component+" "+r.Op == op || r.Op+" "+r.Tag == op) {
			if n == 0 {
				return r
			}
			n--
		}
	}
	s.t.Fatalf("no event %q at the %s", op, endpoint)
	return trace.Record{}
}

// led checks that each event is the cause of the next and that all are about
// the same call and batch.
func (s *story) led(events ...trace.Record) {
	s.t.Helper()
	for i, e := range events[1:] {
		if before := events[i]; e.Cause != before.ID {
			s.t.Errorf("%s %d has the cause %d, want %s %d", e.Op, e.ID, e.Cause, before.Op, before.ID)
		}
		if e.Call != events[1].Call || e.Batch != events[1].Batch {
			s.t.Errorf("%s is of call %d, batch %d, want %d and %d", e.Op, e.Call, e.Batch, events[1].Call, events[1].Batch)
		}
	}
}

// TestEventsOfQueuesAreJoined: events of layer 3 say which batch of which call
// they are about, and what led to them.
func TestEventsOfQueuesAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, rec := newTracedFixture(t)
		req := f.request("request")
		c, err := f.channel.CreateCall(CallParams{Method: "/a/b"})
		if err != nil {
			t.Fatal(err)
		}
		var st clientState
		f.start(c, "headers", st.opHeaders())
		f.start(c, "unary", opSendHeaders(), opClose(), st.opStatus())
		f.expect(f.scq, "request", true)
		var cancelled bool
		f.start(req.Call, "close", opCancelled(&cancelled))
		f.start(req.Call, "answer", opStatus(status.OK, ""))
		f.expectAll(f.scq, map[cq.Tag]bool{"answer": true, "close": true})
		c.Pluck("unary", nil)
		c.Pluck("headers", nil)
		c.Release()
		req.Call.Release()
		// Two operations of one tag, and a deadline that comes.
		c, _ = f.channel.CreateCall(CallParams{Method: "/a/b", Deadline: time.Now().Add(time.Second)})
		f.start(c, "twice")
		f.start(c, "twice", st.opStatus()) // the server is not asked, so that its timer is not first
		c.Pluck("twice", nil)
		c.Pluck("twice", nil)
		c.Release()
		f.request("never")
		f.server.Close()
		f.expect(f.scq, "never", false)
		f.scq.Shutdown()
		f.scq.Next(time.Time{})

		e := &story{t, rec.Events()}
		e.led(e.find("client", "start_batch", 1), e.find("client", "begin_op", 1))
		e.led(e.find("client", "call.status", 0), e.find("client", "end_op", 1), e.find("client", "pluck.return", 0))
		e.led(e.find("client", "start_batch", 0), e.find("client", "begin_op", 0))
		e.led(e.find("client", "end_op", 0), e.find("client", "pluck.return", 1))
		if first, second := e.find("client", "begin_op", 0), e.find("client", "begin_op", 1); first.Call == 0 || first.Call != second.Call || first.Batch != 1 || second.Batch != 2 {
			t.Errorf("begin_op of call %d, batch %d, then of %d and %d", first.Call, first.Batch, second.Call, second.Batch)
		}
		if w := e.find("client", "pluck.wait", 0); w.Batch != 2 || w.Call == 0 {
			t.Errorf("pluck.wait is of call %d, batch %d", w.Call, w.Batch)
		}
		e.led(e.find("server", "request_call", 0), e.find("server", "begin_op", 0))
		e.led(e.find("server", "match", 0), e.find("server", "end_op request", 0), e.find("server", "next.return request", 0))
		e.led(e.find("server", "call.status", 0), e.find("server", "end_op close", 0))
		e.led(e.find("server", "cq.create", 0), e.find("server", "next.wait", 0))
		e.led(e.find("client", "call.create", 1), e.find("client", "deadline.arm", 0), e.find("client", "deadline.fire", 0))
		e.led(e.find("client", "start_batch", 2), e.find("client", "begin_op", 2), e.find("client", "end_op", 2))
		e.led(e.find("client", "call.status", 1), e.find("client", "end_op", 3), e.find("client", "pluck.return", 3))
		e.led(e.find("server", "server shutdown", 0), e.find("server", "end_op never", 0))
		e.led(e.find("server", "cq:requests shutdown", 0), e.find("server", "next.return", 4))
	})
}

// TestRefusedByAQueue: a queue that has shut down takes no batch and no request,
// which the events say.
func TestRefusedByAQueue(t *testing.T) {
	rec := trace.NewRecorder(trace.LevelEvents)
	sink := rec.Endpoint("one", "")
	s := NewServer(WithTrace(sink))
	scq := cq.New(cq.Next, cq.Config{Name: "requests", Observer: NewQueueObserver(sink)})
	if err := s.RegisterCompletionQueue(scq); err != nil {
		t.Fatal(err)
	}
	f := connectFixture(t, s, scq, WithTrace(sink))
	scq.Shutdown()
	if got := s.RequestCall(new(RequestedCall), scq, scq, "late"); got != CallErrorCompletionQueueShutdown {
		t.Errorf("RequestCall = %v", got)
	}
	c := f.call(CallParams{Queue: scq})
	if got := c.StartBatch([]Op{opSendHeaders()}, "late"); got != CallErrorCompletionQueueShutdown {
		t.Errorf("StartBatch = %v", got)
	}
	c.Release()
	e := &story{t, rec.Events()}
	e.led(e.find("one", "start_batch", 0), e.find("one", "batch.reject", 0))
	if r := e.find("one", "request_call", 1); r.Err != CallErrorCompletionQueueShutdown {
		t.Errorf("request_call = %+v", r)
	}
	for _, r := range e.records {
		if r.Op == "begin_op" {
			t.Errorf("a queue that has shut down began %s", r.Tag)
		}
	}
}

// TestCancelledChildrenNameTheirParent: the end of a call leads to that of the
// calls that were made on its behalf.
func TestCancelledChildrenNameTheirParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := trace.NewRecorder(trace.LevelEvents)
		s, q := newFixtureServer(t, WithTrace(rec.Endpoint("server", "client")))
		f := connectFixture(t, s, q, WithTrace(rec.Endpoint("client", "server")))
		req := f.request("request")
		c := f.call(CallParams{})
		f.start(c, "headers", opSendHeaders())
		f.expect(f.scq, "request", true)
		child := f.call(CallParams{Parent: req.Call, Propagate: PropagateDefaults})
		f.start(child, "child", opSendHeaders())
		c.Cancel()
		synctest.Wait()
		e := &story{t, rec.Events()}
		ended, cancelled := e.find("server", "call.status", 0), e.find("client", "call.cancel", 1)
		if cancelled.Cause != ended.ID || cancelled.Call != child.ID() {
			t.Errorf("the cancellation of call %d has the cause %d, want that of call %d and %d", cancelled.Call, cancelled.Cause, child.ID(), ended.ID)
		}
		for _, c := range []Call{c, child, req.Call} {
			c.Release()
		}
	})
}

// TestRequestWhileATracedCallEnds: a slot that is posted at the moment when the
// call that waits for it ends has either that call, whose event names what its
// headers led to, or none.
func TestRequestWhileATracedCallEnds(t *testing.T) {
	f, rec := newTracedFixture(t)
	matched := 0
	for range 50 {
		c := f.call(CallParams{Method: "/a/b"})
		var st clientState
		f.start(c, "call", opSendHeaders(), st.opStatus())
		var cancelled sync.WaitGroup
		cancelled.Go(func() { c.Cancel() })
		req := f.request("slot")
		cancelled.Wait()
		f.expect(f.cq, "call", true)
		c.Release()
		if ev := f.scq.TryNext(); ev.Type != cq.OpComplete { // the call was gone: the next one has the slot
			c := f.call(CallParams{Method: "/a/b"})
			f.start(c, "next", opSendHeaders())
			f.expectAll(f.cq, map[cq.Tag]bool{"next": true})
			f.expect(f.scq, "slot", true)
			c.Release()
		}
		matched++
		req.Call.Release()
	}
	for _, r := range rec.Events() {
		if r.Op == "match" {
			matched--
			if r.Cause == 0 {
				t.Errorf("event %d, a match, has no cause", r.ID)
			}
		}
	}
	if matched != 0 {
		t.Errorf("%d calls were matched without an event", matched)
	}
}

// TestTracedCallEndsWhileItsEndIsAskedFor: the stream may end while the batch that
// waits for that, and sends the status too, is on its way down.
func TestTracedCallEndsWhileItsEndIsAskedFor(t *testing.T) {
	f, _ := newTracedFixture(t)
	for range 200 {
		req := f.request("slot")
		c := f.call(CallParams{Method: "/a/b"})
		var st clientState
		f.start(c, "call", opSendHeaders(), st.opStatus())
		f.expect(f.scq, "slot", true)
		var cancelled sync.WaitGroup
		cancelled.Go(func() { c.Cancel() })
		var gone bool
		f.start(req.Call, "end", opCancelled(&gone), opStatus(status.OK, ""))
		cancelled.Wait()
		f.expect(f.cq, "call", true)
		f.expect(f.scq, "end", true)
		c.Release()
		req.Call.Release()
	}
}
