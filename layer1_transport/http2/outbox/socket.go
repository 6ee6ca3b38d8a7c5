package outbox

import (
	"net"
	"sync"
	"syscall"
	"time"
)

// A Socket writes batches to a connection.
//
// TryWrite and Write are called by one goroutine at a time.
type Socket struct {
	// Set by NewSocket, read-only afterwards.
	nc      net.Conn
	raw     syscall.RawConn // nil where TryWrite cannot write
	vectors bool            // writev may be used
	try     func(fd uintptr) bool

	// Owned by the caller of TryWrite.
	batch *Batch
	n     int
	err   error
}

// NewSocket returns a socket for nc. On the connections of package net
// TryWrite can write; on others, such as TLS and in-memory ones, it cannot.
//
// The type has to be exactly one of package net's. A type that embeds one has
// its file descriptor too, but its own Write may count, delay or encrypt, and
// must not be passed by.
func NewSocket(nc net.Conn) *Socket {
	s := &Socket{nc: nc}
	var sc syscall.Conn
	switch c := nc.(type) {
	case *net.TCPConn:
		sc = c
	case *net.UnixConn:
		sc = c
	default:
		return s
	}
	s.vectors = true
	if raw, err := sc.SyscallConn(); err == nil && canTry {
		s.raw = raw
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
// them. That it takes nothing for timeout is an error.
//
// A write tells how much was taken, not when. On package net's connections it
// is cut off each quarter of timeout, so that the error comes in the quarter
// after it is due. TLS does not survive a write that was cut off: there the
// error comes when a chunk takes as long as timeout.
func (s *Socket) Write(b *Batch, skip int, timeout time.Duration) error {
	iov := b.Buffers(skip)
	most := 1 // writes in a row of which nothing is taken
	if s.vectors {
		most = 4
	}
	for idle := 0; len(iov) > 0; {
		if err := s.nc.SetWriteDeadline(time.Now().Add(timeout / time.Duration(most))); err != nil {
			return err
		}
		n, err := s.writeSome(&iov)
		if n > 0 {
			idle = 0
		} else {
			idle++
		}
		if err != nil && (idle == most || !isTimeout(err)) {
			return err
		}
	}
	return s.nc.SetWriteDeadline(time.Time{})
}

// writeSome writes from the front of iov and removes what was written.
func (s *Socket) writeSome(iov *net.Buffers) (int64, error) {
	if s.vectors {
		return iov.WriteTo(s.nc)
	}
	p := (*iov)[0]
	if len(p) < chunkSize && len(*iov) > 1 {
		chunk, _ := chunks.Get().(*[chunkSize]byte)
		if chunk == nil {
			chunk = new([chunkSize]byte)
		}
		defer chunks.Put(chunk)
		p = gather(chunk[:0], *iov)
	}
	n, err := s.nc.Write(p[:min(len(p), chunkSize)])
	consume(iov, n)
	return int64(n), err
}

// chunkSize is how much one Write carries where there is no writev: the
// longest record of TLS, RFC 8446 §5.1. Pieces are copied together up to that,
// because TLS would make a record of the nine bytes before each payload; and
// more would make a peer that is slow but alive look like a stall.
const chunkSize = 16 << 10

// chunks holds memory for gather. Plain memory, so it may be shared.
var chunks sync.Pool

// gather appends the front of iov to dst, up to the capacity of dst.
func gather(dst []byte, iov net.Buffers) []byte {
	for _, p := range iov {
		room := cap(dst) - len(dst)
		dst = append(dst, p[:min(room, len(p))]...)
	}
	return dst
}

// consume removes the first n bytes of iov.
func consume(iov *net.Buffers, n int) {
	for v := *iov; n > 0; v = *iov {
		if n < len(v[0]) {
			v[0] = v[0][n:]
			return
		}
		n -= len(v[0])
		v[0] = nil
		*iov = v[1:]
	}
}

func isTimeout(err error) bool {
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}
