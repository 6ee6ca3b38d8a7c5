package surface

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strata-grpc/strata/internal/warnlimit"
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
	"github.com/strata-grpc/strata/layer4_surface/internal/handshakes"
)

// A Server receives calls. Its life is: make it, register queues and methods,
// Start or Serve, Shutdown. Except where said its methods may be called from
// any goroutine at any time.
type Server struct {
	// Set by NewServer, read-only afterwards.
	cfg   serverConfig
	trace tracer
	drain chan struct{} // closed when draining begins

	// Written before started is set, read-only afterwards.
	queues       []*cq.Queue
	methods      map[methodKey]*matcher
	hosts        bool // some method is registered for one host only
	unregistered *matcher

	started   atomic.Bool
	draining  atomic.Bool
	nextQueue atomic.Uint32 // where the search for a request begins

	// jobs counts accept loops, handshakes and connections until they are
	// gone. It grows under mu and only before stopped.
	jobs sync.WaitGroup

	handshakes handshakes.Limit

	mu sync.Mutex // a leaf
	// Guarded by mu.
	listeners map[*listener]struct{}
	conns     map[*serverConn]struct{}
	notify    []*shutdownTag
	idle      chan struct{} // closed when draining and nothing is left
}

// A methodKey finds a method. Host is empty for any.
type methodKey struct{ host, path string }

// shuttingDown is the message of calls that a draining server refuses.
const shuttingDown = "the server is shutting down"

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

// NewServer returns a server without listeners, queues and methods.
func NewServer(opts ...ServerOption) *Server {
	s := &Server{
		drain:     make(chan struct{}),
		idle:      make(chan struct{}),
		methods:   map[methodKey]*matcher{},
		listeners: map[*listener]struct{}{},
		conns:     map[*serverConn]struct{}{},
	}
	for _, o := range opts {
		o.applyServer(&s.cfg)
	}
	s.cfg.endConfig = s.cfg.endConfig.withDefaults()
	s.cfg.http2.Logger = slog.New(warnlimit.New(s.cfg.logger.Handler(), warnInterval))
	s.cfg.pending = s.cfg.pending.withDefaults()
	if s.cfg.handshake <= 0 {
		s.cfg.handshake = DefaultHandshakeTimeout
	}
	if s.handshakes.Max = s.cfg.maxHandshakes; s.handshakes.Max <= 0 {
		s.handshakes.Max = DefaultMaxHandshakes
	}
	s.trace = newTracer(s.cfg.trace)
	s.unregistered = &matcher{server: s}
	return s
}

// ErrStarted is returned for what has to be done before the server starts.
var ErrStarted = errors.New("surface: the server has started")

