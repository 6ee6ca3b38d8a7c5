package http2

import (
	"errors"
	"runtime"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/http2/outbox"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// Whoever puts bytes into the outbox while nobody is writing becomes the
// writer, and writes on until nothing in the outbox is due: one write carries what
// several callers have appended meanwhile. A write that would block is left to
// flushLoop, so that no caller waits for the peer beyond its deadline, and the
// reader not at all. Batching is the largest single gain under load:
// BenchmarkUnary in tests/bench, c=64.

// A yield says whether the writer lets other goroutines append first.
type yield bool

const (
	// yieldFirst is for callers: with more than one call open, others are
	// likely about to append.
	yieldFirst yield = true
	// writeNow is for the reader, which has applied all that came.
	writeNow yield = false
)

// maxRounds is how often a caller writes what others have appended before it
// goes on with its own work: with many busy streams there is always more.
const maxRounds = 16

// A writer is the state of writing. Guarded by conn.mu, except socket.
type writer struct {
	// flushing: somebody writes and will look at the outbox again.
	flushing bool
	// held: the reader applies what came and delivers it, and will look at the
	// outbox when it is done. What others append meanwhile goes in its write.
	held bool
	// broken is why the connection takes no more bytes; flushing stays set.
	broken error

	// Owned by who has set flushing.
	socket *outbox.Socket
	batch  outbox.Batch // what is being written
}

// deferTime is how long bytes that need not go at once wait for more: a program
// that forgets to send what it has announced is slow then, and does not hang.
// In gRPC core they wait for ever.
const deferTime = time.Second

// deferred notes that the n bytes appended last may wait for more, which were
// sent with [transport.FlagBufferHint] or [transport.FlagCorked]. They go with
// whatever is written next, of any stream, when there are too many of them, when
// a stream has to wait for the peer, who cannot go on without them, and after
// deferTime. A connection that drains takes no hints: it ends when all is written.
func (s *session) deferred(n int) {
	if n == 0 || s.control.draining {
		return
	}
	s.out.Defer(n)
	if !s.control.alarms.Armed(alarmDeferred) {
		s.control.alarms.Arm(alarmDeferred, time.Now().Add(deferTime))
	}
}

// headersWait reports whether the headers of b may wait for more: for a message
// in another batch, or together with one in this.
func headersWait(b *transport.StreamOpBatch) bool {
	flags := b.SendInitialMetadata.Flags
	return flags&transport.FlagWriteThrough == 0 &&
		(flags&transport.FlagCorked != 0 || b.Ops.Has(transport.OpSendMessage) && messageWaits(b))
}

// messageWaits reports whether the message of b may wait for more.
func messageWaits(b *transport.StreamOpBatch) bool {
	return b.SendMessage.Flags&(transport.FlagBufferHint|transport.FlagWriteThrough) == transport.FlagBufferHint
}

// claimFlush makes the caller the writer if there is something to write and
// nobody writes. Caller holds conn.mu.
func (c *conn) claimFlush() bool {
	if c.w.flushing || c.w.held || !c.s.out.Due() || c.s.control.closed != nil {
		return false
	}
	c.w.flushing = true
	return true
}

// release unlocks conn.mu, writes what waits, and delivers what is complete.
func (c *conn) release(y yield) {
	head := c.s.takeDirty()
	flush := c.claimFlush()
	if y == yieldFirst && len(c.s.streams) < 2 {
		y = writeNow
	}
	tell := c.claimEvents()
	c.noteDrained()
	if c.s.control.alarms.Changed() {
		c.setTimer()
	}
	c.mu.Unlock()
	if flush {
		c.flush(y)
	}
	deliverAll(head)
	if tell {
		c.tellEvents()
	}
}

// flush writes until the outbox is empty or the socket full. The caller is the writer.
func (c *conn) flush(y yield) {
	if y == yieldFirst {
		runtime.Gosched()
	}
	for round := 0; ; round++ {
		c.mu.Lock()
		if !c.s.out.Due() || c.s.control.closed != nil {
			c.w.flushing = false
			c.written.Broadcast()
			c.mu.Unlock()
			return
		}
		c.takeBatch()
		c.mu.Unlock()
		if round == maxRounds {
			c.running.Add(1)
			go c.flushLoop(0)
			return
		}
		n, err := c.w.socket.TryWrite(&c.w.batch)
		if err == nil && n < c.w.batch.Len() {
			c.running.Add(1)
			go c.flushLoop(n)
			return
		}
		c.wrote(n, err)
		if err != nil {
			return
		}
	}
}

// takeBatch makes what has collected the batch to be written.
// Caller holds conn.mu and is the writer.
func (c *conn) takeBatch() {
	c.w.batch = c.s.out.Take()
	if c.s.trace.On() {
		c.s.trace.Batch(c.w.batch.Len())
	}
}

// wrote ends a write: the memory is used again, and streams that waited for
// the socket go on.
func (c *conn) wrote(n int, err error) {
	c.mu.Lock()
	if c.s.trace.On() {
		c.s.trace.Socket("write", trace.DirSend, n)
	}
	c.s.out.Recycle(c.w.batch)
	c.w.batch = outbox.Batch{}
	if err != nil {
		// What the peer wrote before it closed may still be read: trailers of
		// streams that have ended well. So the reader ends the connection.
		c.w.broken = c.s.wrapError(status.Unavailable, "writing to the connection", err)
		c.s.out.Discard()
		c.setReadLimit(time.Now().Add(lingerTime))
	} else {
		c.s.openWaiting()
		c.s.pumpWaiting()
	}
	c.written.Broadcast()
	head := c.s.takeDirty()
	tell := c.claimEvents()
	c.noteDrained()
	if c.s.control.alarms.Changed() {
		c.setTimer()
	}
	c.mu.Unlock()
	deliverAll(head)
	if tell {
		c.tellEvents()
	}
}

// flushLoop writes what a writer could not, waiting for the peer, until the
// outbox is empty. It is the writer.
func (c *conn) flushLoop(skip int) {
	defer c.running.Done()
	trace.Role(c.s.cfg.Trace, c.s.roleName()+" flusher")
	for {
		left := c.w.batch.Len() - skip
		err := c.w.socket.Write(&c.w.batch, skip, writeStall)
		c.wrote(left, err)
		if err != nil {
			return
		}
		skip = 0
		c.mu.Lock()
		if !c.s.out.Due() || c.s.control.closed != nil {
			c.w.flushing = false
			c.written.Broadcast()
			c.mu.Unlock()
			return
		}
		c.takeBatch()
		c.mu.Unlock()
	}
}

// claimEvents makes the caller tell the events that wait, if nobody does.
// Caller holds conn.mu.
func (c *conn) claimEvents() bool {
	if c.telling || len(c.s.control.events) == 0 {
		return false
	}
	c.telling = true
	return true
}

// tellEvents tells watchers and pings, in order, without the lock.
func (c *conn) tellEvents() {
	for {
		c.mu.Lock()
		events := c.s.control.events
		c.s.control.events = nil
		if len(events) == 0 {
			c.telling = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		for _, e := range events {
			e.tell()
		}
	}
}

// errClosed is the cause when this side closes the connection.
var errClosed = errors.New("closed by this side")
