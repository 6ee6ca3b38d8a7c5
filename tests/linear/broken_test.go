package linear

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
	"github.com/strata-grpc/strata/layer3_cq/cqtest"
)

// late is a queue whose EndOp returns before the event is there.
type late struct{ *cq.Queue }

// EndOp ends the operation some time later.
func (q late) EndOp(tag cq.Tag, success bool, f cq.Finalizer, c *cq.Completion) {
	go q.Queue.EndOp(tag, success, f, c)
}

// hasty is a queue that has shut down once Shutdown was called.
type hasty struct {
	*cq.Queue
	shut *atomic.Bool
}

// Shutdown makes all further BeginOps fail.
func (q hasty) Shutdown() {
	q.shut.Store(true)
	q.Queue.Shutdown()
}

// BeginOp fails though operations may be outstanding.
func (q hasty) BeginOp(tag cq.Tag) bool { return !q.shut.Load() && q.Queue.BeginOp(tag) }

// stale is a queue that looks for an event, then for the end, and not again for
// the last event, which may have come in between.
type stale struct{ *cq.Queue }

// TryNext looks twice.
func (q stale) TryNext() cq.Event {
	ev := q.Queue.TryNext()
	runtime.Gosched()
	if ev.Type == cq.QueueTimeout && q.Queue.Pending() == 0 {
		return cq.Event{Type: cq.QueueShutdown}
	}
	return ev
}

// Next looks as often as it has to.
func (q stale) Next(deadline time.Time) cq.Event {
	for {
		ev := q.TryNext()
		if ev.Type != cq.QueueTimeout || !deadline.IsZero() && !time.Now().Before(deadline) {
			return ev
		}
	}
}

// stack is a queue that returns the newer of two events first.
type stack struct {
	*cq.Queue
	held chan cq.Event // the newer, if the older is on its way
}

// Next takes two events and returns the newer.
func (q stack) Next(deadline time.Time) cq.Event {
	select {
	case ev := <-q.held:
		return ev
	default:
	}
	ev := q.Queue.Next(deadline)
	if ev.Type != cq.OpComplete {
		return ev
	}
	newer := q.Queue.TryNext()
	if newer.Type != cq.OpComplete {
		return ev
	}
	q.held <- ev
	return newer
}

// TestBrokenQueuesAreFound looks for histories as TestLinearizable does, on
// queues that each have one mistake, and is to find one.
func TestBrokenQueuesAreFound(t *testing.T) {
	for name, newQueue := range map[string]func() cqtest.Queue{
		"EndOp returns early":        func() cqtest.Queue { return late{cq.New(cq.Next, cq.Config{})} },
		"Shutdown ends at once":      func() cqtest.Queue { return hasty{cq.New(cq.Next, cq.Config{}), new(atomic.Bool)} },
		"the newer event is first":   func() cqtest.Queue { return stack{cq.New(cq.Next, cq.Config{}), make(chan cq.Event, maxClients)} },
		"the end is looked for last": func() cqtest.Queue { return stale{cq.New(cq.Next, cq.Config{})} },
	} {
		t.Run(name, func(t *testing.T) {
			ops, looked := fault(t, cq.Next, newQueue, 20*time.Second)
			if ops == nil {
				t.Fatalf("none of %d histories was found not to be linearizable", looked)
			}
			t.Logf("found after %d histories", looked)
		})
	}
}
