// Package subchannel keeps one connection to one server: it connects, waits
// after failures, learns of the loss, and makes the attempt blocks of calls.
//
//	IDLE ──Connect──▶ CONNECTING ──▶ READY ──lost or draining──▶ IDLE
//	  ▲                   └─▶ TRANSIENT_FAILURE ─┐
//	  └───────────── backoff over ───────────────┘
//
// Everything that changes a subchannel runs on its channel's serializer; the
// methods of [Subchannel] put their work there. Only the pointer to the present
// connection is read by calls directly.
//
// # Goroutines
//
//	name          started by     ends when
//	run           an attempt     connected, failed or abandoned
//	awaitClose    a connection   its transport has closed
//	Close         a transport that nobody wants, when it has closed
//
// # Reading order
//
// subchannel.go, env.go, dial.go, conn.go, attempt.go.
package subchannel

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

// A Subchannel is a connection to one server, over a list of addresses.
type Subchannel struct {
	// Set by New, read-only afterwards.
	env     *Env
	watcher connectivity.Watcher

	// Owned by the serializer; no lock.
	addrs    []resolver.Address
	state    connectivity.State
	retries  int       // failures in a row
	wasted   int       // connections in a row that were of no use, see noteLoss
	nextTry  time.Time // when the backoff of the last attempt is over
	dialing  *dialing  // the attempt under way, nil if none
	timer    *time.Timer
	timerGen int              // tells a timer that fired late
	current  resolver.Address // of conn
	lastWarn time.Time

	// Atomic. conn is written on the serializer, read by picks; nil unless READY.
	conn   atomic.Pointer[Conn]
	useful atomic.Bool // a connection was, since the last that was lost
}

// New returns a subchannel in state IDLE. w is called on the serializer.
func New(env *Env, addrs []resolver.Address, w connectivity.Watcher) *Subchannel {
	return &Subchannel{env: env, addrs: slices.Clone(addrs), watcher: w}
}

// Connect asks for a connection if the state is IDLE.
func (s *Subchannel) Connect() {
	s.env.Schedule(func() {
		if s.state == connectivity.Idle {
			s.startDial()
		}
	})
}

// ResetBackoff ends the wait after a failure.
func (s *Subchannel) ResetBackoff() { s.env.Schedule(s.resetBackoff) }

// Shutdown ends the subchannel. Its connection is drained: open calls go on.
func (s *Subchannel) Shutdown() { s.env.Schedule(s.Close) }

// UpdateAddresses replaces the list.
func (s *Subchannel) UpdateAddresses(addrs []resolver.Address) {
	addrs = slices.Clone(addrs)
	s.env.Schedule(func() { s.updateAddresses(addrs) })
}

// updateAddresses restarts what was under way for a list with other members;
// a new order alone is used for the next attempt.
func (s *Subchannel) updateAddresses(addrs []resolver.Address) {
	changed := !sameMembers(s.addrs, addrs)
	s.addrs = addrs
	if !changed {
		return
	}
	switch s.state {
	case connectivity.Ready:
		if slices.Contains(addrs, s.current) {
			return
		}
		s.dropConn()
		s.startDial()
	case connectivity.Connecting:
		s.stopDial()
		s.retries = 0
		s.startDial()
	case connectivity.TransientFailure:
		s.resetBackoff()
	}
}

func (s *Subchannel) resetBackoff() {
	s.retries = 0
	if s.state == connectivity.TransientFailure {
		s.stopTimer()
		s.setState(connectivity.Idle, nil)
	}
}

// Closed reports whether the subchannel was shut down. It is called on the
// serializer.
func (s *Subchannel) Closed() bool { return s.state == connectivity.Shutdown }

// Close is Shutdown for who is on the serializer already.
func (s *Subchannel) Close() {
	s.state = connectivity.Shutdown
	s.stopDial()
	s.stopTimer()
	s.dropConn()
}

// setState tells the watcher of a change.
func (s *Subchannel) setState(state connectivity.State, cause error) {
	s.state = state
	s.watcher.OnState(state, cause)
}

// failed begins the backoff, which counts from the start of the attempt.
func (s *Subchannel) failed(err error) {
	s.retries++
	s.env.OnError(err)
	s.warn("the channel could not connect", err)
	gen := s.timerGen
	s.timer = time.AfterFunc(time.Until(s.nextTry), func() {
		s.env.Schedule(func() { s.backoffOver(gen) })
	})
	s.setState(connectivity.TransientFailure, err)
}

func (s *Subchannel) backoffOver(gen int) {
	if gen == s.timerGen && s.state == connectivity.TransientFailure {
		s.setState(connectivity.Idle, nil)
	}
}

