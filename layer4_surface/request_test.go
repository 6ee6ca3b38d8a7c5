package surface

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// TestRequestsThatAreMistakes: each is refused with its error, posts nothing
// and leaves the slot to its owner; where several are made the first counts.
func TestRequestsThatAreMistakes(t *testing.T) {
	s, q := newFixtureServer(t)
	allocated, _ := s.RegisterMethod("/allocated", "", PayloadNone)
	payload, _ := s.RegisterMethod("/payload", "", PayloadReadInitial)
	if err := s.SetRegisteredMethodAllocator(allocated, cq.New(cq.Callback, cq.Config{}), newAllocator(0)); err != nil {
		t.Fatal(err)
	}
	down, other := cq.New(cq.Next, cq.Config{}), cq.New(cq.Next, cq.Config{})
	if err := s.RegisterCompletionQueue(down); err != nil {
		t.Fatal(err)
	}
	down.Shutdown()
	otherServer, _ := newFixtureServer(t)
	foreign, _ := otherServer.RegisterMethod("/payload", "", PayloadNone)
	if e := s.RequestCall(new(RequestedCall), nil, q, "x"); e != CallErrorFailed {
		t.Errorf("before Start = %v", e)
	}
	s.Start()
	posted := new(RequestedCall)
	if e := s.RequestCall(posted, nil, q, "posted"); e != CallOK {
		t.Fatal(e)
	}
	for _, row := range []struct {
		name   string
		m      *RegisteredMethod // nil for RequestCall
		req    *RequestedCall
		notify *cq.Queue
		want   CallError
	}{
		{"without a slot", nil, nil, q, CallErrorFailed},
		{"a method of another server", foreign, new(RequestedCall), q, CallErrorFailed},
		{"a method with an allocator", allocated, new(RequestedCall), q, CallErrorFailed},
		{"a queue that is not registered", nil, new(RequestedCall), other, CallErrorNotServerCompletionQueue},
		{"no queue", nil, new(RequestedCall), nil, CallErrorNotServerCompletionQueue},
		{"no payload wanted where one is read", payload, new(RequestedCall), q, CallErrorPayloadTypeMismatch},
		{"a payload wanted where none is read", nil, &RequestedCall{WantPayload: true}, q, CallErrorPayloadTypeMismatch},
		{"a slot that is posted", nil, posted, q, CallErrorTooManyOperations},
		{"a slot that is posted, with a queue that has shut down", nil, posted, down, CallErrorTooManyOperations},
		{"a queue that has shut down", nil, new(RequestedCall), down, CallErrorCompletionQueueShutdown},
		{"a queue that is not registered, and the wrong payload", payload, new(RequestedCall), other, CallErrorNotServerCompletionQueue},
		{"a queue that has shut down, and the wrong payload", payload, new(RequestedCall), down, CallErrorPayloadTypeMismatch},
	} {
		t.Run(strings.ReplaceAll(row.name, " ", "_"), func(t *testing.T) {
			var e CallError
			if row.m == nil {
				e = s.RequestCall(row.req, nil, row.notify, "mistake")
			} else {
				e = s.RequestRegisteredCall(row.m, row.req, nil, row.notify, "mistake")
			}
			if e != row.want {
				t.Errorf("got %v, want %v", e, row.want)
			}
			if row.req != nil && row.req != posted && row.req.posted.Load() {
				t.Error("the slot counts as posted")
			}
		})
	}
	if e := s.RequestRegisteredCall(nil, new(RequestedCall), nil, q, "mistake"); e != CallErrorFailed {
		t.Errorf("RequestRegisteredCall without a method = %v", e)
	}
	if e := s.ShutdownAndNotify(nil, "x"); e != CallErrorFailed || s.life.Begun() {
		t.Errorf("ShutdownAndNotify without a queue = %v, and has begun: %t", e, s.life.Begun())
	}
	if e := s.ShutdownAndNotify(down, "x"); e != CallErrorCompletionQueueShutdown || s.life.Begun() {
		t.Errorf("ShutdownAndNotify with a queue that has shut down = %v, and has begun: %t", e, s.life.Begun())
	}
	s.Close()
	if ev := q.TryNext(); ev.Tag != "posted" || ev.Success {
		t.Errorf("event = %v, want the failure of the one slot", ev)
	}
	if ev := q.TryNext(); ev.Type != cq.QueueTimeout {
		t.Errorf("event = %v, want none", ev)
	}
	// The slot is its owner's again.
	if e := s.RequestCall(posted, nil, q, "again"); e != CallOK {
		t.Errorf("posting a slot again = %v", e)
	}
}

