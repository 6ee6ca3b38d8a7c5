package cq

import (
	"sync"
	"time"
)

// An Alarm is an operation that completes at a time: with success when it
// expires, without when it is cancelled before. The zero Alarm is ready to use;
// it must not be copied. All methods may run at once.
//
// On a Callback queue the functor always runs on a goroutine of its own, never
// inside Set or Cancel, which may thus be called under a lock that it takes.
type Alarm struct {
	completion Completion // the queue's while state is alarmFired

	mu sync.Mutex // taken inside no lock of a queue, and takes none
	// Guarded by mu.
	state     alarmState
	cancelled bool // state is alarmSet, and the functor's goroutine is on its way
	closed    bool
	q         *Queue
	tag       Tag
	timer     *time.Timer // runs expire; nil until first needed
	timed     bool        // timer is running for this Set
}

// An alarmState is where an Alarm is in its cycle.
//
//	idle ──Set──▶ taken ──BeginOp──▶ set ──expiry, Cancel──▶ fired ──delivery──▶ idle
type alarmState uint8

const (
	alarmIdle  alarmState = iota
	alarmTaken            // by a Set that did not get to BeginOp
	alarmSet              // counted by the queue, waiting
	alarmFired            // handed to the queue, not delivered
)

// Set begins an operation on q that completes at deadline, at once if that has
// passed. The zero deadline never comes; then only Cancel completes it. Set
// reports false, and nothing will be delivered, if q has shut down.
//
// An Alarm may be set again once its event was delivered, in the functor too.
// Setting it earlier, or after Close, panics.
func (a *Alarm) Set(q *Queue, deadline time.Time, tag Tag) bool {
	if q == nil {
		panic("cq: Alarm.Set without a queue")
	}
	if fault := a.take(); fault != "" {
		q.misuse("Alarm.Set", fault)
	}
	begun := false
	defer func() {
		if !begun { // BeginOp said no, or panicked
			a.release()
		}
	}()
	if begun = q.BeginOp(tag); begun {
		a.arm(q, deadline, tag)
	}
	return begun
}

// take reserves the alarm for a Set and says why it cannot, empty if it can.
func (a *Alarm) take() (fault string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return "the alarm is closed"
	case a.state != alarmIdle:
		return "the alarm is set, or its last event was not delivered"
	}
	a.state = alarmTaken
	return ""
}

// release makes the alarm ready for another Set.
func (a *Alarm) release() {
	a.mu.Lock()
	a.state = alarmIdle
	a.mu.Unlock()
}

// arm starts the wait for deadline.
func (a *Alarm) arm(q *Queue, deadline time.Time, tag Tag) {
	a.mu.Lock()
	a.state, a.cancelled, a.q, a.tag = alarmSet, false, q, tag
	a.timed = !deadline.IsZero()
	if a.timed {
		a.expireInLocked(time.Until(deadline))
	}
	closed := a.closed
	a.mu.Unlock()
	if closed { // since take
		a.Cancel()
	}
}

// Cancel completes the operation now, without success, if it was set and has
// not expired; else it does nothing. On Next and Pluck queues the event is
// there when Cancel returns.
func (a *Alarm) Cancel() {
	a.mu.Lock()
	if a.state != alarmSet || a.cancelled || a.timed && !a.timer.Stop() {
		a.mu.Unlock()
		return // a timer that cannot be stopped delivers the expiry
	}
	a.cancelled = true
	if a.q.Type() == Callback {
		a.expireInLocked(0)
		a.mu.Unlock()
		return
	}
	a.mu.Unlock()
	a.expire()
}

// Close cancels the alarm and makes a further Set panic. The event of a pending
// alarm is still delivered; to wait for it, drain the queue.
func (a *Alarm) Close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.Cancel()
}

// expireInLocked runs expire after d on a goroutine of its own. Caller holds a.mu.
func (a *Alarm) expireInLocked(d time.Duration) {
	if a.timer == nil {
		a.timer = time.AfterFunc(d, a.expire)
	} else {
		a.timer.Reset(d)
	}
}

// expire hands the event to the queue. It runs once for each Set: on the
// timer's goroutine, or in a Cancel that stopped the timer.
func (a *Alarm) expire() {
	a.mu.Lock()
	a.state = alarmFired
	q, tag, ok := a.q, a.tag, !a.cancelled
	a.q, a.tag = nil, nil
	a.mu.Unlock()
	q.EndOp(tag, ok, (*alarmDelivered)(a), &a.completion)
}

// alarmDelivered is an Alarm as the Finalizer of its own event.
type alarmDelivered Alarm

// CompletionDone makes the alarm ready for another Set.
func (d *alarmDelivered) CompletionDone(*Completion) { (*Alarm)(d).release() }
