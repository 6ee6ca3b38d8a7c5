package cqtest

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// waitingCases hold for Next and Pluck alike.
var waitingCases = []kitCase{
	{name: "TestWaitEmpty: an empty queue times out", kinds: waiting, test: testWaitEmpty},
	{name: "TestCqEndOp: an event has the tag and the success of its EndOp", kinds: waiting, test: testEndOp},
	{name: "TestShutdownThenNextPolling: after shutdown a poll returns QueueShutdown for ever", kinds: waiting, test: testShutdownPolling},
	{name: "TestShutdownThenNextWithTimeout: after shutdown nobody waits", kinds: waiting, test: testShutdownNoWait},
	{name: "a deadline in the past still returns what is there", kinds: waiting, test: testPastDeadline},
	{name: "a wait ends at its deadline exactly", kinds: waiting, test: testDeadline},
	{name: "a wait ends when done is closed", kinds: waiting, test: testDone},
	{name: "a waiter gets the event that ends later", kinds: waiting, test: testWaiterGetsEvent},
	{name: "events begun before Shutdown are delivered before QueueShutdown", kinds: waiting, test: testEventsBeforeShutdown},
	{name: "a waiter that had an event is told of the shutdown next", kinds: waiting, test: testEventThenShutdown},
	{name: "shutdown wakes every waiter", kinds: waiting, test: testShutdownWakesAll},
	{name: "an event that meets a deadline is delivered or kept, never lost", kinds: waiting, test: testEventMeetsDeadline},
	{name: "the finalizer runs when the event is dequeued, and may use everything again", kinds: waiting, test: testFinalizer},
}

// settle waits until all other goroutines of the bubble are blocked.
func settle() { synctest.Wait() }

func testWaitEmpty(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	expect(t, "a wait until now", get(q, new(op), time.Now()), timeout)
	expect(t, "a wait until the past", get(q, new(op), past), timeout)
}

func testEndOp(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	var o op
	for _, success := range []bool{true, false} {
		o.begin(t, q).end(q, success)
		expect(t, "the wait", get(q, &o, inf), complete(&o, success))
	}
	// Without a finalizer.
	o.begin(t, q)
	q.EndOp(&o, true, nil, &o.completion)
	expect(t, "the wait", get(q, &o, inf), complete(&o, true))
	if o.delivered != 2 {
		t.Errorf("the finalizer ran %d times, want 2", o.delivered)
	}
}

func testShutdownPolling(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	q.Shutdown()
	for range 3 {
		expect(t, "a poll", get(q, new(op), past), shutdown)
	}
}

func testShutdownNoWait(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	q.Shutdown()
	for range 3 {
		expect(t, "a wait for ever", get(q, new(op), inf), shutdown)
		expect(t, "a wait on done", getDone(q, new(op), nil), shutdown)
	}
}

func testPastDeadline(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	closed := make(chan struct{})
	close(closed)
	var o op
	o.begin(t, q).end(q, true)
	expect(t, "a wait until the past", get(q, &o, past), complete(&o, true))
	o.begin(t, q).end(q, true)
	expect(t, "a wait on a closed channel", getDone(q, &o, closed), complete(&o, true))
	// After shutdown too: first what is there, then QueueShutdown, not a timeout.
	o.begin(t, q)
	q.Shutdown()
	expect(t, "a poll with an operation outstanding", get(q, &o, past), timeout)
	o.end(q, true)
	expect(t, "a poll", get(q, &o, past), complete(&o, true))
	expect(t, "a poll of the drained queue", get(q, &o, past), shutdown)
}

func testDeadline(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	for range 3 { // the second time with a waiter that was used before
		start := time.Now()
		expect(t, "a wait of 3 s", get(q, new(op), start.Add(3*time.Second)), timeout)
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("the wait took %v, want 3s", got)
		}
	}
}

func testDone(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	done := make(chan struct{})
	time.AfterFunc(time.Second, func() { close(done) })
	start := time.Now()
	expect(t, "a wait on done", getDone(q, new(op), done), timeout)
	if got := time.Since(start); got != time.Second {
		t.Errorf("the wait took %v, want 1s", got)
	}
	expect(t, "a wait on closed done", getDone(q, new(op), done), timeout)
}

