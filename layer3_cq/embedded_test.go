package cq_test

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	cq "github.com/strata-grpc/strata/layer3_cq"
	"github.com/strata-grpc/strata/layer3_cq/cqtest"
)

// A block is pooled memory with a queue in it, as a call block has.
type block struct {
	queue cq.Queue
	call  call
}

// TestContractReused runs the contract on queues that have been through another
// life before: used, parked in, shut down, drained.
func TestContractReused(t *testing.T) {
	cqtest.Run(t, func(kind cq.CompletionType, cfg cq.Config) *cq.Queue {
		b := new(block)
		for _, before := range []cq.CompletionType{cq.Pluck, cq.Next, cq.Callback} {
			b.queue.Init(before, cq.Config{})
			b.call.complete(&b.queue)
			switch before {
			case cq.Next:
				b.queue.Next(time.Time{})
			case cq.Pluck:
				b.queue.Pluck(&b.call, time.Time{})
				b.queue.Pluck(&b.call, time.Now().Add(time.Microsecond))
			}
			if kind != before { // else it is idle only
				b.queue.Drain()
			}
		}
		b.queue.Init(kind, cfg)
		return &b.queue
	})
}

// TestInitMisuse: a queue that is in use is not made fresh.
func TestInitMisuse(t *testing.T) {
	for _, tc := range []struct {
		name string
		use  func(q *cq.Queue, c *call) (end func())
		want string
	}{
		{"an operation is outstanding", func(q *cq.Queue, c *call) func() {
			q.BeginOp(c)
			return func() { q.EndOp(c, true, c, &c.completion) }
		}, "operations outstanding: 1"},
		{"an operation is outstanding after Shutdown", func(q *cq.Queue, c *call) func() {
			q.BeginOp(c)
			q.Shutdown()
			return func() { q.EndOp(c, true, c, &c.completion) }
		}, "operations outstanding: 1"},
		{"an event was not dequeued", func(q *cq.Queue, c *call) func() {
			c.complete(q)
			return func() {}
		}, "drained: false"},
		{"a caller is waiting", func(q *cq.Queue, c *call) func() {
			go q.Next(time.Time{})
			synctest.Wait()
			return q.Shutdown
		}, "nobody waiting: false"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := cq.New(cq.Next, cq.Config{Name: "greeter", Debug: true})
				end := tc.use(q, new(call))
				text := panicText(func() { q.Init(cq.Next, cq.Config{}) })
				for _, want := range []string{`Init on NEXT queue "greeter"`, "in use", tc.want} {
					if !strings.Contains(text, want) {
						t.Errorf("panicked with %q, want %q in it", text, want)
					}
				}
				end()
				q.Drain()
			})
		})
	}
}

// TestAlarmWithoutQueue: there is no queue to name.
func TestAlarmWithoutQueue(t *testing.T) {
	if text := panicText(func() { new(cq.Alarm).Set(nil, time.Time{}, 1) }); !strings.Contains(text, "Alarm.Set without a queue") {
		t.Errorf("panicked with %q, want it to name Alarm.Set", text)
	}
}

// panicText returns what f panics with.
func panicText(f func()) (text string) {
	defer func() { text, _ = recover().(string) }()
	f()
	return ""
}

func TestZeroQueueHasShutDown(t *testing.T) {
	var q cq.Queue
	if q.BeginOp(1) {
		t.Error("BeginOp = true on the zero Queue")
	}
	if got := q.TryNext().Type; got != cq.QueueShutdown {
		t.Errorf("TryNext = %v on the zero Queue, want QUEUE_SHUTDOWN", got)
	}
	q.Drain()
}

