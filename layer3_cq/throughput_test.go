package cq_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// roundSize is how many events one round of BenchmarkThroughput moves.
const roundSize = 10000

// BenchmarkThroughput moves events from producers to consumers through a Next
// queue and through channels, in turn, so that whatever else the machine does
// slows them all, and reports nanoseconds an event for each, the median. Who ends an
// operation writes its result, and who takes the event reads it. A queue never
// blocks a producer; so the channel to compare it with has room for the round.
// The unbuffered one is the other end.
func BenchmarkThroughput(b *testing.B) {
	for _, n := range []struct{ producers, consumers int }{{1, 1}, {1, 10}, {10, 1}, {10, 10}} {
		b.Run(fmt.Sprintf("producers=%d/consumers=%d", n.producers, n.consumers), func(b *testing.B) {
			r := &round{producers: n.producers, consumers: n.consumers, calls: make([]call, roundSize)}
			var queue, roomy, unbuffered []time.Duration
			for b.Loop() {
				queue = append(queue, r.throughQueue())
				roomy = append(roomy, r.throughChannel(roundSize))
				unbuffered = append(unbuffered, r.throughChannel(0))
			}
			b.ReportMetric(perEvent(queue), "queue-ns")
			b.ReportMetric(perEvent(roomy), "roomy-chan-ns")
			b.ReportMetric(perEvent(unbuffered), "unbuffered-chan-ns")
			b.ReportMetric(perEvent(queue)/perEvent(roomy), "queue/roomy")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// perEvent returns the nanoseconds an event took in the median round.
func perEvent(rounds []time.Duration) float64 {
	slices.Sort(rounds)
	return float64(rounds[len(rounds)/2]) / roundSize
}

// A round is one of a benchmark.
type round struct {
	producers, consumers int
	calls                []call
	queue                cq.Queue
}

func (r *round) throughQueue() time.Duration {
	q := &r.queue
	q.Init(cq.Next, cq.Config{})
	return r.run(func(c *call) { c.complete(q) }, q.Shutdown, func() *call {
		c, _ := q.Next(time.Time{}).Tag.(*call)
		return c
	})
}

func (r *round) throughChannel(room int) time.Duration {
	events := make(chan cq.Event, room)
	send := func(c *call) { events <- cq.Event{Type: cq.OpComplete, Success: true, Tag: c} }
	return r.run(send, func() { close(events) }, func() *call {
		c, _ := (<-events).Tag.(*call)
		return c
	})
}

// run has producers send all calls and then end, and consumers take until
// there are no more. It returns the time from first to last.
func (r *round) run(send func(*call), end func(), take func() *call) time.Duration {
	start := time.Now()
	var sending, taking sync.WaitGroup
	for range r.consumers {
		taking.Go(func() {
			sum := 0
			for c := take(); c != nil; c = take() {
				sum += c.ran
			}
		})
	}
	each := len(r.calls) / r.producers
	for p := range r.producers {
		sending.Go(func() {
			mine := r.calls[p*each : (p+1)*each]
			for i := range mine {
				mine[i].ran = i
				send(&mine[i])
			}
		})
	}
	sending.Wait()
	end()
	taking.Wait()
	return time.Since(start)
}
