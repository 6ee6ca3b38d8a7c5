package cqtest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

var pluckCases = []kitCase{
	{name: "TestPluck: events are plucked in any order", kinds: pluck, test: testPluck},
	{name: "TestPluckAfterShutdown: QueueShutdown", kinds: pluck, test: testPluckAfterShutdown},
	{name: "TestTooManyPlucks: one waiter more than the limit times out at once", kinds: pluck, test: testTooManyPlucks},
	{name: "an event goes to the waiter for its tag and leaves the others parked", kinds: pluck, test: testPluckWakesItsOwn},
	{name: "of two events of one tag the older comes first", kinds: pluck, test: testPluckOldest},
	{name: "storage taken from amid others may be used again", kinds: pluck, test: testPluckStorage},
	{name: "of two waiters for one tag one gets the event", kinds: pluck, test: testPluckSameTag},
	{name: "tags are compared with ==", kinds: pluck, test: testPluckTags},
	{name: "a queue that has shut down does not wait for tags that cannot come", kinds: pluck, test: testPluckNeverBegun},
	{name: "Drain leaves an event to the waiter for its tag", kinds: pluck, test: testDrainAndPluck},
	{name: "many callers pluck their own events", kinds: pluck, real: true, test: testPluckThreading},
}

func testPluck(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	const n = 128
	for name, at := range map[string]func(i int) int{
		"in order":      func(i int) int { return i },
		"in reverse":    func(i int) int { return n - 1 - i },
		"inside out":    func(i int) int { return (n/2 + i) % n },
		"every seventh": func(i int) int { return i * 7 % n },
	} {
		o := ops(n)
		for _, o := range o {
			o.begin(t, q)
		}
		for i, o := range o {
			o.end(q, i%2 == 0)
		}
		for i := range n {
			k := at(i)
			expect(t, fmt.Sprintf("Pluck of tag %d, %s", k, name), q.Pluck(o[k], inf), complete(o[k], k%2 == 0))
		}
		for i := range n {
			expect(t, "Pluck of a tag that was plucked", q.Pluck(o[i], past), timeout)
		}
	}
}

func testPluckAfterShutdown(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	q.Shutdown()
	expect(t, "Pluck of nil", q.Pluck(nil, inf), shutdown)
	expect(t, "Pluck of nil", q.Pluck(nil, past), shutdown)
}

func testTooManyPlucks(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	o := ops(cq.MaxPluckers)
	var wg sync.WaitGroup
	for _, o := range o {
		o.begin(t, q)
		wg.Go(func() { expect(t, "a Pluck within the limit", q.Pluck(o, inf), complete(o, true)) })
	}
	settle()
	start := time.Now()
	extra := new(op).begin(t, q)
	expect(t, "Pluck over the limit", q.Pluck(extra, inf), timeout)
	extra.end(q, true)
	expect(t, "Pluck over the limit of what is there", q.Pluck(extra, inf), complete(extra, true))
	if got := time.Since(start); got != 0 {
		t.Errorf("the calls over the limit took %v, want 0", got)
	}
	for _, o := range o {
		o.end(q, true)
	}
	wg.Wait()
	extra.begin(t, q)
	go func() { extra.end(q, true) }()
	expect(t, "Pluck with room again", q.Pluck(extra, inf), complete(extra, true))
}

func testPluckWakesItsOwn(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	o := ops(cq.MaxPluckers)
	got := make(chan cq.Event, len(o))
	for _, o := range o {
		o.begin(t, q)
		go func() { got <- q.PluckDone(o, nil) }()
		settle()
	}
	for _, i := range []int{3, 0, 5, 1, 4, 2} { // the middle and both ends of the parked list
		o[i].end(q, true)
		settle()
		if len(got) != 1 {
			t.Fatalf("EndOp of tag %d woke %d waiters, want 1", i, len(got))
		}
		expect(t, "the waiter", <-got, complete(o[i], true))
	}
}

func testPluckOldest(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	var c [2]cq.Completion
	for i := range c {
		q.BeginOp("tag")
		q.EndOp("tag", i == 0, nil, &c[i])
	}
	expect(t, "the first Pluck", q.Pluck("tag", inf), cq.Event{Type: cq.OpComplete, Success: true, Tag: "tag"})
	expect(t, "the second Pluck", q.Pluck("tag", inf), cq.Event{Type: cq.OpComplete, Success: false, Tag: "tag"})
}

