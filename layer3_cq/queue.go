package cq

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
)

// A Queue is a completion queue. All methods but Init may run at once on any
// number of goroutines.
//
// The zero Queue behaves as one that has shut down; [New] or [Queue.Init] make
// it usable. A Queue must not be copied.
//
// Invariant: count.pending == operations begun and not taken out of the count +
// (closing ? 0 : 1). EndOp takes its own out, or who empties the inbox does.
// Invariant: no waiter is parked whose event is in done, and none at all once
// count.pending == 0. On a Next queue, inbox is barred while one is parked.
type Queue struct {
	// Set by Init, read-only afterwards.
	kind CompletionType
	cfg  Config

	mu sync.Mutex // a leaf: nothing else is locked and no user code runs under it
	// Guarded by mu.
	closing   bool    // Shutdown was called
	done      list    // completed, not delivered
	parked    *waiter // waiting goroutines, newest first
	pluckers  int     // those of them that wait for one tag
	free      *waiter // waiters kept for reuse
	freeCount int
	begun     []Tag // with Config.Debug: begun and not ended

	// Atomic.
	count count
	inbox inbox // Next queues: completed since done was filled
}

// New returns a queue that delivers events in the way t says.
func New(t CompletionType, cfg Config) *Queue {
	q := new(Queue)
	q.Init(t, cfg)
	return q
}

// Init makes q a fresh queue. It is for queues that are embedded in a block of
// memory that is used again and again: it allocates nothing, and what q needed
// to park its callers is kept.
//
// q is zero, or idle (nothing begun, nothing to deliver, nobody waiting), or
// has shut down and is drained; anything else panics. The caller makes sure
// that no goroutine is inside a method of q. An EndOp whose event was already
// delivered does not count: it may still be on its way out.
func (q *Queue) Init(t CompletionType, cfg Config) {
	switch {
	case t > Callback:
		misuse("Init", t, cfg.Name, "there is no such type")
	case cfg.OnShutdown != nil && t != Callback:
		misuse("Init", t, cfg.Name, "Config.OnShutdown is for CALLBACK queues only")
	}
	// The mutex is used, not overwritten: that EndOp may be unlocking it.
	q.mu.Lock()
	q.collectLocked()
	if q.outstandingLocked() != 0 || q.done.head != nil || q.parked != nil {
		n, begun, drained, idle := q.outstandingLocked(), slices.Clone(q.begun), q.done.head == nil, q.parked == nil
		q.mu.Unlock()
		tags := ""
		for _, tag := range begun { // with Config.Debug
			tags += ", " + tagText(tag)
		}
		q.misuse("Init", fmt.Sprintf("in use: operations outstanding: %d%s, drained: %t, nobody waiting: %t",
			n, tags, drained, idle))
	}
	q.kind, q.cfg = t, cfg
	q.closing = false
	q.count.reset()
	q.inbox.bar()
	q.openLocked()
	q.mu.Unlock()
	if cfg.Observer != nil {
		cfg.Observer.Create(q)
	}
}

// Type returns how the queue delivers its events.
func (q *Queue) Type() CompletionType { return q.kind }

// Name returns the name that the queue was configured with.
func (q *Queue) Name() string { return q.cfg.Name }

// Observer returns the observer that the queue was configured with.
func (q *Queue) Observer() Observer { return q.cfg.Observer }

// Pending returns how many operations are begun and not ended, plus one until
// Shutdown is called, as gRPC core counts. It is 0 once the queue has shut down.
func (q *Queue) Pending() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.barLocked() // or ends that come between emptying and counting would be missed
	n := q.count.pending()
	q.openLocked()
	return n
}

// BeginOp announces an operation that EndOp will end with the same tag. It
// reports false, and counts nothing, when the queue has shut down. While
// operations are outstanding it succeeds even after Shutdown, since an
// operation in flight may have to start another one.
func (q *Queue) BeginOp(tag Tag) bool {
	if q.kind == Callback {
		q.functor("BeginOp", tag)
	}
	if q.kind == Pluck || q.cfg.Debug {
		if fault := tagFault(tag); fault != "" {
			q.misuse("BeginOp", fmt.Sprintf("got tag %s, which %s", tagText(tag), fault))
		}
	}
	if !q.count.begin() {
		return false
	}
	if q.cfg.Debug {
		q.mu.Lock()
		q.begun = append(q.begun, tag)
		q.mu.Unlock()
	}
	if obs := q.cfg.Observer; obs != nil {
		obs.Begin(q, tag)
	}
	return true
}

