package http2

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// A reading is what the reader notes. Owned by readLoop.
type reading struct {
	first       bool // the first frame was seen
	limited     int  // the header block that a read limit is set for, see limitHeaderBlock
	frames      int  // that were taken
	afterBroken int  // bytes that came since a write failed

	// The message that the next read goes straight into, and where.
	direct *transport.Buffer
	dst    []byte
}

// readLoop reads frames and applies them, until the connection ends. All
// complete frames of one read are applied before anything is delivered and
// the answers are written, once.
func (c *conn) readLoop() {
	defer c.running.Done()
	trace.Role(c.s.cfg.Trace, c.s.roleName()+" reader")
	c.mu.Lock()
	c.limitReads(c.cfg.handshakeDeadline)
	c.mu.Unlock()
	err := c.readFrames()
	c.in.Close()
	c.reading.direct.Release()
	c.mu.Lock()
	c.end(err)
}

// end closes the connection because of err, and tells the peer if it is at
// fault. Caller holds conn.mu, which end releases.
func (c *conn) end(err error) {
	cause, broke := c.farewell(err)
	c.closeLocked(cause)
	c.release(writeNow)
	if broke != nil {
		c.s.cfg.Logger.Warn("http2: the peer broke a rule of the protocol; closing the connection", "peer", c.s.peerName, "error", broke)
	}
}

// readFrames returns why reading ended, never nil.
func (c *conn) readFrames() error {
	for {
		n, err := c.in.Read(c.reading.dst)
		c.mu.Lock()
		if c.s.trace.On() && n > 0 {
			c.s.trace.Socket("read", trace.DirRecv, n)
		}
		c.s.now = time.Now()
		c.w.held = true
		broken, window := c.w.broken, c.s.flow.recv.size
		if c.s.flow.longFrames { // before a frame can come that is
			c.in.AllowLong()
		}
		c.mu.Unlock()
		if broken != nil {
			// What a peer can have sent before it noticed fits the window.
			if c.reading.afterBroken += n; c.reading.afterBroken > int(window) {
				return broken
			}
		}
		e := c.applyAll()
		c.reading.direct.Release()
		c.reading.direct, c.reading.dst = nil, nil
		if e != nil {
			return e
		}
		if err != nil {
			return c.readError(err)
		}
		if err := c.afterRead(); err != nil {
			return err
		}
	}
}

// applyAll applies the complete frames in the buffer. Where a few bytes ask for
// many it does not go on before the peer has taken the answers, and where they
// ask for much work not before a pause.
func (c *conn) applyAll() error {
	for {
		if !c.reading.first {
			if err := c.checkFirst(); err != nil {
				return err
			}
		}
		h, payload, err := c.in.Next()
		if err != nil || payload == nil {
			return err
		}
		c.reading.first = true
		c.reading.frames++
		c.mu.Lock()
		if err = c.s.control.closed; err == nil {
			err = c.s.step(h, payload)
		}
		waiting, full := c.s.in.waiting, c.mustWait()
		c.mu.Unlock()
		if err != nil {
			return err
		}
		if waiting {
			c.acceptWaiting()
		}
		if full {
			if err := c.afterRead(); err != nil {
				return err
			}
			c.mu.Lock()
			c.s.now = time.Now()
			c.w.held = true
			c.mu.Unlock()
		}
	}
}

// mustWait reports whether the peer has to take answers first, or has to be
// slowed down. Caller holds conn.mu.
func (c *conn) mustWait() bool { return c.s.out.Answers() > maxPendingControl || c.s.paused() }

// afterRead delivers and writes, and waits if it must.
func (c *conn) afterRead() error {
	c.mu.Lock()
	c.checkGreeting()
	c.limitHeaderBlock()
	c.deliverHeld()
	c.w.held = false
	c.release(writeNow)
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.mustWait() && c.s.control.closed == nil && c.w.broken == nil {
		c.written.Wait()
	}
	if id, n := c.in.Pending(); n >= leastDirect {
		c.reading.direct, c.reading.dst = c.s.destination(id, n)
	}
	return c.s.control.closed
}

// deliverHeld delivers while writing is held, so that what comes of it is
// written at once. Caller holds conn.mu.
func (c *conn) deliverHeld() {
	if head := c.s.takeDirty(); head != nil {
		c.mu.Unlock()
		deliverAll(head)
		c.mu.Lock()
	}
}

// checkGreeting lets go whoever waits for the peer's SETTINGS.
// Caller holds conn.mu.
func (c *conn) checkGreeting() {
	if c.greeted || !c.s.peer.received {
		return
	}
	c.greeted = true
	close(c.ready)
	c.s.notify()
	c.limitReads(time.Time{})
}

