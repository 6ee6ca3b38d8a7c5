package compression

import (
	"runtime"
	"sync"

	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// While the goroutine that reads a connection inflates a message, nothing else is read:
// no other stream, no PING, no WINDOW_UPDATE. 4 MiB take 1 to 20 ms, by what they hold,
// and as much on the wire of which nothing comes takes a second. So the reader does what
// is short; the rest is done by workers, goroutines that come and go with the work.
//
// What a peer can make of that is bounded. A call has one message at a time, which is not
// credited to the peer before it was asked for, and waits as it came: at most its limit,
// as what a handler has not taken. Those at work have their limit and a quarter besides,
// and they are few; a hundred bombs take the memory of those at work and leave in turn.
// The connections of a server share the processors as its handlers do.
//
// Whoever is at work looks every 64 KiB that come out, and every 4 KiB that go in,
// whether the message is still wanted. It is not once its call was cancelled, which a
// deadline does too, or its stream was reset or lost, or the connection was closed on
// this side. A stream that has ended well waits for its message, and so does Stop.

const (
	// mostWire is how long a message on the wire may be that is inflated on the spot,
	// by the goroutine that reads from the connection. It bounds what one costs of
	// which nothing comes: 2 ms, BenchmarkInflateNothing.
	mostWire = 8 << 10

	// mostSpot is how much of a message is inflated on the spot, 0.1 to 0.2 ms of
	// ordinary data. One that has more goes on elsewhere, which costs it some µs.
	mostSpot = 32 << 10

	// pieceAway is how much is inflated elsewhere between two looks at whether the
	// message is still wanted.
	pieceAway = 64 << 10
)

// maxWorkers is how many messages of a connection are inflated at the same time, apart
// from those that its reader inflates on the spot: on half of the processors, since
// others, and the reader, want to go on.
func maxWorkers() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// A line is the messages of one connection that are inflated away from its reader: those
// at work, and those that wait, the first that came first.
//
//	nowhere ──join──▶ waiting ──a worker is free──▶ at work ──leave──▶ nowhere
//	                     └────────────drop──────────────────────────────▲
//
// Invariant: workers <= max, and workers == max if a message waits.
type line struct {
	// Set by newLine, read-only afterwards.
	max  int
	sink trace.Sink // nil for none

	mu sync.Mutex // a leaf
	// Guarded by mu.
	first, last *call   // that wait, linked by away.next and away.prev
	atWork      []*call // at most max
	workers     int
	gone        sync.Cond // workers has become 0
	closed      error     // why nothing is let in any more, nil if something is
}

// The places of a call in its line.
type place uint8

const (
	nowhere place = iota
	waiting
	atWork
)

func newLine(limit int, sink trace.Sink) *line {
	l := &line{max: limit, sink: sink}
	l.gone.L = &l.mu
	return l
}

// join takes c into the line, or returns why it does not. The caller has a reference of
// c's owner, which passes to the line.
func (l *line) join(c *call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed != nil {
		return l.closed
	}
	a := &c.away
	a.place, a.prev = waiting, l.last
	if l.last == nil {
		l.first = c
	} else {
		l.last.away.next = c
	}
	l.last = c
	if l.workers < l.max {
		l.workers++
		go l.work()
	}
	return nil
}

// work is a goroutine: it inflates what waits until nothing does.
func (l *line) work() {
	trace.Role(l.sink, "inflating")
	defer l.endWork() // also where a compressor ends the goroutine
	for c := l.next(); c != nil; c = l.next() {
		c.inflateAway()
	}
}

// next takes the first of those that wait, nil for none.
func (l *line) next() *call {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.first
	if c != nil {
		l.unlinkLocked(c)
		c.away.place = atWork
		l.atWork = append(l.atWork, c)
	}
	return c
}

// endWork is the end of a worker, which another one follows if something waits.
func (l *line) endWork() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first != nil {
		go l.work()
		return
	}
	if l.workers--; l.workers == 0 {
		l.gone.Broadcast()
	}
}

// leave takes c, which is at work, out of the line. Nobody stops its inflation after
// that.
func (l *line) leave(c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, other := range l.atWork {
		if other == c {
			last := len(l.atWork) - 1
			l.atWork[i], l.atWork[last] = l.atWork[last], nil
			l.atWork = l.atWork[:last]
			break
		}
	}
	c.away.place = nowhere
}

// drop gives c up because of why. It reports whether c has waited and is out of the
// line now; one that is at work leaves soon.
func (l *line) drop(c *call, why error) (out bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &c.away
	if a.place == nowhere || a.why != nil {
		return false
	}
	a.why = why
	if a.place == atWork {
		a.in.Stop()
		return false
	}
	l.unlinkLocked(c)
	a.place = nowhere
	return true
}

// close gives up all that is in the line because of why, and lets nothing in any more.
func (l *line) close(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed == nil {
		l.closed = why
	}
	for _, c := range l.atWork {
		if c.away.why == nil {
			c.away.why = why
			c.away.in.Stop()
		}
	}
	for c := l.first; c != nil; c = l.first {
		c.away.why = why
		l.unlinkLocked(c)
		c.away.place = nowhere
		l.mu.Unlock()
		c.endAway()
		l.mu.Lock()
	}
}

// wait returns when no worker is left.
func (l *line) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.workers > 0 {
		l.gone.Wait()
	}
}

// unlinkLocked takes c from those that wait. Caller holds l.mu.
func (l *line) unlinkLocked(c *call) {
	a := &c.away
	if a.prev == nil {
		l.first = a.next
	} else {
		a.prev.away.next = a.next
	}
	if a.next == nil {
		l.last = a.prev
	} else {
		a.next.away.prev = a.prev
	}
	a.next, a.prev = nil, nil
}