// EndOp completes the operation that was begun with tag and makes its event
// available. c holds the event until it is dequeued; then f, if not nil, is
// told. On a Callback queue EndOp runs f and then the tag before it returns, c
// is only handed to f and may be nil.
//
// On Next and Pluck queues the event may be delivered, and the memory that
// holds c and the queue be used for something else, before EndOp returns; it
// touches neither after it let the event go.
func (q *Queue) EndOp(tag Tag, success bool, f Finalizer, c *Completion) {
	if obs := q.cfg.Observer; obs != nil {
		obs.End(q, tag, success)
	}
	if q.kind == Callback {
		q.endCallback(tag, success, f, c)
		return
	}
	if q.kind == Next && q.endUnlocked(tag, success, f, c) {
		return
	}
	q.mu.Lock()
	if q.kind == Next {
		q.collectLocked()
	}
	if fault := q.faultLocked(tag); fault != "" || c == nil || c.linked {
		q.mu.Unlock()
		q.misuse("EndOp", endFault(fault, tag, c))
	}
	c.tag, c.success, c.finalizer, c.linked = tag, success, f, true
	// A waiter gets the event from here rather than a hint to look for it: K
	// events wake K waiters, and no event waits for one that has given up.
	w := q.waiterForLocked(tag)
	if w != nil {
		q.unparkLocked(w)
		q.openLocked()
	} else {
		q.done.push(list{c, c})
	}
	var end ending
	last := q.releaseLocked(&end)
	q.mu.Unlock()
	if w != nil {
		w.wake <- c // never blocks: one token for each parking
	}
	if last {
		end.run()
	}
}

// endUnlocked is EndOp on a Next queue where nobody waits. It reports false, and
// does nothing, if that takes the lock, or if something is wrong.
func (q *Queue) endUnlocked(tag Tag, success bool, f Finalizer, c *Completion) bool {
	if q.inbox.isBarred() || c == nil || c.linked || !q.count.end() {
		return false
	}
	c.tag, c.success, c.finalizer, c.linked = tag, success, f, true
	if q.inbox.add(c) {
		return true // nothing of the queue is touched after that
	}
	c.next, c.linked = nil, false
	q.count.undoEnd()
	return false
}

// collectLocked moves what is in the inbox to the list. Caller holds q.mu.
func (q *Queue) collectLocked() { q.addLocked(q.inbox.take()) }

// barLocked is collectLocked, and makes EndOp take the lock. Caller holds q.mu.
func (q *Queue) barLocked() { q.addLocked(q.inbox.bar()) }

// addLocked appends to the list what comes from the inbox. Caller holds q.mu.
func (q *Queue) addLocked(l list, n int64) {
	if n > 0 {
		q.count.collect(n)
		q.done.push(l)
	}
}

// openLocked lets EndOp do without the lock, if it may. Caller holds q.mu.
func (q *Queue) openLocked() {
	if q.kind == Next && !q.closing && !q.cfg.Debug && q.parked == nil {
		q.inbox.open()
	}
}

// faultLocked says what is wrong with ending tag, empty for nothing, and
// removes it from the tags begun. Caller holds q.mu.
func (q *Queue) faultLocked(tag Tag) string {
	if q.outstandingLocked() == 0 {
		return "no operation was begun"
	}
	if !q.cfg.Debug {
		return ""
	}
	for i, t := range q.begun {
		if sameTag(t, tag) {
			last := len(q.begun) - 1
			q.begun[i], q.begun[last] = q.begun[last], nil
			q.begun = q.begun[:last]
			return ""
		}
	}
	return "it was never begun"
}

// endFault words the misuse of EndOp that fault or c shows.
func endFault(fault string, tag Tag, c *Completion) string {
	switch {
	case fault != "":
	case c == nil:
		fault = "the Completion is nil"
	default:
		fault = "the Completion still holds an event that was not dequeued"
	}
	return fmt.Sprintf("got tag %s: %s", tagText(tag), fault)
}

// outstandingLocked returns how many operations are begun and not ended.
// Caller holds q.mu.
func (q *Queue) outstandingLocked() int {
	n := q.count.pending()
	if q.closing || n == 0 {
		return n
	}
	return n - 1
}

// tagFault says why tag cannot be told from others, empty if it can. A queue
// that compares tags asks before it counts one, so that comparing never panics.
func tagFault(tag Tag) string {
	t := reflect.TypeOf(tag)
	if t == nil {
		return ""
	}
	switch k := t.Kind(); {
	case k == reflect.Pointer, k == reflect.String, k <= reflect.Uintptr: // nearly every tag
		return ""
	default:
		return valueFault(tag)
	}
}

// valueFault is tagFault for what may be incomparable, or not equal itself.
func valueFault(tag Tag) (fault string) {
	defer func() {
		if recover() != nil {
			fault = "cannot be compared"
		}
	}()
	if !sameTag(tag, tag) {
		return "does not equal itself"
	}
	return ""
}

// sameTag reports whether a and b are the same tag. It panics if they are of
// one type that cannot be compared.
func sameTag(a, b Tag) bool { return a == b }

// misuse panics as gRPC core aborts: the program broke the contract of method.
func (q *Queue) misuse(method, fault string) { misuse(method, q.kind, q.cfg.Name, fault) }

// misuse is Queue.misuse for a queue to be.
func misuse(method string, t CompletionType, name, fault string) {
	if name != "" {
		name = fmt.Sprintf(" %q", name)
	}
	panic(fmt.Sprintf("cq: %s on %v queue%s: %s", method, t, name, fault))
}
