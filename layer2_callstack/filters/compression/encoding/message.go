package encoding

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// errNoGain stops a writer whose result is not shorter than what went in.
var errNoGain = errors.New("compressing the message does not make it shorter")

// ErrLimit is what [Inflate] returns for a message that passes the limit.
var ErrLimit = errors.New("the message passes the limit once inflated")

// A sink is where a compressor writes: into a buffer that never grows, since a
// result that does not fit is of no use.
type sink struct {
	buf *transport.Buffer
	max int
}

// sinks hold plain memory.
var sinks = sync.Pool{New: func() any { return new(sink) }}

func (s *sink) Write(p []byte) (int, error) {
	if s.buf == nil || s.buf.Len()+len(p) > s.max {
		return 0, errNoGain
	}
	s.buf.Append(p)
	return len(p), nil
}

// roomy is how many times its length the memory of a compressed message may be.
// More is given back to the pool while the message waits to be sent.
const roomy = 4

// Compress returns msg coded by c, with its flag set, or nil if that is not
// shorter. The reference of msg stays with the caller. A panic of c is an error.
func Compress(c Compressor, msg *transport.Buffer) (out *transport.Buffer, err error) {
	s := sinks.Get().(*sink)
	s.max = msg.Len() - 1
	s.buf = transport.NewBuffer(s.max)
	err = write(c, s, msg.Bytes())
	out, s.buf = s.buf, nil
	sinks.Put(s)
	if err != nil {
		out.Release()
		if errors.Is(err, errNoGain) {
			err = nil
		}
		return nil, err
	}
	if out.Cap() > roomy*max(out.Len(), 256) {
		small := transport.NewBuffer(out.Len())
		small.Append(out.Bytes())
		out.Release()
		out = small
	}
	out.Compressed = true
	return out, nil
}

// write gives p to a writer of c.
func write(c Compressor, s *sink, p []byte) (err error) {
	defer contain(c, &err)
	w, err := c.Compress(s)
	if err != nil {
		return fmt.Errorf("compressor %q: %w", c.Name(), err)
	}
	_, err = w.Write(p)
	if closed := w.Close(); err == nil {
		err = closed
	}
	if err != nil && !errors.Is(err, errNoGain) {
		err = fmt.Errorf("compressor %q: %w", c.Name(), err)
	}
	return err
}

// contain makes an error of a panic of c, which may be a user's code.
func contain(c Compressor, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("compressor %q panicked: %v", c.Name(), p)
	}
}

// What a message may claim while it is inflated grows with what has come of it:
// its length in the end is the peer's word, or not even that.
const (
	// firstAlloc and, for each byte on the wire, firstRatio are what it begins
	// with, or up to growth times that.
	firstAlloc = 4 << 10
	firstRatio = 4
	// growth is how much more each step has. The last one is the limit: while
	// that is taken the one before is still there, so the peak is a quarter above.
	growth = 4
	// MaxInflated bounds a message where the receiver has set no limit.
	MaxInflated = math.MaxInt32
	// maxEmptyReads is how often a reader may return nothing at all in a row.
	maxEmptyReads = 100
)

// A source is what a decompressor reads, and room for a byte too many.
type source struct {
	bytes.Reader
	one [1]byte
}

// sources hold plain memory.
var sources = sync.Pool{New: func() any { return new(source) }}

// Inflate returns what msg holds, which is coded by c. The size is checked while
// it grows: beyond limit, if that is more than 0, the error is [ErrLimit]. Every
// other error says what is wrong with the message. The reference of msg stays
// with the caller. A panic of c is an error.
func Inflate(c Compressor, msg *transport.Buffer, limit int) (*transport.Buffer, error) {
	if limit <= 0 {
		limit = MaxInflated
	}
	in := sources.Get().(*source)
	in.Reset(msg.Bytes())
	out, err := in.inflate(c, limit)
	in.Reset(nil)
	sources.Put(in)
	if err != nil {
		out.Release()
		return nil, err
	}
	out.WireLen = msg.Len()
	return out, nil
}

// inflate reads to the end of the message. The buffer that it returns is the
// caller's, also with an error.
func (in *source) inflate(c Compressor, limit int) (out *transport.Buffer, err error) {
	defer contain(c, &err)
	size := in.Len()
	r, err := c.Decompress(&in.Reader)
	if err != nil {
		return nil, broken(c, err)
	}
	out = transport.NewBuffer(step(limit, max(firstAlloc, firstRatio*size)))
	err = in.readAll(r, &out, limit)
	if z, ok := r.(io.Closer); ok {
		_ = z.Close() // what is wrong with the message was said by Read
	}
	switch {
	case err == ErrLimit:
		return out, err
	case err != nil:
		return out, broken(c, err)
	case in.Len() > 0:
		return out, fmt.Errorf("%d of the %d bytes of the message are left behind the end of its %s data", in.Len(), size, c.Name())
	}
	return out, nil
}

// step returns the smallest of limit, limit/growth, limit/growth², … that is at
// least size, and limit if none is.
func step(limit, size int) int {
	for limit/growth >= size {
		limit /= growth
	}
	return limit
}

// readAll reads r to its end, into out, which is replaced as it grows.
func (in *source) readAll(r io.Reader, out **transport.Buffer, limit int) error {
	for empty := 0; empty < maxEmptyReads; {
		b := (*out).Bytes()
		if len(b) == min((*out).Cap(), limit) && len(b) < limit {
			wider := transport.NewBuffer(step(limit, len(b)+1))
			wider.Append(b)
			(*out).Release()
			*out, b = wider, wider.Bytes()
		}
		room := b[len(b):min(cap(b), limit)]
		full := len(room) == 0
		if full {
			room = in.one[:] // is there more, or only the end?
		}
		n, err := r.Read(room)
		if n > 0 {
			if full {
				return ErrLimit
			}
			(*out).SetBytes(b[:len(b)+n])
			empty = 0
		} else {
			empty++
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// broken words why a message cannot be inflated.
func broken(c Compressor, err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the %s data of the message is cut off", c.Name())
	}
	return fmt.Errorf("the %s data of the message is broken: %w", c.Name(), err)
}
