package cq_test

import (
	"testing"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A call is what a batch is to the queue: a tag, a finalizer and the storage of
// one event, in one block.
type call struct {
	completion cq.Completion
	delivered  int
	ran        int
}

func (c *call) CompletionDone(*cq.Completion) { c.delivered++ }
func (c *call) Run(bool)                      { c.ran++ }

func (c *call) complete(q *cq.Queue) {
	q.BeginOp(c)
	q.EndOp(c, true, c, &c.completion)
}

func BenchmarkNext(b *testing.B) {
	b.ReportAllocs()
	q, c := cq.New(cq.Next, cq.Config{}), new(call)
	for b.Loop() {
		c.complete(q)
		q.Next(time.Time{})
	}
}

func BenchmarkPluckReady(b *testing.B) {
	b.ReportAllocs()
	q, c := cq.New(cq.Pluck, cq.Config{}), new(call)
	for b.Loop() {
		c.complete(q)
		q.PluckDone(c, nil)
	}
}

func BenchmarkCallback(b *testing.B) {
	b.ReportAllocs()
	q, c := cq.New(cq.Callback, cq.Config{}), new(call)
	for b.Loop() {
		c.complete(q)
	}
}

// BenchmarkInit is what a queue embedded in a pooled block costs its owner.
func BenchmarkInit(b *testing.B) {
	b.ReportAllocs()
	q := cq.New(cq.Pluck, cq.Config{})
	for b.Loop() {
		q.Init(cq.Pluck, cq.Config{})
	}
}

// BenchmarkPluckParked is a call as the stubs make it, with another goroutine
// for the transport: the caller begins, the other ends, the caller parks.
func BenchmarkPluckParked(b *testing.B) {
	never := make(chan struct{})
	for _, bc := range []struct {
		name string
		wait func(q *cq.Queue, tag cq.Tag)
	}{
		{"forever", func(q *cq.Queue, tag cq.Tag) { q.PluckDone(tag, nil) }},
		{"done", func(q *cq.Queue, tag cq.Tag) { q.PluckDone(tag, never) }},
		{"deadline", func(q *cq.Queue, tag cq.Tag) { q.Pluck(tag, time.Now().Add(time.Hour)) }},
	} {
		b.Run("wait="+bc.name, func(b *testing.B) {
			b.ReportAllocs()
			q, c := cq.New(cq.Pluck, cq.Config{}), new(call)
			handOver(b, func() { q.BeginOp(c) },
				func() { q.EndOp(c, true, c, &c.completion) },
				func() { bc.wait(q, c) })
		})
	}
}

// BenchmarkNextParked is the same through a Next queue.
func BenchmarkNextParked(b *testing.B) {
	b.ReportAllocs()
	q, c := cq.New(cq.Next, cq.Config{}), new(call)
	handOver(b, func() { q.BeginOp(c) },
		func() { q.EndOp(c, true, c, &c.completion) },
		func() { q.Next(time.Time{}) })
}

// BenchmarkChannel is the same hand-over through an unbuffered channel of
// events, as a program without completion queues would write it.
func BenchmarkChannel(b *testing.B) {
	b.ReportAllocs()
	events := make(chan cq.Event)
	c := new(call)
	handOver(b, func() {},
		func() { events <- cq.Event{Type: cq.OpComplete, Success: true, Tag: c} },
		func() { <-events })
}

// BenchmarkDirectWake is the least that a hand-over between two goroutines
// costs: a token that wakes the one that is known to wait.
func BenchmarkDirectWake(b *testing.B) {
	b.ReportAllocs()
	wake := make(chan struct{}, 1)
	handOver(b, func() {}, func() { wake <- struct{}{} }, func() { <-wake })
}

// handOver measures begin and wait on this goroutine with end on another one,
// which is asked to run it by a token of its own.
func handOver(b *testing.B, begin, end, wait func()) {
	ask, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for range ask {
			end()
		}
	}()
	for b.Loop() {
		begin()
		ask <- struct{}{}
		wait()
	}
	close(ask)
	<-gone
}

// BenchmarkNextContended has all goroutines begin, end and take on one queue.
func BenchmarkNextContended(b *testing.B) {
	b.ReportAllocs()
	q := cq.New(cq.Next, cq.Config{})
	b.RunParallel(func(pb *testing.PB) {
		c := new(call)
		for pb.Next() {
			c.complete(q)
			c = q.Next(time.Time{}).Tag.(*call)
		}
	})
}
