package cqtest

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// alarmCases returns what RunAlarm runs. Those with a single word before the
// colon are gRPC core's.
func alarmCases() []alarmCase {
	return slices.Concat(expiryCases, cancelCases, cycleCases)
}

var expiryCases = []alarmCase{
	{name: "RegularExpiry: the event has success, and comes at the deadline", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		h.set(t, h.newAlarm(), h.start.Add(time.Second))
		h.expect(t, true, time.Second)
		h.expectNone(t)
	}},
	{name: "RegularExpiryMultiSet: an alarm may be set again once its event was delivered", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		a := h.newAlarm()
		for i := range 3 {
			h.set(t, a, time.Now().Add(time.Second))
			h.expect(t, true, time.Duration(i+1)*time.Second)
		}
		h.expectNone(t)
	}},
	{name: "RegularExpiryMultiSetMultiCQ: on another queue, too", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		a := h.newAlarm()
		for range 3 {
			other := h.harness(h.q.Type())
			other.set(t, a, time.Now().Add(time.Second))
			other.expect(t, true, time.Second)
			other.q.Drain()
		}
		h.expectNone(t)
	}},
	{name: "MultithreadedRegularExpiry: many alarms are set on one queue at once", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		var wg sync.WaitGroup
		const n = 20
		for range n {
			wg.Go(func() {
				if !h.newAlarm().Set(h.q, h.start.Add(time.Second), h) {
					t.Error("Set = false on a queue that has not shut down")
				}
			})
		}
		wg.Wait()
		for range n {
			h.expect(t, true, time.Second)
		}
	}},
	{name: "RegularExpiryChrono: a deadline of the wall clock alone is as good", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		h.set(t, h.newAlarm(), h.start.Add(time.Second).Round(0)) // strips the monotonic reading
		h.expect(t, true, time.Second)
	}},
	{name: "ZeroExpiry: a deadline of now", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		h.set(t, h.newAlarm(), time.Now())
		h.expect(t, true, 0)
	}},
	{name: "NegativeExpiry: a deadline in the past", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		h.set(t, h.newAlarm(), time.Now().Add(-time.Second))
		h.expect(t, true, 0)
	}},
	{name: "InfPastExpiry: a deadline before all clocks", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		h.set(t, h.newAlarm(), past)
		h.expect(t, true, 0)
		h.set(t, h.newAlarm(), time.Unix(-1<<40, 0)) // further than a Duration reaches
		h.expect(t, true, 0)
	}},
	{name: "the zero deadline never comes", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		a := h.newAlarm()
		h.set(t, a, inf)
		h.expectNone(t)
		a.Cancel()
		h.expect(t, false, time.Minute)
	}},
	{name: "Drain waits for an alarm that is set", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		h.set(t, h.newAlarm(), h.start.Add(time.Second))
		h.q.Drain()
		if got := time.Since(h.start); got != time.Second {
			t.Errorf("Drain took %v, want 1s", got)
		}
	}},
	{name: "Set on a queue that has shut down is false, and leaves the alarm as it was", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		a := h.newAlarm()
		h.q.Drain()
		if a.Set(h.q, time.Now(), h) {
			t.Error("Set = true on a queue that has shut down")
		}
		other := h.harness(h.q.Type())
		other.set(t, a, time.Now())
		other.expect(t, true, 0)
	}},
}

var cancelCases = []alarmCase{
	{name: "Cancellation: the event has no success, and is there at once", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		a := h.newAlarm()
		h.set(t, a, h.start.Add(2*time.Second))
		a.Cancel()
		a.Cancel()
		if h.q.Type() == cq.Next {
			expect(t, "TryNext", h.q.TryNext(), cq.Event{Type: cq.OpComplete, Tag: h})
		} else {
			h.expect(t, false, 0)
		}
		h.expectNone(t)
	}},
	{name: "CancellationMultiSet: an alarm may be set again after a cancellation", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		a := h.newAlarm()
		for range 3 {
			h.set(t, a, h.start.Add(time.Second))
			a.Cancel()
			h.expect(t, false, 0)
		}
		h.set(t, a, h.start.Add(time.Second))
		h.expect(t, true, time.Second)
		h.expectNone(t)
	}},
	{name: "CancellationLocked: Cancel and Set may hold the lock that the functor takes", kinds: calling, test: testCancelLocked},
	{name: "SetDestruction: closing an alarm that is set cancels it", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		a := h.newAlarm()
		h.set(t, a, h.start.Add(2*time.Second))
		a.Close()
		a.Close()
		h.expect(t, false, 0)
		h.expectNone(t)
	}},
	{name: "UnsetDestruction: closing one that is not set delivers nothing", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		h.newAlarm().Close()
		a := h.newAlarm()
		h.set(t, a, h.start)
		h.expect(t, true, 0)
		a.Close()
		h.expectNone(t)
	}},
	{name: "a Close amid Set cancels the alarm, too", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		a := h.newAlarm()
		o := h.observed(h.q.Type(), &atBegin{Observer: new(recorder), do: a.Close})
		o.set(t, a, inf)
		o.expect(t, false, 0)
		o.q.Drain()
	}},
	{name: "Cancel before Set and after the expiry does nothing", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		a := h.newAlarm()
		a.Cancel()
		h.set(t, a, h.start.Add(time.Second))
		h.expect(t, true, time.Second)
		a.Cancel()
		h.expectNone(t)
	}},
	{name: "a Cancel that meets the expiry makes no second event", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		a := h.newAlarm()
		for i := range 200 {
			at := time.Duration(i+1) * time.Second
			h.set(t, a, h.start.Add(at))
			time.AfterFunc(time.Until(h.start.Add(at)), a.Cancel)
			f, got := h.next()
			if !got || f.after != at {
				t.Fatalf("round %d: delivered %t: %+v", i, got, f)
			}
			synctest.Wait() // until Cancel returned; it must not see the next Set
		}
		h.expectNone(t)
	}},
	{name: "of many Cancels at once one has effect", kinds: all, real: true, test: testCancelRace},
}

