package surface

import (
	"errors"
	"strings"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// TestUnaryInOneBatch is the canonical unary call: six operations in one batch
// on the client, three batches on the server.
func TestUnaryInOneBatch(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	var st clientState
	c := f.call(CallParams{Method: "/greeter/Hello", Host: "greeter.example"})
	f.start(c, "unary", opSendHeaders("k1", "v1", "k2-bin", "\x00\xff", "k1", "v2", "te", "dropped"), opSend("hello"), opClose(),
		st.opHeaders(), st.opMessage(), st.opStatus())
	f.expect(f.scq, "request", true)

	if got := req.Details; got.Method != "/greeter/Hello" || got.Host != "greeter.example" || !got.Deadline.IsZero() {
		t.Errorf("details = %+v", got)
	}
	wantPairs(t, "request metadata", req.Metadata, "k1", "v1", "k2-bin", "\x00\xff", "k1", "v2")
	if req.Payload != nil {
		t.Error("a method that is not registered has a payload")
	}
	var got *transport.Buffer
	cancelled := true
	var end CallStatus
	f.start(req.Call, "close", Op{Type: RecvCloseOnServer, Cancelled: &cancelled, StatusResult: &end})
	f.start(req.Call, "recv", opRecv(&got))
	f.expect(f.scq, "recv", true)
	if s := text(got); s != "hello" {
		t.Errorf("server received %q", s)
	}
	f.quiet(f.scq)
	f.start(req.Call, "answer", opSendHeaders("h", "1"), opSend("world"), opStatus(status.Unimplemented, "xyz", "tr", "2"))
	f.expectAll(f.scq, map[cq.Tag]bool{"answer": true, "close": true})
	f.expect(f.cq, "unary", true)

	if cancelled || end.Code != status.OK || end.Err != nil {
		t.Errorf("server: cancelled = %t, end = %+v; want an OK end", cancelled, end)
	}
	if s := text(st.message); s != "world" {
		t.Errorf("client received %q", s)
	}
	wantPairs(t, "initial metadata", &st.initial, "h", "1")
	wantPairs(t, "trailing metadata", &st.trailing, "tr", "2")
	st.wantStatus(t, status.Unimplemented, "xyz")
	if st.status.Err != nil {
		t.Errorf("Err = %v for a status of the peer", st.status.Err)
	}
	if c.Peer() == nil || req.Call.Peer() == nil {
		t.Error("a peer is not known")
	}
	req.Call.Release()
	c.Release()
}

func wantPairs(t testing.TB, what string, l *metadata.List, kv ...string) {
	t.Helper()
	var got []string
	for _, p := range l.Pairs() {
		got = append(got, p.Key, p.Value)
	}
	if strings.Join(got, "|") != strings.Join(kv, "|") {
		t.Errorf("%s = %q, want %q", what, got, kv)
	}
}

func TestTrailersOnly(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	var st clientState
	c := f.call(CallParams{})
	defer c.Release()
	f.start(c, "client", opSendHeaders(), opClose(), st.opHeaders(), st.opMessage(), st.opStatus())
	f.expect(f.scq, "request", true)
	defer req.Call.Release()
	f.start(req.Call, "status", opStatus(status.NotFound, "nothing here", "why", "because"))
	f.expect(f.scq, "status", true)
	f.expect(f.cq, "client", true)
	st.wantStatus(t, status.NotFound, "nothing here")
	wantPairs(t, "initial metadata", &st.initial)
	wantPairs(t, "trailing metadata", &st.trailing, "why", "because")
	if st.message != nil {
		t.Error("a message was received with Trailers-Only")
	}
}

// TestEmptyBatch: the event of a batch without operations comes at once,
// whatever the state of the call, and as often as one likes.
func TestEmptyBatch(t *testing.T) {
	f := newFixture(t)
	c := f.call(CallParams{})
	for i := range 10 {
		f.start(c, i)
	}
	for i := range 10 {
		f.expect(f.cq, i, true)
	}
	c.Cancel()
	f.start(c, "after cancel")
	f.expect(f.cq, "after cancel", true)
	ran := 0
	c.StartBatchAndExecute(nil, functorFunc(func(ok bool) {
		if ok {
			ran++
		}
	}))
	if ran != 1 {
		t.Error("the closure of an empty batch did not run at once")
	}
	c.Release()
}

// TestMessageWaitsForHeaders: a message that comes before anybody asked for
// the headers is given to the application after them only.
func TestMessageWaitsForHeaders(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	var st clientState
	c := f.call(CallParams{})
	f.start(c, "begin", opSendHeaders(), opClose())
	f.expect(f.cq, "begin", true)
	f.start(c, "message", st.opMessage())
	f.expect(f.scq, "request", true)
	f.start(req.Call, "answer", opSendHeaders("a", "b"), opSend("early"))
	f.quiet(f.cq)
	f.start(c, "headers", st.opHeaders())
	f.expectAll(f.cq, map[cq.Tag]bool{"headers": true, "message": true})
	if s := text(st.message); s != "early" {
		t.Errorf("received %q", s)
	}
	f.expect(f.scq, "answer", true)
	c.Release()
	req.Call.Release()
}

// TestEarlyMessageWithoutHeaders: a message does not wait for headers that
// nobody asks for beyond the end of the call.
func TestEarlyMessageWithoutHeaders(t *testing.T) {
	for name, end := range map[string]func(c Call){
		"cancel":  func(c Call) { c.Cancel() },
		"release": func(c Call) { c.Release() },
		"status": func(c Call) {
			ended := false
			c.StartBatchAndExecute([]Op{{Type: RecvStatusOnClient}}, functorFunc(func(bool) { ended = true }))
			if !ended {
				t.Error("the call did not end")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			// Below is a stack that answers at once, headers or not.
			c, err := newNullChannel(t).CreateCall(CallParams{Method: "/a/b"})
			if err != nil {
				t.Fatal(err)
			}
			var got *transport.Buffer
			completed, success := false, false
			c.StartBatchAndExecute([]Op{opSend("early"), opRecv(&got)}, functorFunc(func(ok bool) { completed, success = true, ok }))
			if completed {
				t.Fatal("the message did not wait for the headers")
			}
			end(c)
			if want := name == "status"; !completed || success != want || (got != nil) != want {
				t.Errorf("completed = %t, success = %t, message = %q", completed, success, text(got))
			}
			c.Release()
		})
	}
}

// TestPingPong exchanges messages on one call, with the batches that a
// bidirectional stream uses.
func TestPingPong(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	var st clientState
	c := f.call(CallParams{})
	f.start(c, "end", opSendHeaders(), st.opStatus())
	f.start(c, "headers", st.opHeaders())
	f.expect(f.scq, "request", true)
	var closed bool
	f.start(req.Call, "close", opCancelled(&closed))
	f.start(req.Call, "sheaders", opSendHeaders())
	f.expect(f.scq, "sheaders", true)
	f.expect(f.cq, "headers", true)
	var got *transport.Buffer
	for range 20 {
		f.start(c, "send", opSend("ping"))
		f.start(c, "recv", st.opMessage())
		f.start(req.Call, "srecv", opRecv(&got))
		f.expect(f.scq, "srecv", true)
		if s := text(got); s != "ping" {
			t.Fatalf("server received %q", s)
		}
		f.start(req.Call, "ssend", opSend("pong"))
		f.expect(f.scq, "ssend", true)
		f.expectAll(f.cq, map[cq.Tag]bool{"send": true, "recv": true})
		if s := text(st.message); s != "pong" {
			t.Fatalf("client received %q", s)
		}
	}
	f.start(c, "half-close", opClose())
	f.expect(f.cq, "half-close", true)
	f.start(req.Call, "srecv", opRecv(&got))
	f.expect(f.scq, "srecv", true)
	if got != nil {
		t.Errorf("server received %q after the half-close", text(got))
	}
	f.start(req.Call, "status", opStatus(status.OK, ""))
	f.expectAll(f.scq, map[cq.Tag]bool{"status": true, "close": true})
	f.expect(f.cq, "end", true)
	st.wantStatus(t, status.OK, "")
	// A receive after the end says that there is nothing more.
	f.start(c, "recv", st.opMessage())
	f.expect(f.cq, "recv", true)
	if st.message != nil || closed {
		t.Errorf("message after the end = %v, cancelled = %t", st.message, closed)
	}
	c.Release()
	req.Call.Release()
}

// TestSendAfterServerEnded: a message to a call that the server has ended is
// lost, but the server's status is not.
func TestSendAfterServerEnded(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	var st clientState
	c := f.call(CallParams{})
	f.start(c, "begin", opSendHeaders())
	f.expect(f.cq, "begin", true)
	f.expect(f.scq, "request", true)
	var cancelled bool
	f.start(req.Call, "status", opStatus(status.PermissionDenied, "no"), opCancelled(&cancelled))
	f.start(c, "send", opSend("too late"))
	f.expect(f.cq, "send", false)
	f.start(c, "end", st.opHeaders(), st.opStatus())
	f.expect(f.cq, "end", true)
	st.wantStatus(t, status.PermissionDenied, "no")
	c.Release()
	f.expect(f.scq, "status", true)
	req.Call.Release()
}

// TestOwnQueue: a call without a queue has one of its own, on which the
// goroutine that started a batch waits for it.
func TestOwnQueue(t *testing.T) {
	f := newFixture(t)
	for range 3 { // the block and its queue are used again
		req := new(RequestedCall)
		f.server.RequestCall(req, nil, f.scq, "request")
		c, err := f.channel.CreateCall(CallParams{Method: "/a/b"})
		if err != nil {
			t.Fatal(err)
		}
		var st clientState
		if e := c.StartBatch([]Op{opSendHeaders(), opClose(), st.opHeaders(), st.opStatus()}, "batch"); e != CallOK {
			t.Fatal(e)
		}
		f.expect(f.scq, "request", true)
		done := make(chan struct{})
		close(done)
		if ev := c.Pluck("batch", done); ev.Type != cq.QueueTimeout {
			t.Errorf("Pluck with a closed channel = %v", ev)
		}
		if e := req.Call.StartBatch([]Op{opStatus(status.OK, "")}, "status"); e != CallOK {
			t.Fatal(e)
		}
		if ev := req.Call.Pluck("status", nil); !ev.Success {
			t.Errorf("Pluck on the server = %v", ev)
		}
		if ev := c.Pluck("batch", nil); !ev.Success {
			t.Errorf("Pluck on the client = %v", ev)
		}
		st.wantStatus(t, status.OK, "")
		c.Release()
		if ev := c.Pluck("batch", nil); ev.Type != cq.QueueShutdown {
			t.Errorf("Pluck after Release = %v", ev)
		}
		req.Call.Release()
	}
}

// TestStatusDetails: the details of a status travel in the trailers and come
// back in the error.
func TestStatusDetails(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	var st clientState
	c := f.call(CallParams{})
	f.start(c, "client", opSendHeaders(), opClose(), st.opStatus())
	f.expect(f.scq, "request", true)
	sent, err := status.New(status.Aborted, "try again").WithDetails(status.New(status.Internal, "inner").Proto())
	if err != nil {
		t.Fatal(err)
	}
	f.start(req.Call, "status", Op{Type: SendStatusFromServer, Status: sent})
	f.expect(f.cq, "client", true)
	err = st.status.AsError(&st.trailing)
	got := status.Convert(err)
	if got.Code() != status.Aborted || got.Message() != "try again" || len(got.Details()) != 1 {
		t.Errorf("AsError = %v with details %v", err, got.Details())
	}
	if !errors.Is(err, sent.Err()) {
		t.Errorf("AsError = %v does not match %v", err, sent.Err())
	}
	f.expect(f.scq, "status", true)
	c.Release()
	req.Call.Release()
}

// TestDeadlineTravels: the server learns until when the client waits.
func TestDeadlineTravels(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	deadline := time.Now().Add(time.Hour)
	c := f.call(CallParams{Deadline: deadline})
	f.start(c, "begin", opSendHeaders())
	f.expect(f.scq, "request", true)
	if d := req.Call.Deadline().Sub(deadline); d < -time.Second || d > time.Second {
		t.Errorf("the server's deadline is off by %v", d)
	}
	if c.Method() != req.Call.Method() || !strings.Contains(req.Call.String(), c.Method()) {
		t.Errorf("methods are %q and %q", c.Method(), req.Call.Method())
	}
	c.Release()
	req.Call.Release()
}
