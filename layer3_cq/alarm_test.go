package cq_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// The cases of gRPC core's alarm_test.cc, by name. Not mirrored: MoveConstructor
// and MoveAssignment (an Alarm is not copied), RegularExpiryChrono and
// DeprecatedRegularExpiry (there is one kind of time and one constructor).

// A fired is one delivery of an alarm.
type fired struct {
	ok    bool
	after time.Duration // since the clock of the case was started
}

// An alarmHarness delivers the events of alarms on a queue of one type.
type alarmHarness struct {
	q     *cq.Queue
	start time.Time
	fired chan fired
}

func newAlarmHarness(kind cq.CompletionType) *alarmHarness {
	return &alarmHarness{q: cq.New(kind, cq.Config{Debug: true}), start: time.Now(), fired: make(chan fired, 100)}
}

// Run makes the harness the tag of its alarms.
func (h *alarmHarness) Run(ok bool) { h.fired <- fired{ok, time.Since(h.start)} }

// next waits for a delivery, no longer than a minute; got tells whether one came.
func (h *alarmHarness) next() (f fired, got bool) {
	switch h.q.Type() {
	case cq.Callback:
		select {
		case f = <-h.fired:
			return f, true
		case <-time.After(time.Minute):
			return f, false
		}
	case cq.Pluck:
		ev := h.q.Pluck(h, time.Now().Add(time.Minute))
		return fired{ev.Success, time.Since(h.start)}, ev.Type == cq.OpComplete
	default:
		ev := h.q.Next(time.Now().Add(time.Minute))
		return fired{ev.Success, time.Since(h.start)}, ev.Type == cq.OpComplete && ev.Tag == h
	}
}

// expect fails the test unless the next delivery is (ok, after).
func (h *alarmHarness) expect(t *testing.T, ok bool, after time.Duration) {
	t.Helper()
	f, got := h.next()
	if want := (fired{ok, after}); !got || f != want {
		t.Fatalf("delivered %t: %+v, want %+v", got, f, want)
	}
}

// expectNone fails the test if anything more is delivered within a minute.
func (h *alarmHarness) expectNone(t *testing.T) {
	t.Helper()
	if f, got := h.next(); got {
		t.Fatalf("delivered %+v, want nothing", f)
	}
}

// An alarmCase runs on a queue of each type.
type alarmCase struct {
	name string
	test func(t *testing.T, h *alarmHarness)
}

var alarmCases = []alarmCase{
	{"RegularExpiry", func(t *testing.T, h *alarmHarness) {
		var a cq.Alarm
		a.Set(h.q, h.start.Add(time.Second), h)
		h.expect(t, true, time.Second)
		h.expectNone(t)
	}},
	{"RegularExpiryMultiSet", func(t *testing.T, h *alarmHarness) {
		var a cq.Alarm
		for i := range 3 {
			a.Set(h.q, time.Now().Add(time.Second), h)
			h.expect(t, true, time.Duration(i+1)*time.Second)
		}
	}},
	{"RegularExpiryMultiSetMultiCQ", func(t *testing.T, h *alarmHarness) {
		var a cq.Alarm
		for range 3 {
			other := newAlarmHarness(h.q.Type())
			a.Set(other.q, time.Now().Add(time.Second), other)
			other.expect(t, true, time.Second)
			other.q.Drain()
		}
		h.expectNone(t)
	}},
	{"ZeroExpiry", func(t *testing.T, h *alarmHarness) {
		var a cq.Alarm
		a.Set(h.q, time.Now(), h)
		h.expect(t, true, 0)
	}},
	{"NegativeExpiry", func(t *testing.T, h *alarmHarness) {
		var a cq.Alarm
		a.Set(h.q, time.Now().Add(-time.Second), h)
		h.expect(t, true, 0)
	}},
	{"InfPastExpiry", func(t *testing.T, h *alarmHarness) {
		var a cq.Alarm
		a.Set(h.q, time.Unix(0, 0), h)
		h.expect(t, true, 0)
	}},
	{"InfFuture", func(t *testing.T, h *alarmHarness) {
		var a cq.Alarm
		a.Set(h.q, time.Time{}, h)
		h.expectNone(t)
		a.Cancel()
		h.expect(t, false, time.Minute)
	}},
	{"Cancellation", func(t *testing.T, h *alarmHarness) {
		var a cq.Alarm
		a.Set(h.q, h.start.Add(2*time.Second), h)
		a.Cancel()
		a.Cancel()
		h.expect(t, false, 0)
		h.expectNone(t)
	}},
	{"CancellationMultiSet", func(t *testing.T, h *alarmHarness) {
		var a cq.Alarm
		for range 3 {
			a.Set(h.q, h.start.Add(time.Second), h)
			a.Cancel()
			h.expect(t, false, 0)
		}
		a.Set(h.q, h.start.Add(time.Second), h)
		h.expect(t, true, time.Second)
	}},
	{"CancelBeforeSet", func(t *testing.T, h *alarmHarness) {
		var a cq.Alarm
		a.Cancel()
		a.Set(h.q, h.start.Add(time.Second), h)
		h.expect(t, true, time.Second)
		a.Cancel()
		h.expectNone(t)
	}},
	{"CancelMeetsExpiry", func(t *testing.T, h *alarmHarness) {
		var a cq.Alarm
		for i := range 200 {
			at := time.Duration(i+1) * time.Second
			a.Set(h.q, h.start.Add(at), h)
			time.AfterFunc(time.Until(h.start.Add(at)), a.Cancel)
			f, got := h.next()
			if !got || f.after != at {
				t.Fatalf("round %d: delivered %t: %+v", i, got, f)
			}
			synctest.Wait() // until Cancel returned; it must not see the next Set
		}
		h.expectNone(t) // each Set once
	}},
	{"SetDestruction", func(t *testing.T, h *alarmHarness) {
		var a cq.Alarm
		a.Set(h.q, h.start.Add(2*time.Second), h)
		a.Close()
		a.Close()
		h.expect(t, false, 0)
		h.expectNone(t)
	}},
	{"UnsetDestruction", func(t *testing.T, h *alarmHarness) {
		var a cq.Alarm
		a.Close()
		h.expectNone(t)
	}},
	{"MultithreadedRegularExpiry", func(t *testing.T, h *alarmHarness) {
		alarms := make([]cq.Alarm, 20)
		var wg sync.WaitGroup
		for i := range alarms {
			wg.Go(func() { alarms[i].Set(h.q, h.start.Add(time.Second), h) })
		}
		wg.Wait()
		for range alarms {
			h.expect(t, true, time.Second)
		}
	}},
	{"SetOnShutQueue", func(t *testing.T, h *alarmHarness) {
		var a cq.Alarm
		h.q.Drain()
		if a.Set(h.q, time.Now(), h) {
			t.Error("Set = true on a queue that has shut down")
		}
		other := newAlarmHarness(h.q.Type())
		if !a.Set(other.q, time.Now(), other) {
			t.Error("Set = false on another queue")
		}
		other.expect(t, true, 0)
	}},
	{"DrainWaitsForAlarm", func(t *testing.T, h *alarmHarness) {
		var a cq.Alarm
		a.Set(h.q, h.start.Add(time.Second), h)
		h.q.Drain()
		if got := time.Since(h.start); got != time.Second {
			t.Errorf("Drain took %v, want 1s", got)
		}
	}},
}

