package trace

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestDirString(t *testing.T) {
	for d, want := range []string{"", "send", "recv", "down", "up", "invalid"} {
		if got := Dir(d).String(); got != want {
			t.Errorf("Dir(%d) is %q, want %q", d, got, want)
		}
	}
}

// TestRecorder: one numbering and one clock over all endpoints.
func TestRecorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRecorder(LevelValues)
		client, server := r.Endpoint("client", "server"), r.Endpoint("server", "client")
		if client.Level() != LevelValues || server.Level() != LevelValues {
			t.Error("an endpoint has another level than the recorder")
		}
		start := time.Now()
		first := client.Emit(&Event{Op: "a"})
		time.Sleep(5 * time.Second)
		second := server.Emit(&Event{Op: "b", Cause: first})
		if first != 1 || second != 2 {
			t.Errorf("the events are %d and %d, want 1 and 2", first, second)
		}
		got := r.Events()
		if len(got) != 2 || got[0].ID != 1 || got[0].Endpoint != "client" || got[0].Elapsed != 0 || got[0].Lane != "application" {
			t.Fatalf("got %+v", got)
		}
		if e := got[1]; e.ID != 2 || e.Endpoint != "server" || e.Elapsed != 5*time.Second || e.Cause != 1 || !e.Time.Equal(start.Add(5*time.Second)) {
			t.Errorf("got %+v", e)
		}
		got[0].Op = "changed"
		if r.Events()[0].Op != "a" {
			t.Error("Events returns what the recorder holds")
		}
	})
}

// TestRecorderCopies: emitters use their memory again.
func TestRecorderCopies(t *testing.T) {
	r := NewRecorder(LevelBytes)
	e := Event{Fields: []Field{{"n", "v"}}, Bytes: []byte("abc")}
	r.Endpoint("client", "").Emit(&e)
	e.Fields[0].Value, e.Bytes[0], e.Op = "changed", 'x', "changed"
	got := r.Events()[0]
	if got.Fields[0].Value != "v" || string(got.Bytes) != "abc" || got.Op != "" {
		t.Errorf("the record follows the event: %+v", got)
	}
}

