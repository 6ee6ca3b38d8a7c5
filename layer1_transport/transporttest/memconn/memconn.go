package memconn

import (
	"io"
	"net"
	"time"
)

// DefaultBuffer is how many octets a peer can write before somebody reads.
const DefaultBuffer = 256 << 10

// network is what Addr.Network returns and errors name.
const network = "mem"

// An addr is the name of one end.
type addr string

func (addr) Network() string  { return network }
func (a addr) String() string { return string(a) }

const (
	clientAddr addr = "mem:client"
	serverAddr addr = "mem:server"
)

// A conn is one end of a pair.
type conn struct {
	local, remote addr
	in, out       *stream // out is the peer's in
}

// Pipe returns the two ends of a connection with buffers of DefaultBuffer
// octets. The ends differ in their addresses alone.
func Pipe() (client, server net.Conn) { return PipeSize(DefaultBuffer) }

// PipeSize is Pipe with buffers of n octets each way, at least one.
func PipeSize(n int) (client, server net.Conn) {
	up, down := newStream(n), newStream(n)
	return &conn{clientAddr, serverAddr, down, up}, &conn{serverAddr, clientAddr, up, down}
}

// Read waits for at least one octet. It returns io.EOF after the last octet
// that the peer wrote before it closed, an error that is
// os.ErrDeadlineExceeded after the deadline, and one that is net.ErrClosed
// after Close.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	return n, c.wrap("read", err)
}

// Write waits until all of b is in the peer's buffer. It fails with an error
// that is syscall.EPIPE when the peer has closed, os.ErrDeadlineExceeded
// after the deadline, net.ErrClosed after Close; n octets were taken.
func (c *conn) Write(b []byte) (n int, err error) {
	n, err = c.out.write(b)
	return n, c.wrap("write", err)
}

// Close ends both directions. The peer reads what is buffered and then io.EOF;
// what this end did not read is dropped. A second Close is an error that is
// net.ErrClosed.
func (c *conn) Close() error {
	err := c.out.closeWrite()
	c.in.closeRead()
	return c.wrap("close", err)
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline ends present and future reads at t; zero is never.
func (c *conn) SetReadDeadline(t time.Time) error {
	return c.wrap("set", c.in.setDeadline(&c.in.reader, t))
}

// SetWriteDeadline ends present and future writes at t; zero is never.
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.wrap("set", c.out.setDeadline(&c.out.writer, t))
}

// wrap names the connection in err as package net does. io.EOF is no error of
// the connection and stays as it is.
func (c *conn) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: network, Source: c.local, Addr: c.remote, Err: err}
}
