package http2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2/input"
	"github.com/strata-grpc/strata/layer1_transport/http2/outbox"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// A conn is one HTTP/2 connection, as a transport.Transport.
type conn struct {
	// Set by newConn, read-only afterwards.
	nc      net.Conn
	cfg     connConfig
	ready   chan struct{} // closed at the peer's first SETTINGS, or at the end
	running sync.WaitGroup

	// Owned by readLoop; no lock.
	in       *input.Input
	reading  reading
	acceptor transport.Acceptor // set before readLoop starts

	mu sync.Mutex // the only lock
	// Guarded by mu.
	s       *session
	w       writer
	written *sync.Cond // the outbox became shorter, or the connection closed
	greeted bool       // ready is closed
	started bool       // readLoop was started
	telling bool       // somebody tells events
	linger  bool       // lingerLoop was started
	blamed  bool       // the peer is told why the connection ends, see shut
	hurry   bool       // somebody waits for the end
	timer   sessionTimer
	done    chan struct{} // closed when the connection is
}

// A sessionTimer calls wake at the earliest time that the session has asked
// for. It is made when the session first asks. Guarded by conn.mu.
//
// Invariant: conn.running counts one for each call of wake that is to come.
type sessionTimer struct {
	t  *time.Timer
	at time.Time // when it fires, zero when it does not
}

// connConfig is what a conn needs besides what its session has.
type connConfig struct {
	handshakeDeadline time.Time // by when the peer's SETTINGS must be here
}

// connNumbers number connections for traces. It is a counter and nothing else.
var connNumbers atomic.Uint64

func newConn(r role, nc net.Conn, auth credentials.AuthInfo, cfg Config) *conn {
	cfg = cfg.withDefaults()
	p := &peer.Peer{Addr: nc.RemoteAddr(), LocalAddr: nc.LocalAddr(), AuthInfo: auth}
	c := &conn{
		nc:    nc,
		s:     newSession(r, p, cfg),
		ready: make(chan struct{}),
		done:  make(chan struct{}),
		in:    input.New(nc),
	}
	if alive := &c.s.control.pings.alive; alive.On() {
		outbox.LimitUnacknowledged(nc, alive.Timeout())
	}
	c.written = sync.NewCond(&c.mu)
	c.w.socket = outbox.NewSocket(nc)
	if cfg.Trace != nil {
		c.in.Whole()
	}
	c.s.trace.Sink, c.s.trace.Conn = cfg.Trace, connNumbers.Add(1)
	return c
}

// Connect begins HTTP/2 as the client of nc, which it owns from then on also
// when it fails. It returns when the server's SETTINGS are here, or when ctx
// ends. If ctx has no deadline, the server has 10 seconds. auth is what the
// security handshake found out, nil for none.
//
// A server that greets and at once leaves gracefully, because it shuts down for
// instance, has not failed: the transport is returned although it may be closed by
// then. Its calls end unsent, and can be made over another connection.
func Connect(ctx context.Context, nc net.Conn, auth credentials.AuthInfo, cfg Config) (transport.Transport, error) {
	c := newConn(client, nc, auth, cfg)
	if _, ok := ctx.Deadline(); !ok {
		c.cfg.handshakeDeadline = time.Now().Add(handshakeTime)
	}
	c.mu.Lock()
	c.s.greet()
	c.startReading()
	c.release(writeNow)
	select {
	case <-c.ready:
	case <-ctx.Done():
		c.close(fmt.Errorf("no SETTINGS from the server: %w", context.Cause(ctx)))
	}
	c.mu.Lock()
	err := c.s.control.closed
	failed := err != nil && !c.s.leftGracefully()
	if failed {
		c.hurryLocked()
	}
	c.mu.Unlock()
	if failed {
		c.running.Wait()
		return nil, err
	}
	return c, nil
}

// Accept begins HTTP/2 as the server of nc, which it owns from then on also
// when it fails. It returns when the client's preface is here, or when ctx
// ends. The deadline of ctx holds for the client's SETTINGS too; if it has none,
// the client has 10 seconds for both. Frames are read once an Op with Accept was
// performed.
func Accept(ctx context.Context, nc net.Conn, auth credentials.AuthInfo, cfg Config) (transport.Transport, error) {
	c := newConn(server, nc, auth, cfg)
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(handshakeTime)
		c.setReadLimit(deadline)
	}
	stop := context.AfterFunc(ctx, func() { c.setReadLimit(time.Unix(1, 0)) })
	err := c.readPreface()
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = nc.Close() // the first error is the one that matters
		return nil, c.s.wrapError(status.Unavailable, "waiting for the client's preface", err)
	}
	c.cfg.handshakeDeadline = deadline
	if c.s.trace.On() {
		c.s.trace.Skip(len(frame.ClientPreface))
		c.s.trace.Connection("preface", trace.DirRecv, 0, "the connection preface of RFC 9113 §3.4")
	}
	c.mu.Lock()
	c.s.greet()
	c.release(writeNow)
	return c, nil
}

