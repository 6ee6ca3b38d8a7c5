package cqtest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

var nextCases = []kitCase{
	{name: "events come in the order of their EndOps", kinds: next, test: testFIFO},
	{name: "TryNext never waits, and asks without a tag", kinds: next, test: testTryNext},
	{name: "as many events wake as many waiters", kinds: next, test: testHandOff},
	{name: "a waiter that gave up takes no event with it", kinds: next, test: testGaveUp},
	{name: "TestThreading: each event goes to exactly one of many callers", kinds: next, real: true, test: testThreading},
}

func testFIFO(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	o := ops(100)
	for _, o := range o {
		o.begin(t, q)
	}
	for round := range 2 { // the second time over an emptied list
		for i, o := range o {
			o.end(q, i%2 == 0)
		}
		for i, o := range o {
			expect(t, fmt.Sprint("Next number ", i), q.Next(inf), complete(o, i%2 == 0))
			if round == 0 {
				o.begin(t, q)
			}
		}
	}
	expect(t, "TryNext", q.TryNext(), timeout)
}

func testTryNext(t *testing.T, newQueue factory, kind cq.CompletionType) {
	log := new(recorder)
	q := newQueue(kind, cq.Config{Observer: log})
	start := time.Now()
	expect(t, "TryNext", q.TryNext(), timeout)
	if got := time.Since(start); got != 0 {
		t.Errorf("TryNext took %v, want 0", got)
	}
	expect(t, "Next", q.Next(past), timeout)
	if got := log.count("wait"); got != 2 {
		t.Errorf("heard %q, want two waits without a tag", log.lines)
	}
	q.Shutdown()
	expect(t, "TryNext", q.TryNext(), shutdown)
}

// testHandOff parks k callers and ends k operations without giving any caller a
// chance to run in between: each event must have woken its own.
func testHandOff(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	for _, k := range []int{1, 2, 7, 40} {
		got := make(chan cq.Event, k)
		for range k {
			go func() { got <- q.Next(inf) }()
		}
		settle()
		o := ops(k)
		for _, o := range o {
			o.begin(t, q)
		}
		for _, o := range o {
			o.end(q, true)
		}
		settle()
		if len(got) != k {
			t.Fatalf("%d events woke %d of %d waiters", k, len(got), k)
		}
		for range k {
			(<-got).Tag.(*op).runs = nil
		}
		for i, o := range o {
			if o.delivered != 1 {
				t.Errorf("event %d of %d was delivered %d times, want 1", i, k, o.delivered)
			}
		}
	}
}

func testGaveUp(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	done := make(chan struct{})
	got := make(chan cq.Event, 3)
	go func() { got <- q.Next(inf) }()
	settle()
	for range 2 { // newer than the one that stays, hence asked first
		go func() { got <- q.NextDone(done) }()
	}
	settle()
	close(done)
	expect(t, "NextDone", <-got, timeout)
	expect(t, "NextDone", <-got, timeout)
	o := new(op).begin(t, q)
	o.end(q, true)
	expect(t, "the waiter that stayed", <-got, complete(o, true))
}

// testThreading is gRPC core's: producers begin everything, then end it while
// the queue is shut down under them and consumers take until QueueShutdown.
func testThreading(t *testing.T, newQueue factory, kind cq.CompletionType) {
	each := 10000 // operations of each producer
	if testing.Short() {
		each = 1000
	}
	for _, n := range []struct{ producers, consumers int }{{1, 1}, {1, 10}, {10, 1}, {10, 10}} {
		t.Run(fmt.Sprintf("producers=%d/consumers=%d", n.producers, n.consumers), func(t *testing.T) {
			q := newQueue(kind, cq.Config{})
			events := make([]event, n.producers*each)
			var consumed, sum atomic.Int64
			var begun, ended, drained sync.WaitGroup
			begun.Add(n.producers)
			shut := make(chan struct{})
			for range n.consumers {
				drained.Go(func() {
					for {
						ev := q.Next(inf)
						if ev.Type != cq.OpComplete {
							if ev != shutdown {
								t.Errorf("Next = %v, want QUEUE_SHUTDOWN at the end", ev.Type)
							}
							return
						}
						consumed.Add(1)
						sum.Add(int64(ev.Tag.(*event).number))
					}
				})
			}
			for p := range n.producers {
				ended.Go(func() {
					mine := events[p*each : (p+1)*each]
					for i := range mine {
						mine[i].number = p*each + i
						if !q.BeginOp(&mine[i]) {
							t.Error("BeginOp = false before Shutdown")
						}
					}
					begun.Done()
					<-shut
					for i := range mine {
						q.EndOp(&mine[i], true, &mine[i], &mine[i].completion)
					}
				})
			}
			begun.Wait()
			close(shut)
			q.Shutdown()
			ended.Wait()
			drained.Wait()
			total := int64(len(events))
			if consumed.Load() != total || sum.Load() != total*(total-1)/2 {
				t.Errorf("consumed %d of %d events, sum of numbers %d, want %d",
					consumed.Load(), total, sum.Load(), total*(total-1)/2)
			}
			for i := range events {
				if got := events[i].delivered.Load(); got != 1 {
					t.Fatalf("event %d was delivered %d times, want 1", i, got)
				}
			}
		})
	}
}
