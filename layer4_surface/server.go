package surface

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strata-grpc/strata/internal/warnlimit"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
	cq "github.com/strata-grpc/strata/layer3_cq"
	"github.com/strata-grpc/strata/layer4_surface/internal/handshakes"
	"github.com/strata-grpc/strata/layer4_surface/internal/lifetime"
)

// A Server receives calls. Its life is: make it, register queues and methods,
// Start or Serve, Shutdown. Its methods may be called from any goroutine at any
// time, Shutdown and Close from any but those that run its callbacks.
type Server struct {
	// Set by NewServer, read-only afterwards.
	cfg    serverConfig
	stacks *callstack.Builder // of the connections
	trace  tracer
	life   *lifetime.Life // with the listeners and connections

	// Written under mu before started is set, read-only afterwards.
	queues       []*cq.Queue
	methods      map[methodKey]*matcher
	hosts        bool // some method is registered for one host only
	unregistered *matcher

	mu      sync.Mutex // a leaf
	started atomic.Bool

	handshakes handshakes.Limit
	accepted   atomic.Int64  // connections of Serve, for MaxConnections
	nextQueue  atomic.Uint32 // for the next connection
}

// A methodKey finds a method. Host is empty for any.
type methodKey struct{ host, path string }

// What a client may do before anything is known of it is bounded, since a
// connection costs memory and a goroutine.
const (
	// DefaultHandshakeTimeout is how long it may take from connecting to its
	// first SETTINGS.
	DefaultHandshakeTimeout = 10 * time.Second
	// DefaultMaxHandshakes is how many connections of a server may be on the
	// way to their HTTP/2 preface at once. For one more, the oldest is closed.
	DefaultMaxHandshakes = 1000
)

// NewServer returns a server without listeners, queues and methods. It panics if
// what the options ask for cannot be: a filter whose place cannot be found, or
// whose own options are wrong.
func NewServer(opts ...ServerOption) *Server {
	s := &Server{life: lifetime.New(), methods: map[methodKey]*matcher{}}
	if err := s.cfg.apply(opts); err != nil {
		panic(fmt.Sprintf("surface: NewServer: %v", err))
	}
	s.cfg.endConfig = s.cfg.endConfig.withDefaults()
	s.cfg.nameLimits("server")
	s.stacks = stacks.Server(serverFilter{}, s.cfg.stack)
	if err := s.stacks.Check(s.cfg.stackArgs(nil)); err != nil {
		panic(fmt.Sprintf("surface: NewServer: %v", err))
	}
	s.cfg.http2.Logger = slog.New(warnlimit.New(s.cfg.logger.Handler(), warnInterval))
	s.cfg.pending = s.cfg.pending.withDefaults()
	s.cfg.handshake = cmp.Or(s.cfg.handshake, DefaultHandshakeTimeout)
	s.handshakes.Max = cmp.Or(s.cfg.maxHandshakes, DefaultMaxHandshakes)
	s.trace = newTracer(s.cfg.trace)
	s.unregistered = &matcher{server: s}
	return s
}

// apply has opts change c, and returns what is wrong with them.
func (c *serverConfig) apply(opts []ServerOption) error {
	for i, o := range opts {
		if o == nil {
			return nilOption(i, len(opts))
		}
		o.applyServer(c)
	}
	if c.hooks > 1 {
		return fmt.Errorf("option WithServerAuth was given %d times, want one hook, which asks the others", c.hooks)
	}
	if err := c.checkNumbers(); err != nil {
		return err
	}
	return c.check()
}

// ErrStarted is the cause of errors about what has to be done before the
// server starts.
var ErrStarted = errors.New("the server has started")

// RegisterCompletionQueue says that requests may be posted with q. A queue
// that is registered already is left alone.
func (s *Server) RegisterCompletionQueue(q *cq.Queue) error {
	if q == nil {
		return errors.New("surface: RegisterCompletionQueue without a queue")
	}
	return s.setUp("registering queue "+strconv.Quote(q.Name()), func() error {
		if s.queueIndex(q) < 0 {
			s.queues = append(s.queues, q)
		}
		return nil
	})
}