// readPreface reads what a client sends first and recognises other protocols
// by it. What came along with it stays in the buffer: frames for readLoop, or
// the rest of something else, which the kernel would answer with a reset if it
// were left unread. RFC 9113 §3.4.
func (c *conn) readPreface() error {
	const preface = frame.ClientPreface
	for len(c.in.Bytes()) < len(preface) {
		_, err := c.in.Read(nil)
		b := c.in.Bytes()
		b = b[:min(len(b), len(preface))]
		if what := otherProtocol(b); what != "" {
			return fmt.Errorf("the peer speaks %s, not HTTP/2 in plain text (it began with %q)", what, beginning(b))
		}
		if string(b) != preface[:len(b)] {
			return fmt.Errorf("the peer does not speak HTTP/2 (it began with %q)", beginning(b))
		}
		if err != nil && len(b) < len(preface) {
			if errors.Is(err, io.EOF) && len(b) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	c.in.Skip(len(preface))
	return nil
}

// startReading starts readLoop, once. Caller holds conn.mu.
func (c *conn) startReading() {
	if !c.started && c.s.control.closed == nil {
		c.started = true
		c.running.Add(1)
		go c.readLoop()
	}
}

// Name returns "http2".
func (c *conn) Name() string { return layerName }

// Peer describes the other end.
func (c *conn) Peer() *peer.Peer { return c.s.peerInfo }

// NewStream returns the memory of one stream.
func (c *conn) NewStream() transport.Stream { return &stream{conn: c} }

// PerformOp carries out an operation on the connection.
func (c *conn) PerformOp(op *transport.Op) {
	c.mu.Lock()
	s := c.s
	if op.StartWatch != nil {
		s.control.watchers = append(s.control.watchers, op.StartWatch)
		state, err := s.state()
		s.control.events = append(s.control.events, event{watcher: op.StartWatch, state: state, err: err})
	}
	if op.StopWatch != nil {
		s.control.watchers = slices.DeleteFunc(s.control.watchers, func(w connectivity.Watcher) bool { return w == op.StopWatch })
	}
	if op.Accept != nil && !c.started {
		c.acceptor = op.Accept
		c.startReading()
	}
	if p := op.Ping; p != nil {
		c.performPing(p)
	}
	if op.Goaway != nil {
		s.startGoAway(op.Goaway)
	}
	if op.Disconnect != nil {
		c.goodbyeLocked()
		c.closeLocked(s.wrapError(transport.DisconnectCode(op.Disconnect), "disconnected by this side", op.Disconnect))
		c.hurryLocked()
	}
	c.release(writeNow)
}

// performPing sends a PING. Caller holds conn.mu.
func (c *conn) performPing(p *transport.Ping) {
	var err error
	if c.s.control.closed != nil {
		err = c.s.wrapError(status.Unavailable, "connection closed", c.s.control.closed)
	} else {
		err = c.s.pingFor(p.OnAck)
	}
	if p.OnInitiate != nil {
		c.s.control.events = append(c.s.control.events, event{done: p.OnInitiate, err: err})
	}
	if err != nil && p.OnAck != nil {
		c.s.control.events = append(c.s.control.events, event{done: p.OnAck, err: err})
	}
}

// setTimer sets the timer to when the session wants to be called. A timer that
// fires earlier is left alone: wake sets it again. Caller holds conn.mu.
func (c *conn) setTimer() {
	at := c.s.control.alarms.Next()
	if c.s.control.closed != nil {
		at = time.Time{}
	}
	tm := &c.timer
	if at.IsZero() && c.s.control.closed == nil || !tm.at.IsZero() && !at.IsZero() && !tm.at.After(at) {
		return
	}
	if tm.t != nil && tm.t.Stop() {
		c.running.Done() // of the call that does not come
	}
	if tm.at = at; at.IsZero() {
		return
	}
	c.running.Add(1)
	if tm.t == nil {
		tm.t = time.AfterFunc(time.Until(at), c.wake)
	} else {
		tm.t.Reset(time.Until(at))
	}
}

// wake is called by the timer.
func (c *conn) wake() {
	defer c.running.Done()
	c.mu.Lock()
	c.timer.at = time.Time{}
	if err := c.s.onAlarms(time.Now()); err != nil {
		c.end(err)
		return
	}
	c.written.Broadcast() // a pause may be over
	c.setTimer()
	c.release(writeNow)
}

// noteDrained starts lingerLoop when the last stream of a draining connection
// has ended. Caller holds conn.mu.
func (c *conn) noteDrained() {
	if c.s.control.drained && !c.linger && c.s.control.closed == nil {
		c.linger = true
		c.running.Add(1)
		go c.lingerLoop()
	}
}

// lingerLoop closes a drained connection. A server first waits until the client
// has closed its end: what was written last would be lost if the kernel had
// to answer data of the client with a reset, a WINDOW_UPDATE for instance.
func (c *conn) lingerLoop() {
	defer c.running.Done()
	c.mu.Lock()
	for (c.w.flushing || c.s.out.Len() > 0) && c.s.control.closed == nil && c.w.broken == nil {
		c.written.Wait()
	}
	cause := c.s.control.cause
	c.mu.Unlock()
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok && c.s.role == server && half.CloseWrite() == nil {
		c.awaitReader()
	}
	c.mu.Lock()
	c.closeLocked(cause)
	c.release(writeNow)
}

// awaitReader returns when the client has closed, or has said nothing of reading
// for lingerTime.
func (c *conn) awaitReader() {
	wait, most := lingerTime, time.Now().Add(lingerReading)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-c.done:
			return
		case now := <-timer.C:
			c.mu.Lock()
			wait = c.s.control.credited.Add(lingerTime).Sub(now)
			c.mu.Unlock()
			if wait = min(wait, most.Sub(now)); wait <= 0 {
				return
			}
			timer.Reset(wait)
		}
	}
}