func testPluckStorage(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	o := ops(4)
	for _, o := range o {
		o.begin(t, q).end(q, true)
	}
	for _, i := range []int{0, 2, 3, 1, 1, 0} { // head, middle, tail
		expect(t, "Pluck", q.Pluck(o[i], inf), complete(o[i], true))
		expect(t, "Pluck of the same again", q.Pluck(o[i], past), timeout)
		o[i].begin(t, q).end(q, true)
	}
	for _, o := range o {
		expect(t, "Pluck at the end", q.Pluck(o, inf), complete(o, true))
		expect(t, "Pluck after that", q.Pluck(o, past), timeout)
	}
}

func testPluckSameTag(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	o := new(op).begin(t, q)
	got := make(chan cq.Event, 2)
	for range 2 {
		go func() { got <- q.Pluck(o, time.Now().Add(time.Second)) }()
	}
	settle()
	o.end(q, true)
	expect(t, "one Pluck", <-got, complete(o, true))
	expect(t, "the other Pluck", <-got, timeout)
}

func testPluckTags(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	for _, tag := range []cq.Tag{nil, 1, "1", 1.0, struct{ a, b int }{1, 2}, struct{}{}, new(op)} {
		var c cq.Completion
		q.BeginOp(tag)
		q.EndOp(tag, true, nil, &c)
		expect(t, "Pluck of a like tag of another type", q.Pluck(int8(1), past), timeout)
		expect(t, fmt.Sprintf("Pluck of %T", tag), q.Pluck(tag, past), cq.Event{Type: cq.OpComplete, Success: true, Tag: tag})
	}
}

func testPluckNeverBegun(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	o := new(op).begin(t, q)
	var wg sync.WaitGroup
	wg.Go(func() { expect(t, "Pluck of a tag never begun", q.Pluck(new(op), inf), shutdown) })
	settle()
	q.Shutdown()
	o.end(q, true)
	wg.Wait()
	expect(t, "Pluck after that", q.Pluck(new(op), inf), shutdown)
	expect(t, "Pluck of what is left", q.Pluck(o, inf), complete(o, true))
}

func testDrainAndPluck(t *testing.T, newQueue factory, kind cq.CompletionType) {
	for range 20 { // who runs first after the EndOp is up to the scheduler
		q := newQueue(kind, cq.Config{})
		mine, other := new(op).begin(t, q), new(op).begin(t, q)
		got := make(chan cq.Event, 1)
		go func() { got <- q.Pluck(mine, inf) }()
		settle()
		var wg sync.WaitGroup
		wg.Go(q.Drain) // newer in the parked list
		settle()
		mine.end(q, true) // Drain would take it too
		other.end(q, true)
		wg.Wait()
		expect(t, "Pluck beside Drain", <-got, complete(mine, true))
		if other.delivered != 1 {
			t.Errorf("Drain delivered the other event %d times, want 1", other.delivered)
		}
	}
}

// testPluckThreading runs calls the way stubs do: the caller begins, another
// goroutine ends, the caller plucks.
func testPluckThreading(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	rounds := int32(2000)
	if testing.Short() {
		rounds = 200
	}
	ender := make(chan *event, cq.MaxPluckers)
	var enders, callers sync.WaitGroup
	for range 2 {
		enders.Go(func() {
			for e := range ender {
				q.EndOp(e, e.number%2 == 0, e, &e.completion)
			}
		})
	}
	for range cq.MaxPluckers {
		callers.Go(func() {
			e := new(event) // one storage for all rounds
			for i := range rounds {
				e.number = int(i)
				q.BeginOp(e)
				ender <- e
				want := cq.Event{Type: cq.OpComplete, Success: i%2 == 0, Tag: e}
				if got := q.PluckDone(e, nil); got != want {
					t.Errorf("PluckDone = {%v %t}, want {%v %t}", got.Type, got.Success, want.Type, want.Success)
				}
			}
			if got := e.delivered.Load(); got != rounds {
				t.Errorf("the finalizer ran %d times, want %d", got, rounds)
			}
		})
	}
	callers.Wait()
	close(ender)
	enders.Wait()
	q.Drain()
}
