package cq

import (
	"fmt"
	"time"
)

// maxFreeWaiters bounds the waiters that a queue keeps for reuse: a queue that
// 10,000 goroutines once polled does not keep their 10,000 channels. One more
// than this costs two allocations each time it parks.
const maxFreeWaiters = 16

// A waiter is one goroutine parked in a queue. It belongs to its queue, since it
// holds a channel: a pool shared by all queues would carry channels from one
// synctest bubble to another.
//
// Invariant: a waiter that is taken out of the parked list by someone else is
// sent exactly one token, which its goroutine receives in any case. So no
// token is left in a waiter that is free.
type waiter struct {
	// Set by parkLocked, read-only while parked.
	want want
	wake chan *Completion // the token; capacity 1, so that waking never blocks

	// Owned by the parked goroutine; no lock.
	timer *time.Timer // stopped; nil until a deadline was first waited for

	// Guarded by Queue.mu.
	next, prev *waiter
	parked     bool
}

// A want says which events a waiter takes: that of one tag, or any.
type want struct {
	tag    Tag
	anyTag bool
}

// accepts reports whether the event of tag is wanted.
func (w *want) accepts(tag Tag) bool { return w.anyTag || sameTag(w.tag, tag) }

// fault says why there can be no event that is wanted, empty if there can be.
func (w *want) fault() string {
	if w.anyTag {
		return ""
	}
	if fault := tagFault(w.tag); fault != "" {
		return fmt.Sprintf("got tag %s, which %s", tagText(w.tag), fault)
	}
	return ""
}

// A limit says how long to wait; at most one of its fields is set and the zero
// limit is for ever. What is there already is delivered whatever the limit.
type limit struct {
	poll     bool            // not at all
	deadline time.Time       // until then
	done     <-chan struct{} // until it is closed
}

// reached reports whether there is no time to wait. It does not look at done,
// which sleep does at once.
func (l *limit) reached() bool {
	return l.poll || !l.deadline.IsZero() && !time.Now().Before(l.deadline)
}

// wait delivers the event that want asks for: one that is there, else the
// next to come before limit. It is all of Next and Pluck but their names.
func (q *Queue) wait(want want, limit limit) Event {
	obs := q.cfg.Observer
	if obs != nil {
		obs.Wait(q, want.tag)
	}
	c, outcome := q.claim(&want, &limit)
	if c != nil {
		return q.deliver(c)
	}
	ev := Event{Type: outcome}
	if obs != nil {
		obs.Return(q, ev)
	}
	return ev
}

// claim dequeues a completion, parking if it must. Without one it says why.
func (q *Queue) claim(want *want, limit *limit) (*Completion, EventType) {
	c, w, why := q.takeOrPark(want, limit)
	if w == nil {
		return c, why
	}
	c, woken := w.sleep(limit)
	if !woken {
		if q.giveUp(w) {
			return nil, QueueTimeout
		}
		c = <-w.wake // someone unparked w since: the token is on its way
	}
	q.mu.Lock()
	q.keepLocked(w)
	q.mu.Unlock()
	if c == nil {
		return nil, QueueShutdown
	}
	return c, OpComplete
}

// takeOrPark returns a completion that is there, or a waiter that it parked,
// or neither and why. The order is the contract: what is there comes before
// shutdown, and shutdown before a limit in the past.
func (q *Queue) takeOrPark(want *want, limit *limit) (*Completion, *waiter, EventType) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.kind == Next && q.done.head == nil {
		q.collectLocked()
	}
	if c := q.done.take(want); c != nil {
		return c, nil, OpComplete
	}
	if fault := want.fault(); fault != "" {
		q.misuse("Pluck", fault)
	}
	switch {
	case q.count.pending() == 0:
		return nil, nil, QueueShutdown
	case limit.reached(), !want.anyTag && q.pluckers == MaxPluckers:
		return nil, nil, QueueTimeout
	}
	if q.kind == Next {
		q.barLocked()
		if c := q.done.take(want); c != nil { // it came since the inbox was emptied
			q.openLocked()
			return c, nil, OpComplete
		}
	}
	return nil, q.parkLocked(want), QueueTimeout
}

// giveUp unparks w, and reports false if someone did that already.
func (q *Queue) giveUp(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !w.parked {
		return false
	}
	q.unparkLocked(w)
	q.openLocked()
	q.keepLocked(w)
	return true
}

// deliver hands the storage of a dequeued event back to its owner and returns
// the event. The queue is not touched once the finalizer runs.
func (q *Queue) deliver(c *Completion) Event {
	ev := Event{Type: OpComplete, Success: c.success, Tag: c.tag}
	f := c.finalizer
	c.tag, c.finalizer, c.linked = nil, nil, false
	if obs := q.cfg.Observer; obs != nil {
		obs.Return(q, ev)
	}
	if f != nil {
		f.CompletionDone(c)
	}
	return ev
}

// sleep waits for the token and reports false if limit came first. Its limit
// is not one that polls.
func (w *waiter) sleep(l *limit) (c *Completion, woken bool) {
	switch {
	case l.done != nil:
		select {
		case c = <-w.wake:
			return c, true
		case <-l.done:
			return nil, false
		}
	case !l.deadline.IsZero():
		left := time.Until(l.deadline)
		if w.timer == nil {
			w.timer = time.NewTimer(left)
		} else {
			w.timer.Reset(left)
		}
		defer w.timer.Stop()
		select {
		case c = <-w.wake:
			return c, true
		case <-w.timer.C:
			return nil, false
		}
	default:
		return <-w.wake, true
	}
}

// parkLocked puts a waiter into the list. Caller holds q.mu.
func (q *Queue) parkLocked(want *want) *waiter {
	w := q.free
	if w == nil {
		w = &waiter{wake: make(chan *Completion, 1)}
	} else {
		q.free = w.next
		q.freeCount--
	}
	// Newest first: the goroutine that ran last has the warmest caches.
	w.want, w.parked = *want, true
	w.next = q.parked
	if w.next != nil {
		w.next.prev = w
	}
	q.parked = w
	if !want.anyTag {
		q.pluckers++
	}
	return w
}

// unparkLocked takes w out of the list. Caller holds q.mu and, unless it is
// w's own goroutine, sends the token once it let go of q.mu.
func (q *Queue) unparkLocked(w *waiter) {
	if w.prev == nil {
		q.parked = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	}
	w.next, w.prev, w.parked = nil, nil, false
	if !w.want.anyTag {
		q.pluckers--
	}
}

// keepLocked puts w, which is not parked and has no token, aside for reuse.
// Caller holds q.mu.
func (q *Queue) keepLocked(w *waiter) {
	if q.freeCount == maxFreeWaiters {
		return
	}
	w.want = want{}
	w.next = q.free
	q.free = w
	q.freeCount++
}

// waiterForLocked returns a parked waiter for the event of tag, nil if there is
// none. Who asks for just this tag comes before who takes any. Caller holds q.mu.
func (q *Queue) waiterForLocked(tag Tag) *waiter {
	if q.kind == Next {
		return q.parked
	}
	var taker *waiter
	for w := q.parked; w != nil; w = w.next {
		switch {
		case w.want.anyTag:
			taker = w
		case sameTag(w.want.tag, tag):
			return w
		}
	}
	return taker
}
