// Package input reads the frames of a connection, with memory only while there
// is something to read.
//
// A server may have ten thousand connections of which a hundred are busy. A
// buffer for each would be most of what an idle connection costs: 32 KiB beside
// some 8. So a buffer is taken from a pool when bytes are there, and given back
// before the reader waits, unless the beginning of a frame is in it.
//
// # Contract
//
//   - Read reads once, and waits for it. Next returns one complete frame after
//     another of what was read, however the bytes were divided.
//   - On the connections of package net the memory is taken when the kernel has
//     bytes. On others, such as those of TLS, nobody can tell before Read
//     returns, so that a small buffer waits; it grows while reads fill it.
//   - A wait within a frame keeps what is there of it: in a small buffer, if
//     that is enough.
//   - Not here: what frames mean, deadlines.
//
// # Goroutines
//
// None. An Input is used by one goroutine at a time.
//
// # Locks
//
// None.
//
// # Reading order
//
// input.go, pool.go, read_unix.go.
package input

import (
	"io"
	"net"
	"os"
	"syscall"

	"github.com/strata-grpc/strata/layer1_transport/frame"
)

// An Input is the reading side of a connection.
//
// Invariant: 0 <= r <= w <= len(buf). buf is nil, or a small or a large buffer
// of the pools.
type Input struct {
	// Set by New, read-only afterwards.
	from io.Reader
	raw  syscall.RawConn // nil where only from can read
	try  func(fd uintptr) bool

	buf   []byte
	r, w  int // what was read and not taken is buf[r:w]
	ahead int // bytes of it that the next Read returns

	// The result of try.
	n   int
	err error
}

// New returns an input that reads from nc. It reads the file descriptor itself
// only if the type is exactly one of package net's: a type that embeds one may
// count, delay or decrypt in its Read.
func New(nc net.Conn) *Input {
	in := &Input{from: nc}
	var sc syscall.Conn
	switch c := nc.(type) {
	case *net.TCPConn:
		sc = c
	case *net.UnixConn:
		sc = c
	default:
		return in
	}
	if raw, err := sc.SyscallConn(); err == nil && canTry {
		in.raw, in.try = raw, in.tryFD // bound once, so that a read allocates nothing
	}
	return in
}

// Read waits until bytes come, and returns their number. What Bytes and Next
// have returned is not valid any more.
func (in *Input) Read() (int, error) {
	if n := in.ahead; n > 0 {
		in.ahead = 0
		return n, nil
	}
	if in.raw == nil {
		return in.readPlain()
	}
	in.n, in.err = 0, nil
	if err := in.raw.Read(in.try); err != nil {
		return 0, err
	}
	return in.n, in.err
}

// readPlain reads where the wait needs a buffer.
func (in *Input) readPlain() (int, error) {
	switch {
	case in.w == len(in.buf):
		in.grow()
	case in.w <= smallSize/2: // less came than that
		in.shrink()
	}
	in.compact()
	n, err := in.from.Read(in.buf[in.w:])
	in.w += n
	return n, err
}

// tryFD reads from a non-blocking descriptor. It returns false to be called
// again when there is something to read.
func (in *Input) tryFD(fd uintptr) bool {
	in.grow()
	in.compact()
	for {
		n, err := readFD(fd, in.buf[in.w:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			in.shrink()
			return false
		case err != nil:
			in.err = os.NewSyscallError("read", err)
		case n == 0:
			in.err = io.EOF
		default:
			in.n = n
			in.w += n
		}
		return true
	}
}

// Bytes returns what was read and not taken, valid until Read.
func (in *Input) Bytes() []byte { return in.buf[in.r:in.w] }

// Skip drops the first n of Bytes. The next Read does not wait but returns
// what else is there.
func (in *Input) Skip(n int) {
	in.r += n
	in.ahead = in.w - in.r
}

// Next takes the next complete frame; the payload is valid until Read. It is
// nil if there is none, and empty but not nil for a frame without payload. An
// error means a frame of a length that may not be.
func (in *Input) Next() (frame.Header, []byte, error) {
	b := in.buf[in.r:in.w]
	if len(b) < frame.HeaderLen {
		return frame.Header{}, nil, nil
	}
	h := frame.ParseHeader(b)
	if err := h.CheckLength(frame.MinMaxFrameSize); err != nil {
		return h, nil, err
	}
	end := frame.HeaderLen + int(h.Length)
	if len(b) < end {
		return h, nil, nil
	}
	in.r += end
	return h, b[frame.HeaderLen:end:end], nil
}

// compact moves what is left to the front.
func (in *Input) compact() {
	if in.r > 0 {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
}

// grow takes a large buffer.
func (in *Input) grow() {
	if len(in.buf) < largeSize {
		in.move(takeLarge())
	}
}

// shrink gives back memory that is more than what is left needs.
func (in *Input) shrink() {
	switch left := in.w - in.r; {
	case left == 0 && in.raw != nil:
		in.move(nil)
	case left <= smallSize/2 && len(in.buf) > smallSize:
		in.move(takeSmall())
	}
}

// move takes what is left to another buffer and gives back the old one.
func (in *Input) move(to []byte) {
	in.w, in.r = copy(to, in.buf[in.r:in.w]), 0
	give(in.buf)
	in.buf = to
}

// Close gives back the memory. Nothing is called after it.
func (in *Input) Close() { in.r, in.w = 0, 0; in.move(nil) }
