package inproc

import (
	"slices"
	"sync"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/peer"
)

// A conn is what both ends of a connection share.
type conn struct {
	// Set by newConn, read-only afterwards.
	cfg  Config
	id   uint64
	peer *peer.Peer
	ends [2]*end
	idle sync.Cond // on mu: a callback or the last event is done

	mu sync.Mutex // may be taken with a link.mu held
	// Guarded by mu.
	first    *link            // the calls that end with the connection
	open     int              // those of them that have begun and are not over
	early    []*link          // begun before there was an acceptor
	blocked  []*link          // waiting for the limit of open calls, oldest first
	draining *transport.Error // why no call may begin, nil if one may
	closed   *transport.Error // why the connection is closed, nil if it is not
	events   eventQueue
	watchers [2][]connectivity.Watcher

	// Atomic.
	links   sync.Pool       // links that serve no call
	active  [2]atomic.Int64 // callbacks under way at each end
	closing atomic.Bool     // somebody may wait for active
	lastID  atomic.Uint32
}

func newConn(cfg Config) *conn {
	c := &conn{
		cfg: cfg, id: cfg.ConnID,
		peer: &peer.Peer{Addr: address{}, LocalAddr: address{}},
	}
	c.idle.L = &c.mu
	c.ends[clientRole] = &end{conn: c, role: clientRole, sink: cfg.Trace}
	c.ends[serverRole] = &end{conn: c, role: serverRole, sink: cfg.ServerTrace}
	return c
}

// newLink returns a link with one reference, the client's.
func (c *conn) newLink() *link {
	l, _ := c.links.Get().(*link)
	if l == nil {
		l = &link{conn: c}
	}
	l.id = c.lastID.Add(2) - 1 // odd, as RFC 9113 §5.1.1 numbers a client's
	l.refs.Store(1)
	return l
}

// enlist adds a link to those that end with the connection. Caller holds l.mu.
func (c *conn) enlist(l *link) *transport.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed != nil {
		return c.closed
	}
	l.ref()
	l.listed = true
	l.prev, l.next = nil, c.first
	if c.first != nil {
		c.first.prev = l
	}
	c.first = l
	return nil
}

// begin counts a call as open and has it accepted by the server, or has it
// wait for the limit. Caller holds l.mu.
func (c *conn) begin(l *link) (wait bool, err *transport.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch limit := c.cfg.MaxConcurrentStreams; {
	case c.closed != nil:
		return false, c.closed
	case c.draining != nil:
		return false, c.draining
	case limit > 0 && c.open >= limit:
		l.ref()
		c.blocked = append(c.blocked, l)
		return true, nil
	}
	c.open++
	c.offerLocked(l)
	return false, nil
}

// offer has a call accepted that is counted as open.
func (c *conn) offer(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offerLocked(l)
}

func (c *conn) offerLocked(l *link) {
	l.ref()
	if c.events.acceptor == nil {
		c.early = append(c.early, l)
	} else {
		c.events.push(event{kind: eventAccept, link: l})
	}
}

// leave takes a link that is over out of the connection. It reports that there
// are events to run. Caller holds l.mu.
func (c *conn) leave(l *link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unlistLocked(l)
	if i := slices.Index(c.blocked, l); l.waiting && i >= 0 {
		c.blocked = slices.Delete(c.blocked, i, i+1)
		l.unref() // the caller has another reference
	}
	return l.begun && c.giveBackLocked()
}

// giveBack counts a call as open no more. It reports that there are events to
// run: a call that waited begins, or the connection has waited for the last.
func (c *conn) giveBack() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.giveBackLocked()
}

func (c *conn) giveBackLocked() bool {
	c.open--
	switch {
	case c.closed != nil:
		return false
	case len(c.blocked) > 0:
		c.open++
		c.events.push(event{kind: eventUnblock, link: c.blocked[0]})
		c.blocked = slices.Delete(c.blocked, 0, 1)
		return true
	case c.draining != nil && c.open == 0:
		c.events.push(event{kind: eventDrained})
		return true
	default:
		return false
	}
}

// unlistLocked removes l from the list and drops the list's reference, which
// is never the last one: the caller has one. Caller holds c.mu.
func (c *conn) unlistLocked(l *link) {
	if !l.listed {
		return
	}
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		c.first = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	}
	l.listed, l.prev, l.next = false, nil, nil
	l.unref()
}

// drain begins the graceful end of the connection.
func (c *conn) drain(g *transport.Goaway) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining != nil || c.closed != nil {
		return
	}
	c.draining = unavailable(transport.ProgressNotSent, nil, "connection is closing (GOAWAY %v %q)", g.Code, g.Debug)
	for _, l := range c.blocked {
		c.events.push(event{kind: eventUnblock, link: l, refused: c.draining})
	}
	c.blocked = nil
	if c.open == 0 {
		c.events.push(event{kind: eventDrained})
		return
	}
	c.noticeLocked(connectivity.Idle, c.draining)
}

// close ends the connection and fails its calls. cause is the error behind it,
// nil for a plain Close.
func (c *conn) close(cause error) {
	err := unavailable(transport.ProgressUnknown, cause, "connection closed")
	err.Code = transport.DisconnectCode(cause)
	c.mu.Lock()
	if c.closed != nil {
		c.mu.Unlock()
		return
	}
	if c.draining != nil && cause == nil {
		err = unavailable(transport.ProgressUnknown, c.draining, "connection closed")
	}
	c.closed = err
	first := c.first
	c.first = nil
	for l := first; l != nil; l = l.next {
		l.listed = false // the list's reference is ours
	}
	orphans := slices.Concat(c.early, c.blocked)
	c.early, c.blocked = nil, nil
	c.noticeLocked(connectivity.Shutdown, err)
	c.mu.Unlock()

	for l := first; l != nil; {
		following := l.next
		l.prev, l.next = nil, nil // nobody else looks at a link that is not listed
		l.mu.Lock()
		l.lose(err)
		l.unlockAndRun()
		l.unref()
		l = following
	}
	for _, l := range orphans {
		l.unref()
	}
}

// awaitIdle waits until no callback of that end and no event is under way.
func (c *conn) awaitIdle(r role) {
	c.closing.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.events.running || c.active[r].Load() > 0 {
		c.idle.Wait()
	}
}

// callbackDone counts a callback that has returned.
func (c *conn) callbackDone(r role) {
	if c.active[r].Add(-1) == 0 && c.closing.Load() {
		c.mu.Lock()
		c.idle.Broadcast()
		c.mu.Unlock()
	}
}

// String returns the end's name in errors.
func (r role) String() string {
	if r == clientRole {
		return "client"
	}
	return "server"
}
