package cqtest

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A refWant says which events a caller takes.
type refWant struct {
	tag cq.Tag
	any bool
}

// wait is all of Next and Pluck: look, and look again whenever anything changed.
func (q *reference) wait(want refWant, deadline time.Time, done <-chan struct{}) cq.Event {
	q.observe(func(o cq.Observer) { o.Wait(q, want.tag) })
	if q.has("a wait ends late") && !deadline.IsZero() {
		deadline = deadline.Add(time.Millisecond)
	}
	defer q.wakeAt(deadline, done)()
	q.mu.Lock()
	ev := q.lookUntil(want, func() bool { return reached(deadline, done) })
	if q.has("a wake-up goes to a waiter that gave up") && ev.Type == cq.QueueTimeout {
		q.ghosts++
	}
	if q.has("the finalizer runs under the lock") && ev.finalizer != nil {
		ev.finalizer.CompletionDone(ev.storage)
		ev.finalizer = nil
	}
	q.mu.Unlock()
	if ev.Type != cq.QueueTimeout || !q.has("the observer is not told of a timeout") {
		q.observe(func(o cq.Observer) { o.Return(q, ev.Event) })
	}
	if ev.finalizer != nil {
		ev.finalizer.CompletionDone(ev.storage)
	}
	return ev.Event
}

// lookUntil returns the event that want asks for, or what there is to say
// instead. Caller holds q.mu.
func (q *reference) lookUntil(want refWant, over func() bool) refEvent {
	nothing := func(t cq.EventType) refEvent { return refEvent{Event: cq.Event{Type: t}} }
	for parked := false; ; parked = true {
		shut := q.pending == 0
		if q.has("shutdown waits until all events were taken") {
			shut = shut && len(q.events) == 0
		}
		i := q.find(want)
		switch {
		case over() && q.has("a past deadline beats an event"):
			return nothing(cq.QueueTimeout)
		case i >= 0 && parked && over() && q.has("an event that meets the deadline is lost"):
			q.remove(i, 1)
			return nothing(cq.QueueTimeout)
		case shut && q.has("shutdown beats an event"):
			return nothing(cq.QueueShutdown)
		case i >= 0:
			ev := q.events[i]
			n := 1
			if q.has("an event that is not the oldest takes its successor with it") && i > 0 && i+1 < len(q.events) {
				n = 2
			}
			q.remove(i, n)
			delete(q.stored, ev.storage)
			return ev
		case over() && q.has("a past deadline beats shutdown"):
			return nothing(cq.QueueTimeout)
		case shut && !q.has("shutdown is not told to who waits for ever"), shut && over():
			return nothing(cq.QueueShutdown)
		case over() && q.has("an empty queue says shutdown"):
			return nothing(cq.QueueShutdown)
		case over():
			return nothing(cq.QueueTimeout)
		case !want.any && len(q.plucked) == cq.MaxPluckers && !parked && !q.has("there is no limit of pluckers"):
			return nothing(cq.QueueTimeout)
		}
		if !want.any {
			q.plucked = append(q.plucked, want.tag)
		}
		if q.has("a caller does not look again before it parks") {
			q.mu.Unlock()
			runtime.Gosched()
			q.mu.Lock()
		}
		q.changed.Wait()
		if !want.any {
			i := slices.Index(q.plucked, want.tag)
			q.plucked = slices.Delete(q.plucked, i, i+1)
		}
	}
}

// remove drops n events from i on. Caller holds q.mu.
func (q *reference) remove(i, n int) {
	if i == 0 {
		q.events = q.events[n:]
	} else {
		q.events = slices.Delete(q.events, i, i+n)
	}
}

// find returns the index of the oldest event that want asks for, -1 for none.
// Drain leaves an event to who waits for its tag. Caller holds q.mu.
func (q *reference) find(want refWant) int {
	if q.has("of two events of one tag the newer comes first") {
		for i, ev := range slices.Backward(q.events) {
			if want.any || ev.Tag == want.tag {
				return i
			}
		}
		return -1
	}
	return slices.IndexFunc(q.events, func(ev refEvent) bool {
		switch {
		case want.any:
			return !slices.Contains(q.plucked, ev.Tag) || q.has("Drain takes what others wait for")
		case q.has("tags are compared as text"):
			return fmt.Sprint(ev.Tag) == fmt.Sprint(want.tag)
		}
		return ev.Tag == want.tag
	})
}

