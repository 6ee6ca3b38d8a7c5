package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"
)

// The kinds of calls that are measured.
const (
	kindUnary = "unary" // one call after the other
	kindBidi  = "bidi"  // one stream, one message after the other
)

// An implementation is a gRPC library in both roles.
type implementation interface {
	// serve starts a server on lis, in plain text if conf is nil. stop ends it.
	serve(lis net.Listener, conf *tls.Config) (stop func())
	// dial returns a client with one connection, whose requests have payloads
	// of size bytes. The answers have the same.
	dial(addr string, conf *tls.Config, size int) (client, error)
}

// A client makes calls over one connection.
type client interface {
	// unary returns a function that makes one call and checks its answer.
	// What it returns is called by one goroutine at a time.
	unary() func() error
	// bidi opens a stream and returns a function that sends a message and
	// waits for the answer.
	bidi() (exchange func() error, err error)
	// close ends the streams and the connection.
	close()
}

// findImplementation returns the implementation of that name.
func findImplementation(name string) (implementation, error) {
	switch name {
	case strataName:
		return strataImpl{}, nil
	case grpcGoName:
		return grpcGoImpl{}, nil
	default:
		return nil, fmt.Errorf("-impl %q is neither %s nor %s", name, strataName, grpcGoName)
	}
}

// A worker makes calls one after the other.
type worker struct {
	call      func() error
	latencies histogram
	err       error
}

// A session is an open connection with the workers that share it.
type session struct {
	client  client
	workers []*worker
}

// openSession connects and prepares workers.
func openSession(impl implementation, o command, conf *tls.Config) (*session, error) {
	if !o.TLS {
		conf = nil
	}
	c, err := impl.dial(o.Addr, conf, o.Size)
	if err != nil {
		return nil, err
	}
	s := &session{client: c}
	for range o.Concurrency {
		w := &worker{}
		switch o.Kind {
		case kindUnary:
			w.call = c.unary()
		case kindBidi:
			w.call, err = c.bidi()
		default:
			err = fmt.Errorf("there are no %q calls", o.Kind)
		}
		if err != nil {
			c.close()
			return nil, err
		}
		s.workers = append(s.workers, w)
	}
	return s, nil
}

// close ends the session. A nil session is closed already.
func (s *session) close() {
	if s != nil {
		s.client.close()
	}
}

// drive lets all workers make calls for d and reports what that cost.
func (s *session) drive(d time.Duration) (reply, error) {
	for _, w := range s.workers {
		w.latencies.reset()
	}
	before := currentUsage()
	begin := time.Now()
	var running sync.WaitGroup
	for _, w := range s.workers {
		running.Go(func() { w.run(begin.Add(d)) })
	}
	running.Wait()
	elapsed := time.Since(begin)
	used := usageNow().minus(before)

	var all histogram
	for _, w := range s.workers {
		if w.err != nil {
			return reply{}, w.err
		}
		all.add(&w.latencies)
	}
	return reply{
		Calls:   all.count(),
		Elapsed: elapsed,
		P50:     all.quantile(0.50),
		P99:     all.quantile(0.99),
		Usage:   used,
	}, nil
}

// run makes calls until end. The end of one call is the beginning of the next
// one, so that a call costs one look at the clock.
func (w *worker) run(end time.Time) {
	for last := time.Now(); last.Before(end); {
		if w.err = w.call(); w.err != nil {
			return
		}
		now := time.Now()
		w.latencies.record(now.Sub(last))
		last = now
	}
}