func testWaiterGetsEvent(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	never := make(chan struct{})
	for name, wait := range map[string]func(o *op) cq.Event{
		"a wait for ever":      func(o *op) cq.Event { return get(q, o, inf) },
		"a wait until a time":  func(o *op) cq.Event { return get(q, o, time.Now().Add(time.Hour)) },
		"a wait on done":       func(o *op) cq.Event { return getDone(q, o, never) },
		"a wait on a nil done": func(o *op) cq.Event { return getDone(q, o, nil) },
	} {
		o := new(op).begin(t, q)
		start := time.Now()
		time.AfterFunc(time.Second, func() { o.end(q, true) })
		expect(t, name, wait(o), complete(o, true))
		if got := time.Since(start); got != time.Second {
			t.Errorf("%s took %v, want 1s", name, got)
		}
	}
}

func testEventsBeforeShutdown(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	queued, parked := new(op).begin(t, q), new(op).begin(t, q)
	queued.end(q, true)
	q.Shutdown()
	expect(t, "the wait for what is there", get(q, queued, inf), complete(queued, true))
	var wg sync.WaitGroup
	wg.Go(func() {
		expect(t, "the wait for what is outstanding", get(q, parked, inf), complete(parked, false))
		expect(t, "the wait after that", get(q, parked, inf), shutdown)
	})
	settle()
	parked.end(q, false)
	wg.Wait()
}

func testEventThenShutdown(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	o := new(op).begin(t, q)
	var wg sync.WaitGroup
	wg.Go(func() {
		expect(t, "the first wait", get(q, o, inf), complete(o, true))
		expect(t, "the second wait", get(q, o, inf), shutdown)
	})
	settle()
	o.end(q, true)
	settle()
	q.Shutdown()
	wg.Wait()
	if o.delivered != 1 {
		t.Errorf("delivered %d times, want 1", o.delivered)
	}
}

func testShutdownWakesAll(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	last := new(op).begin(t, q)
	got := make(chan cq.Event, cq.MaxPluckers)
	for range cq.MaxPluckers - 1 {
		go func() { got <- get(q, new(op), inf) }()
	}
	settle() // they are parked first, so that last goes to the newest of them or to nobody
	go func() { got <- get(q, last, inf) }()
	settle()
	q.Shutdown()
	settle()
	if len(got) != 0 {
		t.Fatal("a waiter returned with an operation outstanding")
	}
	last.end(q, true)
	var types []cq.EventType
	for range cap(got) {
		types = append(types, (<-got).Type)
	}
	slices.Sort(types)
	want := []cq.EventType{cq.QueueShutdown, cq.QueueShutdown, cq.QueueShutdown, cq.QueueShutdown, cq.QueueShutdown, cq.OpComplete}
	if !slices.Equal(types, want) {
		t.Errorf("waiters returned %v, want %v", types, want)
	}
	// The same when Shutdown itself is the end.
	q = newQueue(kind, cq.Config{})
	for range cap(got) {
		go func() { got <- get(q, new(op), inf) }()
	}
	settle()
	q.Shutdown()
	for range cap(got) {
		expect(t, "a wait that Shutdown ended", <-got, shutdown)
	}
}

// testEventMeetsDeadline lets the EndOp and the deadline fall on one instant of
// the bubble's clock, so that either may come first.
func testEventMeetsDeadline(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	for i := range 200 {
		o := new(op).begin(t, q)
		at, done := time.Now().Add(time.Second), make(chan struct{})
		fire := func() { o.end(q, true) }
		if i%2 == 0 {
			fire = func() { close(done); o.end(q, true) }
		}
		time.AfterFunc(time.Second, fire)
		var ev cq.Event
		if i%2 == 0 {
			ev = getDone(q, o, done)
		} else {
			ev = get(q, o, at)
		}
		if ev == timeout {
			settle()
			ev = get(q, o, past)
		}
		expect(t, "the wait, or the poll after it timed out", ev, complete(o, true))
	}
}

func testFinalizer(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	var o op
	again := true
	o.then = func() {
		if again { // the storage is free and no lock is held
			again = false
			o.begin(t, q).end(q, false)
		}
	}
	o.begin(t, q).end(q, true)
	if o.delivered != 0 {
		t.Error("the finalizer ran before the event was dequeued")
	}
	expect(t, "the first wait", get(q, &o, inf), complete(&o, true))
	if o.delivered != 1 {
		t.Errorf("the finalizer ran %d times when the wait returned, want 1", o.delivered)
	}
	expect(t, "the second wait", get(q, &o, inf), complete(&o, false))
	expect(t, "the third wait", get(q, &o, past), timeout)
}
