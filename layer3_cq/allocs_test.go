//go:build !race

package cq_test

import (
	"testing"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// TestAllocsReady: no way through a warm queue allocates, nor does giving an
// embedded queue a new life.
func TestAllocsReady(t *testing.T) {
	c := new(call)
	var q cq.Queue
	for _, tc := range []struct {
		name string
		kind cq.CompletionType
		wait func()
	}{
		{"Next", cq.Next, func() { q.Next(time.Time{}) }},
		{"TryNext", cq.Next, func() { q.TryNext() }},
		{"Pluck", cq.Pluck, func() { q.Pluck(c, time.Time{}) }},
		{"PluckDone", cq.Pluck, func() { q.PluckDone(c, nil) }},
		{"Callback", cq.Callback, func() {}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := testing.AllocsPerRun(100, func() {
				q.Init(tc.kind, cq.Config{})
				c.complete(&q)
				tc.wait()
			})
			if got != 0 {
				t.Errorf("%v allocations for each event, want 0", got)
			}
		})
	}
}

// TestAllocsPluckParked: neither does parking, whatever the limit.
func TestAllocsPluckParked(t *testing.T) {
	var q cq.Queue
	c, other := new(call), new(call)
	begun, never := make(chan struct{}), make(chan struct{})
	defer close(begun)
	go func() {
		for range begun {
			q.EndOp(c, true, c, &c.completion)
		}
	}()
	for _, tc := range []struct {
		name string
		wait func() cq.Event
	}{
		{"for ever", func() cq.Event { return q.PluckDone(c, nil) }},
		{"until done", func() cq.Event { return q.PluckDone(c, never) }},
		{"until a deadline", func() cq.Event { return q.Pluck(c, time.Now().Add(time.Hour)) }},
		{"time out", func() cq.Event {
			q.Pluck(other, time.Now().Add(time.Microsecond))
			return q.Pluck(c, time.Time{})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var ev cq.Event
			// AllocsPerRun keeps one processor, so the EndOp runs once this
			// goroutine has parked, most of the time.
			got := testing.AllocsPerRun(200, func() {
				q.Init(cq.Pluck, cq.Config{})
				q.BeginOp(c)
				begun <- struct{}{}
				ev = tc.wait()
			})
			if got != 0 || ev.Type != cq.OpComplete {
				t.Errorf("%v allocations for each %v, want 0", got, ev.Type)
			}
		})
	}
}
