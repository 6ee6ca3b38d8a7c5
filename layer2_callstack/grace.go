package callstack

import (
	"errors"
	"sync"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// A grace is the time that a filter is given to give back what it has when the call
// is over: after a cancel, and on a server, where nobody cancels what the client has
// ended, after the end of the stream. A client's filter may take its time with what
// has come, until somebody cancels.
type grace struct {
	c *guardCall

	mu sync.Mutex // a leaf
	// Guarded by mu. The timer is made by the first call that needs it and kept.
	timer *time.Timer
	until time.Time // zero if it is not armed
}

// gracePeriod is how long a filter may keep what it has when the call is over. What
// comes to it later may take up to twice as long.
const gracePeriod = time.Second

// watch begins the time, if the call is over and not all has come back. The caller
// holds a reference.
func (g *grace) watch() {
	if g.c.load().waits() {
		g.begin()
	}
}

// begin looks again, under the lock: where all has come back meanwhile disarm has
// been here and will not come again.
func (g *grace) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.until.IsZero() && g.c.load().waits() {
		g.c.owner.Ref()
		g.beginLocked()
	}
}

// beginLocked starts the timer and notes what the filter has. Caller holds g.mu.
func (g *grace) beginLocked() {
	for {
		w := g.c.load()
		if g.c.swap(w, w.take(overdue, 1<<opKinds-1).put(overdue, w.held())) {
			break
		}
	}
	g.until = time.Now().Add(gracePeriod)
	if g.timer == nil {
		g.timer = time.AfterFunc(gracePeriod, g.expire)
	} else if g.timer.Reset(gracePeriod) {
		g.c.owner.Unref() // one more expire was to come, and is not any more
	}
}

// disarm ends the time, unless the filter was given something again. The reference
// of a timer that fires already is dropped by expire.
func (g *grace) disarm() {
	g.mu.Lock()
	if g.c.load().busy() {
		g.mu.Unlock()
		return
	}
	stopped := !g.until.IsZero() && g.timer.Stop()
	g.until = time.Time{}
	g.mu.Unlock()
	if stopped {
		g.c.owner.Unref()
	}
}

// expire ends the call if the filter has kept something, and waits on if
// something else is with it or below.
func (g *grace) expire() {
	c := g.c
	owner := c.owner
	g.mu.Lock()
	w := c.load()
	late := w.at(overdue)
	switch {
	case g.until.IsZero() || time.Now().Before(g.until): // the timer was stopped too late
		late = 0
	case late == 0 && w.outstanding() != 0 && !w.has(broken):
		g.beginLocked()
		g.mu.Unlock()
		return
	default:
		g.until = time.Time{}
	}
	g.mu.Unlock()
	if late != 0 {
		since := " after the call was cancelled"
		if c.streamEnded.Load() {
			since = " after the stream had ended"
		}
		c.fail("kept "+late.String()+since, nil)
	}
	owner.Unref()
}

// An endWatch is how the guard of a server's call hears of the end of the stream
// where the filter keeps recv_trailing_metadata: it starts that itself. The filter is
// told by a cancel, as it can know of the end from nobody else, and gets what came
// when it passes the operation on.
type endWatch struct {
	c  *guardCall
	op transport.StreamOpBatch
	md metadata.List

	mu sync.Mutex // a leaf
	// Guarded by mu.
	ended bool
	err   error
	to    *loan // with which the filter has passed the operation on

	// Guarded by mu: what has come back from below, the oldest at first, while somebody
	// tells the filter of something else.
	due      [opKinds]comeBack
	first, n int
	telling  bool
}

// A comeBack is the end of operations below.
type comeBack struct {
	loan *loan
	ops  transport.OpSet
	err  error
}

// errStreamEnded is why a call is cancelled whose stream has ended without an error.
var errStreamEnded = errors.New("the stream has ended")

// watchEnd begins to watch the stream, if the filter still keeps the operation.
// cause is the event of its batch. The caller holds a reference.
func (c *guardCall) watchEnd(cause trace.EventID) {
	e := c.stream.Load()
	if e == nil {
		e = &endWatch{c: c}
		if !c.stream.CompareAndSwap(nil, e) {
			e = c.stream.Load()
		}
	}
	if e.claim(cause) {
		c.owner.Ref()
		batchDown(c.next, &e.op)
	}
}

// claim makes e ready, unless somebody did or there is nothing to watch. Who finds the
// bit set before e is ready waits for the lock.
func (e *endWatch) claim(cause trace.EventID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		w := e.c.load()
		if !w.at(entered).Has(transport.OpRecvTrailingMetadata) || w.has(watched) {
			return false
		}
		if e.c.swap(w, w|watched) {
			break
		}
	}
	e.md.Reset()
	e.op = transport.StreamOpBatch{Ops: transport.OpRecvTrailingMetadata, Cause: cause}
	e.op.RecvTrailingMetadata = transport.RecvTrailingMetadata{MD: &e.md, Ready: e}
	e.ended, e.err, e.to = false, nil, nil
	return true
}

// Run is told of the end.
func (e *endWatch) Run(err error) {
	c, owner := e.c, e.c.owner
	c.streamEnded.Store(true)
	e.mu.Lock()
	e.ended, e.err = true, err
	e.mu.Unlock()
	e.deliver()
	if c.load().at(entered).Has(transport.OpRecvTrailingMetadata) {
		if err == nil {
			err = errStreamEnded
		}
		c.cancel(&transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: err, Cause: e.op.Cause})
	}
	owner.Unref()
}

// pass takes note that the filter has passed the operation on, with l.
func (e *endWatch) pass(l *loan) {
	e.mu.Lock()
	e.to = l
	e.mu.Unlock()
	e.deliver()
}

// deliver tells the filter of the end, once, if that has come, the filter has asked and
// all else that is received has come back.
func (e *endWatch) deliver() {
	e.mu.Lock()
	l := e.to
	if !e.ended || l == nil || e.c.load().at(below)&beforeEnd != 0 {
		e.mu.Unlock()
		return
	}
	e.to = nil
	e.mu.Unlock()
	l.op.RecvTrailingMetadata.MD.CopyFrom(&e.md)
	l.op.Cause = e.op.Cause
	e.inTurn(l, transport.OpRecvTrailingMetadata, e.err)
}

// inTurn tells the filter of the end of ops, or leaves that to who does so already: the
// end of the stream comes from whoever asks for it, not from the transport, which runs
// one callback of a call at a time.
func (e *endWatch) inTurn(l *loan, ops transport.OpSet, err error) {
	c, owner := e.c, e.c.owner
	e.mu.Lock()
	e.due[(e.first+e.n)%opKinds] = comeBack{l, ops, err}
	e.n++
	if e.telling {
		e.mu.Unlock()
		return
	}
	e.telling = true
	owner.Ref() // the last may end the call
	for e.n > 0 {
		b := e.due[e.first]
		e.due[e.first] = comeBack{}
		e.first, e.n = (e.first+1)%opKinds, e.n-1
		e.mu.Unlock()
		c.back(b.loan, b.ops, b.err)
		e.mu.Lock()
	}
	e.telling = false
	e.mu.Unlock()
	owner.Unref()
}