// TestBlockReuse hands blocks from call to call through a pool while the
// goroutines that ended their operations may still be inside EndOp. Under the
// race detector it shows that EndOp lets go of the queue in time.
func TestBlockReuse(t *testing.T) {
	const callers, calls = 4, 3000
	pool := make(chan *block, callers)
	for range callers - 1 { // fewer than callers, so that blocks change hands
		pool <- new(block)
	}
	ender := make(chan *block)
	var enders, users sync.WaitGroup
	for range 2 {
		enders.Go(func() {
			for b := range ender {
				b.queue.EndOp(&b.call, true, &b.call, &b.call.completion)
			}
		})
	}
	for i := range callers {
		users.Go(func() {
			for n := range calls {
				b := <-pool
				kind := cq.CompletionType(n % 2)
				b.queue.Init(kind, cq.Config{Debug: i == 0})
				b.queue.BeginOp(&b.call)
				ender <- b
				ev := cq.Event{Type: cq.QueueTimeout}
				for ev.Type == cq.QueueTimeout { // half of the Next queues are polled, so that nobody is parked
					switch {
					case kind == cq.Pluck:
						ev = b.queue.PluckDone(&b.call, nil)
					case n%4 == 0:
						ev = b.queue.NextDone(nil)
					default:
						runtime.Gosched()
						ev = b.queue.TryNext()
					}
				}
				if ev.Type != cq.OpComplete {
					t.Errorf("the wait = %v, want OP_COMPLETE", ev.Type)
				}
				if i%2 == 0 {
					b.queue.Shutdown()
				}
				pool <- b
			}
		})
	}
	users.Wait()
	close(ender)
	enders.Wait()
	total := 0
	for range callers - 1 {
		total += (<-pool).call.delivered
	}
	if total != callers*calls {
		t.Errorf("delivered %d events, want %d", total, callers*calls)
	}
}

// TestTwoBubbles runs one bubble after the other: nothing in the package
// carries a channel or a timer from the first to the second.
func TestTwoBubbles(t *testing.T) {
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			q := cq.New(cq.Pluck, cq.Config{})
			c := new(call)
			var a cq.Alarm
			a.Set(q, time.Now().Add(time.Second), c)
			if ev := q.Pluck(c, time.Now().Add(time.Hour)); !ev.Success {
				t.Errorf("Pluck = %+v, want the expiry", ev)
			}
			if ev := q.Pluck(c, time.Now().Add(time.Second)); ev.Type != cq.QueueTimeout {
				t.Errorf("Pluck = %v, want QUEUE_TIMEOUT", ev.Type)
			}
			q.Drain()
		})
	}
}

// TestTagIsReleased: storage and waiters that live on in a block do not keep
// the user's tag alive.
func TestTagIsReleased(t *testing.T) {
	var c cq.Completion
	q := cq.New(cq.Pluck, cq.Config{Debug: true})
	through := func() weak.Pointer[call] {
		tag := new(call)
		q.Pluck(tag, time.Now().Add(time.Microsecond)) // parks
		q.BeginOp(tag)
		q.EndOp(tag, true, tag, &c)
		q.Pluck(tag, time.Time{})
		return weak.Make(tag)
	}
	tag := through()
	runtime.GC()
	if tag.Value() != nil {
		t.Error("the tag of a delivered event is still reachable")
	}
	runtime.KeepAlive(&c)
	runtime.KeepAlive(q)
}

// TestNames pins the words that traces and messages use.
func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		cq.QueueShutdown.String():     "QUEUE_SHUTDOWN",
		cq.QueueTimeout.String():      "QUEUE_TIMEOUT",
		cq.OpComplete.String():        "OP_COMPLETE",
		cq.EventType(9).String():      "EventType(9)",
		cq.Next.String():              "NEXT",
		cq.Pluck.String():             "PLUCK",
		cq.Callback.String():          "CALLBACK",
		cq.CompletionType(9).String(): "CompletionType(9)",
		cq.New(cq.Next, named).Name(): "n",
		new(cq.Queue).Type().String(): "NEXT",
	} {
		if got != want {
			t.Errorf("String = %q, want %q", got, want)
		}
	}
}

var named = cq.Config{Name: "n"}
