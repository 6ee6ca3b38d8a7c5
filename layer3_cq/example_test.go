package cq_test

import (
	"fmt"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A Next queue: one loop drives any number of operations.
func ExampleNew() {
	q := cq.New(cq.Next, cq.Config{})
	for _, tag := range []string{"send", "receive"} {
		q.BeginOp(tag)
		go q.EndOp(tag, true, nil, new(cq.Completion))
	}
	q.Shutdown()

	events := 0
	for ev := q.Next(time.Time{}); ev.Type == cq.OpComplete; ev = q.Next(time.Time{}) {
		events++
	}
	fmt.Println(events, "events, then", q.Next(time.Time{}).Type)
	// Output: 2 events, then QUEUE_SHUTDOWN
}

// A Pluck queue: each caller waits for its own operation.
func ExampleQueue_Pluck() {
	q := cq.New(cq.Pluck, cq.Config{})
	var mine, other cq.Completion
	q.BeginOp("mine")
	q.BeginOp("other")
	q.EndOp("other", true, nil, &other)
	q.EndOp("mine", false, nil, &mine)

	ev := q.Pluck("mine", time.Time{})
	fmt.Println(ev.Type, ev.Tag, ev.Success)
	q.Drain() // takes the other one
	fmt.Println(q.Pluck("other", time.Time{}).Type)
	// Output:
	// OP_COMPLETE mine false
	// QUEUE_SHUTDOWN
}

// A greeting is an operation of a Callback queue: its own functor, finalizer
// and storage, so that it is one allocation.
type greeting struct {
	name       string
	completion cq.Completion
}

func (g *greeting) CompletionDone(*cq.Completion) { fmt.Println("done:", g.name) }
func (g *greeting) Run(ok bool)                   { fmt.Println("run:", g.name, ok) }

// A Callback queue: the tag runs where the operation completes.
func ExampleFunctor() {
	q := cq.New(cq.Callback, cq.Config{OnShutdown: &greeting{name: "queue"}})
	g := &greeting{name: "gopher"}
	q.BeginOp(g)
	q.EndOp(g, true, g, &g.completion)
	q.Shutdown()
	// Output:
	// done: gopher
	// run: gopher true
	// run: queue true
}

// A queue that is part of a block of memory is made fresh for each use.
func ExampleQueue_Init() {
	var block struct {
		queue      cq.Queue
		completion cq.Completion
	}
	for i := range 2 {
		block.queue.Init(cq.Pluck, cq.Config{})
		block.queue.BeginOp(i)
		block.queue.EndOp(i, true, nil, &block.completion)
		fmt.Println(block.queue.PluckDone(i, nil).Tag)
	}
	// Output:
	// 0
	// 1
}

// An alarm is an operation that completes at a time, or when it is cancelled.
func ExampleAlarm() {
	q := cq.New(cq.Next, cq.Config{})
	var a cq.Alarm
	a.Set(q, time.Now().Add(time.Millisecond), "tea")
	ev := q.Next(time.Time{})
	fmt.Println(ev.Tag, ev.Success)

	a.Set(q, time.Now().Add(time.Hour), "cake")
	a.Close()
	ev = q.Next(time.Time{})
	fmt.Println(ev.Tag, ev.Success)
	// Output:
	// tea true
	// cake false
}