func (s *Subchannel) stopTimer() {
	s.timerGen++
	if s.timer != nil {
		s.timer.Stop()
	}
}

// connected takes over a transport that is ready.
func (s *Subchannel) connected(t transport.Transport, addr resolver.Address) {
	stack, err := s.env.newStack(t)
	if err != nil {
		s.env.Go(t.Close)
		s.failed(&Error{Addr: addr, Err: err})
		return
	}
	if s.wasted <= maxWasted {
		s.retries = 0
	}
	c := newConn(s, t, stack, addr)
	s.current = addr
	s.conn.Store(c)
	s.env.conns[c] = struct{}{}
	s.setState(connectivity.Ready, nil)
	t.PerformOp(&transport.Op{StartWatch: c})
}

// lost forgets a connection that takes no more calls.
func (s *Subchannel) lost(c *Conn, cause error) {
	if s.conn.Load() != c {
		return // it was dropped before
	}
	s.conn.Store(nil)
	s.noteLoss()
	if cause != nil {
		err := &Error{Addr: c.addr, Err: cause, Established: true}
		if s.wasted > maxWasted {
			s.failed(err)
			return
		}
		s.env.OnError(err)
		if leftGracefully(cause) {
			s.env.Logger.Debug("the server ended a connection of the channel", "target", s.env.Target, "error", err)
		} else {
			s.warn("the channel lost its connection", err)
		}
	}
	s.setState(connectivity.Idle, nil)
}

// maxWasted is how many connections in a row may be of no use before the next is
// waited for as after a failure. A few are the course of things where servers are
// replaced one after another.
const maxWasted = 10

// noteLoss counts the connections that a server gave up at once, while no call came
// to anything: none on them, and none that is left on those before. To make them as
// fast as it does so, for the calls that wait, would be of no use to anybody.
func (s *Subchannel) noteLoss() {
	if s.useful.Swap(false) || time.Now().After(s.nextTry) {
		s.wasted = 0
	} else {
		s.wasted++
	}
}

// leftGracefully reports whether a connection ended with a GOAWAY that is no
// reproach: a server that limits the age of its connections says so again and
// again, and no call is lost by it.
func leftGracefully(cause error) bool {
	var e *transport.Error
	return errors.As(cause, &e) && e.HasHTTP2 && e.HTTP2 == status.HTTP2NoError
}

// dropConn drains the connection, if there is one.
func (s *Subchannel) dropConn() {
	if c := s.conn.Swap(nil); c != nil {
		c.drain()
	}
}

// startDial begins an attempt on the present list.
func (s *Subchannel) startDial() {
	now, delay := time.Now(), s.env.Backoff.Delay(s.retries)
	s.nextTry = now.Add(delay)
	ctx, cancel := context.WithDeadline(context.Background(), now.Add(max(delay, s.env.MinConnectTimeout)))
	d := &dialing{s: s, ctx: ctx, cancel: cancel, addrs: s.addrs, event: s.env.Cause}
	s.dialing = d
	s.setState(connectivity.Connecting, nil)
	s.env.Go(d.run)
}

// stopDial abandons the attempt under way.
func (s *Subchannel) stopDial() {
	if s.dialing != nil {
		s.dialing.cancel()
		s.dialing = nil
	}
}

// dialed takes the result of an attempt.
func (s *Subchannel) dialed(d *dialing, t transport.Transport, addr resolver.Address, err error) {
	if s.dialing != d { // abandoned meanwhile
		if t != nil {
			s.env.Go(t.Close)
		}
		return
	}
	s.dialing, s.env.Cause = nil, d.event
	if err != nil {
		s.failed(err)
		return
	}
	s.connected(t, addr)
}

// warnInterval spaces the warnings of one subchannel.
const warnInterval = 10 * time.Second

// warn logs a lost connection or a refused peer, at most one in warnInterval;
// the others are for debugging.
func (s *Subchannel) warn(msg string, err error) {
	if now := time.Now(); now.Sub(s.lastWarn) >= warnInterval {
		s.lastWarn = now
		s.env.Logger.Warn(msg, "target", s.env.Target, "error", err)
		return
	}
	s.env.Logger.Debug(msg, "target", s.env.Target, "error", err)
}

// sameMembers reports whether a and b differ in their order at most.
func sameMembers(a, b []resolver.Address) bool {
	members := make(map[resolver.Address]bool, len(a))
	for _, x := range a {
		members[x] = true
	}
	return len(a) == len(b) && !slices.ContainsFunc(b, func(x resolver.Address) bool { return !members[x] })
}
