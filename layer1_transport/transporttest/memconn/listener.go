package memconn

import (
	"context"
	"net"
	"sync"
	"syscall"
)

// maxBacklog is how many connections wait to be accepted before Dial is
// refused, as with TCP's listen backlog.
const maxBacklog = 1024

const listenerAddr addr = "mem:listener"

// A Listener accepts the connections that its Dial makes.
type Listener struct {
	// Set by Listen, read-only afterwards.
	size int

	mu   sync.Mutex
	wake sync.Cond // backlog or closed changed

	// Guarded by mu.
	backlog []net.Conn
	closed  bool
}

// Listen returns a listener for connections like those of Pipe.
func Listen() *Listener { return ListenSize(DefaultBuffer) }

// ListenSize returns a listener for connections like those of PipeSize.
func ListenSize(n int) *Listener {
	l := &Listener{size: n}
	l.wake.L = &l.mu
	return l
}

// Dial makes a connection and returns its client end; like a TCP connect it
// does not wait for Accept. The error is syscall.ECONNREFUSED if the listener
// is closed or too many connections wait already, and that of ctx if it is
// done.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, opError("dial", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.backlog) >= maxBacklog {
		return nil, opError("dial", syscall.ECONNREFUSED)
	}
	client, server := PipeSize(l.size)
	l.backlog = append(l.backlog, server)
	l.wake.Signal()
	return client, nil
}

// Accept waits for the next connection and returns its server end. After
// Close its error is net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.backlog) == 0 && !l.closed {
		l.wake.Wait()
	}
	if l.closed {
		return nil, opError("accept", net.ErrClosed)
	}
	c := l.backlog[0]
	l.backlog = l.backlog[1:]
	return c, nil
}

// Close ends Accept and refuses Dial. It closes connections that nobody has
// accepted and leaves the others alone. A second Close is an error that is
// net.ErrClosed.
func (l *Listener) Close() error {
	l.mu.Lock()
	waiting, closed := l.backlog, l.closed
	l.backlog, l.closed = nil, true
	l.wake.Broadcast()
	l.mu.Unlock()
	if closed {
		return opError("close", net.ErrClosed)
	}
	for _, c := range waiting {
		_ = c.Close() // the first Close of this end
	}
	return nil
}

// Addr returns an address that names no listener in particular.
func (l *Listener) Addr() net.Addr { return listenerAddr }

// opError names a failed operation of a listener as package net does.
func opError(op string, err error) error {
	return &net.OpError{Op: op, Net: network, Addr: listenerAddr, Err: err}
}