// reached reports whether a wait is over.
func reached(deadline time.Time, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return !deadline.IsZero() && !time.Now().Before(deadline)
	}
}

// wakeAt wakes everybody at deadline and when done is closed, until stop.
func (q *reference) wakeAt(deadline time.Time, done <-chan struct{}) (stop func()) {
	over := make(chan struct{})
	wake := func() {
		q.mu.Lock()
		q.changed.Broadcast()
		q.mu.Unlock()
	}
	if done != nil && !q.has("a wait does not end when done is closed") {
		go func() {
			select {
			case <-done:
				wake()
			case <-over:
			}
		}()
	}
	if deadline.IsZero() {
		return func() { close(over) }
	}
	timer := time.AfterFunc(time.Until(deadline), wake)
	return func() { close(over); timer.Stop() }
}

// A refAlarm is an alarm as simple as the reference.
type refAlarm struct {
	mistake string

	mu     sync.Mutex
	busy   bool    // set, or its event was not delivered
	closed bool    // Close was called
	set    *refSet // not completed; nil for none
	last   *refSet
}

// A refSet is one Set of an alarm.
type refSet struct {
	q   *reference
	tag cq.Tag
}

func newRefAlarm(mistake string) func() *refAlarm {
	return func() *refAlarm { return &refAlarm{mistake: mistake} }
}

func (a *refAlarm) has(mistake string) bool { return a.mistake == mistake }

func (a *refAlarm) Set(q *reference, deadline time.Time, tag cq.Tag) bool {
	a.mu.Lock()
	fault := a.busy || a.closed
	a.mu.Unlock()
	q.mustNot(fault, "Set", tag)
	a.busy = a.has("a Set that panicked leaves the alarm busy")
	if !q.BeginOp(tag) {
		a.busy = a.has("a Set that failed leaves the alarm busy")
		return false
	}
	s := &refSet{q, tag}
	a.mu.Lock()
	a.busy, a.set, a.last = true, s, s
	closed := a.closed
	a.mu.Unlock()
	if closed && !a.has("a Close amid Set is forgotten") {
		a.Cancel()
		return true
	}
	if a.has("a past deadline never comes") && !deadline.After(time.Now()) ||
		a.has("a deadline of the wall clock never comes") && deadline == deadline.Round(0) && deadline.After(time.Now()) {
		deadline = time.Time{}
	}
	if deadline.IsZero() && !a.has("the zero deadline has passed") {
		return true
	}
	if a.has("an alarm expires late") {
		deadline = deadline.Add(time.Millisecond)
	}
	if a.has("an expiry runs inside Set") && !deadline.After(time.Now()) {
		a.complete(s, true)
		return true
	}
	time.AfterFunc(time.Until(deadline), func() { a.complete(s, !a.has("an expiry has no success")) })
	return true
}

func (a *refAlarm) Cancel() {
	a.mu.Lock()
	s := a.set
	if a.has("a Cancel makes an event in any case") && s == nil {
		s = a.last
	}
	a.mu.Unlock()
	switch {
	case s == nil || a.has("Cancel does nothing"):
	case s.q.kind == cq.Callback && !a.has("a cancellation runs inside Cancel"):
		go a.complete(s, a.has("a cancellation has success"))
	default:
		a.complete(s, a.has("a cancellation has success"))
	}
}

func (a *refAlarm) Close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	if !a.has("Close does not cancel") {
		a.Cancel()
	}
}

// complete ends the operation of s unless that was done.
func (a *refAlarm) complete(s *refSet, ok bool) {
	a.mu.Lock()
	mine := a.set == s
	if mine {
		a.set = nil
	}
	a.mu.Unlock()
	if mine {
		s.q.EndOp(s.tag, ok, a, new(cq.Completion))
	} else if a.has("a Cancel makes an event in any case") && s.q.BeginOp(s.tag) {
		s.q.EndOp(s.tag, ok, nil, new(cq.Completion))
	}
}

// CompletionDone makes the alarm ready for another Set.
func (a *refAlarm) CompletionDone(*cq.Completion) {
	a.mu.Lock()
	a.busy = a.has("an alarm can be set once")
	a.mu.Unlock()
}
