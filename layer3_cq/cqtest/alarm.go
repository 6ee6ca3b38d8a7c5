package cqtest

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// An Alarm is what RunAlarm judges, on queues of type Q. What the methods have
// to do is said at those of [cq.Alarm], a pointer to which is one.
type Alarm[Q Queue] interface {
	// Set begins an operation on q that completes at deadline.
	Set(q Q, deadline time.Time, tag cq.Tag) bool
	// Cancel completes it now, without success.
	Cancel()
	// Close cancels the alarm, which is not set again.
	Close()
}

// RunAlarm checks the alarms that newAlarm returns on the queues that newQueue
// returns, which are those of Run. On a Callback queue a case has the name that
// it has there in gRPC core: CallbackRegularExpiry.
func RunAlarm[Q Queue, A Alarm[Q]](t *testing.T, newQueue func(cq.CompletionType, cq.Config) Q, newAlarm func() A) {
	t.Helper()
	k := alarmKit{
		newQueue: queuesOf(newQueue),
		newAlarm: func() Alarm[Queue] { return anyQueue[Q, A]{newAlarm()} },
	}
	for _, tc := range alarmCases() {
		for _, kind := range tc.kinds {
			t.Run(tc.nameOn(kind), func(t *testing.T) {
				run := func(t *testing.T) {
					h := k.harness(kind)
					tc.test(t, h)
					h.q.Drain()
				}
				if tc.real {
					run(t)
				} else {
					synctest.Test(t, run)
				}
			})
		}
	}
}

// anyQueue is an alarm for queues of type Q as one for queues of any type: it
// is only ever set on those of its own.
type anyQueue[Q Queue, A Alarm[Q]] struct{ alarm A }

// Set sets the alarm on q, which is a Q.
func (a anyQueue[Q, A]) Set(q Queue, deadline time.Time, tag cq.Tag) bool {
	return a.alarm.Set(q.(Q), deadline, tag)
}

// Cancel cancels the alarm.
func (a anyQueue[Q, A]) Cancel() { a.alarm.Cancel() }

// Close closes the alarm.
func (a anyQueue[Q, A]) Close() { a.alarm.Close() }

// An alarmKit makes what the cases work on.
type alarmKit struct {
	newQueue factory
	newAlarm func() Alarm[Queue]
}

// An alarmCase is one sentence of the contract.
type alarmCase struct {
	name  string
	kinds []cq.CompletionType
	real  bool // runs outside a bubble
	test  func(t *testing.T, h *alarmHarness)
}

// nameOn returns the name of the case on queues of one type.
func (tc alarmCase) nameOn(kind cq.CompletionType) string {
	if kind == cq.Callback && coreName(tc.name) != "" {
		return "Callback" + tc.name
	}
	return tc.name + "/" + kind.String()
}

// A fired is one delivery of an alarm.
type fired struct {
	ok    bool
	after time.Duration // since the start of the case
}

// An alarmHarness delivers the events of alarms on a queue of one type.
type alarmHarness struct {
	alarmKit
	q     Queue
	start time.Time
	fired chan fired

	mu sync.Mutex // taken by Run
}

// harness returns a harness on a fresh queue.
func (k alarmKit) harness(kind cq.CompletionType) *alarmHarness { return k.observed(kind, nil) }

// observed returns a harness on a fresh queue with an observer.
func (k alarmKit) observed(kind cq.CompletionType, obs cq.Observer) *alarmHarness {
	q := k.newQueue(kind, cq.Config{Name: "greeter", Debug: true, Observer: obs})
	return &alarmHarness{alarmKit: k, q: q, start: time.Now(), fired: make(chan fired, 100)}
}

// Run makes the harness the tag of its alarms.
func (h *alarmHarness) Run(ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fired <- fired{ok, time.Since(h.start)}
}

// set sets a at deadline, which must succeed.
func (h *alarmHarness) set(t testing.TB, a Alarm[Queue], deadline time.Time) {
	t.Helper()
	if !a.Set(h.q, deadline, h) {
		t.Fatal("Set = false on a queue that has not shut down")
	}
}

// next waits for a delivery, no longer than a minute; got tells whether one came.
func (h *alarmHarness) next() (f fired, got bool) {
	if h.q.Type() == cq.Callback {
		select {
		case f = <-h.fired:
			return f, true
		case <-time.After(time.Minute):
			return f, false
		}
	}
	ev := h.q.Next
	if h.q.Type() == cq.Pluck {
		ev = func(deadline time.Time) cq.Event { return h.q.Pluck(h, deadline) }
	}
	e := ev(time.Now().Add(time.Minute))
	return fired{e.Success, time.Since(h.start)}, e.Type == cq.OpComplete && e.Tag == h
}

// expect fails the test unless the next delivery is (ok, after).
func (h *alarmHarness) expect(t testing.TB, ok bool, after time.Duration) {
	t.Helper()
	f, got := h.next()
	if want := (fired{ok, after}); !got || f != want {
		t.Fatalf("delivered %t: %+v, want %+v", got, f, want)
	}
}

// expectNone fails the test if anything more is delivered within a minute.
func (h *alarmHarness) expectNone(t testing.TB) {
	t.Helper()
	if f, got := h.next(); got {
		t.Fatalf("delivered %+v, want nothing", f)
	}
}

// expectNothingThere fails the test if there is an event.
func (h *alarmHarness) expectNothingThere(t testing.TB) {
	t.Helper()
	there := len(h.fired) != 0
	switch h.q.Type() {
	case cq.Next:
		there = h.q.Next(past).Type == cq.OpComplete
	case cq.Pluck:
		there = h.q.Pluck(h, past).Type == cq.OpComplete
	}
	if there {
		t.Fatal("there is an event too many")
	}
}

// expectMisuse fails the test unless set panics and names Set and the queue,
// with nothing begun.
func (h *alarmHarness) expectMisuse(t *testing.T, set func()) {
	t.Helper()
	before := h.q.Pending()
	text := panicText(set)
	for _, want := range []string{"Set", `"greeter"`, h.q.Type().String()} {
		if !strings.Contains(text, want) {
			t.Errorf("panicked with %q, want %q in it", text, want)
		}
	}
	if got := h.q.Pending(); got != before {
		t.Errorf("Pending = %d after the panic, want %d", got, before)
	}
}
