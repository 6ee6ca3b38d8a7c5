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
//   - The payload of a long DATA frame is not collected first. It comes in parts
//     as it arrives, each as a DATA frame of its own, which means the same to the
//     receiver. Where the caller has memory for it, it is read straight into that.
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
// input.go, pool.go, read_unix.go, read_linux.go.
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
// Invariant: 0 <= r <= w <= len(buf). buf is nil, or a buffer of the pools. Of a
// DATA frame in parts, left bytes are still to be taken: first direct, then what
// buf[r:w] begins with, then what comes.
type Input struct {
	// Set by New, read-only afterwards.
	from io.Reader
	raw  syscall.RawConn // nil where only from can read
	try  func(fd uintptr) bool

	buf   []byte
	r, w  int // what was read and not taken is buf[r:w]
	ahead int // bytes of it that the next Read returns

	data   frame.Header // of the DATA frame in parts
	left   int
	direct []byte // of it, what was read into the memory of the caller
	whole  bool   // see Whole

	longest uint32 // payload of a frame

	// The arguments and results of try.
	dst []byte
	n   int
	err error
}

// New returns an input that reads from nc. It reads the file descriptor itself
// only if the type is exactly one of package net's: a type that embeds one may
// count, delay or decrypt in its Read.
func New(nc net.Conn) *Input {
	in := &Input{from: nc, longest: frame.MinMaxFrameSize}
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

// AllowLong lets frames be as long as LongFrame, not only 16 KiB.
func (in *Input) AllowLong() { in.longest = LongFrame }

// Whole makes every frame come in one piece, for who counts frames.
func (in *Input) Whole() { in.whole = true }

// Pending returns the stream of the DATA frame that comes in parts, and how many
// bytes of it are still to come. They may be read into memory given to Read.
func (in *Input) Pending() (stream uint32, n int) {
	if in.r < in.w {
		return 0, 0 // they are not the next
	}
	return in.data.StreamID, in.left
}

// Read waits until bytes come, and returns their number. What Bytes and Next
// have returned is not valid any more. dst takes the first of those that are
// Pending; it is not longer than they are, and may be nil. What is read into
// it is what Next returns next.
func (in *Input) Read(dst []byte) (int, error) {
	if n := in.ahead; n > 0 {
		in.ahead = 0
		return n, nil
	}
	if in.raw == nil {
		return in.readPlain(dst)
	}
	in.dst, in.n, in.err = dst, 0, nil
	err := in.raw.Read(in.try)
	in.dst = nil
	if err != nil {
		return 0, err
	}
	in.direct = dst[:min(in.n, len(dst))]
	return in.n, in.err
}

// readPlain reads where the wait needs a buffer.
func (in *Input) readPlain(dst []byte) (int, error) {
	if len(dst) > 0 {
		n, err := in.from.Read(dst)
		in.direct = dst[:n]
		return n, err
	}
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
		n, err := in.readBoth(fd)
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
			in.w += max(0, n-len(in.dst))
		}
		return true
	}
}

// readBoth reads into dst and then into the buffer.
func (in *Input) readBoth(fd uintptr) (int, error) {
	if len(in.dst) == 0 {
		return readFD(fd, in.buf[in.w:])
	}
	// What comes behind is likely the next long frame, of which the beginning
	// is enough.
	return readFD2(fd, in.dst, in.buf[in.w:min(in.w+behind, len(in.buf))])
}

// Bytes returns what was read and not taken, valid until Read.
func (in *Input) Bytes() []byte { return in.buf[in.r:in.w] }

// Skip drops the first n of Bytes. The next Read does not wait but returns
// what else is there.
func (in *Input) Skip(n int) {
	in.r += n
	in.ahead = in.w - in.r
}

// Next takes the next complete frame, or a part of a DATA frame; the payload is
// valid until Read. It is nil if there is none, and empty but not nil for a
// frame without payload. An error means a frame of a length that may not be.
func (in *Input) Next() (frame.Header, []byte, error) {
	if in.left > 0 {
		return in.part()
	}
	b := in.buf[in.r:in.w]
	if len(b) < frame.HeaderLen {
		return frame.Header{}, nil, nil
	}
	h := frame.ParseHeader(b)
	if err := h.CheckLength(in.longest); err != nil {
		return h, nil, err
	}
	end := frame.HeaderLen + int(h.Length)
	if len(b) >= end {
		in.r += end
		return h, b[frame.HeaderLen:end:end], nil
	}
	if end-len(b) < leastPart || in.whole || h.Type != frame.TypeData || h.Flags.Has(frame.FlagPadded) {
		return h, nil, nil
	}
	in.r += frame.HeaderLen
	in.data, in.left = h, int(h.Length)
	return in.part()
}

// part takes what is there of a DATA frame in parts. Only the last part ends
// the stream, if the frame does.
func (in *Input) part() (frame.Header, []byte, error) {
	p := in.direct
	if in.direct = nil; len(p) == 0 {
		p = in.buf[in.r:min(in.w, in.r+in.left)]
		in.r += len(p)
	}
	if len(p) == 0 {
		return frame.Header{}, nil, nil
	}
	in.left -= len(p)
	h := in.data
	h.Length = uint32(len(p))
	if in.left > 0 {
		h.Flags &^= frame.FlagEndStream
	}
	return h, p[:len(p):len(p)], nil
}

// compact moves what is left to the front.
func (in *Input) compact() {
	if in.r > 0 {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
}

// grow takes a large buffer, or for a long frame that is not DATA the largest.
func (in *Input) grow() {
	switch {
	case len(in.buf) < largeSize:
		in.move(takeLarge())
	case len(in.buf) == largeSize && in.r == 0 && in.w == largeSize:
		in.move(make([]byte, frame.HeaderLen+LongFrame))
	}
}

// shrink gives back memory that is more than what is left needs.
func (in *Input) shrink() {
	switch left := in.w - in.r; {
	case left == 0 && in.raw != nil:
		in.move(nil)
	case left <= smallSize/2 && len(in.buf) > smallSize:
		in.move(takeSmall())
	case left <= largeSize/2 && len(in.buf) > largeSize:
		in.move(takeLarge())
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
