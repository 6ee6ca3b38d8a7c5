// Package wire stands between an end of an HTTP/2 connection and its network,
// and changes what the end sends: frame by frame, which the end does not notice.
//
//	an end ──Write──▶ Conn ──the frames that Keep lets through──▶ net.Conn
//	                   ▲ Inject
//
// # Contract
//
//   - What goes on is whole frames, in the order of the Writes, and what was
//     injected stands between two of them.
//   - Not here: what the end reads, and TLS, which is for whoever makes the
//     connection.
//
// # Goroutines
//
// None.
//
// # Locks
//
// Conn.mu. It is held across the Writes below: two of them must not be mixed.
//
// # Reading order
//
// wire.go.
package wire

import (
	"net"
	"strings"
	"sync"

	"github.com/strata-grpc/strata/layer1_transport/frame"
)

// A Conn is a connection whose end sends through it.
type Conn struct {
	net.Conn

	// Keep says which frames go on. It is called with one frame at a time, in
	// order. Nil is all. It is set before the connection is used.
	Keep func(frame.Header) bool

	mu sync.Mutex
	// Guarded by mu.
	partial []byte // what was written of a frame that is not complete
	begun   bool   // the preface was written, or there is none
}

// Write sends the frames that p completes. It takes all of p.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.partial = append(c.partial, p...)
	var out []byte
	for {
		n, keep := c.nextLocked()
		if n == 0 {
			break
		}
		if keep {
			out = append(out, c.partial[:n]...)
		}
		c.partial = c.partial[n:]
	}
	if len(out) > 0 {
		if _, err := c.Conn.Write(out); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// nextLocked returns how long the first frame of partial is, the preface of a
// client counting as one, and 0 if it is not complete. Caller holds c.mu.
func (c *Conn) nextLocked() (n int, keep bool) {
	have := c.partial
	if !c.begun {
		if k := min(len(have), len(frame.ClientPreface)); strings.HasPrefix(frame.ClientPreface, string(have[:k])) {
			if k < len(frame.ClientPreface) {
				return 0, false
			}
			c.begun = true
			return k, true
		}
		c.begun = true
	}
	if len(have) < frame.HeaderLen {
		return 0, false
	}
	h := frame.ParseHeader(have)
	if n = frame.HeaderLen + int(h.Length); len(have) < n {
		return 0, false
	}
	return n, c.Keep == nil || c.Keep(h)
}

// Inject sends frames that the end has not sent.
func (c *Conn) Inject(frames []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.Conn.Write(frames)
	return err
}

// A Listener makes Conns of what it accepts.
type Listener struct {
	net.Listener
	Keep func(frame.Header) bool
}

// Accept returns the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: c, Keep: l.Keep}, nil
}
