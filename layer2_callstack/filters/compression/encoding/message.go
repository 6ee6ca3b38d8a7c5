package encoding

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// errNoGain stops a writer whose result is not shorter than what went in.
var errNoGain = errors.New("compressing the message does not make it shorter")

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

// A Panic is the error of a compressor that panicked, which may be a user's code.
type Panic struct {
	Name  string // of the compressor
	Value any    // of the panic
	Stack []byte // of the goroutine
}

// Error names the compressor.
func (p *Panic) Error() string { return fmt.Sprintf("compressor %q panicked: %v", p.Name, p.Value) }

// contain makes an error of a panic of c.
func contain(c Compressor, err *error) {
	if p := recover(); p != nil {
		*err = &Panic{c.Name(), p, debug.Stack()}
	}
}
