package cqtest

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// stressCases run on the real clock and on all processors, for the race
// detector and for orders that a bubble does not come upon.
var stressCases = []kitCase{
	{name: "callers that give up and come again lose nothing", kinds: waiting, real: true, test: testComeAndGo},
	{name: "a caller that begins to wait as its event comes is woken", kinds: waiting, real: true, test: testWaitMeetsEnd},
	{name: "Shutdown from several goroutines amid operations ends the queue once, after the last", kinds: all, real: true, test: testShutdownAmid},
}

// An event is an op for tests with many goroutines.
type event struct {
	completion cq.Completion
	number     int
	delivered  atomic.Int32
}

// CompletionDone makes an event its own finalizer.
func (e *event) CompletionDone(*cq.Completion) { e.delivered.Add(1) }

// testComeAndGo ends operations while their callers wait for some
// microseconds, give up, and come again.
func testComeAndGo(t *testing.T, newQueue factory, kind cq.CompletionType) {
	const callers, each = 5, 300
	q := newQueue(kind, cq.Config{})
	events := make([]event, callers*each)
	var waiters, enders sync.WaitGroup
	for c := range callers {
		waiters.Go(func() {
			for i := range each {
				e := &events[c*each+i]
				if !q.BeginOp(e) {
					t.Error("BeginOp = false before Shutdown")
					return
				}
				enders.Go(func() { q.EndOp(e, true, e, &e.completion) })
				ev := timeout
				for ev == timeout {
					ev = comeAndGo(q, e, time.Duration(rand.IntN(30))*time.Microsecond)
				}
				if ev == shutdown {
					t.Error("QueueShutdown before Shutdown")
					return
				}
			}
		})
	}
	waiters.Wait()
	enders.Wait()
	if got := q.Pending(); got != 1 {
		t.Errorf("Pending = %d when all have ended, want 1", got)
	}
	q.Drain() // finds nothing
	for i := range events {
		if got := events[i].delivered.Load(); got != 1 {
			t.Fatalf("event %d was delivered %d times, want 1", i, got)
		}
	}
}

// comeAndGo waits for an event in one of the ways there are: for that of e on a
// Pluck queue. On a Next queue it may be that of another caller, who gets this
// one's.
func comeAndGo(q Queue, e *event, wait time.Duration) cq.Event {
	if rand.IntN(2) == 0 {
		if q.Type() == cq.Pluck {
			return q.Pluck(e, time.Now().Add(wait))
		}
		return q.Next(time.Now().Add(wait))
	}
	done := make(chan struct{})
	defer time.AfterFunc(wait, func() { close(done) }).Stop()
	if q.Type() == cq.Pluck {
		return q.PluckDone(e, done)
	}
	return q.NextDone(done)
}

// testWaitMeetsEnd lets one goroutine end what another begins to wait for, as
// closely as can be: both spin until the other is there.
func testWaitMeetsEnd(t *testing.T, newQueue factory, kind cq.CompletionType) {
	rounds, tooLong := int64(20000), 10*time.Second
	if testing.Short() {
		rounds, tooLong = 5000, 5*time.Second
	}
	q := newQueue(kind, cq.Config{})
	o := new(op)
	var begun, ended atomic.Int64 // rounds; begun < 0: give up
	await := func(n *atomic.Int64, round int64) bool {
		for n.Load() >= 0 && n.Load() < round {
			runtime.Gosched()
		}
		return n.Load() >= 0
	}
	var ender sync.WaitGroup
	ender.Go(func() {
		for round := int64(1); await(&begun, round) && round <= rounds; round++ {
			for range round % 50 { // some nanoseconds, to meet it at each point
				ended.Load()
			}
			o.end(q, true)
			ended.Add(1)
		}
	})
	for round := int64(1); round <= rounds; round++ {
		o.begin(t, q)
		begun.Add(1)
		start := time.Now()
		ev := get(q, o, start.Add(tooLong))
		if ev != complete(o, true) || time.Since(start) >= tooLong {
			t.Errorf("round %d: the wait = %v after %v, want OP_COMPLETE at once", round, ev.Type, time.Since(start))
			break
		}
		await(&ended, round)
	}
	begun.Store(-1)
	ender.Wait()
}

// A tally is an operation that counts its delivery in common with others: by
// its functor on a Callback queue, else by its finalizer.
type tally struct {
	completion cq.Completion
	kind       cq.CompletionType
	delivered  *atomic.Int64
}

// CompletionDone counts, except on a Callback queue.
func (o *tally) CompletionDone(*cq.Completion) {
	if o.kind != cq.Callback {
		o.delivered.Add(1)
	}
}

// Run counts.
func (o *tally) Run(bool) { o.delivered.Add(1) }

// testShutdownAmid shuts the queue down from several goroutines while others
// begin, end and drain. What was begun is delivered before the end, of which
// all hear once.
func testShutdownAmid(t *testing.T, newQueue factory, kind cq.CompletionType) {
	const workers, each, rounds = 4, 20, 50
	for range rounds {
		log := new(recorder)
		cfg := cq.Config{Observer: log}
		var begun, delivered, ends atomic.Int64
		if kind == cq.Callback {
			cfg.OnShutdown = functor(func(bool) {
				ends.Add(1)
				if b, d := begun.Load(), delivered.Load(); b != d {
					t.Errorf("the shutdown functor ran after %d of %d functors", d, b)
				}
			})
		}
		q := newQueue(kind, cfg)
		var running sync.WaitGroup
		start := make(chan struct{})
		worker := func() {
			<-start
			for range each {
				o := &tally{kind: kind, delivered: &delivered}
				if !q.BeginOp(o) {
					return
				}
				begun.Add(1)
				q.EndOp(o, true, o, &o.completion)
			}
		}
		for range workers {
			running.Go(worker)
			running.Go(func() { <-start; q.Shutdown() })
			running.Go(func() { <-start; q.Drain() })
		}
		close(start)
		running.Wait()
		if b, d := begun.Load(), delivered.Load(); b != d {
			t.Errorf("delivered %d of %d operations", d, b)
		}
		if got := log.count("shutdown"); got != 1 {
			t.Errorf("the observer heard of %d shutdowns, want 1", got)
		}
		if kind == cq.Callback && ends.Load() != 1 {
			t.Errorf("the shutdown functor ran %d times, want 1", ends.Load())
		}
	}
}
