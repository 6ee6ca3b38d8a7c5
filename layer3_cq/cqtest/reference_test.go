package cqtest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A reference is a completion queue that is easily seen to be right, and as
// easily made wrong: one lock, one list, and a Cond that wakes everybody
// whenever anything has changed. Each has("…") is a mistake that TestMutants
// makes on purpose; without mistake none is there.
type reference struct {
	kind    cq.CompletionType
	cfg     cq.Config
	mistake string

	mu      sync.Mutex
	changed sync.Cond
	pending int
	closing bool
	begun   map[cq.Tag]int          // and not ended, how often
	stored  map[*cq.Completion]bool // in use for an event that was not delivered
	events  []refEvent              // oldest first
	plucked []cq.Tag                // one for each goroutine that waits in Pluck
	ended   int
	ghosts  int
}

// A refEvent is an event that was not delivered.
type refEvent struct {
	cq.Event
	finalizer cq.Finalizer
	storage   *cq.Completion
}

func newReference(mistake string) func(cq.CompletionType, cq.Config) *reference {
	return func(kind cq.CompletionType, cfg cq.Config) *reference {
		q := &reference{kind: kind, cfg: cfg, mistake: mistake, pending: 1,
			begun: map[cq.Tag]int{}, stored: map[*cq.Completion]bool{}}
		q.changed.L = &q.mu
		q.mustNot(kind > cq.Callback || cfg.OnShutdown != nil && kind != cq.Callback, "New", "OnShutdown, or no such type")
		if !q.has("the observer is not told of the making of a queue") {
			q.observe(func(o cq.Observer) { o.Create(q) })
		}
		return q
	}
}

func TestReference(t *testing.T) {
	Run(t, newReference(""))
	RunAlarm(t, newReference(""), newRefAlarm(""))
}

func (q *reference) has(mistake string) bool { return q.mistake == mistake }

// mustNot panics if fault, with a text that names everything a case may ask for.
func (q *reference) mustNot(fault bool, method string, about any) {
	if fault && !q.has("misuse goes unnoticed") {
		name := fmt.Sprintf("%q", q.cfg.Name)
		if q.has("the text of a misuse does not name the queue") {
			name = ""
		}
		panic(fmt.Sprintf("%s on %v queue %s: got %v (%T): NEXT queues only, PLUCK queues only, not a Functor, cannot be compared, "+
			"does not equal itself, no operation was begun, never begun, Completion is nil, not dequeued", method, q.kind, name, about, about))
	}
}

func (q *reference) Name() string            { return q.cfg.Name }
func (q *reference) Type() cq.CompletionType { return q.kind }

func (q *reference) observe(tell func(cq.Observer)) {
	if q.cfg.Observer != nil {
		tell(q.cfg.Observer)
	}
}

func (q *reference) Pending() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.has("the count starts at zero") {
		return q.pending - 1
	}
	return q.pending
}

func (q *reference) BeginOp(tag cq.Tag) bool {
	_, functor := tag.(cq.Functor)
	q.mustNot(q.kind == cq.Callback && !functor, "BeginOp", tag)
	q.mustNot(q.kind == cq.Pluck && !equalsItself(tag), "BeginOp", tag)
	q.mu.Lock()
	if q.pending == 0 && !q.has("BeginOp succeeds on a queue that has shut down") || q.closing && q.has("BeginOp fails once Shutdown was called") {
		q.mu.Unlock()
		return false
	}
	q.pending++
	if equalsItself(tag) {
		q.begun[tag]++
	}
	q.mu.Unlock()
	q.observe(func(o cq.Observer) { o.Begin(q, tag) })
	return true
}

// equalsItself reports whether tag can be told from others.
func equalsItself(tag cq.Tag) (ok bool) {
	defer func() { _ = recover() }()
	return tag == tag
}

func (q *reference) EndOp(tag cq.Tag, success bool, f cq.Finalizer, c *cq.Completion) {
	q.observe(func(o cq.Observer) { o.End(q, tag, success) })
	if q.has("success is lost") {
		success = true
	}
	ev := refEvent{cq.Event{Type: cq.OpComplete, Success: success, Tag: tag}, f, c}
	if fault := q.take(tag, c); fault {
		q.mustNot(true, "EndOp", tag)
		return
	}
	if q.kind == cq.Callback {
		q.call(ev)
		return
	}
	q.mu.Lock()
	if q.has("the finalizer runs at EndOp") && f != nil {
		q.mu.Unlock()
		f.CompletionDone(c)
		q.mu.Lock()
		ev.finalizer = nil
		delete(q.stored, c)
	}
	q.push(ev)
	q.wakeForEvent(tag)
	q.release()
}

// take removes the operation from those begun and reports whether EndOp was
// misused.
func (q *reference) take(tag cq.Tag, c *cq.Completion) (fault bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.begun[tag] == 0 || q.kind != cq.Callback && (c == nil || q.stored[c]) {
		return true
	}
	q.begun[tag]--
	q.stored[c] = q.kind != cq.Callback
	return false
}