// RegisterCompletionQueue says that requests may be posted with q. A queue
// that is registered already is left alone.
func (s *Server) RegisterCompletionQueue(q *cq.Queue) error {
	if q == nil {
		return errors.New("surface: RegisterCompletionQueue without a queue")
	}
	return s.setUp(func() error {
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
	if len(method) < 2 || method[0] != '/' {
		return nil, fmt.Errorf("surface: method %q is not of the form /service/method", method)
	}
	m := &matcher{server: s, method: method, payload: payload}
	err := s.setUp(func() error {
		key := methodKey{host, method}
		if s.methods[key] != nil {
			return fmt.Errorf("surface: method %q is registered already for host %q", method, host)
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
// on the goroutine that reads the connection, and nothing ever waits.
func (s *Server) SetBatchMethodAllocator(q *cq.Queue, a Allocator) error {
	return s.setAllocator(s.unregistered, q, a)
}

// SetRegisteredMethodAllocator is SetBatchMethodAllocator for one method.
func (s *Server) SetRegisteredMethodAllocator(r *RegisteredMethod, q *cq.Queue, a Allocator) error {
	if r == nil || r.m.server != s {
		return errors.New("surface: the method was not registered with this server")
	}
	return s.setAllocator(r.m, q, a)
}

func (s *Server) setAllocator(m *matcher, q *cq.Queue, a Allocator) error {
	switch {
	case q == nil || q.Type() != cq.Callback:
		return errors.New("surface: an allocator needs a Callback queue")
	case a == nil:
		return errors.New("surface: the allocator is nil")
	}
	return s.setUp(func() error {
		m.alloc, m.notify = a, q
		return nil
	})
}

// setUp runs f, which changes what is read-only once the server has started.
func (s *Server) setUp(f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started.Load() {
		return ErrStarted
	}
	return f()
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

// RequestCall asks for one call of a method that is not registered. When it
// has come req is filled in and notify, a registered queue, gets an event with
// tag. boundTo is the queue of the call's own batches, nil for one of its own.
// If the server shuts down first, or has, the event is a failure.
func (s *Server) RequestCall(req *RequestedCall, boundTo, notify *cq.Queue, tag cq.Tag) CallError {
	return s.request(s.unregistered, req, boundTo, notify, tag)
}

// RequestRegisteredCall is RequestCall for calls of one method.
func (s *Server) RequestRegisteredCall(r *RegisteredMethod, req *RequestedCall, boundTo, notify *cq.Queue, tag cq.Tag) CallError {
	return s.request(r.m, req, boundTo, notify, tag)
}

func (s *Server) request(m *matcher, req *RequestedCall, boundTo, notify *cq.Queue, tag cq.Tag) CallError {
	if !s.started.Load() {
		return CallErrorFailed
	}
	i := s.queueIndex(notify)
	switch {
	case i < 0:
		return CallErrorNotServerCompletionQueue
	case m.alloc != nil:
		return CallErrorFailed // its slots are not posted
	case req.WantPayload != m.payload.waits():
		return CallErrorPayloadTypeMismatch
	case !notify.BeginOp(tag):
		return CallErrorCompletionQueueShutdown
	}
	if s.trace.on() {
		s.trace.request(m.method, tag)
	}
	req.BoundTo, req.Tag, req.notify = boundTo, tag, notify
	m.request(i, req)
	return CallOK
}

// Draining is closed when the server begins to shut down: calls under way may
// go on, and those without an end of their own should come to one.
func (s *Server) Draining() <-chan struct{} { return s.drain }

// ServeTransport serves a connection that is made already. It returns at once;
// the server owns t.
func (s *Server) ServeTransport(t transport.Transport) error {
	s.Start()
	if !s.addJob() {
		t.Close()
		return ErrServerClosed
	}
	if err := s.attach(t); err != nil {
		t.Close()
		s.jobs.Done()
		return err
	}
	return nil
}

// ErrServerClosed is returned for connections that come too late.
var ErrServerClosed = errors.New("surface: " + shuttingDown)

// addJob counts something that Close will wait for. It reports false when the
// server is shutting down.
func (s *Server) addJob() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.jobs.Add(1)
	return true
}

// Shutdown ends the server: it accepts no more connections and calls, lets the
// calls under way end, and returns nil when the last connection is gone. When
// ctx ends before that the rest is cut off and the error is that of ctx. Either
// way every goroutine of the server is gone then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.beginDrain()
	select {
	case <-s.idle:
	case <-ctx.Done():
		select {
		case <-s.idle: // both are so, and nothing was cut off
		default:
			s.CancelAllCalls()
			s.jobs.Wait()
			return context.Cause(ctx)
		}
	}
	s.jobs.Wait()
	return nil
}

// Close shuts down without waiting for calls.
func (s *Server) Close() {
	s.beginDrain()
	s.CancelAllCalls()
	s.jobs.Wait()
}

// Shutdown has three steps. Draining begins: listeners close, slots fail,
// calls that wait are refused, and clients are told to make no more calls.
// Then the calls under way end by themselves or are cut off. The server is
// idle when the last connection is gone.

// ShutdownAndNotify begins to shut down and posts tag to q when the last
// connection is gone; calls under way are waited for. Several tags may wait.
func (s *Server) ShutdownAndNotify(q *cq.Queue, tag cq.Tag) CallError {
	if !q.BeginOp(tag) {
		return CallErrorCompletionQueueShutdown
	}
	s.mu.Lock()
	t := &shutdownTag{queue: q, tag: tag}
	s.notify = append(s.notify, t)
	s.mu.Unlock()
	s.beginDrain()
	s.checkIdle()
	return CallOK
}

// A shutdownTag is who wants to know of the end.
type shutdownTag struct {
	queue      *cq.Queue
	tag        cq.Tag
	completion cq.Completion
}

// CancelAllCalls cuts the calls under way off: their clients see UNAVAILABLE.
// It has no meaning before the server shuts down.
func (s *Server) CancelAllCalls() {
	if !s.draining.Load() {
		return
	}
	op := &transport.Op{Disconnect: newLocalError(status.Unavailable, "the server cancelled all calls")}
	for _, conn := range s.openConns() {
		conn.calls.stack.StartTransportOp(op)
	}
	s.mu.Lock()
	listeners := make([]*listener, 0, len(s.listeners))
	for l := range s.listeners {
		listeners = append(listeners, l)
	}
	s.mu.Unlock()
	for _, l := range listeners {
		l.closeHandshakes()
	}
}

// openConns lists the connections.
func (s *Server) openConns() []*serverConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make([]*serverConn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// beginDrain begins to shut down. Only the first call does anything.
func (s *Server) beginDrain() {
	s.Start() // so that slots can be failed, and nothing be registered any more
	s.mu.Lock()
	if s.draining.Load() {
		s.mu.Unlock()
		return
	}
	s.draining.Store(true) // under mu: no job is added after this
	listeners := make([]*listener, 0, len(s.listeners))
	for l := range s.listeners {
		listeners = append(listeners, l)
	}
	s.mu.Unlock()
	close(s.drain)
	for _, l := range listeners {
		l.stop()
	}
	for m := range s.matchers() {
		m.close()
	}
	for _, conn := range s.openConns() {
		conn.goaway()
	}
	s.checkIdle()
}

// checkIdle tells those who wait if draining is done.
func (s *Server) checkIdle() {
	s.mu.Lock()
	if !s.draining.Load() || len(s.listeners) > 0 || len(s.conns) > 0 {
		s.mu.Unlock()
		return
	}
	tags := s.notify
	s.notify = nil
	select {
	case <-s.idle:
	default:
		close(s.idle)
	}
	s.mu.Unlock()
	for _, t := range tags {
		t.queue.EndOp(t.tag, true, nil, &t.completion)
	}
}
