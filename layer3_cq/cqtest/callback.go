package cqtest

import (
	"runtime"
	"slices"
	"sync"
	"testing"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

var callbackCases = []kitCase{
	{name: "TestCallback: each functor runs with the success of its EndOp, then the shutdown functor", kinds: calling, test: testCallback},
	{name: "the finalizer runs before the functor, and the storage is free in it", kinds: calling, test: testFinalizerFirst},
	{name: "the functor runs before EndOp returns and may use the queue", kinds: calling, test: testFunctorUsesQueue},
	{name: "a functor that ends its goroutine is counted", kinds: calling, test: testFunctorGoexit},
	{name: "the queue has not shut down before its last functor returned", kinds: calling, test: testShutdownAfterFunctor},
}

func testCallback(t *testing.T, newQueue factory, kind cq.CompletionType) {
	var end op
	q := newQueue(kind, cq.Config{OnShutdown: &end})
	o := ops(128)
	for _, o := range o {
		o.begin(t, q)
	}
	var wg sync.WaitGroup
	for i, o := range o {
		wg.Go(func() { o.end(q, i%2 == 0) })
	}
	wg.Wait()
	for i, o := range o {
		if !slices.Equal(o.runs, []bool{i%2 == 0}) || o.delivered != 1 {
			t.Errorf("functor %d ran with %v, finalizer %d times, want once with %t", i, o.runs, o.delivered, i%2 == 0)
		}
	}
	if len(end.runs) != 0 {
		t.Error("the shutdown functor ran before Shutdown")
	}
	q.Shutdown()
	if !slices.Equal(end.runs, []bool{true}) {
		t.Errorf("the shutdown functor ran with %v, want once with true", end.runs)
	}
}

func testFinalizerFirst(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	var order []string
	var o op
	o.then = func() { order = append(order, "finalizer") }
	second := functor(func(bool) { order = append(order, "second functor") })
	first := functor(func(bool) {
		order = append(order, "functor")
		q.BeginOp(second)
		q.EndOp(second, true, nil, &o.completion) // the storage of the event that runs
	})
	q.BeginOp(first)
	q.EndOp(first, true, &o, &o.completion)
	q.BeginOp(second)
	q.EndOp(second, true, nil, nil) // no storage is needed
	want := []string{"finalizer", "functor", "second functor", "second functor"}
	if !slices.Equal(order, want) {
		t.Errorf("ran %q, want %q", order, want)
	}
}

func testFunctorUsesQueue(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	depth := 0
	var chain *functorFunc
	chain = functor(func(bool) {
		if depth++; depth == 5 {
			return
		}
		if got := q.Pending(); got != 1+depth {
			t.Errorf("Pending = %d in functor %d, want %d", got, depth, 1+depth)
		}
		q.BeginOp(chain)
		q.EndOp(chain, true, nil, nil)
	})
	q.BeginOp(chain)
	q.EndOp(chain, true, nil, nil)
	if depth != 5 {
		t.Errorf("%d functors ran before EndOp returned, want 5", depth)
	}
	if got := q.Pending(); got != 1 {
		t.Errorf("Pending = %d when all have run, want 1", got)
	}
}

func testFunctorGoexit(t *testing.T, newQueue factory, kind cq.CompletionType) {
	q := newQueue(kind, cq.Config{})
	for name, leave := range map[string]func(){
		"panic":  func() { panic("functor") },
		"Goexit": func() { runtime.Goexit() },
	} {
		f := functor(func(bool) { leave() })
		q.BeginOp(f)
		var wg sync.WaitGroup
		wg.Go(func() {
			func() {
				defer func() { _ = recover() }()
				q.EndOp(f, true, nil, nil)
			}()
		})
		wg.Wait()
		if got := q.Pending(); got != 1 {
			t.Errorf("Pending = %d after a %s, want 1", got, name)
		}
	}
	q.Drain() // would wait for ever for an operation that is not counted
}

func testShutdownAfterFunctor(t *testing.T, newQueue factory, kind cq.CompletionType) {
	var end op
	q := newQueue(kind, cq.Config{OnShutdown: &end})
	drained := make(chan struct{})
	f := functor(func(bool) {
		q.Shutdown()
		go func() {
			q.Drain()
			close(drained)
		}()
		settle()
		select {
		case <-drained:
			t.Error("Drain returned while a functor was running")
		default:
		}
		if len(end.runs) != 0 {
			t.Error("the shutdown functor ran while another was running")
		}
		if !q.BeginOp(&end) {
			t.Error("BeginOp = false in a functor, want true: it may chain")
		}
	})
	q.BeginOp(f)
	q.EndOp(f, true, nil, nil)
	q.EndOp(&end, false, nil, nil)
	<-drained
	settle()
	if !slices.Equal(end.runs, []bool{false, true}) {
		t.Errorf("the last functor and the shutdown functor ran with %v, want [false true]", end.runs)
	}
}