func TestAlarm(t *testing.T) {
	for _, tc := range alarmCases {
		for _, kind := range []cq.CompletionType{cq.Next, cq.Pluck, cq.Callback} {
			t.Run(tc.name+"/"+kind.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newAlarmHarness(kind)
					tc.test(t, h)
					h.q.Drain()
				})
			})
		}
	}
}

// TestAlarmCancelRace cancels from several processors at once: one delivery.
func TestAlarmCancelRace(t *testing.T) {
	for _, kind := range []cq.CompletionType{cq.Next, cq.Callback} {
		h := newAlarmHarness(kind)
		var a cq.Alarm
		for _, deadline := range []time.Time{{}, time.Now().Add(time.Hour)} {
			for range 500 {
				a.Set(h.q, deadline, h)
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(a.Cancel)
				}
				if f, got := h.next(); !got || f.ok {
					t.Fatalf("%v: delivered %t: %+v, want one cancellation", kind, got, f)
				}
				wg.Wait()
			}
		}
		h.q.Drain()
		if len(h.fired) != 0 {
			t.Errorf("%v: %d deliveries too many", kind, len(h.fired))
		}
	}
}

// lockedTag is a functor that takes the lock under which its alarm is used.
type lockedTag struct {
	mu   sync.Mutex
	runs []bool
}

func (l *lockedTag) Run(ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs = append(l.runs, ok)
}

// TestAlarmCallbackLocked is CallbackCancellationLocked, and the same for Set:
// neither runs the functor inside, so both may hold the lock that it takes.
func TestAlarmCallbackLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := cq.New(cq.Callback, cq.Config{})
		tag := new(lockedTag)
		var a cq.Alarm
		for _, step := range []struct {
			deadline time.Time
			cancel   bool
		}{
			{time.Now().Add(time.Hour), true},
			{time.Time{}, true},
			{time.Now(), false},
		} {
			tag.mu.Lock()
			a.Set(q, step.deadline, tag)
			if step.cancel {
				a.Cancel()
			}
			tag.mu.Unlock()
			synctest.Wait()
		}
		if want := []bool{false, false, true}; !slices.Equal(tag.runs, want) {
			t.Errorf("functor ran with %v, want %v", tag.runs, want)
		}
	})
}

// periodic is a functor that sets its own alarm again.
type periodic struct {
	alarm cq.Alarm
	q     *cq.Queue
	left  int
}

func (p *periodic) Run(bool) {
	if p.left--; p.left > 0 {
		p.alarm.Set(p.q, time.Now().Add(time.Second), p)
	}
}

func TestAlarmSetInFunctor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &periodic{q: cq.New(cq.Callback, cq.Config{}), left: 5}
		start := time.Now()
		p.alarm.Set(p.q, time.Now().Add(time.Second), p)
		p.q.Drain() // the chain goes on, since its operation is outstanding
		if got := time.Since(start); got != 5*time.Second || p.left != 0 {
			t.Errorf("five rounds took %v with %d left, want 5s and none", got, p.left)
		}
	})
}

func TestAlarmMisuse(t *testing.T) {
	q := cq.New(cq.Next, cq.Config{})
	hour := time.Now().Add(time.Hour)
	for name, do := range map[string]func(a *cq.Alarm){
		"Set while set":        func(a *cq.Alarm) { a.Set(q, hour, 1) },
		"Set before delivered": func(a *cq.Alarm) { a.Cancel(); a.Set(q, hour, 1) },
		"Set after Close":      func(a *cq.Alarm) { a.Cancel(); q.TryNext(); a.Close(); a.Set(q, hour, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			q.Init(cq.Next, cq.Config{})
			a := new(cq.Alarm)
			a.Set(q, hour, 1)
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, "Set on an Alarm") {
					t.Errorf("panicked with %q, want it to name Set", text)
				}
				a.Close()
				for q.Pending() > 1 { // the operation that the misuse began
					q.EndOp(1, false, nil, new(cq.Completion))
				}
				for q.TryNext().Type == cq.OpComplete {
				}
			}()
			do(a)
		})
	}
}
