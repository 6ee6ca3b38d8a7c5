package cqtest

import (
	"slices"
	"sync"
	"testing"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

var countingCases = []kitCase{
	{name: "TestNoOp: a queue that was never used shuts down and is drained", kinds: all, test: testNoOp},
	{name: "the count starts at one, which Shutdown gives up", kinds: all, test: testPending},
	{name: "BeginOp succeeds after Shutdown until the last operation has ended", kinds: all, test: testBeginAfterShutdown},
	{name: "Shutdown from several goroutines counts once", kinds: all, test: testShutdownTwice},
	{name: "Drain takes what is left whatever its tags, and waits for what is outstanding", kinds: all, test: testDrain},
}

func testNoOp(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	if got := q.Type(); got != kind {
		t.Errorf("Type = %v, want %v", got, kind)
	}
	q.Drain()
	q.Drain()
	if got := q.Pending(); got != 0 {
		t.Errorf("Pending = %d after Drain, want 0", got)
	}
}

func testPending(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	var o op
	check := func(after string, want int) {
		t.Helper()
		if got := q.Pending(); got != want {
			t.Errorf("Pending = %d after %s, want %d", got, after, want)
		}
	}
	check("New", 1)
	o.begin(t, q)
	check("BeginOp", 2)
	q.Shutdown()
	check("Shutdown", 1)
	q.Shutdown()
	check("a second Shutdown", 1)
	o.end(q, true)
	check("EndOp", 0) // although the event was not taken yet
	q.Drain()
	if o.delivered != 1 {
		t.Errorf("the event was delivered %d times, want 1", o.delivered)
	}
}

func testBeginAfterShutdown(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	var first, chained, late op
	first.begin(t, q)
	q.Shutdown()
	chained.begin(t, q) // started by an operation in flight
	first.end(q, true)
	chained.end(q, true)
	if q.BeginOp(&late) {
		t.Error("BeginOp = true after the last operation ended, want false")
	}
	q.Drain()
	if q.BeginOp(&late) {
		t.Error("BeginOp = true after Drain, want false")
	}
	if first.delivered+chained.delivered != 2 {
		t.Errorf("delivered %d and %d times, want once each", first.delivered, chained.delivered)
	}
}

func testShutdownTwice(t *testing.T, newQueue factory, kind cq.CompletionType) {
	log := new(recorder)
	cfg := cq.Config{Observer: log}
	var functorRan op
	if kind == cq.Callback {
		cfg.OnShutdown = &functorRan
	}
	q := newQueue(kind, cfg)
	o := new(op).begin(t, q)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(q.Shutdown)
	}
	wg.Wait()
	o.end(q, true)
	q.Drain()
	if got := log.count("shutdown"); got != 1 {
		t.Errorf("the observer heard of %d shutdowns, want 1", got)
	}
	if kind == cq.Callback && !slices.Equal(functorRan.runs, []bool{true}) {
		t.Errorf("OnShutdown ran with %v, want once with true", functorRan.runs)
	}
}

func testDrain(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	o := ops(5)
	for _, o := range o {
		o.begin(t, q)
	}
	o[0].end(q, true)
	o[1].end(q, false)
	var wg sync.WaitGroup
	wg.Go(func() {
		q.Drain()
		for i, o := range o {
			if o.delivered != 1 {
				t.Errorf("event %d delivered %d times when Drain returned, want 1", i, o.delivered)
			}
		}
	})
	for _, o := range o[2:] {
		settle()
		o.end(q, true)
	}
	wg.Wait()
}
