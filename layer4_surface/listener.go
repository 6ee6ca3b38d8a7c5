package surface

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// How long an accept loop waits after an error, such as too many open files,
// before it tries again.
const (
	minAcceptDelay = 5 * time.Millisecond
	maxAcceptDelay = time.Second
)

// warnInterval spaces the warnings that strangers can cause: about connections
// that are refused and peers that break a rule.
const warnInterval = 10 * time.Second

// A listener is one accept loop with the connections that are not set up yet.
type listener struct {
	// Set by Serve, read-only afterwards.
	server *Server
	lis    net.Listener
	ctx    context.Context // ends when the accept loop does; the lifetime of l
	cancel context.CancelFunc

	mu sync.Mutex // a leaf
	// Guarded by mu.
	handshaking map[net.Conn]struct{}
	closed      bool
}

// Serve accepts connections from lis and serves them until the server shuts
// down, and then returns nil. Otherwise it returns why lis cannot accept any
// more. It closes lis. Any number of listeners may be served.
func (s *Server) Serve(lis net.Listener) error {
	s.Start()
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{server: s, lis: lis, ctx: ctx, cancel: cancel, handshaking: map[net.Conn]struct{}{}}
	s.mu.Lock()
	if s.draining.Load() {
		s.mu.Unlock()
		cancel()
		return errors.Join(ErrServerClosed, lis.Close())
	}
	s.jobs.Add(1)
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	defer l.done()
	return l.acceptLoop()
}

// done takes the listener off the server.
func (l *listener) done() {
	l.stop()
	s := l.server
	s.mu.Lock()
	delete(s.listeners, l)
	s.mu.Unlock()
	s.checkIdle()
	s.jobs.Done()
}

// stop ends the accept loop and the handshakes: none of those clients has sent
// a request yet.
func (l *listener) stop() {
	l.cancel()
	l.lis.Close()
	l.closeHandshakes()
}

// closeHandshakes closes the connections that are not set up yet.
func (l *listener) closeHandshakes() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for nc := range l.handshaking {
		nc.Close()
	}
}

// acceptLoop accepts until the listener is closed.
func (l *listener) acceptLoop() error {
	trace.Role(l.server.cfg.trace, "surface accept loop")
	var delay time.Duration
	for {
		nc, err := l.lis.Accept()
		if err == nil {
			delay = 0
			if sink := l.server.cfg.trace; sink != nil {
				trace.Socket(sink, "accept", fmt.Sprint(nc.RemoteAddr()), nil)
			}
			if l.server.addJob() {
				go l.handshake(nc)
			} else {
				nc.Close()
			}
			continue
		}
		switch {
		case l.ctx.Err() != nil:
			return nil
		case !temporary(err):
			return fmt.Errorf("surface: accepting on %v: %w", l.lis.Addr(), err)
		}
		delay = min(max(2*delay, minAcceptDelay), maxAcceptDelay)
		l.server.cfg.logger.Warn("surface: accepting failed, trying again", "address", l.lis.Addr(), "error", err, "delay", delay)
		if !l.pause(delay) {
			return nil
		}
	}
}

// temporary reports whether accepting may work again, as where there are too
// many open files. Other errors are the end of a listener.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// pause waits, and reports false if the listener was stopped meanwhile.
func (l *listener) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// handshake makes a transport of an accepted connection. The job that was
// added for it passes to the transport, or ends here.
func (l *listener) handshake(nc net.Conn) {
	s := l.server
	trace.Role(s.cfg.trace, "surface handshake")
	t, err := l.accept(nc)
	if err == nil {
		if err = s.attach(t); err == nil {
			return
		}
		t.Close()
	}
	nc.Close()
	s.jobs.Done()
	if l.ctx.Err() == nil {
		l.refused(nc, err)
	}
}

// refused logs why a connection was refused. Probes that only connect are no
// news.
func (l *listener) refused(nc net.Conn, err error) {
	logger := l.server.cfg.http2.Logger // strangers cause it, as they do those
	if errors.Is(err, io.EOF) {
		logger.Debug("surface: a connection ended before its preface", "peer", nc.RemoteAddr(), "error", err)
		return
	}
	logger.Warn("surface: refused a connection", "peer", nc.RemoteAddr(), "error", err)
}