// TestSlotIsNotPostedBeforeItsEventIsTaken: until then it holds a call, or the
// news that there is none, and the queue holds its memory.
func TestSlotIsNotPostedBeforeItsEventIsTaken(t *testing.T) {
	f := newFixture(t)
	req := f.request("first")
	c := f.call(CallParams{Method: "/a/b", Queue: f.cq})
	f.start(c, "headers", opSendHeaders())
	f.expect(f.cq, "headers", true)
	again := func() CallError { return f.server.RequestCall(req, f.scq, f.scq, "again") }
	if e := again(); e != CallErrorTooManyOperations {
		t.Fatalf("posting a slot that holds a call = %v, want TOO_MANY_OPERATIONS", e)
	}
	f.expect(f.scq, "first", true)
	req.Call.Release()
	if e := again(); e != CallOK {
		t.Fatalf("posting a slot again = %v", e)
	}
	f.server.beginDrain()
	if e := again(); e != CallErrorTooManyOperations {
		t.Errorf("posting a slot that has failed = %v, want TOO_MANY_OPERATIONS", e)
	}
	f.expect(f.scq, "again", false)
	if e := again(); e != CallOK {
		t.Errorf("posting a slot after its failure = %v", e)
	}
	f.expect(f.scq, "again", false)
	c.Release()
}

// TestSetUpErrors: who makes a mistake reads what it was about.
func TestSetUpErrors(t *testing.T) {
	s, q := newFixtureServer(t)
	m, err := s.RegisterMethod("/a/b", "", PayloadNone)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.RegisterMethod("/a/b", "host", PayloadNone)
	if err != nil {
		t.Fatal("a host is part of the name: ", err)
	}
	callbacks := cq.New(cq.Callback, cq.Config{Name: "callbacks"})
	other, _ := newFixtureServer(t)
	register := func(method, host string, p PayloadHandling) error {
		_, err := s.RegisterMethod(method, host, p)
		return err
	}
	for want, err := range map[string]error{
		`registering method "": it does not begin with a slash, as /service/method does`:                          register("", "", 0),
		`registering method "/": it does not begin with a slash, as /service/method does`:                         register("/", "", 0),
		`registering method "a/b" for host "h": it does not begin with a slash, as /service/method does`:          register("a/b", "h", 0),
		`registering method "/a/b": it is registered already`:                                                     register("/a/b", "", PayloadReadInitial),
		`registering method "/a/b" for host "host": it is registered already`:                                     register("/a/b", "host", 0),
		`registering method "/a/c": there is no PayloadHandling(3)`:                                               register("/a/c", "", 3),
		`RegisterCompletionQueue without a queue`:                                                                 s.RegisterCompletionQueue(nil),
		`setting the allocator of methods that are not registered: it is nil`:                                     s.SetBatchMethodAllocator(callbacks, nil),
		`setting the allocator of method "/a/b": there is no queue`:                                               s.SetRegisteredMethodAllocator(m, nil, newAllocator(0)),
		`setting the allocator of method "/a/b": queue "server" is of type NEXT, and an allocator needs CALLBACK`: s.SetRegisteredMethodAllocator(m, q, newAllocator(0)),
		`SetRegisteredMethodAllocator without a method`:                                                           s.SetRegisteredMethodAllocator(nil, callbacks, newAllocator(0)),
		`method "/a/b" was registered with another server`:                                                        other.SetRegisteredMethodAllocator(m, callbacks, newAllocator(0)),
		`Serve without a listener`:                                                                                s.Serve(nil),
		`ServeTransport without a transport`:                                                                      s.ServeTransport(nil),
	} {
		if err == nil || err.Error() != "surface: "+want {
			t.Errorf("got  %v\nwant surface: %s", err, want)
		}
	}
	if s.started.Load() {
		t.Error("a mistake has started the server")
	}
	s.Close()
	other.Close()
}

// TestOwnQueueFirst: the calls of a connection take the slots of its queue, and
// where there are none those of the queues after it, in a circle.
func TestOwnQueueFirst(t *testing.T) {
	s, q := newFixtureServer(t)
	queues := []*cq.Queue{q, cq.New(cq.Next, cq.Config{}), cq.New(cq.Next, cq.Config{})}
	for _, q := range queues[1:] {
		if err := s.RegisterCompletionQueue(q); err != nil {
			t.Fatal(err)
		}
	}
	for conn, want := range []string{"0 0 1 1 2 2", "1 1 2 2 0 0", "2 2 0 0 1 1", "0 0 1 1 2 2"} {
		ch := connectBy(t, s, "inproc")
		slots := make([]RequestedCall, 6)
		for i := range slots {
			if e := s.RequestCall(&slots[i], nil, queues[i/2], i); e != CallOK {
				t.Fatal(e)
			}
		}
		var got []string
		for range slots {
			c, err := ch.CreateCall(CallParams{Method: "/a/b"})
			if err != nil {
				t.Fatal(err)
			}
			c.StartBatch([]Op{opSendHeaders()}, "begin")
			c.Pluck("begin", nil)
			for i, q := range queues {
				if ev := q.TryNext(); ev.Type == cq.OpComplete {
					got = append(got, fmt.Sprint(i))
					slots[ev.Tag.(int)].Call.Release()
				}
			}
			c.Release()
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("the calls of connection %d came to the queues %s, want %s", conn, got, want)
		}
		ch.Close()
	}
	s.Close()
}

