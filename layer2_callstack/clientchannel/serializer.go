package clientchannel

import (
	"sync"

	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// A serializer runs functions one after another, in the order in which they
// were scheduled: gRPC core's work serializer. It has a goroutine only while
// there is something to run, so that an idle channel costs none and no
// caller's goroutine runs a balancer.
type serializer struct {
	// Set by the owner, read-only afterwards.
	start func(f func()) // starts a goroutine
	trace trace.Sink

	mu sync.Mutex
	// Guarded by mu.
	queue   []func()
	running bool
	closed  bool // once true, stays true
}

// schedule puts f in the queue. It reports false after close.
func (s *serializer) schedule(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.queue = append(s.queue, f)
	if !s.running {
		s.running = true
		s.start(s.run)
	}
	return true
}

// close refuses further functions; those in the queue are still run. It is
// called by a function that s runs.
func (s *serializer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// run is the goroutine of a serializer with something to do.
func (s *serializer) run() {
	trace.Role(s.trace, "client_channel serializer")
	for {
		s.mu.Lock()
		batch := s.queue
		s.queue = nil
		if len(batch) == 0 {
			s.running = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		for _, f := range batch {
			f()
		}
	}
}