// queueIndex returns the place of q among the queues, -1 if it is none of them.
func (s *Server) queueIndex(q *cq.Queue) int {
	for i, have := range s.queues {
		if have == q {
			return i
		}
	}
	return -1
}

// RegisterMethod gives the method a list of requests of its own. host is the
// authority under which it is registered, empty for any.
func (s *Server) RegisterMethod(method, host string, payload PayloadHandling) (*RegisteredMethod, error) {
	what := fmt.Sprintf("registering method %q", method)
	if host != "" {
		what += fmt.Sprintf(" for host %q", host)
	}
	switch {
	case len(method) < 2 || method[0] != '/':
		return nil, fmt.Errorf("surface: %s: it does not begin with a slash, as /service/method does", what)
	case payload > PayloadReadOnly:
		return nil, fmt.Errorf("surface: %s: there is no PayloadHandling(%d)", what, payload)
	}
	m := &matcher{server: s, method: method, payload: payload}
	err := s.setUp(what, func() error {
		key := methodKey{host, method}
		if s.methods[key] != nil {
			return errors.New("it is registered already")
		}
		s.methods[key] = m
		s.hosts = s.hosts || host != ""
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &RegisteredMethod{m}, nil
}

// SetBatchMethodAllocator makes a hand out the slots for all calls of methods
// that are not registered. q is a Callback queue, so that the slot's tag runs
// on the goroutine that reads the connection, and nothing ever waits. It need
// not be registered, since nothing is requested with it.
func (s *Server) SetBatchMethodAllocator(q *cq.Queue, a Allocator) error {
	return s.setAllocator("methods that are not registered", s.unregistered, q, a)
}

// SetRegisteredMethodAllocator is SetBatchMethodAllocator for one method.
func (s *Server) SetRegisteredMethodAllocator(r *RegisteredMethod, q *cq.Queue, a Allocator) error {
	switch {
	case r == nil:
		return errors.New("surface: SetRegisteredMethodAllocator without a method")
	case r.m.server != s:
		return fmt.Errorf("surface: method %q was registered with another server", r.m.method)
	}
	return s.setAllocator(fmt.Sprintf("method %q", r.m.method), r.m, q, a)
}

func (s *Server) setAllocator(of string, m *matcher, q *cq.Queue, a Allocator) error {
	what := "setting the allocator of " + of
	switch {
	case a == nil:
		return fmt.Errorf("surface: %s: it is nil", what)
	case q == nil:
		return fmt.Errorf("surface: %s: there is no queue", what)
	case q.Type() != cq.Callback:
		return fmt.Errorf("surface: %s: queue %q is of type %v, and an allocator needs %v", what, q.Name(), q.Type(), cq.Callback)
	}
	return s.setUp(what, func() error {
		m.alloc, m.notify = a, q
		return nil
	})
}

// setUp runs f, which changes what is read-only once the server has started.
// what says in errors what it does.
func (s *Server) setUp(what string, f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := ErrStarted
	if !s.started.Load() {
		err = f()
	}
	if err != nil {
		return fmt.Errorf("surface: %s: %w", what, err)
	}
	return nil
}

// Start makes the server ready. Serve does it too.
func (s *Server) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started.Load() {
		return
	}
	for m := range s.matchers() {
		m.requests = make([]requestList, len(s.queues))
	}
	s.started.Store(true)
}

// matchers lists the matchers of all methods.
func (s *Server) matchers() func(yield func(*matcher) bool) {
	return func(yield func(*matcher) bool) {
		for _, m := range s.methods {
			if !yield(m) {
				return
			}
		}
		yield(s.unregistered)
	}
}

// lookup returns the matcher for a call: that of the method for this host,
// that of the method for any host, or that of everything else.
func (s *Server) lookup(host, path string) *matcher {
	if s.hosts {
		if m := s.methods[methodKey{host, path}]; m != nil {
			return m
		}
	}
	if m := s.methods[methodKey{"", path}]; m != nil {
		return m
	}
	return s.unregistered
}

// shuttingDown is what clients and late connections of a draining server read.
const shuttingDown = "the server is shutting down"

// ErrServerClosed is the cause of errors about connections that come too late.
var ErrServerClosed = errors.New(shuttingDown)

// The end of a server has three steps. Draining begins: slots fail, calls that
// wait are refused, listeners close, and clients are told to make no more
// calls. Then the calls under way end by themselves or are cut off. It is over
// when the last connection is gone. Package lifetime counts.

// Draining is closed when the server begins to shut down: calls under way may
// go on, and those without an end of their own should come to one.
func (s *Server) Draining() <-chan struct{} { return s.life.Draining() }

// beginDrain begins to shut down. Only the first call does anything.
func (s *Server) beginDrain() {
	s.Start() // so that slots can be failed, and nothing be registered any more
	s.life.Drain(func() {
		var event trace.EventID
		if s.trace.on() {
			event = s.trace.shutdown()
		}
		for m := range s.matchers() {
			m.close(event)
		}
	})
}

// Shutdown ends the server: it accepts no more connections and calls, lets the
// calls under way end, and returns nil when the last connection is gone. When
// ctx ends before that the rest is cut off and the error wraps that of ctx.
// Either way every goroutine of the server is gone then. It may be called any
// number of times, before Serve too.
//
// Shutdown must not be called where it would wait for itself: in a callback, be
// it a functor, a closure or an allocator, never, since those run on goroutines
// of the server; start a goroutine there, or use [Server.ShutdownAndNotify]. A
// goroutine that has yet to answer a call waits until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.beginDrain()
	err := s.life.Await(ctx, s.reportProgress)
	if err != nil {
		err = fmt.Errorf("surface: calls did not end in time, so connections were cut off (%d): %w", s.cutOff(), err)
	}
	s.life.Wait()
	return err
}

