package surface

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer4_surface/internal/accepting"
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
	if lis == nil {
		return errors.New("surface: Serve without a listener")
	}
	s.Start()
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{server: s, lis: lis, ctx: ctx, cancel: cancel, handshaking: map[net.Conn]struct{}{}}
	if !s.life.AddJob() {
		return l.tooLate()
	}
	defer l.done()
	if !s.life.Join(l) {
		return l.tooLate()
	}
	return l.acceptLoop()
}

// ServeTransport serves a connection that is made already. It returns at once;
// the server owns t.
func (s *Server) ServeTransport(t transport.Transport) error {
	if t == nil {
		return errors.New("surface: ServeTransport without a transport")
	}
	s.Start()
	err := ErrServerClosed
	if s.life.AddJob() {
		if err = s.attach(t, false); err == nil {
			return nil
		}
		s.life.JobDone()
	}
	t.Close()
	return fmt.Errorf("surface: the connection from %v is not served: %w", t.Peer(), err)
}

// tooLate closes a listener that a server which shuts down is given.
func (l *listener) tooLate() error {
	l.cancel()
	err := fmt.Errorf("surface: the listener on %v is not served: %w", l.lis.Addr(), ErrServerClosed)
	return errors.Join(err, l.lis.Close())
}

// done takes the listener off the server.
func (l *listener) done() {
	l.Drain()
	l.server.life.Leave(l)
	l.server.life.JobDone()
}

// Drain ends the accept loop and the handshakes: none of those clients has sent
// a request yet.
func (l *listener) Drain() {
	l.cancel()
	l.lis.Close()
	l.closeHandshakes()
}

// Cut does the same: nothing of a listener is graceful.
func (l *listener) Cut() { l.Drain() }

// closeHandshakes closes the connections that are not set up yet.
func (l *listener) closeHandshakes() {
	l.mu.Lock()
	l.closed = true
	open := slices.Collect(maps.Keys(l.handshaking))
	l.mu.Unlock()
	for _, nc := range open {
		nc.Close()
	}
}

// acceptLoop accepts until the listener is closed.
func (l *listener) acceptLoop() error {
	trace.Role(l.server.cfg.trace, "surface accept loop")
	return accepting.Loop(l.ctx, l.lis, l.server.cfg.logger, func(nc net.Conn) {
		if sink := l.server.cfg.trace; sink != nil {
			trace.Socket(sink, "accept", fmt.Sprint(nc.RemoteAddr()), nil)
		}
		l.take(nc)
	})
}

// take begins the handshakes of a connection, unless there are too many
// connections or the server shuts down.
func (l *listener) take(nc net.Conn) {
	s := l.server
	n, most := s.accepted.Add(1), int64(s.cfg.maxConnections)
	full := most > 0 && n > most
	if !full && s.life.AddJob() {
		go l.handshake(nc)
		return
	}
	s.accepted.Add(-1)
	nc.Close()
	if full {
		l.refused(nc, fmt.Errorf("the server has %d connections, which is as many as it may have", most))
	}
}

// handshake makes a transport of an accepted connection. The job that was
// added for it passes to the transport, or ends here.
func (l *listener) handshake(nc net.Conn) {
	s := l.server
	trace.Role(s.cfg.trace, "surface handshake")
	t, err := l.accept(nc)
	if err == nil {
		if err = s.attach(t, true); err == nil {
			return
		}
		t.Close()
	}
	nc.Close()
	s.accepted.Add(-1)
	if l.ctx.Err() == nil {
		l.refused(nc, err)
	}
	s.life.JobDone() // last: whoever closes the server may close the log next
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
	server  *Server
	t       transport.Transport
	calls   callPool
	queue   int  // whose slots its calls take first
	counted bool // in Server.accepted

	gone sync.Once
}

// attach makes t a connection of the server. On success the job that the
// caller has added ends with the connection, and its count if it is counted.
func (s *Server) attach(t transport.Transport, counted bool) error {
	stack, err := s.stacks.Build(s.cfg.stackArgs(t))
	if err != nil {
		return fmt.Errorf("the stack of the connection: %w", err)
	}
	c := &serverConn{server: s, t: t, counted: counted}
	if n := len(s.queues); n > 1 {
		c.queue = int(s.nextQueue.Add(1)-1) % n
	}
	c.calls.stack, c.calls.trace, c.calls.codings = stack, s.trace, s.cfg.codings
	if !s.life.Join(c) { // draining began while the handshake was under way
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
		if from, ok := accepted.(transport.Caused); ok {
			args.Cause = from.Cause()
		}
	}
	fault := call.stack.Init()
	call.server.begin(c, fault)
}

// OnState is told of the end of the connection.
func (c *serverConn) OnState(s connectivity.State, _ error) {
	if s == connectivity.Shutdown {
		// A transport must not be closed from one of its callbacks.
		c.gone.Do(func() { go c.finish() })
	}
}

// Drain tells the client to make no more calls on this connection. RFC 9113 §6.8.
func (c *serverConn) Drain() {
	c.calls.stack.StartTransportOp(&transport.Op{Goaway: &transport.Goaway{Code: status.HTTP2NoError, Debug: shuttingDown}})
}

// Cut ends the connection and the calls on it.
func (c *serverConn) Cut() {
	c.calls.stack.StartTransportOp(&transport.Op{Disconnect: newLocalError(status.Unavailable, "the server cancelled all calls")})
}

// finish waits for the goroutines of the connection and takes it off the
// server.
func (c *serverConn) finish() {
	s := c.server
	c.t.Close()
	c.calls.stack.Stop()
	c.calls.stack.Destroy()
	if c.counted {
		s.accepted.Add(-1)
	}
	s.life.Leave(c)
	s.life.JobDone()
}
