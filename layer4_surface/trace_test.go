package surface

import (
	"strings"
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// newTracedFixture returns a fixture both ends of which tell rec what they do.
func newTracedFixture(t testing.TB) (f *fixture, rec *trace.Recorder) {
	t.Helper()
	rec = trace.NewRecorder(trace.LevelEvents)
	client, server := rec.Endpoint("client", "server"), rec.Endpoint("server", "client")
	s := NewServer(WithTrace(server))
	scq := cq.New(cq.Next, cq.Config{Name: "requests", Observer: NewQueueObserver(server)})
	if err := s.RegisterCompletionQueue(scq); err != nil {
		t.Fatal(err)
	}
	return connectFixture(t, s, scq, WithTrace(client)), rec
}

// TestTrace: the events of layers 3 and 4 of one call, with their causes.
func TestTrace(t *testing.T) {
	f, rec := newTracedFixture(t)
	req := f.request("request")
	c, err := f.channel.CreateCall(CallParams{Method: "/a/b"})
	if err != nil {
		t.Fatal(err)
	}
	if c.ID() == 0 {
		t.Error("a traced call has no number")
	}
	c.StartBatch([]Op{{Type: SendStatusFromServer}}, "bad")
	var st clientState
	if e := c.StartBatch([]Op{opSendHeaders("secret-key", "secret-value"), opClose(), st.opStatus()}, "unary"); e != CallOK {
		t.Fatal(e)
	}
	f.expect(f.scq, "request", true)
	f.start(req.Call, "status", opStatus(status.OK, ""))
	f.expect(f.scq, "status", true)
	c.Pluck("unary", nil)
	c.Release()
	req.Call.Release()
	c2, _ := f.channel.CreateCall(CallParams{Method: "/a/b"})
	c2.Cancel()
	c2.Release()

	events := map[string]trace.Record{}
	var ops []string
	for _, r := range rec.Events() {
		if strings.Contains(r.Text, "secret-value") {
			t.Errorf("event %v shows a value", r)
		}
		if r.Cause >= r.ID {
			t.Errorf("event %d %s has the later cause %d", r.ID, r.Op, r.Cause)
		}
		key := r.Endpoint + " " + r.Op
		if _, seen := events[key]; !seen && (r.Layer == 3 || r.Layer == 4) {
			events[key] = r
			ops = append(ops, key)
		}
	}
	for _, want := range []string{
		"client channel.create", "client call.create", "client batch.reject", "client start_batch", "client begin_op",
		"server request_call", "server match", "server end_op", "server next.wait", "server next.return",
		"server start_batch", "server call.status", "client call.status", "client end_op", "client pluck.wait",
		"client pluck.return", "client call.cancel",
	} {
		if _, ok := events[want]; !ok {
			t.Errorf("no event %q among %q", want, ops)
		}
	}
	if e := events["client start_batch"]; e.Text != "send_initial_metadata send_close_from_client recv_status_on_client" || e.Cause == 0 {
		t.Errorf("start_batch = %+v", e)
	}
	if e := events["client batch.reject"]; e.Err != CallErrorNotOnClient {
		t.Errorf("batch.reject = %+v", e)
	}
}

// TestTracedCallbacks: the deadline is an event too, and queues of a
// callback kind are observed.
func TestTracedCallbacks(t *testing.T) {
	rec := trace.NewRecorder(trace.LevelEvents)
	sink := rec.Endpoint("one", "")
	q := cq.New(cq.Callback, cq.Config{Observer: NewQueueObserver(sink)})
	ran := false
	tag := functorFunc(func(bool) { ran = true })
	q.BeginOp(tag)
	q.EndOp(tag, false, nil, nil)
	q.Shutdown()
	var got []string
	for _, r := range rec.Events() {
		got = append(got, strings.TrimSpace(r.Component+" "+r.Op+" "+r.Tag+" "+r.Text))
	}
	want := "cq cq.create  CALLBACK|cq begin_op surface.functorFunc|cq end_op surface.functorFunc failure|cq callback.run surface.functorFunc failure|cq shutdown"
	if s := strings.Join(got, "|"); s != want || !ran {
		t.Errorf("events = %s\nwant     %s", s, want)
	}
	if NewQueueObserver(nil) != nil {
		t.Error("a queue without a sink is observed")
	}
	client, server := inproc.Pair(inproc.Config{})
	defer server.Close()
	ch, err := NewDirectChannel(client, WithTrace(sink))
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	c, _ := ch.CreateCall(CallParams{Method: "/a/b", Deadline: time.Now().Add(time.Hour)})
	c.Release()
	for _, r := range rec.Events() {
		if r.Op == "deadline.arm" {
			return
		}
	}
	t.Error("the timer for the deadline is no event")
}