// TestMultipleServerQueues is gRPC core's multiple_server_queues_test: queues of
// all types belong to one server, have calls, and hear of its end. Those that
// gRPC core makes NON_LISTENING or NON_POLLING are ordinary ones here, where no
// queue polls.
func TestMultipleServerQueues(t *testing.T) {
	s := NewServer()
	next, pluck := cq.New(cq.Next, cq.Config{}), cq.New(cq.Pluck, cq.Config{})
	callback := cq.New(cq.Callback, cq.Config{})
	idle := cq.New(cq.Next, cq.Config{}) // never used
	if err := errors.Join(s.RegisterCompletionQueue(next), s.RegisterCompletionQueue(pluck), s.RegisterCompletionQueue(callback), s.RegisterCompletionQueue(idle)); err != nil {
		t.Fatal(err)
	}
	ch := connectBy(t, s, "inproc")
	slots := make([]RequestedCall, 6)
	ran := make(chan bool, 2)
	for i, notify := range []*cq.Queue{next, pluck, callback, next, pluck, callback} {
		var tag cq.Tag = i
		if notify == callback {
			tag = functorFunc(func(ok bool) { ran <- ok })
		}
		if e := s.RequestCall(&slots[i], nil, notify, tag); e != CallOK {
			t.Fatal(e)
		}
	}
	// Of each queue one slot gets a call, and the other fails.
	calls := make([]Call, 5)
	for i := range calls {
		calls[i], _ = ch.CreateCall(CallParams{Method: "/a/b"})
		calls[i].StartBatch([]Op{opSendHeaders()}, "begin")
		calls[i].Pluck("begin", nil)
	}
	s.ShutdownAndNotify(next, "down")
	s.CancelAllCalls()
	events := []string{
		fmt.Sprint(next.Next(time.Time{})), fmt.Sprint(next.Next(time.Time{})),
		fmt.Sprint(pluck.Pluck(1, time.Time{})), fmt.Sprint(pluck.Pluck(4, time.Time{})),
		fmt.Sprint(<-ran, " ", <-ran), fmt.Sprint(next.Next(time.Time{})),
	}
	want := []string{
		fmt.Sprint(cq.Event{Type: cq.OpComplete, Success: true, Tag: 0}), fmt.Sprint(cq.Event{Type: cq.OpComplete, Success: true, Tag: 3}),
		fmt.Sprint(cq.Event{Type: cq.OpComplete, Success: true, Tag: 1}), fmt.Sprint(cq.Event{Type: cq.OpComplete, Success: true, Tag: 4}),
		"true false", fmt.Sprint(cq.Event{Type: cq.OpComplete, Success: true, Tag: "down"}),
	}
	for i := range want {
		if events[i] != want[i] {
			t.Errorf("event %d = %s, want %s", i, events[i], want[i])
		}
	}
	for i := range slots {
		slots[i].Call.Release()
	}
	for _, c := range calls {
		c.Release()
	}
	ch.Close()
	s.Close()
	for _, q := range []*cq.Queue{next, pluck, idle} {
		q.Drain()
	}
	callback.Shutdown()
}

// TestStaleCallsMakeRoom: a call that comes finds those gone that have waited
// too long, and its place among those that may wait.
func TestStaleCallsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, q := newFixtureServer(t, WithPendingLimits(PendingLimits{Soft: 2, Hard: 2, MaxWait: time.Second}))
		f := connectFixture(t, s, q)
		var states [4]clientState
		var calls [4]Call
		for i := range calls {
			calls[i] = f.call(CallParams{})
			if i == 3 {
				time.Sleep(time.Second + 1)
			}
			f.start(calls[i], i, opSendHeaders(), states[i].opStatus())
			if i == 2 {
				f.expect(f.cq, 2, true)
				states[2].wantStatus(t, status.ResourceExhausted, "too many calls wait for the server to request them")
			}
		}
		f.expectAll(f.cq, map[cq.Tag]bool{0: true, 1: true})
		for i := range 2 {
			states[i].wantStatus(t, status.ResourceExhausted, "the call waited too long for the server to request it")
		}
		req := f.request("request")
		f.expect(q, "request", true)
		f.start(req.Call, "status", opStatus(status.OK, ""))
		f.expect(q, "status", true)
		req.Call.Release()
		f.expect(f.cq, 3, true)
		states[3].wantStatus(t, status.OK, "")
		for _, c := range calls {
			c.Release()
		}
	})
}

