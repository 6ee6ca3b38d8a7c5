package encoding

import (
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

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

	// stopPiece is how much is read of a message between two looks at whether it is
	// still wanted. What is made for it takes 1 ms: blocks that declare codes and
	// hold nothing take a thousand times as long as others of that length.
	stopPiece = 4 << 10
)

// ErrLimit is what [Inflate] returns for a message that passes the limit.
var ErrLimit = errors.New("the message passes the limit once inflated")

// ErrStopped is what [Inflation.End] returns for a message that was given up.
var ErrStopped = errors.New("the message is not wanted any more")

// An Inflation is one message that is being inflated, a piece at a time. [Begin]
// makes it, [Inflation.End] takes it back. Stop may be called at any time between
// the two, everything else by one goroutine at a time.
//
// Invariant: out has room for no more than limit bytes that will be used.
type Inflation struct {
	// Set by Begin, read-only until End.
	coding Compressor
	limit  int
	msg    *transport.Buffer

	in     input
	r      io.Reader // of coding; nil before the first step, and when nothing more is read
	out    *transport.Buffer
	empty  int  // reads in a row that returned nothing
	ended  bool // the reader has said so, by an error
	over   bool
	err    error
	inside bool // Step: code of the compressor runs, or has ended the goroutine
	one    [1]byte
}

// inflations hold plain memory.
var inflations = sync.Pool{New: func() any { return new(Inflation) }}

// Begin prepares to inflate msg, which is coded by c. The size is checked while
// it grows: beyond limit, if that is more than 0, the error is [ErrLimit]. The
// reference of msg stays with the caller, who keeps it until End.
func Begin(c Compressor, msg *transport.Buffer, limit int) *Inflation {
	if limit <= 0 {
		limit = MaxInflated
	}
	i := inflations.Get().(*Inflation)
	i.coding, i.limit, i.msg = c, limit, msg
	i.in.data = msg.Bytes()
	return i
}

// Stop makes Step return soon. It does nothing to a message that is done.
func (i *Inflation) Stop() { i.in.stopped.Store(true) }

// Step inflates n bytes more, or the rest if n is 0. It reports whether there is
// more to do. A panic of the compressor is the end of the message.
func (i *Inflation) Step(n int) (more bool) {
	if !i.over && i.in.stopped.Load() {
		i.over, i.err = true, ErrStopped
	}
	if i.over {
		return false
	}
	if n <= 0 {
		n = i.limit
	}
	i.inside = true
	i.over, i.err = true, i.step(n)
	i.inside = false
	if i.err == errMore {
		i.over, i.err = false, nil
	}
	return !i.over
}

// errMore is what step returns where there is more to do.
var errMore = errors.New("there is more to inflate")

// step is Step with the error of the message.
func (i *Inflation) step(n int) (err error) {
	defer contain(i.coding, &err)
	if i.r == nil {
		r, err := i.coding.Decompress(&i.in)
		if err != nil {
			return i.broken(err)
		}
		i.r = r
		i.out = transport.NewBuffer(roomFor(i.limit, max(firstAlloc, firstRatio*len(i.in.data))))
	}
	if err := i.read(n); err != nil {
		if err == errMore || err == ErrLimit {
			return err
		}
		return i.broken(err)
	}
	if left := len(i.in.data) - i.in.pos; left > 0 {
		return fmt.Errorf("%d of the %d bytes of the message are left behind the end of its %s data", left, len(i.in.data), i.coding.Name())
	}
	return nil
}

// roomFor returns the smallest of limit, limit/growth, limit/growth², … that is at
// least size, and limit if none is.
func roomFor(limit, size int) int {
	for limit/growth >= size {
		limit /= growth
	}
	return limit
}

