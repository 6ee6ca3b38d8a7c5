package inproc

import (
	"slices"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
)

// An eventQueue is what happens to a connection as a whole. Its events run one
// after another in order, on the goroutine that finds them, in place of the
// reading goroutine that a connection on a wire has.
type eventQueue struct {
	acceptor transport.Acceptor // of the server's end, nil before there is one
	events   []event
	head     int
	running  bool // somebody runs them
}

// An event is one thing that happens to a connection.
type event struct {
	kind eventKind

	link    *link                // to be accepted; the event has a reference
	watcher connectivity.Watcher // to be told
	state   connectivity.State
	done    transport.Done // of a ping
	err     error

	refused *transport.Error // why a call that waited cannot begin, nil if it can
}

type eventKind uint8

const (
	eventAccept  eventKind = iota // the client began a stream
	eventUnblock                  // a call no longer waits for the limit
	eventState                    // a watcher is told of a state
	eventPing                     // a ping was sent or answered
	eventDrained                  // the last call ended after a GOAWAY
)

func (q *eventQueue) push(e event) { q.events = append(q.events, e) }

func (q *eventQueue) pop() (e event, ok bool) {
	if q.head == len(q.events) {
		q.events, q.head = q.events[:0], 0
		return event{}, false
	}
	e = q.events[q.head]
	q.events[q.head] = event{}
	q.head++
	return e, true
}

// run runs the events until there is none or somebody else is at it. No lock
// is held.
func (c *conn) run() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.events.running {
		return
	}
	c.events.running = true
	for {
		e, ok := c.events.pop()
		if !ok {
			break
		}
		acceptor := c.events.acceptor
		c.mu.Unlock()
		switch e.kind {
		case eventAccept:
			c.accept(acceptor, e.link)
		case eventUnblock:
			e.link.mu.Lock()
			e.link.unblock(e.refused)
			e.link.unlockAndRun()
			e.link.unref()
		case eventState:
			e.watcher.OnState(e.state, e.err)
		case eventPing:
			e.done.Run(e.err)
		case eventDrained:
			c.close(nil)
		}
		c.mu.Lock()
	}
	c.events.running = false
	c.idle.Broadcast()
}

// accept offers a stream to the server. No lock is held.
func (c *conn) accept(acceptor transport.Acceptor, l *link) {
	l.mu.Lock()
	over := l.over
	l.mu.Unlock()
	if !over {
		acceptor.AcceptStream(c.ends[serverRole], l)
		l.mu.Lock()
		l.refuse()
		l.unlockAndRun()
	}
	l.unref()
}

// setAcceptor offers the streams that began early and all later ones to a.
func (c *conn) setAcceptor(a transport.Acceptor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events.acceptor = a
	for _, l := range c.early {
		c.events.push(event{kind: eventAccept, link: l})
	}
	c.early = nil
}

// watch adds a watcher and tells it of the present state.
func (c *conn) watch(r role, w connectivity.Watcher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := event{kind: eventState, watcher: w, state: connectivity.Ready}
	switch {
	case c.closed != nil:
		e.state, e.err = connectivity.Shutdown, c.closed
	case c.draining != nil:
		e.state, e.err = connectivity.Idle, c.draining
	}
	c.events.push(e)
	if c.closed == nil {
		c.watchers[r] = append(c.watchers[r], w)
	}
}

// unwatch removes a watcher, which is not told of anything after that.
func (c *conn) unwatch(r role, w connectivity.Watcher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watchers[r] = slices.DeleteFunc(c.watchers[r], func(x connectivity.Watcher) bool { return x == w })
	for i := c.events.head; i < len(c.events.events); i++ {
		if e := &c.events.events[i]; e.kind == eventState && e.watcher == w {
			e.watcher = nobody{}
		}
	}
}

// noticeLocked tells the watchers of both ends of a state; Shutdown is the
// last that they hear. Caller holds c.mu.
func (c *conn) noticeLocked(s connectivity.State, cause error) {
	for r := range c.watchers {
		for _, w := range c.watchers[r] {
			c.events.push(event{kind: eventState, watcher: w, state: s, err: cause})
		}
		if s == connectivity.Shutdown {
			c.watchers[r] = nil
		}
	}
}

// nobody takes the place of a watcher that was removed.
type nobody struct{}

// OnState implements [connectivity.Watcher].
func (nobody) OnState(connectivity.State, error) {}

// ping answers p as the other end of a wire would.
func (c *conn) ping(p *transport.Ping) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	if c.closed != nil {
		err = c.closed
	}
	for _, done := range []transport.Done{p.OnInitiate, p.OnAck} {
		if done != nil {
			c.events.push(event{kind: eventPing, done: done, err: err})
		}
	}
}
