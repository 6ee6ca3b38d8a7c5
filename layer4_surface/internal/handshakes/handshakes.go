// Package handshakes bounds the connections that are being set up at once.
//
// Whoever connects and then sends nothing, or a byte a second, holds memory and
// a goroutine until the time for it is over. Where too many do, the one that
// began first is given up for each that comes. Honest clients take
// milliseconds, so it is not theirs: refusing the last instead would let the
// idle ones keep everybody out.
//
// # Locks
//
// Limit.mu is a leaf. No connection is closed while it is held.
package handshakes

import (
	"container/list"
	"io"
	"sync"
	"sync/atomic"
)

// A Limit is how many handshakes there may be, and which there are.
type Limit struct {
	// Set by the owner before the first Begin.
	Max int

	mu sync.Mutex
	// Guarded by mu.
	running list.List // of *Handshake, the oldest first
}

// A Handshake is one connection that is being set up.
type Handshake struct {
	conn    io.Closer
	place   *list.Element // guarded by Limit.mu; nil once it is off the list
	givenUp atomic.Bool
}

// Begin counts a handshake on conn until End. If there are too many, the oldest
// is given up: its connection is closed, and it fails by that.
func (l *Limit) Begin(conn io.Closer) *Handshake {
	h := &Handshake{conn: conn}
	l.mu.Lock()
	h.place = l.running.PushBack(h)
	var oldest *Handshake
	if l.running.Len() > l.Max {
		oldest = l.running.Remove(l.running.Front()).(*Handshake)
		oldest.place = nil
		oldest.givenUp.Store(true)
	}
	l.mu.Unlock()
	if oldest != nil {
		_ = oldest.conn.Close() // its handshake reports what becomes of it
	}
	return h
}

// End counts the handshake no more.
func (l *Limit) End(h *Handshake) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.place != nil {
		l.running.Remove(h.place)
		h.place = nil
	}
}

// GivenUp reports whether the connection was closed to make room.
func (h *Handshake) GivenUp() bool { return h.givenUp.Load() }
