// Package cqtest is the contract of a completion queue as a test kit.
//
// The cases that gRPC core has too begin with the name they have there
// (completion_queue_test.cc, completion_queue_threading_test.cc). Not mirrored:
// TestPollsetConversion and the polling types, since a queue here has no
// pollset; TestCqTlsCacheFull and TestCqTlsCacheEmpty, since there is no
// thread-local cache.
package cqtest

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A Factory returns a fresh queue. It is called inside the synctest bubble of
// each case, so what it returns must not hold channels made elsewhere.
type Factory = func(cq.CompletionType, cq.Config) *cq.Queue

// A kitCase is one sentence of the contract.
type kitCase struct {
	name  string
	kinds []cq.CompletionType
	real  bool // runs outside a bubble, for real parallelism
	test  func(t *testing.T, newQueue Factory, kind cq.CompletionType)
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
// cq's doc.
func Run(t *testing.T, newQueue Factory) {
	t.Helper()
	for _, tc := range slices.Concat(countingCases, waitingCases, nextCases, pluckCases, callbackCases, misuseCases) {
		for _, kind := range tc.kinds {
			t.Run(tc.name+"/"+kind.String(), func(t *testing.T) {
				if tc.real {
					tc.test(t, newQueue, kind)
					return
				}
				synctest.Test(t, func(t *testing.T) { tc.test(t, newQueue, kind) })
			})
		}
	}
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
func (o *op) begin(t testing.TB, q *cq.Queue) *op {
	t.Helper()
	if !q.BeginOp(o) {
		t.Fatal("BeginOp = false on a queue that has not shut down")
	}
	return o
}

// end ends o on q.
func (o *op) end(q *cq.Queue, success bool) { q.EndOp(o, success, o, &o.completion) }

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
func get(q *cq.Queue, o *op, deadline time.Time) cq.Event {
	if q.Type() == cq.Pluck {
		return q.Pluck(o, deadline)
	}
	return q.Next(deadline)
}

// getDone is get with a channel for the deadline.
func getDone(q *cq.Queue, o *op, done <-chan struct{}) cq.Event {
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