var cycleCases = []alarmCase{
	{name: "a functor may set its own alarm", kinds: calling, test: func(t *testing.T, h *alarmHarness) {
		a, left := h.newAlarm(), 5
		var again *functorFunc
		again = functor(func(bool) {
			if left--; left > 0 && !a.Set(h.q, time.Now().Add(time.Second), again) {
				t.Error("Set = false in a functor")
			}
		})
		a.Set(h.q, time.Now().Add(time.Second), again)
		h.q.Drain() // the chain goes on, since its operation is outstanding
		if got := time.Since(h.start); got != 5*time.Second || left != 0 {
			t.Errorf("five rounds took %v with %d left, want 5s and none", got, left)
		}
	}},
	{name: "misuse panics: Set of an alarm that is set", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		a := h.newAlarm()
		h.set(t, a, h.start.Add(time.Second))
		h.expectMisuse(t, func() { a.Set(h.q, time.Now(), h) })
		h.expect(t, true, time.Second)
		h.expectNone(t)
	}},
	{name: "misuse panics: Set before the last event was delivered", kinds: waiting, test: func(t *testing.T, h *alarmHarness) {
		a := h.newAlarm()
		h.set(t, a, h.start.Add(time.Second))
		a.Cancel()
		h.expectMisuse(t, func() { a.Set(h.q, time.Now(), h) })
		h.expect(t, false, 0)
	}},
	{name: "misuse panics: Set after Close", kinds: all, test: func(t *testing.T, h *alarmHarness) {
		a := h.newAlarm()
		a.Close()
		h.expectMisuse(t, func() { a.Set(h.q, time.Now(), h) })
	}},
	{name: "an alarm is as it was after BeginOp panicked in Set", kinds: []cq.CompletionType{cq.Pluck, cq.Callback}, test: func(t *testing.T, h *alarmHarness) {
		a := h.newAlarm()
		if text := panicText(func() { a.Set(h.q, time.Now(), []int{1}) }); text == "" {
			t.Error("Set with a tag that the queue refuses did not panic")
		}
		h.set(t, a, h.start.Add(time.Second))
		h.expect(t, true, time.Second)
	}},
}

// atBegin is an observer that does something in the middle of a Set, when the
// operation was begun.
type atBegin struct {
	cq.Observer
	do func()
}

// Begin does it.
func (o *atBegin) Begin(id cq.Identity, tag cq.Tag) { o.do() }

// testCancelLocked holds the lock of the tag around Cancel, and around a Set
// whose deadline is now.
func testCancelLocked(t *testing.T, h *alarmHarness) {
	a := h.newAlarm()
	for _, step := range []struct {
		deadline time.Time
		cancel   bool
	}{
		{h.start.Add(time.Hour), true},
		{inf, true},
		{h.start, false},
	} {
		h.mu.Lock()
		h.set(t, a, step.deadline)
		if step.cancel {
			a.Cancel()
		}
		h.mu.Unlock()
		h.expect(t, !step.cancel, 0)
	}
	h.expectNone(t)
}

// testCancelRace cancels from several processors at once.
func testCancelRace(t *testing.T, h *alarmHarness) {
	a := h.newAlarm()
	for _, deadline := range []time.Time{inf, time.Now().Add(time.Hour)} {
		for range 200 {
			h.set(t, a, deadline)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(a.Cancel)
			}
			if f, got := h.next(); !got || f.ok {
				t.Fatalf("delivered %t: %+v, want one cancellation", got, f)
			}
			wg.Wait()
			h.expectNothingThere(t)
		}
	}
	h.q.Drain()
	h.expectNothingThere(t)
}
