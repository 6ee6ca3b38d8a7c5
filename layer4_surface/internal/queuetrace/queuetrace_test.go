package queuetrace

import (
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/trace"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// An oddSink cannot be compared, and neither can an oddTag.
type oddSink struct {
	trace.Sink
	_ []int
}
type oddTag []int

// newQueue returns a Next queue whose observer emits to the recording.
func newQueue(name string) (*cq.Queue, *trace.Recorder, trace.Sink) {
	rec := trace.NewRecorder(trace.LevelEvents)
	sink := rec.Endpoint("one", "")
	return cq.New(cq.Next, cq.Config{Name: name, Observer: New(sink)}), rec, sink
}

// TestOneTagOfTwoCalls: the events of operations that have the same tag are
// told apart by their calls.
func TestOneTagOfTwoCalls(t *testing.T) {
	q, rec, sink := newQueue("")
	first, second := Link{Call: 1, Batch: 1}, Link{Call: 2, Batch: 7}
	for _, l := range []Link{first, second} {
		Begin(q, sink, "tag", l)
		q.BeginOp("tag")
	}
	var c [2]cq.Completion
	for i, l := range []Link{second, first} {
		End(q, sink, "tag", l)
		q.EndOp("tag", true, nil, &c[i])
		q.Next(time.Time{})
	}
	var calls []uint64
	for _, r := range rec.Events() {
		if r.Op != "cq.create" && r.Op != "next.wait" {
			calls = append(calls, r.Call)
		}
	}
	want := []uint64{1, 2, 2, 2, 1, 1} // begin, begin, end, return, end, return
	for i := range want {
		if calls[i] != want[i] {
			t.Fatalf("calls of the events = %v, want %v", calls, want)
		}
	}
	if n := len(q.Observer().(*observer).ops); n != 0 {
		t.Errorf("%d tags are remembered after their operations", n)
	}
}

// TestUnknown: what cannot be joined is told all the same.
func TestUnknown(t *testing.T) {
	q, rec, sink := newQueue("a")
	Begin(q, oddSink{}, "tag", Link{Call: 1}) // not the sink of the queue
	Begin(q, sink, oddTag{1}, Link{Call: 1})  // not a key
	Drop(q, sink, "never begun")
	End(q, sink, "never begun", Link{Call: 1})
	for _, tag := range []cq.Tag{"tag", oddTag{1}} {
		q.BeginOp(tag)
		q.EndOp(tag, false, nil, new(cq.Completion))
		q.Next(time.Time{})
	}
	Begin(q, sink, "dropped", Link{Call: 1})
	Drop(q, sink, "dropped")
	q.TryNext()
	n := 0
	for _, r := range rec.Events() {
		if r.Call != 0 || r.Component != "cq:a" || r.Layer != 3 {
			t.Errorf("event %+v", r)
		}
		if r.Op != "cq.create" && r.Cause == 0 {
			t.Errorf("%s of %s has no cause", r.Op, r.Tag)
		}
		n++
	}
	if n != 1+2*4+2 {
		t.Errorf("%d events", n)
	}
	if New(nil) != nil {
		t.Error("a queue without a sink is observed")
	}
}

// TestQueuesComeAndGo: an observer of many queues remembers none of them, and
// tells them apart as long as they are there.
func TestQueuesComeAndGo(t *testing.T) {
	rec := trace.NewRecorder(trace.LevelEvents)
	sink := rec.Endpoint("one", "")
	shared := New(sink)
	for range 100 {
		var queues [2]*cq.Queue
		for i := range queues {
			q := cq.New(cq.Next, cq.Config{Name: "alike", Observer: shared})
			queues[i] = q
			Begin(q, sink, "tag", Link{Call: uint64(i + 1)})
			q.BeginOp("tag")
		}
		for _, q := range queues {
			q.EndOp("tag", true, nil, new(cq.Completion))
			q.Drain()
		}
	}
	o := shared.(*observer)
	if len(o.ops) != 0 || len(o.lives) != 1 {
		t.Errorf("of 200 queues that are gone %d tags are remembered and %d lives, want those of their name", len(o.ops), len(o.lives))
	}
	returned := map[uint64]int{}
	for _, r := range rec.Events() {
		if r.Op == "next.return" && r.Text == "success" {
			returned[r.Call]++
		}
	}
	if returned[1] != 100 || returned[2] != 100 {
		t.Errorf("events returned by call: %v, want 100 of each", returned)
	}
}
