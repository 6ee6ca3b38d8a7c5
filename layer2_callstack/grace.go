package callstack

import (
	"sync"
	"time"
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
