package memconn

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A stream is one direction of a connection: a bounded queue of octets with
// an end that writes and an end that reads.
//
// Everybody who waits does so on one Cond, which releases the mutex: a
// goroutine in Cond.Wait is durably blocked in the sense of testing/synctest,
// one in Mutex.Lock is not.
type stream struct {
	mu   sync.Mutex
	wake sync.Cond // any field below changed

	// Guarded by mu.
	queue          ring // what was written and not read
	writing        bool // a write is under way; others wait for it to end
	reader, writer end
}

// An end is what one side did to the stream. Guarded by the stream's mu.
type end struct {
	closed  bool
	expired bool        // the deadline has passed
	timer   *time.Timer // of the pending deadline, or nil
}

func newStream(size int) *stream {
	s := &stream{queue: ring{limit: max(size, 1)}}
	s.wake.L = &s.mu
	return s
}

// read waits for octets and moves them to b.
func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.reader.closed:
			return 0, net.ErrClosed
		case s.reader.expired:
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case s.queue.n > 0:
			n := s.queue.take(b)
			s.wake.Broadcast()
			return n, nil
		case s.writer.closed:
			return 0, io.EOF
		}
		s.wake.Wait()
	}
}

// write waits for its turn and for room, and queues all of b.
func (s *stream) write(b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.writing && s.writeErrLocked() == nil {
		s.wake.Wait()
	}
	if err := s.writeErrLocked(); err != nil {
		return 0, err
	}
	s.writing = true
	defer func() {
		s.writing = false
		s.wake.Broadcast()
	}()
	for {
		if err := s.writeErrLocked(); err != nil {
			return n, err
		}
		n += s.queue.put(b[n:])
		if n == len(b) {
			return n, nil
		}
		s.wake.Broadcast()
		s.wake.Wait()
	}
}

// writeErrLocked returns why nothing can be written, if so. Caller holds s.mu.
func (s *stream) writeErrLocked() error {
	switch {
	case s.writer.closed:
		return net.ErrClosed
	case s.writer.expired:
		return os.ErrDeadlineExceeded
	case s.reader.closed:
		return syscall.EPIPE
	}
	return nil
}

// closeWrite ends the stream for its writer: no more will come.
func (s *stream) closeWrite() error { return s.closeEnd(&s.writer) }

// closeRead ends the stream for its reader: nobody will read.
func (s *stream) closeRead() {
	_ = s.closeEnd(&s.reader) // the writing side has said that it was closed
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue.drop()
}

func (s *stream) closeEnd(e *end) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.closed {
		return net.ErrClosed
	}
	e.closed = true
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	s.wake.Broadcast()
	return nil
}

// setDeadline replaces the deadline of one end.
func (s *stream) setDeadline(e *end, t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.closed {
		return net.ErrClosed
	}
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	wait := time.Until(t)
	e.expired = !t.IsZero() && wait <= 0
	if e.expired {
		s.wake.Broadcast()
	} else if !t.IsZero() {
		var timer *time.Timer
		timer = time.AfterFunc(wait, func() { s.expire(e, &timer) })
		e.timer = timer
	}
	return nil
}

// expire is run by a timer. One that was replaced while it started does
// nothing; it can tell, since it reads its own address under the mutex under
// which setDeadline assigned it.
func (s *stream) expire(e *end, self **time.Timer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.timer == *self {
		e.timer = nil
		e.expired = true
		s.wake.Broadcast()
	}
}