// accept makes a transport of nc, unless too many connections are being set up
// and this one takes the longest.
func (l *listener) accept(nc net.Conn) (transport.Transport, error) {
	if !l.begin(nc) {
		return nil, ErrServerClosed
	}
	defer l.end(nc)
	limit := &l.server.handshakes
	h := limit.Begin(nc)
	defer limit.End(h)
	t, err := l.shakeHands(nc)
	if err != nil && h.GivenUp() {
		err = fmt.Errorf("more than %d connections were being set up, of which this was the oldest: %w", limit.Max, err)
	}
	return t, err
}

// shakeHands carries out the handshakes of the credentials and of HTTP/2.
func (l *listener) shakeHands(nc net.Conn) (transport.Transport, error) {
	s := l.server
	ctx, cancel := context.WithTimeout(l.ctx, s.cfg.handshake)
	defer cancel()
	var auth credentials.AuthInfo
	conn := nc
	if creds := s.cfg.credentials; creds != nil {
		var err error
		conn, auth, err = creds.ServerHandshake(ctx, nc)
		if sink := s.cfg.trace; sink != nil && creds.Info().SecurityProtocol == "tls" {
			trace.Socket(sink, "tls", fmt.Sprint(nc.RemoteAddr()), err)
		}
		if err != nil {
			return nil, err
		}
	}
	return http2.Accept(ctx, conn, auth, s.cfg.http2)
}

// begin notes a connection that is being set up, unless the listener has closed.
func (l *listener) begin(nc net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.handshaking[nc] = struct{}{}
	}
	return !l.closed
}

func (l *listener) end(nc net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.handshaking, nc)
}

// A serverConn is one connection of a server: gRPC core's server channel. It
// takes the streams that the client begins.
type serverConn struct {
	// Set by attach, read-only afterwards.
	server *Server
	t      transport.Transport
	calls  callPool

	gone sync.Once
}

// attach makes t a connection of the server. On success the job that the
// caller has added ends with the connection.
func (s *Server) attach(t transport.Transport) error {
	stack, err := stacks.Server(serverFilter{}, s.cfg.stack).Build(callstack.ChannelArgs{Transport: t, Trace: s.cfg.trace})
	if err != nil {
		return fmt.Errorf("surface: the stack of a connection: %w", err)
	}
	c := &serverConn{server: s, t: t}
	c.calls.stack, c.calls.trace = stack, s.trace
	s.mu.Lock()
	draining := s.draining.Load()
	if !draining {
		s.conns[c] = struct{}{}
	}
	s.mu.Unlock()
	if draining { // it began while the handshake was under way
		stack.Destroy()
		return ErrServerClosed
	}
	stack.StartTransportOp(&transport.Op{Accept: c, StartWatch: c})
	return nil
}

// AcceptStream is told of a stream that the client has begun.
func (c *serverConn) AcceptStream(_ transport.Transport, accepted transport.Accepted) {
	call, _ := c.calls.get()
	args := &call.stack.Args
	args.Owner, args.Accepted, args.CallID = call, accepted, call.id
	if c.calls.trace.on() {
		args.Start = time.Now()
	}
	fault := call.stack.Init()
	call.server.begin(c.server, fault)
}

// OnState is told of the end of the connection.
func (c *serverConn) OnState(s connectivity.State, _ error) {
	if s == connectivity.Shutdown {
		// A transport must not be closed from one of its callbacks.
		c.gone.Do(func() { go c.finish() })
	}
}

// goaway tells the client to make no more calls on this connection. RFC 9113 §6.8.
func (c *serverConn) goaway() {
	c.calls.stack.StartTransportOp(&transport.Op{Goaway: &transport.Goaway{Code: status.HTTP2NoError, Debug: shuttingDown}})
}

// finish waits for the goroutines of the connection and takes it off the
// server.
func (c *serverConn) finish() {
	s := c.server
	c.t.Close()
	c.calls.stack.Destroy()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.checkIdle()
	s.jobs.Done()
}
