package cqtest

import (
	"fmt"
	"math"
	"strings"
	"testing"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

var misuseCases = []kitCase{
	{name: "misuse panics and says what was wrong", kinds: all, test: testMisuse},
}

// A misuse breaks the contract on a fresh queue.
type misuse struct {
	name  string
	kinds []cq.CompletionType
	debug bool
	do    func(q *cq.Queue)
	want  []string // what the panic says
}

var misuses = []misuse{
	{name: "Next", kinds: notNext, do: func(q *cq.Queue) { q.Next(past) }, want: []string{"Next on", "NEXT queues only"}},
	{name: "TryNext", kinds: notNext, do: func(q *cq.Queue) { q.TryNext() }, want: []string{"TryNext on", "NEXT queues only"}},
	{name: "NextDone", kinds: notNext, do: func(q *cq.Queue) { q.NextDone(nil) }, want: []string{"NextDone on", "NEXT queues only"}},
	{name: "Pluck", kinds: notPluck, do: func(q *cq.Queue) { q.Pluck(1, past) }, want: []string{"Pluck on", "PLUCK queues only"}},
	{name: "PluckDone", kinds: notPluck, do: func(q *cq.Queue) { q.PluckDone(1, nil) }, want: []string{"PluckDone on", "PLUCK queues only"}},
	{name: "a tag that is no functor", kinds: calling, do: func(q *cq.Queue) { q.BeginOp("seven") }, want: []string{"BeginOp", "seven", "string", "not a Functor"}},
	{name: "a tag that cannot be compared", kinds: pluck, do: func(q *cq.Queue) { q.BeginOp([]int{1}) }, want: []string{"comparing uncomparable type []int"}},
	{name: "a tag that does not equal itself", kinds: pluck, do: func(q *cq.Queue) { q.BeginOp(math.NaN()) }, want: []string{"BeginOp", "NaN", "float64", "equal itself"}},
	{name: "EndOp without BeginOp", kinds: all, do: func(q *cq.Queue) { end(q, new(op)) }, want: []string{"EndOp", "no operation was begun"}},
	{name: "EndOp twice", kinds: all, do: func(q *cq.Queue) {
		o := new(op)
		q.BeginOp(o)
		end(q, o)
		end(q, o)
	}, want: []string{"EndOp", "no operation was begun"}},
	{name: "EndOp with another tag", kinds: all, debug: true, do: func(q *cq.Queue) {
		q.BeginOp(new(op))
		end(q, new(op))
	}, want: []string{"EndOp", "*cqtest.op", "never begun"}},
	{name: "EndOp without storage", kinds: waiting, do: func(q *cq.Queue) {
		q.BeginOp("tag")
		q.EndOp("tag", true, nil, nil)
	}, want: []string{"EndOp", "tag", "Completion is nil"}},
	{name: "EndOp with storage in use", kinds: waiting, do: func(q *cq.Queue) {
		var c cq.Completion
		for range 2 {
			q.BeginOp("tag")
			q.EndOp("tag", true, nil, &c)
		}
	}, want: []string{"EndOp", "tag", "not dequeued"}},
	{name: "Init with an operation outstanding", kinds: all, debug: true, do: func(q *cq.Queue) {
		q.BeginOp(functor(func(bool) {}))
		q.Init(cq.Next, cq.Config{})
	}, want: []string{"Init", "operations outstanding: 1"}},
	{name: "Init with an operation outstanding after Shutdown", kinds: all, do: func(q *cq.Queue) {
		q.BeginOp(functor(func(bool) {}))
		q.Shutdown()
		q.Init(cq.Next, cq.Config{})
	}, want: []string{"Init", "operations outstanding: 1"}},
	{name: "Init with an event not dequeued", kinds: waiting, do: func(q *cq.Queue) {
		o := new(op)
		q.BeginOp(o)
		end(q, o)
		q.Init(cq.Next, cq.Config{})
	}, want: []string{"Init", "drained: false"}},
	{name: "Init with a waiter parked", kinds: waiting, do: func(q *cq.Queue) {
		go get(q, new(op), inf)
		settle()
		defer q.Drain()
		q.Init(cq.Next, cq.Config{})
	}, want: []string{"Init", "nobody waiting: false"}},
	{name: "Init with an unknown type", kinds: all, do: func(q *cq.Queue) { q.Init(9, cq.Config{}) }, want: []string{"Init", "CompletionType(9)"}},
	{name: "OnShutdown without callbacks", kinds: all, do: func(q *cq.Queue) { q.Init(cq.Next, cq.Config{OnShutdown: new(op)}) }, want: []string{"OnShutdown", "NEXT"}},
}

func end(q *cq.Queue, o *op) { q.EndOp(o, true, nil, &o.completion) }

func testMisuse(t *testing.T, newQueue Factory, kind cq.CompletionType) {
	for _, m := range misuses {
		if !strings.Contains(fmt.Sprint(m.kinds), kind.String()) {
			continue
		}
		q := newQueue(kind, cq.Config{Name: "greeter", Debug: m.debug})
		text := panicText(func() { m.do(q) })
		for _, want := range m.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s panicked with %q, want %q in it", m.name, text, want)
			}
		}
		// The panic left no lock behind.
		q.Pending()
	}
	q := newQueue(kind, cq.Config{Name: "greeter"})
	if text := panicText(func() { end(q, new(op)) }); !strings.Contains(text, `"greeter"`) || !strings.Contains(text, kind.String()) {
		t.Errorf("the panic %q does not name the queue and its type", text)
	}
}

// panicText returns what f panics with, empty if it does not.
func panicText(f func()) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = fmt.Sprint(r)
		}
	}()
	f()
	return ""
}
