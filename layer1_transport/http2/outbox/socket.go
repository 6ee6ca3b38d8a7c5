package outbox

import (
	"net"
	"syscall"
	"time"
)

// A Socket writes batches to a connection.
//
// TryWrite and Write are called by one goroutine at a time.
type Socket struct {
	nc  net.Conn
	raw syscall.RawConn // nil where the connection has none

	// Owned by the caller of TryWrite.
	batch *Batch
	n     int
	err   error
	try   func(fd uintptr) bool
}

// NewSocket returns a socket for nc. Where nc has a file descriptor, which TLS
// and in-memory connections have not, TryWrite can write.
func NewSocket(nc net.Conn) *Socket {
	s := &Socket{nc: nc}
	if sc, ok := nc.(syscall.Conn); ok && canTry {
		if raw, err := sc.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	s.try = s.tryFD // bound once, so that a write allocates nothing
	return s
}

// TryWrite writes as much of b as the connection takes without blocking and
// returns how much that is.
func (s *Socket) TryWrite(b *Batch) (int, error) {
	if s.raw == nil {
		return 0, nil
	}
	s.batch, s.n, s.err = b, 0, nil
	err := s.raw.Write(s.try)
	s.batch = nil
	if err == nil {
		err = s.err
	}
	return s.n, err
}

// tryFD is one attempt. It never asks the runtime to wait.
func (s *Socket) tryFD(fd uintptr) bool {
	for s.n < s.batch.Len() {
		n, err := writeFD(fd, s.batch, s.n)
		s.n += max(n, 0)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return true
		case err != nil:
			s.err = err
			return true
		}
	}
	return true
}

// Write writes b without its first skip bytes, and waits for the peer to take
// them. Each further stall of the length of timeout is an error.
func (s *Socket) Write(b *Batch, skip int, timeout time.Duration) error {
	iov := b.Buffers(skip)
	for len(iov) > 0 {
		if err := s.nc.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		n, err := iov.WriteTo(s.nc)
		if err != nil && (n == 0 || !isTimeout(err)) {
			return err
		}
	}
	return s.nc.SetWriteDeadline(time.Time{})
}

func isTimeout(err error) bool {
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}