// read reads until n bytes more have come, into out, which is replaced as it
// grows. It returns nil at the end of the message.
func (i *Inflation) read(n int) error {
	for i.empty < maxEmptyReads {
		b := i.out.Bytes()
		if len(b) == min(i.out.Cap(), i.limit) && len(b) < i.limit {
			wider := transport.NewBuffer(roomFor(i.limit, len(b)+1))
			wider.Append(b)
			i.out.Release()
			i.out, b = wider, wider.Bytes()
		}
		room := b[len(b):min(cap(b), i.limit)]
		full := len(room) == 0
		if full {
			room = i.one[:] // is there more, or only the end?
		}
		got, err := i.r.Read(room[:min(n, len(room))])
		if got > 0 {
			if full {
				return ErrLimit
			}
			i.out.SetBytes(b[:len(b)+got])
			i.empty = 0
		} else {
			i.empty++
		}
		i.ended = err != nil
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if n -= got; n <= 0 {
			return errMore
		}
	}
	return io.ErrNoProgress
}

// broken words why a message cannot be inflated.
func (i *Inflation) broken(err error) error {
	switch {
	case i.in.stopped.Load():
		return ErrStopped
	case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the %s data of the message is cut off", i.coding.Name())
	default:
		return fmt.Errorf("the %s data of the message is broken: %w", i.coding.Name(), err)
	}
}

// End returns what has come of the message, which is the caller's then, or why
// nothing has. One that is not done is given up. Nobody may use i after that.
func (i *Inflation) End() (*transport.Buffer, error) {
	out, err, wire := i.out, i.err, len(i.in.data)
	switch {
	case i.inside:
		err = fmt.Errorf("compressor %q ended the goroutine that it was called on", i.coding.Name())
	case !i.over:
		err = ErrStopped
	}
	switch {
	case i.inside || isPanic(err):
		i.Stop() // the compressor may refer to i still
	case !i.close():
		i.Stop()
		i.msg.Ref() // for who reads it: never used again
	default:
		*i = Inflation{}
		inflations.Put(i)
	}
	if err != nil {
		out.Release()
		return nil, err
	}
	out.WireLen = wire
	return out, nil
}

// isPanic reports whether err is that of a compressor that panicked.
func isPanic(err error) bool {
	_, is := err.(*Panic)
	return is
}

// close ends the reader. What is wrong with the message was said by Read, so what
// it says, even by a panic, is of no interest. It reports false if the reader cannot
// know of its end: somebody may read ahead for it, as long as it is not told.
func (i *Inflation) close() (told bool) {
	z, ok := i.r.(io.Closer)
	if !ok {
		return i.r == nil || i.ended
	}
	var err error
	defer contain(i.coding, &err)
	told = true // a panic is the end, too
	_ = z.Close()
	return told
}

// Inflate returns what msg holds, which is coded by c, as [Begin] says. Every error
// but [ErrLimit] says what is wrong with the message. The reference of msg stays
// with the caller. A panic of c is an error.
func Inflate(c Compressor, msg *transport.Buffer, limit int) (*transport.Buffer, error) {
	i := Begin(c, msg, limit)
	for i.Step(0) { // once: there is nothing beyond the limit
	}
	return i.End()
}

// An input is what a decompressor reads: a message, until it is stopped.
type input struct {
	data  []byte
	piece []byte // the beginning of data, to the end of the piece that is read
	pos   int

	stopped atomic.Bool
}

// Read returns bytes of the message.
func (in *input) Read(p []byte) (int, error) {
	if in.pos >= len(in.piece) {
		if err := in.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.piece[in.pos:])
	in.pos += n
	return n, nil
}

// ReadByte returns the next byte. Package flate reads each byte so.
func (in *input) ReadByte() (byte, error) {
	if in.pos >= len(in.piece) {
		return in.firstByte()
	}
	b := in.piece[in.pos]
	in.pos++
	return b, nil
}

// firstByte is ReadByte at the end of a piece.
func (in *input) firstByte() (byte, error) {
	if err := in.next(); err != nil {
		return 0, err
	}
	in.pos++
	return in.piece[in.pos-1], nil
}

// next begins another piece.
func (in *input) next() error {
	switch {
	case in.stopped.Load():
		return ErrStopped
	case in.pos == len(in.data):
		return io.EOF
	}
	in.piece = in.data[:min(in.pos+stopPiece, len(in.data))]
	return nil
}