// push makes an event available. Caller holds q.mu.
func (q *reference) push(ev refEvent) {
	q.ended++
	both := 0
	for _, tag := range q.plucked {
		if tag == ev.Tag {
			both++
		}
	}
	switch {
	case q.has("an event is lost") && q.ended%5 == 4:
	case q.has("the newest event comes first"):
		q.events = slices.Insert(q.events, 0, ev)
	case q.has("an event is delivered twice") && q.ended%5 == 4,
		q.has("each waiter for a tag gets the event") && both > 1:
		q.events = append(q.events, ev, ev)
	default:
		q.events = append(q.events, ev)
	}
}

// wakeForEvent wakes who may want an event that was pushed. Caller holds q.mu.
func (q *reference) wakeForEvent(tag cq.Tag) {
	switch {
	case q.has("EndOp wakes nobody"):
	case q.has("EndOp wakes one waiter, whatever its tag"):
		q.changed.Signal()
	case q.has("EndOp wakes a waiter only if the queue was empty") && len(q.events) != 1:
	case q.has("EndOp wakes a waiter only if the queue was empty"):
		q.changed.Signal()
	case q.ghosts > 0: // has("a wake-up goes to a waiter that gave up")
		q.ghosts--
	default:
		q.changed.Broadcast()
	}
}

// call delivers an event of a Callback queue.
func (q *reference) call(ev refEvent) {
	if !q.has("the observer is not told of the event of a callback") {
		q.observe(func(o cq.Observer) { o.Return(q, ev.Event) })
	}
	run := func() {
		if ev.finalizer != nil && !q.has("the finalizer runs after the functor") {
			ev.finalizer.CompletionDone(ev.storage)
		}
		ev.Tag.(cq.Functor).Run(ev.Success)
		if ev.finalizer != nil && q.has("the finalizer runs after the functor") {
			ev.finalizer.CompletionDone(ev.storage)
		}
	}
	release := func() { q.mu.Lock(); q.release() }
	switch {
	case q.has("the functor runs on a goroutine of its own"):
		go func() { defer release(); run() }()
	case q.has("the count is given up before the functor ran"):
		release()
		run()
	case q.has("a functor that does not return is counted for ever"):
		run()
		release()
	default:
		defer release()
		run()
	}
}

// release takes one off the count. Caller holds q.mu, which it lets go of.
func (q *reference) release() {
	q.pending--
	last := q.pending == 0
	switch {
	case !last || q.has("shutdown wakes nobody"):
	case q.has("shutdown wakes one waiter"):
		q.changed.Signal()
	default:
		q.changed.Broadcast()
	}
	q.mu.Unlock()
	if last {
		q.observe(func(o cq.Observer) { o.Shutdown(q) })
		if q.cfg.OnShutdown != nil && !q.has("the shutdown functor does not run") {
			q.cfg.OnShutdown.Run(true)
		}
	}
}

func (q *reference) Shutdown() {
	q.mu.Lock()
	if (q.closing && !q.has("each Shutdown counts")) || q.pending == 0 {
		q.mu.Unlock()
		if q.has("a Shutdown after the end tells of it again") {
			q.observe(func(o cq.Observer) { o.Shutdown(q) })
		}
		return
	}
	q.closing = true
	if q.has("Shutdown does not wait for what is outstanding") {
		q.pending = 1
	}
	q.release()
}

func (q *reference) Drain() {
	if q.has("Drain does not shut down") {
		return
	}
	q.Shutdown()
	forEver := time.Time{}
	if q.has("Drain does not wait for what is outstanding") {
		forEver = past
	}
	for q.wait(refWant{any: true}, forEver, nil).Type == cq.OpComplete {
	}
}

func (q *reference) Next(deadline time.Time) cq.Event {
	q.mustNot(q.kind != cq.Next, "Next", nil)
	return q.wait(refWant{any: true}, deadline, nil)
}

func (q *reference) TryNext() cq.Event {
	q.mustNot(q.kind != cq.Next, "TryNext", nil)
	if q.has("TryNext waits for a moment") {
		return q.Next(time.Now().Add(time.Millisecond))
	}
	return q.Next(past)
}

func (q *reference) NextDone(done <-chan struct{}) cq.Event {
	q.mustNot(q.kind != cq.Next, "NextDone", nil)
	return q.wait(refWant{any: true}, time.Time{}, done)
}

func (q *reference) Pluck(tag cq.Tag, deadline time.Time) cq.Event {
	q.mustNot(q.kind != cq.Pluck || !equalsItself(tag), "Pluck", tag)
	return q.wait(refWant{tag: tag}, deadline, nil)
}

func (q *reference) PluckDone(tag cq.Tag, done <-chan struct{}) cq.Event {
	q.mustNot(q.kind != cq.Pluck || !equalsItself(tag), "PluckDone", tag)
	return q.wait(refWant{tag: tag}, time.Time{}, done)
}