// TestRoles: a lane is what the goroutine said that it is for, last.
func TestRoles(t *testing.T) {
	r := NewRecorder(LevelEvents)
	s := r.Endpoint("client", "server")
	emit := func(role string) {
		if role != "" {
			Role(s, role)
		}
		s.Emit(&Event{Op: role})
	}
	emit("")
	for _, role := range []string{"reader", "flusher"} {
		var done sync.WaitGroup
		done.Go(func() { emit(role); emit("") })
		done.Wait()
	}
	emit("main")
	var got []string
	for _, e := range r.Events() {
		got = append(got, e.Op+"="+e.Lane)
	}
	want := []string{"=application", "role=reader", "reader=reader", "=reader", "role=flusher", "flusher=flusher", "=flusher", "role=main", "main=main"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	Role(nil, "nobody listens")
}

// A wireStep is a frame in TestPairing.
type wireStep struct {
	from   string
	dir    Dir
	conn   uint64
	offset int64
	cause  EventID // as emitted
	want   EventID // as recorded
}

// TestPairing: the cause of a frame that was received is its sending.
func TestPairing(t *testing.T) {
	for _, tc := range []struct {
		name  string
		steps []wireStep
	}{
		{"both directions of one connection", []wireStep{
			{"client", DirSend, 1, 24, 0, 0},
			{"server", DirRecv, 2, 24, 0, 1},
			{"server", DirSend, 2, 0, 2, 2},
			{"client", DirRecv, 1, 0, 0, 3},
			{"client", DirSend, 1, 33, 4, 4},
			{"server", DirRecv, 2, 33, 0, 5},
		}},
		{"the same offsets on two connections", []wireStep{
			{"client", DirSend, 1, 24, 0, 0},
			{"server", DirRecv, 2, 24, 0, 1},
			{"client", DirSend, 3, 24, 0, 0},
			{"client", DirSend, 1, 33, 0, 0},
			{"client", DirSend, 3, 33, 0, 0},
			{"server", DirRecv, 4, 24, 0, 3},
			{"server", DirRecv, 4, 33, 0, 5},
			{"server", DirRecv, 2, 33, 0, 4},
			{"server", DirSend, 4, 0, 0, 0},
			{"server", DirSend, 2, 0, 0, 0},
			{"client", DirRecv, 1, 0, 0, 10},
			{"client", DirRecv, 3, 0, 0, 9},
		}},
		{"a frame that nobody sent keeps its own cause", []wireStep{
			{"server", DirSend, 2, 0, 0, 0},
			{"server", DirRecv, 2, 24, 1, 1},
			{"client", DirRecv, 1, 5, 7, 7},
		}},
		{"a frame is received once", []wireStep{
			{"client", DirSend, 1, 24, 0, 0},
			{"server", DirRecv, 2, 24, 0, 1},
			{"server", DirRecv, 2, 24, 0, 0},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := NewRecorder(LevelEvents)
			sinks := map[string]Sink{"client": r.Endpoint("client", "server"), "server": r.Endpoint("server", "client")}
			for _, s := range tc.steps {
				sinks[s.from].Emit(&Event{Op: OpFrame, Dir: s.dir, Conn: s.conn, Offset: s.offset, Cause: s.cause})
			}
			for i, e := range r.Events() {
				if want := tc.steps[i].want; e.Cause != want {
					t.Errorf("event %d has the cause %d, want %d", e.ID, e.Cause, want)
				}
			}
			if n := len(r.wire.alone["client"]) + len(r.wire.peers) + len(r.wire.sent); n > 2*len(tc.steps) {
				t.Errorf("%d notes are left", n)
			}
		})
	}
}

// TestRecorderAtOnce: sinks are called from everywhere.
func TestRecorderAtOnce(t *testing.T) {
	r := NewRecorder(LevelEvents)
	const each = 200
	var all sync.WaitGroup
	for i := range 8 {
		s := r.Endpoint([]string{"client", "server"}[i%2], []string{"server", "client"}[i%2])
		all.Go(func() {
			Role(s, "worker")
			last := EventID(0)
			for n := range each {
				id := s.Emit(&Event{Op: OpFrame, Dir: Dir(1 + n%2), Conn: uint64(i), Offset: int64(n), Fields: []Field{{"n", "v"}}, Err: errors.ErrUnsupported})
				if id <= last {
					t.Errorf("event %d follows %d", id, last)
				}
				last = id
				if n%50 == 0 {
					r.Events()
				}
			}
		})
	}
	all.Wait()
	for i, e := range r.Events() {
		if e.ID != EventID(i+1) || e.Cause >= e.ID || e.Lane != "worker" {
			t.Fatalf("event %d: %+v", i, e)
		}
	}
	if got, want := len(r.Events()), 8*(each+1); got != want {
		t.Errorf("%d events, want %d", got, want)
	}
}

// emitter is how every place that can emit looks: the event is built in a
// function of its own, behind a nil check.
type emitter struct {
	sink Sink
	n    uint32
}

func (e *emitter) work(size int) {
	e.n++
	if e.sink != nil {
		e.tell(size)
	}
}

func (e *emitter) tell(size int) {
	e.sink.Emit(&Event{Layer: 1, Component: "test", Op: "work", Stream: e.n, Size: size, Fields: []Field{{"n", "v"}}})
}

// BenchmarkNoSink is the cost of tracing that is off.
func BenchmarkNoSink(b *testing.B) {
	var e emitter
	b.ReportAllocs()
	for b.Loop() {
		e.work(5)
		Role(e.sink, "worker")
	}
}

func BenchmarkRecorder(b *testing.B) {
	e := emitter{sink: NewRecorder(LevelEvents).Endpoint("client", "server")}
	b.ReportAllocs()
	for b.Loop() {
		e.work(5)
	}
}
