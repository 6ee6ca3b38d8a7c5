package surface

import (
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

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
