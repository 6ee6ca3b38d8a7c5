package cqtest

import (
	"fmt"
	"math"
	"strings"
	"testing"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A misuse breaks the contract on a fresh queue.
type misuse struct {
	name  string
	kinds []cq.CompletionType
	debug bool
	do    func(q Queue)
	want  []string // what the panic says, besides the name and type of the queue
}

var misuses = []misuse{
	{name: "Next on a queue of another type", kinds: notNext,
		do: func(q Queue) { q.Next(past) }, want: []string{"Next on", "NEXT queues only"}},
	{name: "TryNext on a queue of another type", kinds: notNext,
		do: func(q Queue) { q.TryNext() }, want: []string{"TryNext on", "NEXT queues only"}},
	{name: "NextDone on a queue of another type", kinds: notNext,
		do: func(q Queue) { q.NextDone(closed()) }, want: []string{"NextDone on", "NEXT queues only"}},
	{name: "Pluck on a queue of another type", kinds: notPluck,
		do: func(q Queue) { q.Pluck(1, past) }, want: []string{"Pluck on", "PLUCK queues only"}},
	{name: "PluckDone on a queue of another type", kinds: notPluck,
		do: func(q Queue) { q.PluckDone(1, closed()) }, want: []string{"PluckDone on", "PLUCK queues only"}},
	{name: "BeginOp with a tag that is no functor", kinds: calling,
		do: func(q Queue) { q.BeginOp("seven") }, want: []string{"BeginOp", "seven", "string", "not a Functor"}},
	{name: "BeginOp with a nil functor", kinds: calling,
		do: func(q Queue) { q.BeginOp(nil) }, want: []string{"BeginOp", "nil", "not a Functor"}},
	{name: "BeginOp with a tag that cannot be compared", kinds: pluck,
		do: func(q Queue) { q.BeginOp([]int{1}) }, want: []string{"BeginOp", "[]int", "cannot be compared"}},
	{name: "BeginOp with a tag that holds what cannot be compared", kinds: pluck,
		do: func(q Queue) { q.BeginOp([1]any{[]int{1}}) }, want: []string{"BeginOp", "[1]interface", "cannot be compared"}},
	{name: "BeginOp with a tag that does not equal itself", kinds: pluck,
		do: func(q Queue) { q.BeginOp(math.NaN()) }, want: []string{"BeginOp", "NaN", "float64", "equal itself"}},
	{name: "Pluck of a tag that cannot be compared", kinds: pluck,
		do: func(q Queue) { q.Pluck([]int{1}, past) }, want: []string{"Pluck", "[]int", "cannot be compared"}},
	{name: "PluckDone of a tag that cannot be compared", kinds: pluck,
		do: func(q Queue) { q.PluckDone([]int{1}, closed()) }, want: []string{"Pluck", "[]int", "cannot be compared"}},
	{name: "EndOp without BeginOp", kinds: all,
		do: func(q Queue) { end(q, new(op)) }, want: []string{"EndOp", "no operation was begun"}},
	{name: "EndOp without BeginOp after Shutdown", kinds: all,
		do: func(q Queue) { q.Shutdown(); end(q, new(op)) }, want: []string{"EndOp", "no operation was begun"}},
	{name: "EndOp twice", kinds: all, do: func(q Queue) {
		o := new(op)
		q.BeginOp(o)
		end(q, o)
		end(q, o)
	}, want: []string{"EndOp", "no operation was begun"}},
	{name: "EndOp twice, with storage of its own each time", kinds: waiting, do: func(q Queue) {
		o := new(op)
		q.BeginOp(o)
		end(q, o)
		q.EndOp(o, true, nil, new(cq.Completion))
	}, want: []string{"EndOp", "no operation was begun"}},
	{name: "EndOp with another tag, with Config.Debug", kinds: all, debug: true, do: func(q Queue) {
		q.BeginOp(new(op))
		end(q, new(op))
	}, want: []string{"EndOp", "*cqtest.op", "never begun"}},
	{name: "EndOp without storage", kinds: waiting, do: func(q Queue) {
		q.BeginOp("tag")
		q.EndOp("tag", true, nil, nil)
	}, want: []string{"EndOp", "tag", "Completion is nil"}},
	{name: "EndOp with storage in use", kinds: waiting, do: func(q Queue) {
		var c cq.Completion
		for range 2 {
			q.BeginOp("tag")
			q.EndOp("tag", true, nil, &c)
		}
	}, want: []string{"EndOp", "tag", "not dequeued"}},
}

// configMisuses are of what makes a queue, so there is no type to name.
var configMisuses = []misuse{
	{name: "Config.OnShutdown without callbacks", kinds: waiting, want: []string{"OnShutdown", `"greeter"`}},
	{name: "an unknown completion type", kinds: calling, want: []string{"CompletionType(9)", `"greeter"`}},
}

// misuseCases makes a case of each misuse.
func misuseCases() (cases []kitCase) {
	for _, m := range misuses {
		cases = append(cases, kitCase{name: "misuse panics: " + m.name, kinds: m.kinds,
			test: func(t *testing.T, newQueue factory, kind cq.CompletionType) {
				q := newQueue(kind, cq.Config{Name: "greeter", Debug: m.debug})
				expectPanic(t, func() { m.do(q) }, append(m.want, `"greeter"`, kind.String()))
				q.Pending() // the panic left no lock behind
			}})
	}
	for i, m := range configMisuses {
		cases = append(cases, kitCase{name: "misuse panics: " + m.name, kinds: m.kinds,
			test: func(t *testing.T, newQueue factory, kind cq.CompletionType) {
				if i == 1 {
					kind = 9
				}
				cfg := cq.Config{Name: "greeter", OnShutdown: new(op)}
				expectPanic(t, func() { newQueue(kind, cfg) }, m.want)
			}})
	}
	return cases
}

// expectPanic fails the test unless f panics with a text that holds all of want.
func expectPanic(t *testing.T, f func(), want []string) {
	t.Helper()
	text := panicText(f)
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("panicked with %q, want %q in it", text, w)
		}
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

func end(q Queue, o *op) { q.EndOp(o, true, nil, &o.completion) }

// closed returns a channel that is closed.
func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
