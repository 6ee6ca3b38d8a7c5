package faultconn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// A Conn is one end of a connection, with a plan.
type Conn struct {
	// Set by Wrap, read-only afterwards.
	inner net.Conn
	plan  Plan

	read, write half
}

// Wrap returns c with the faults of p. Nobody else may use c after that.
func Wrap(c net.Conn, p Plan) *Conn {
	f := &Conn{inner: c, plan: p}
	f.read.init(p.Read, p.Seed, 1)
	f.write.init(p.Write, p.Seed, 2)
	return f
}

// Pipe returns the two ends of a connection in memory, each with a plan.
func Pipe(client, server Plan) (c, s *Conn) {
	a, b := memconn.Pipe()
	return Wrap(a, client), Wrap(b, server)
}

// Plan returns what was given to Wrap.
func (c *Conn) Plan() Plan { return c.plan }

// NetConn returns the connection below.
func (c *Conn) NetConn() net.Conn { return c.inner }

// Passed returns how many octets were read and written. Those that a silence
// has swallowed count as written.
func (c *Conn) Passed() (read, written int64) {
	read, _ = c.read.state()
	written, _ = c.write.state()
	return read, written
}

// Struck returns the faults that have struck so far, a stall that goes on
// included.
func (c *Conn) Struck() (read, write []Fault) {
	_, read = c.read.state()
	_, write = c.write.state()
	return read, write
}

// Release ends all stalls, those under way and those to come.
func (c *Conn) Release() {
	c.read.release()
	c.write.release()
}

// Read reads one piece.
func (c *Conn) Read(b []byte) (n int, err error) {
	h := &c.read
	if err := h.enter(); err != nil {
		return 0, c.opError("read", err)
	}
	defer h.leave()
	if len(b) == 0 {
		n, err = c.inner.Read(b)
		return n, h.because(err)
	}
	room, last, err := h.admit(len(b))
	if last != nil {
		err = c.strike(h, last)
	}
	if err != nil {
		return 0, c.opError("read", err)
	}
	n, err = c.inner.Read(b[:room])
	h.incoming(b[:n])
	return n, h.because(err)
}

// Write writes all of b, piece by piece, and does not change it.
func (c *Conn) Write(b []byte) (n int, err error) {
	h := &c.write
	if err := h.enter(); err != nil {
		return 0, c.opError("write", err)
	}
	defer h.leave()
	if len(b) == 0 {
		n, err = c.inner.Write(b)
		return n, h.because(err)
	}
	for n < len(b) {
		room, last, err := h.admit(len(b) - n)
		switch {
		case last != nil && last.Kind == Silence:
			h.passed(len(b) - n)
			return len(b), nil
		case last != nil:
			err = c.strike(h, last)
		}
		if err != nil {
			return n, c.opError("write", err)
		}
		m, err := c.inner.Write(h.outgoing(b[n : n+room]))
		h.passed(m)
		n += m
		if err != nil {
			return n, h.because(err)
		}
	}
	return n, nil
}

// strike carries out a fault of h that lasts, and returns what the operation
// that met it fails with.
func (c *Conn) strike(h *half, f *Fault) error {
	if f.Kind == Silence {
		return h.waitForEver()
	}
	readErr, writeErr := error(syscall.ECONNRESET), error(syscall.ECONNRESET)
	switch f.Kind {
	case Fail:
		writeErr = syscall.EPIPE
	case Close:
		readErr, writeErr = io.EOF, syscall.EPIPE
	}
	if f.Err != nil {
		readErr, writeErr = f.Err, f.Err
	}
	readErr, writeErr = c.explain(readErr, f), c.explain(writeErr, f)
	if f.Kind != Fail {
		c.read.end(readErr)
		c.write.end(writeErr)
		if l, ok := c.inner.(interface{ SetLinger(sec int) error }); ok && f.Kind == Reset {
			_ = l.SetLinger(0) // fails if it is closed already
		}
		_ = c.inner.Close() // the fault is what counts
	}
	if h == &c.read {
		return readErr
	}
	return writeErr
}

// explain names the fault in err, for whoever looks into a failed test. io.EOF
// is compared and stays as it is.
func (c *Conn) explain(err error, f *Fault) error {
	if err == io.EOF {
		return err
	}
	return fmt.Errorf("%v of plan %d: %w", f, c.plan.Seed, err)
}

// Close closes the connection and ends every operation.
func (c *Conn) Close() error {
	again := c.read.end(nil)
	c.write.end(nil)
	err := c.inner.Close()
	if !again && errors.Is(err, net.ErrClosed) {
		return nil // a fault has closed it already
	}
	return err
}

// CloseWrite ends the writing direction where the connection below can.
func (c *Conn) CloseWrite() error {
	if half, ok := c.inner.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.opError("close", errors.ErrUnsupported)
}

// LocalAddr returns that of the connection below.
func (c *Conn) LocalAddr() net.Addr { return c.inner.LocalAddr() }

// RemoteAddr returns that of the connection below.
func (c *Conn) RemoteAddr() net.Addr { return c.inner.RemoteAddr() }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.read.setDeadline(t)
	c.write.setDeadline(t)
	return c.inner.SetDeadline(t)
}

// SetReadDeadline ends present and future reads at t; zero is never.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.read.setDeadline(t)
	return c.inner.SetReadDeadline(t)
}

// SetWriteDeadline ends present and future writes at t; zero is never.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.write.setDeadline(t)
	return c.inner.SetWriteDeadline(t)
}

// opError names the connection in err as package net does. io.EOF is no error
// of the connection and stays as it is.
func (c *Conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
