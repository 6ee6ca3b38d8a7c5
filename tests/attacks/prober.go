package main

import (
	"context"
	"slices"
	"sync"
	"time"
)

// probeEvery is how often the well-behaved client makes a call.
const probeEvery = 10 * time.Millisecond

// probeLimit is how long one of its calls may take before it counts as failed.
const probeLimit = 5 * time.Second

// A prober is a well-behaved client on a connection of its own.
type prober struct {
	call func(ctx context.Context) string
	end  func()
	stop chan struct{}
	done chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	times  []time.Duration
	failed []string
}

// startProber begins to call. The client is Strata's, whoever serves.
func startProber(target string) (*prober, error) {
	call, end, err := strataLib{}.dial(target)
	if err != nil {
		return nil, err
	}
	p := &prober{call: call, end: end, stop: make(chan struct{}), done: make(chan struct{})}
	go p.work()
	return p, nil
}

func (p *prober) work() {
	defer close(p.done)
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), probeLimit)
		begin := time.Now()
		code := p.call(ctx)
		took := time.Since(begin)
		cancel()
		p.mu.Lock()
		p.times = append(p.times, took)
		if code != "OK" {
			p.failed = append(p.failed, code)
		}
		p.mu.Unlock()
	}
}

// A probe is what the well-behaved client has seen in a while.
type probe struct {
	Calls  int
	Failed []string
	P99    time.Duration
}

// take returns what was seen since the last take.
func (p *prober) take() probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := probe{Calls: len(p.times), Failed: p.failed}
	if r.Calls > 0 {
		slices.Sort(p.times)
		r.P99 = p.times[(r.Calls-1)*99/100]
	}
	p.times, p.failed = nil, nil
	return r
}

// close ends the client.
func (p *prober) close() {
	close(p.stop)
	<-p.done
	p.end()
}
