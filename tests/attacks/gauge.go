package main

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// sampleEvery is how often the memory of a victim is looked at.
const sampleEvery = 25 * time.Millisecond

// A usage is what a process holds and has used up.
type usage struct {
	Live       int64 // bytes of live heap and of stacks
	Peak       int64 // the most of Live since the last watch, until now
	CPU        time.Duration
	Goroutines int
	Running    int64 // handlers, the most since watch
	Calls      int64 // handlers that were started since watch
	Strangers  int64 // handlers whose interceptor saw another method
}

// A gauge watches the memory of its process.
type gauge struct {
	mu sync.Mutex
	// Guarded by mu.
	peak int64
	stop chan struct{} // nil: nobody watches
	done chan struct{}
}

// live returns the bytes that are reachable, and the stacks. It collects
// garbage first: what an attack holds is the question, not what it has thrown
// away, which depends on when the collector ran.
func live() int64 {
	runtime.GC()
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() + samples[1].Value.Uint64())
}

// watch begins to look for the peak.
func (g *gauge) watch() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stop != nil {
		return
	}
	g.peak, g.stop, g.done = 0, make(chan struct{}), make(chan struct{})
	counts.reset()
	go g.sample(g.stop, g.done)
}

func (g *gauge) sample(stop, done chan struct{}) {
	defer close(done)
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		n := live()
		g.mu.Lock()
		for tries := 0; n > g.peak && tries < 4; tries++ {
			// What is allocated while the collector runs counts as live. The
			// next time it does not.
			n = min(n, live())
		}
		g.peak = max(g.peak, n)
		g.mu.Unlock()
		select {
		case <-ticker.C:
		case <-stop:
			return
		}
	}
}

// unwatch stops it.
func (g *gauge) unwatch() {
	g.mu.Lock()
	stop, done := g.stop, g.done
	g.stop = nil
	g.mu.Unlock()
	if stop != nil {
		close(stop)
		<-done
	}
}

// usage returns the figures of now.
func (g *gauge) usage() usage {
	n := live()
	g.mu.Lock()
	defer g.mu.Unlock()
	return usage{
		Live: n, Peak: max(g.peak, n), CPU: processTime(), Goroutines: runtime.NumGoroutine(),
		Running: counts.most.Load(), Calls: counts.calls.Load(), Strangers: counts.strangers.Load(),
	}
}

// processTime is the CPU time of all threads; 0 where it is not known.
func processTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// counts are the handlers of this process.
var counts counters

type counters struct {
	running, most, calls, strangers atomic.Int64
}

// reset begins anew; handlers that run go on counting.
func (c *counters) reset() {
	c.most.Store(c.running.Load())
	c.calls.Store(0)
	c.strangers.Store(0)
}

// begin counts a handler of method, of which an interceptor saw the name seen.
// The result ends it.
func (c *counters) begin(method, seen string) (end func()) {
	c.calls.Add(1)
	if method != seen {
		c.strangers.Add(1)
	}
	n := c.running.Add(1)
	for {
		most := c.most.Load()
		if n <= most || c.most.CompareAndSwap(most, n) {
			return func() { c.running.Add(-1) }
		}
	}
}
