// Package cqtest is the contract of a completion queue, and of its alarms, as a
// test kit that judges anybody's.
//
// The cases that gRPC core has too begin with the name they have there
// (completion_queue_test.cc, completion_queue_threading_test.cc, alarm_test.cc).
// TestNames has the list of them all, and the reason of each that is not here.
// TestMutants shows that no case is decorative: for each there is a queue with
// one mistake that it tells from a right one.
//
// Not judged, since only a [cq.Queue] can be judged by it: that nothing is
// allocated, and Init.
package cqtest

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A Queue is what the kit judges. What the methods have to do is said at those
// of [cq.Queue], which is one. An implementation that cannot use the storage in
// a [cq.Completion], whose fields are private, brings its own, and hands the
// Completion to the Finalizer as its contract says.
type Queue interface {
	// Type returns how the queue delivers its events.
	Type() cq.CompletionType
	// Pending returns how many operations are begun and not ended, plus one
	// until Shutdown is called.
	Pending() int

	// BeginOp announces an operation, and is false once the queue has shut down.
	BeginOp(tag cq.Tag) bool
	// EndOp completes the operation that was begun with tag.
	EndOp(tag cq.Tag, success bool, f cq.Finalizer, c *cq.Completion)

	// Next returns the oldest event of a Next queue.
	Next(deadline time.Time) cq.Event
	// TryNext is Next without waiting.
	TryNext() cq.Event
	// NextDone is Next with a channel for a deadline.
	NextDone(done <-chan struct{}) cq.Event

	// Pluck returns the oldest event of tag of a Pluck queue.
	Pluck(tag cq.Tag, deadline time.Time) cq.Event
	// PluckDone is Pluck with a channel for a deadline.
	PluckDone(tag cq.Tag, done <-chan struct{}) cq.Event

	// Shutdown begins the end: what was begun still completes.
	Shutdown()
	// Drain shuts the queue down and takes what is left.
	Drain()
}

// A factory returns a fresh queue.
type factory = func(cq.CompletionType, cq.Config) Queue

// A kitCase is one sentence of the contract.
type kitCase struct {
	name  string
	kinds []cq.CompletionType
	real  bool // runs outside a bubble, for real parallelism
	test  func(t *testing.T, newQueue factory, kind cq.CompletionType)
}

var (
	all     = []cq.CompletionType{cq.Next, cq.Pluck, cq.Callback}
	waiting = []cq.CompletionType{cq.Next, cq.Pluck}
	next    = []cq.CompletionType{cq.Next}
	pluck   = []cq.CompletionType{cq.Pluck}
	calling = []cq.CompletionType{cq.Callback}

	notNext  = []cq.CompletionType{cq.Pluck, cq.Callback}
	notPluck = []cq.CompletionType{cq.Next, cq.Callback}
)

// Run checks the queues that newQueue returns against the contract in package
// cq's doc. Each case gets queues of its own, made inside its synctest bubble,
// so that they must not hold channels made elsewhere.
func Run[Q Queue](t *testing.T, newQueue func(cq.CompletionType, cq.Config) Q) {
	t.Helper()
	for _, tc := range cases() {
		for _, kind := range tc.kinds {
			t.Run(tc.name+"/"+kind.String(), func(t *testing.T) {
				run := func(t *testing.T) { tc.test(t, queuesOf(newQueue), kind) }
				if tc.real {
					run(t)
				} else {
					synctest.Test(t, run)
				}
			})
		}
	}
}

// cases returns what Run runs.
func cases() []kitCase {
	return slices.Concat(countingCases, waitingCases, nextCases, pluckCases, callbackCases,
		observerCases, stressCases, misuseCases())
}

// coreName returns the name that the case called name has in gRPC core, empty if
// it has none there.
func coreName(name string) string {
	word, _, found := strings.Cut(name, ":")
	if !found || strings.Contains(word, " ") {
		return ""
	}
	return word
}

// queuesOf forgets the type of the queues that newQueue returns.
func queuesOf[Q Queue](newQueue func(cq.CompletionType, cq.Config) Q) factory {
	return func(kind cq.CompletionType, cfg cq.Config) Queue { return newQueue(kind, cfg) }
}

// An op is an operation that a test begins and ends.
type op struct {
	completion cq.Completion
	runs       []bool // what its functor was run with
	delivered  int    // how often its finalizer ran
	then       func() // what the finalizer does
}

// Run makes an op the tag of a Callback queue.
func (o *op) Run(ok bool) { o.runs = append(o.runs, ok) }

// CompletionDone makes an op its own finalizer.
func (o *op) CompletionDone(*cq.Completion) {
	o.delivered++
	if o.then != nil {
		o.then()
	}
}

// begin begins o on q, which must succeed.
func (o *op) begin(t testing.TB, q Queue) *op {
	t.Helper()
	if !q.BeginOp(o) {
		t.Fatal("BeginOp = false on a queue that has not shut down")
	}
	return o
}

// end ends o on q.
func (o *op) end(q Queue, success bool) { q.EndOp(o, success, o, &o.completion) }

// A functorFunc is a func as the tag of a Callback queue. It is used through a
// pointer, since funcs cannot be compared.
type functorFunc func(ok bool)

func (f *functorFunc) Run(ok bool) { (*f)(ok) }

// functor returns f as a tag.
func functor(f functorFunc) *functorFunc { return &f }

// complete is the event of o.
func complete(o *op, success bool) cq.Event {
	return cq.Event{Type: cq.OpComplete, Success: success, Tag: o}
}

var (
	timeout  = cq.Event{Type: cq.QueueTimeout}
	shutdown = cq.Event{Type: cq.QueueShutdown}
)

// expect fails the test unless got is want; call says what returned it.
func expect(t testing.TB, call string, got, want cq.Event) {
	t.Helper()
	if got != want {
		t.Fatalf("%s = {%v success=%t tag=%p}, want {%v success=%t tag=%p}",
			call, got.Type, got.Success, got.Tag, want.Type, want.Success, want.Tag)
	}
}

// get asks a Next queue for any event, a Pluck queue for that of o.
func get(q Queue, o *op, deadline time.Time) cq.Event {
	if q.Type() == cq.Pluck {
		return q.Pluck(o, deadline)
	}
	return q.Next(deadline)
}

// getDone is get with a channel for the deadline.
func getDone(q Queue, o *op, done <-chan struct{}) cq.Event {
	if q.Type() == cq.Pluck {
		return q.PluckDone(o, done)
	}
	return q.NextDone(done)
}

// inf is a deadline that never comes; past is one that always has.
var (
	inf  time.Time
	past = time.Unix(0, 0)
)

// ops returns n operations.
func ops(n int) []*op {
	s := make([]*op, n)
	for i := range s {
		s[i] = new(op)
	}
	return s
}
