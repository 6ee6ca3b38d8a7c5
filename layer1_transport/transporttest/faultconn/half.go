package faultconn

import (
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// A half is one direction of a connection.
//
// Everybody who waits does so on one Cond, which releases the mutex: a
// goroutine in Cond.Wait is durably blocked in the sense of testing/synctest,
// one in Mutex.Lock is not.
type half struct {
	mu   sync.Mutex
	wake sync.Cond // any field below changed

	// Guarded by mu.
	plan     schedule
	busy     bool // an operation is under way; others wait for its end
	closed   bool
	broken   error // what a fault has made of this direction
	expired  bool  // the deadline has passed
	released bool
	deadline *time.Timer // pending, or nil
	numSet   int         // counts deadlines, so that a late timer knows
	pause    pause
}

// A pause is a wait that has begun. A deadline may end an operation within it;
// the next one waits for the rest.
type pause struct {
	active, endless bool
	until           time.Time
}

func (h *half) init(side Side, seed, stream uint64) {
	h.plan = newSchedule(side, seed, stream)
	h.wake.L = &h.mu
}

// enter waits for the turn of an operation.
func (h *half) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.busy && h.errLocked() == nil {
		h.wake.Wait()
	}
	if err := h.errLocked(); err != nil {
		return err
	}
	h.busy = true
	return nil
}

func (h *half) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy = false
	h.wake.Broadcast()
}

// errLocked returns why nothing can be done, if so. Caller holds h.mu.
func (h *half) errLocked() error {
	switch {
	case h.closed:
		return net.ErrClosed
	case h.broken != nil:
		return h.broken
	case h.expired:
		return os.ErrDeadlineExceeded
	}
	return nil
}

// admit waits until octets may pass, and returns how many of n, or the fault
// that lets none pass any more. Caller has entered.
func (h *half) admit(n int) (room int, last *Fault, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		f := h.plan.due()
		switch {
		case f == nil:
			if err := h.waitLocked(h.plan.draw(), false, false); err != nil {
				return 0, nil, err
			}
			return h.plan.room(n), nil, nil
		case f.Kind != Stall:
			h.plan.strike(f)
			return 0, &f.Fault, nil
		}
		h.plan.strike(f)
		if err := h.waitLocked(f.For, f.For <= 0, true); err != nil {
			return 0, nil, err
		}
		h.plan.over()
	}
}

// waitForEver waits for the end of the connection, or for the deadline.
func (h *half) waitForEver() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.waitLocked(0, true, false)
}

// waitLocked waits for d, or without end, or for what is left of the pause
// that was interrupted. Caller holds h.mu.
func (h *half) waitLocked(d time.Duration, endless, releasable bool) error {
	p := &h.pause
	if !p.active {
		if d <= 0 && !endless {
			return h.errLocked()
		}
		*p = pause{active: true, endless: endless, until: time.Now().Add(d)}
	}
	if !p.endless {
		timer := time.AfterFunc(time.Until(p.until), func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.wake.Broadcast()
		})
		defer timer.Stop()
	}
	for {
		if err := h.errLocked(); err != nil {
			return err
		}
		if releasable && h.released || !p.endless && !time.Now().Before(p.until) {
			*p = pause{}
			return nil
		}
		h.wake.Wait()
	}
}

// outgoing returns p, or a copy with the octets changed that the plan changes.
func (h *half) outgoing(p []byte) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.plan.corrupts(len(p)) {
		p = slices.Clone(p)
		h.plan.corrupt(p)
	}
	return p
}

// incoming changes octets of p, which was read, and counts them.
func (h *half) incoming(p []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.plan.corrupt(p)
	h.plan.pass(len(p))
}

// passed counts n octets that were written.
func (h *half) passed(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.plan.pass(n)
}

// state returns how many octets have passed, and which faults have struck.
func (h *half) state() (passed int64, struck []Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.plan.passed, slices.Clone(h.plan.struck)
}

// because returns what err of the connection below means here: after a fault
// has closed it, that fault.
func (h *half) because(err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil && !h.closed && h.broken != nil {
		return h.broken
	}
	return err
}

// end makes the direction fail with err from here on, with net.ErrClosed if it
// is nil. It reports whether it was closed before.
func (h *half) end(err error) (again bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	again = h.closed
	switch {
	case err == nil:
		h.closed = true
	case h.broken == nil:
		h.broken = err
	}
	h.setDeadlineLocked(time.Time{})
	h.wake.Broadcast()
	return again
}

func (h *half) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.released = true
	h.wake.Broadcast()
}

func (h *half) setDeadline(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.setDeadlineLocked(t)
	}
}

// setDeadlineLocked replaces the deadline. Caller holds h.mu.
func (h *half) setDeadlineLocked(t time.Time) {
	if h.deadline != nil {
		h.deadline.Stop()
		h.deadline = nil
	}
	h.numSet++
	wait := time.Until(t)
	h.expired = !t.IsZero() && wait <= 0
	if h.expired {
		h.wake.Broadcast()
	} else if !t.IsZero() {
		number := h.numSet
		h.deadline = time.AfterFunc(wait, func() { h.expire(number) })
	}
}

// expire is run by a timer. One whose deadline was replaced while it started
// does nothing.
func (h *half) expire(number int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if number == h.numSet {
		h.deadline = nil
		h.expired = true
		h.wake.Broadcast()
	}
}