// reportProgress logs what Shutdown waits for, with one client as an example.
func (s *Server) reportProgress() {
	var conns, listeners int
	var peer any = "none"
	for _, m := range s.life.Members() {
		if c, ok := m.(*serverConn); ok {
			conns++
			peer = c.t.Peer()
		} else {
			listeners++
		}
	}
	s.cfg.logger.Debug("surface: waiting for the server to end", "listeners", listeners, "connections", conns, "peer", peer)
}

// Close shuts down without waiting for calls. Like Shutdown it must not be
// called in a callback.
func (s *Server) Close() {
	s.beginDrain()
	s.cutOff()
	s.life.Wait()
}

// ShutdownAndNotify begins to shut down and posts tag to q when the last
// connection is gone, at once if it is; calls under way are waited for. Any
// number of tags may wait. If q has shut down nothing is begun and the error
// is CallErrorCompletionQueueShutdown; without q it is CallErrorFailed.
func (s *Server) ShutdownAndNotify(q *cq.Queue, tag cq.Tag) CallError {
	if q == nil {
		return CallErrorFailed
	}
	if !q.BeginOp(tag) {
		return CallErrorCompletionQueueShutdown
	}
	s.life.Notify(q, tag)
	s.beginDrain()
	return CallOK
}

// CancelAllCalls cuts the calls under way off: their clients see UNAVAILABLE.
// It has no meaning before the server shuts down.
func (s *Server) CancelAllCalls() {
	if s.life.Begun() {
		s.cutOff()
	}
}

// cutOff cuts off what is left of a server that drains, and returns the number
// of connections.
func (s *Server) cutOff() (conns int) {
	for _, m := range s.life.Members() {
		m.Cut()
		if _, ok := m.(*serverConn); ok {
			conns++
		}
	}
	return conns
}