// TestManyPollers: calls of several connections come to the slots of one or
// several queues, which several goroutines poll, each once and none is lost.
func TestManyPollers(t *testing.T) {
	for _, row := range []struct{ queues, pollers, slots int }{{1, 1, 1}, {1, 4, 8}, {3, 2, 4}} {
		for _, over := range []string{"inproc", "http2"} {
			t.Run(fmt.Sprintf("%d_queues_%d_pollers_%d_slots_%s", row.queues, row.pollers, row.slots, over), func(t *testing.T) {
				testManyPollers(t, row.queues, row.pollers, row.slots, over)
			})
		}
	}
}

func testManyPollers(t *testing.T, nQueues, pollers, slots int, over string) {
	const conns, callers, calls = 3, 4, 25
	counter := new(countingFilter)
	s := NewServer(WithLogger(quietLogger()), WithFilter(stacks.Extra{Filter: counter, After: []string{"server"}, Before: []string{"message_size"}}))
	m, err := s.RegisterMethod("/echo/Echo", "", PayloadReadInitial)
	if err != nil {
		t.Fatal(err)
	}
	queues := make([]*cq.Queue, nQueues)
	for i := range queues {
		queues[i] = cq.New(cq.Next, cq.Config{Debug: true})
		if err := s.RegisterCompletionQueue(queues[i]); err != nil {
			t.Fatal(err)
		}
	}
	s.Start()
	var polling, calling sync.WaitGroup
	var answered, failed atomic.Int32
	for _, q := range queues {
		for range slots {
			new(pollerSlot).post(t, s, m, q)
		}
		for range pollers {
			polling.Go(func() {
				for ev := q.Next(time.Time{}); ev.Type == cq.OpComplete; ev = q.Next(time.Time{}) {
					if slot := ev.Tag.(*pollerSlot); !ev.Success {
						failed.Add(1)
					} else {
						answered.Add(1)
						slot.answer(t, s, m, q)
					}
				}
			})
		}
	}
	for range conns {
		ch := connectBy(t, s, over)
		for i := range callers {
			calling.Go(func() {
				for j := range calls {
					body := fmt.Sprint(i, " ", j)
					if st, got := echo(t, ch, CallParams{}, body); st.Code != status.OK || got != body {
						t.Errorf("status = %v %q, answer %q to %q", st.Code, st.Message, got, body)
					}
				}
			})
		}
		defer ch.Close()
	}
	calling.Wait()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	for _, q := range queues {
		q.Shutdown()
	}
	polling.Wait()
	if n := answered.Load(); n != conns*callers*calls {
		t.Errorf("%d calls were published, want %d", n, conns*callers*calls)
	}
	if n := failed.Load(); int(n) != nQueues*slots {
		t.Errorf("%d slots failed at the end, want %d", n, nQueues*slots)
	}
	wantAllBack(t, counter)
}

// wantAllBack waits until every call of a stack is back in its pool: a transport
// may be about to drop the last reference.
func wantAllBack(t *testing.T, f *countingFilter) {
	t.Helper()
	begun, ended := f.counts()
	for end := time.Now().Add(testTimeout); begun != ended && time.Now().Before(end); begun, ended = f.counts() {
		runtime.Gosched()
	}
	if begun != ended {
		t.Errorf("%d calls were begun, and %d came back to their pool", begun, ended)
	}
}

// A pollerSlot is a slot, and its own tag.
type pollerSlot struct{ req RequestedCall }

func (p *pollerSlot) post(t *testing.T, s *Server, m *RegisteredMethod, q *cq.Queue) {
	p.req.WantPayload = true
	if e := s.RequestRegisteredCall(m, &p.req, nil, q, p); e != CallOK {
		t.Errorf("RequestRegisteredCall = %v", e)
	}
}

// answer posts the slot again and answers the call that came to it.
func (p *pollerSlot) answer(t *testing.T, s *Server, m *RegisteredMethod, q *cq.Queue) {
	call, payload := p.req.Call, p.req.Payload
	p.post(t, s, m, q)
	ops := []Op{{Type: SendInitialMetadata}, {Type: SendMessage, Message: payload}, opStatus(status.OK, ""), opCancelled(nil)}
	if e := call.StartBatch(ops, "answer"); e != CallOK {
		t.Errorf("StartBatch = %v", e)
	}
	call.Pluck("answer", nil)
	call.Release()
}