// limitHeaderBlock bounds how long a header block takes to arrive: a
// connection in the middle of one is good for nothing else. Each has its own
// time: on a slow line every read may end within another one.
// Caller holds conn.mu.
func (c *conn) limitHeaderBlock() {
	n := c.s.block.number // 0 for none
	if !c.s.block.open {
		n = 0
		if c.inHeaders() {
			n = -c.reading.frames - 1 // that which follows them
		}
	}
	if n == c.reading.limited {
		return
	}
	c.reading.limited = n
	if n != 0 {
		c.limitReads(time.Now().Add(headerBlockTime))
	} else {
		c.limitReads(time.Time{})
	}
}

// limitReads sets when reading fails, unless the connection is at its end, which
// has limits of its own. Caller holds conn.mu.
func (c *conn) limitReads(t time.Time) {
	if c.w.broken == nil && c.s.control.closed == nil {
		c.setReadLimit(t)
	}
}

// setReadLimit sets when reading fails. An error means that the connection is
// gone, which the next read reports.
func (c *conn) setReadLimit(t time.Time) { _ = c.nc.SetReadDeadline(t) }

// readError says what a failed read means.
func (c *conn) readError(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.s
	switch {
	case s.control.closed != nil:
		return s.control.closed
	case errors.Is(err, io.EOF) && s.control.draining:
		return s.control.cause
	case errors.Is(err, io.EOF) && !s.peer.received:
		return s.newError(status.Unavailable, "connection closed by the peer before it sent SETTINGS")
	case c.w.broken != nil:
		return c.w.broken
	case errors.Is(err, io.EOF):
		return s.newError(status.Unavailable, "connection closed by the peer")
	case errors.Is(err, os.ErrDeadlineExceeded) && !s.peer.received:
		return s.wrapError(status.Unavailable, "no SETTINGS from the peer in the time for the handshake", err)
	case errors.Is(err, os.ErrDeadlineExceeded) && (s.block.open || c.inHeaders()):
		return connError(frame.CodeEnhanceYourCalm, "a header block that took more than %v", headerBlockTime)
	default:
		return s.wrapError(status.Unavailable, "reading from the connection", err)
	}
}

// farewell sends GOAWAY for an error of the peer, and returns what the error
// means to the calls, and the rule that was broken. RFC 9113 §5.4.1.
// Caller holds conn.mu.
func (c *conn) farewell(err error) (cause, broke error) {
	if text, ok := err.(notHTTP2); ok {
		return c.s.newError(status.Unavailable, string(text)), nil // it would not understand
	}
	var e *frame.Error
	if !errors.As(err, &e) || c.s.control.closed != nil {
		return err, nil
	}
	c.s.appendGoAway(c.s.lastSeen(), e.Code, e.Reason)
	c.blamed = true
	broken := c.s.wrapError(status.Unavailable, "the peer broke a rule of HTTP/2", e)
	broken.HTTP2, broken.HasHTTP2 = e.Code, true
	return broken, e
}

// inHeaders reports whether what waits is the beginning of a HEADERS frame.
func (c *conn) inHeaders() bool {
	b := c.in.Bytes()
	return len(b) >= frame.HeaderLen && frame.ParseHeader(b).Type == frame.TypeHeaders
}

// checkFirst recognises peers that speak something else, from the first bytes
// they send, since what HTTP/2 would make of them says nothing.
func (c *conn) checkFirst() error {
	b := c.in.Bytes()
	if what := otherProtocol(b); what != "" {
		return notHTTP2(fmt.Sprintf("the peer speaks %s, not HTTP/2 in plain text (it began with %q)", what, beginning(b)))
	}
	return nil
}

// A notHTTP2 is what the peer seems to speak instead.
type notHTTP2 string

func (e notHTTP2) Error() string { return string(e) }

// beginning returns what an error tells of bytes that are not HTTP/2: enough to
// know them by, and too little for the path or the password that may follow.
func beginning(b []byte) []byte {
	if answer := "HTTP/1.1 400"; len(b) >= len(answer) && string(b[:5]) == answer[:5] {
		return b[:len(answer)]
	}
	return b[:min(len(b), 4)]
}

// otherProtocol names the protocol that b is the beginning of, if it is one of
// the usual mistakes.
func otherProtocol(b []byte) string {
	has := func(prefix string) bool { return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix }
	switch {
	case has("HTTP/1"), has("GET "), has("POST "), has("HEAD "), has("PUT "), has("OPTIONS "), has("DELETE "), has("CONNECT "):
		return "HTTP/1"
	case len(b) >= 2 && (b[0] == 0x15 || b[0] == 0x16) && b[1] == 0x03: // alert and handshake records
		return "TLS"
	default:
		return ""
	}
}