// Close ends the connection and waits for its goroutines. Where a client has
// ended it by breaking a rule, they may take lingerTime more; whoever cannot
// wait so long asks for a disconnect first. A client has somebody who waits for
// it to close, and so does not wait for a server that broke a rule.
func (c *conn) Close() {
	c.mu.Lock()
	if c.s.role == client {
		c.hurryLocked()
	}
	c.mu.Unlock()
	c.close(errClosed)
	c.running.Wait()
}

// hurryLocked ends the wait for a peer that has broken a rule.
// Caller holds conn.mu.
func (c *conn) hurryLocked() {
	c.hurry = true
	if c.blamed {
		c.setReadLimit(time.Unix(1, 0)) // shut waits no longer
	}
}

func (c *conn) close(cause error) {
	c.mu.Lock()
	c.goodbyeLocked()
	c.closeLocked(c.s.wrapError(status.Unavailable, "connection closed", cause))
	c.release(writeNow)
}

// goodbyeLocked tells the peer which of its streams were seen, so that it can
// try the others elsewhere, also when the end is not graceful. RFC 9113 §6.8.
// Caller holds conn.mu.
func (c *conn) goodbyeLocked() {
	if c.s.control.closed == nil {
		c.s.appendGoAway(c.s.lastSeen(), frame.CodeNoError, "connection closed")
	}
}

// closeLocked ends the connection: the streams fail, and shut sees to the rest.
// Caller holds conn.mu and releases it by release.
func (c *conn) closeLocked(cause error) {
	if c.s.control.closed != nil {
		return
	}
	c.s.closeAll(cause)
	if !c.greeted {
		c.greeted = true
		close(c.ready)
	}
	close(c.done)
	c.setTimer()
	c.written.Broadcast()
	c.running.Add(1)
	go c.shut()
}

// shut writes what was left, as far as the peer takes it in closeWriteTime,
// and closes the net.Conn, which no lock may be held for.
func (c *conn) shut() {
	defer c.running.Done()
	force := time.AfterFunc(closeWriteTime, c.cut)
	defer force.Stop()
	c.mu.Lock()
	for c.w.flushing && c.w.broken == nil {
		c.written.Wait()
	}
	c.w.flushing = true // for good
	c.w.batch = c.s.out.Take()
	c.s.out.Discard()
	c.mu.Unlock()
	if c.w.batch.Len() > 0 && c.w.broken == nil {
		// The connection is over, with or without these bytes.
		_ = c.w.socket.Write(&c.w.batch, 0, closeWriteTime)
	}
	c.w.batch.Release()
	if force.Stop() {
		c.drainBlamed()
		force.Reset(closeWriteTime)
	}
	_ = c.nc.Close()
	if c.s.trace.On() {
		c.s.trace.Socket("close", trace.DirNone, 0)
	}
}

// cut closes the connection without a last word. TLS would wait 5 s for the
// peer to take its alert, so that what is below TLS is closed first.
func (c *conn) cut() {
	if over, ok := c.nc.(interface{ NetConn() net.Conn }); ok {
		_ = over.NetConn().Close()
	}
	_ = c.nc.Close()
}

// drainBlamed reads what a peer sends that has broken a rule, until it has
// closed its end too. Bytes that are left unread when a socket is closed make
// the kernel send a reset, which may overtake the GOAWAY that says why.
func (c *conn) drainBlamed() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	c.mu.Lock()
	wait := ok && c.blamed && !c.hurry
	if wait {
		c.setReadLimit(time.Now().Add(lingerTime))
	}
	c.mu.Unlock()
	if wait && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, c.nc) // ends with the peer, at the limit, or by hurryLocked
	}
}

// roleName is for traces.
func (s *session) roleName() string {
	if s.role == client {
		return "http2 client"
	}
	return "http2 server"
}
