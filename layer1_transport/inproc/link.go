package inproc

import (
	"sync"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// A link is one call: what each end has sent and the other has not received,
// and how the call ended. Both ends keep it until their Reset.
//
// Invariant: over implies that no end can change what the other one sees.
type link struct {
	// Set by conn.newLink, read-only afterwards.
	conn *conn
	id   uint32 // the stream's number in traces

	mu sync.Mutex // taken before conn.mu
	// Guarded by mu.
	linkState

	// Guarded by conn.mu.
	listed     bool // in conn.first
	prev, next *link

	// Atomic.
	refs atomic.Int32 // each end, the connection's list and its events
}

// linkState is what a link forgets when it serves another call.
type linkState struct {
	ends  [2]*stream   // from Init to Reset
	sent  [2]direction // by the role of the sender
	fail  [2]error     // why this end sees no normal end; the first one counts
	reset [2]bool      // fail came from the peer, not from here or the connection

	joined   bool // the connection was told of the link
	begun    bool // the headers of the client are out; counted in conn.open
	waiting  bool // it is in conn.blocked
	accepted bool // a server has taken the stream
	over     bool // the call has ended for the connection
	kick     bool // the connection has events to run
}

// A direction is what one end has sent.
type direction struct {
	began, end  trace.EventID // the events of the headers and of the end
	headers     metadata.List
	headersSent bool
	queue       []message // sent and not received
	head        int       // where the queue begins
	queued      int       // its size in bytes, counted as the window does
	trailers    metadata.List
	bare        bool // gRPC-HTTP2 Trailers-Only: it ended without headers
	ended       bool // half-closed, or the trailers are in place
}

// A message waits for its receiver.
type message struct {
	buf   *transport.Buffer
	cause trace.EventID
}

func (l *link) ref() { l.refs.Add(1) }

// unref drops a reference; with the last one the link serves another call.
func (l *link) unref() {
	if l.refs.Add(-1) > 0 {
		return
	}
	for r := range l.sent {
		l.sent[r].clear()
	}
	l.linkState = linkState{sent: l.sent}
	l.conn.links.Put(l)
}

// clear empties d and keeps its memory.
func (d *direction) clear() {
	d.drop()
	d.headers.Reset()
	d.trailers.Reset()
	*d = direction{headers: d.headers, trailers: d.trailers, queue: d.queue}
}

// push appends a message, whose reference passes to d.
func (d *direction) push(m message) {
	d.queue = append(d.queue, m)
	d.queued += m.buf.Len() + messagePrefix
}

// empty reports that nothing waits for the receiver.
func (d *direction) empty() bool { return d.head == len(d.queue) }

// front returns the oldest message, which the caller has seen to exist.
func (d *direction) front() *transport.Buffer { return d.queue[d.head].buf }

// pop removes the oldest message; its reference passes to the caller.
func (d *direction) pop() message {
	m := d.queue[d.head]
	d.queue[d.head] = message{}
	d.head++
	d.queued -= m.buf.Len() + messagePrefix
	if d.empty() {
		d.queue, d.head = d.queue[:0], 0
	} else if d.head >= 32 && d.head*2 >= len(d.queue) {
		// A queue that is never empty must not keep what was received.
		n := copy(d.queue, d.queue[d.head:])
		clear(d.queue[n:])
		d.queue, d.head = d.queue[:n], 0
	}
	return m
}

// popLast takes back the newest message.
func (d *direction) popLast() {
	last := len(d.queue) - 1
	m := d.queue[last]
	d.queue[last] = message{}
	d.queue = d.queue[:last]
	d.queued -= m.buf.Len() + messagePrefix
	m.buf.Release()
}

// drop releases every message that was not received.
func (d *direction) drop() {
	for !d.empty() {
		d.pop().buf.Release()
	}
}

// flows reports whether what was sent so far has passed flow control: the
// headers are out or will never be, and what waits behind them fits into the window.
func (d *direction) flows(window int) bool {
	return (d.headersSent || d.bare) && d.queued <= window
}

// arrived reports whether the end of d has reached its receiver, everything
// before it having been taken.
func (d *direction) arrived() bool { return d.ended && d.empty() }
