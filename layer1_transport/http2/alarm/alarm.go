// Package alarm holds the times at which a protocol state wants to be called.
//
// A session has several things that wait for time to pass: an answer to a
// PING, a stream that stalls, a peer that owes an acknowledgement. It starts
// no timers. It writes into a [Set] when each is due, and whoever owns the
// session keeps one timer for the earliest of them.
//
// # Contract
//
//   - A kind has at most one time; to arm it again replaces the time.
//   - A Set is plain data. Its methods are called under the lock of its owner.
//   - Not here: the timer, and what is to be done when it fires.
//
// # Goroutines
//
// None.
//
// # Locks
//
// None.
//
// # Reading order
//
// alarm.go.
package alarm

import "time"

// A Kind is one thing that waits for time to pass. Its meaning is the
// session's. It is less than MaxKinds.
type Kind uint8

// MaxKinds is how many kinds a Set can hold.
const MaxKinds = 8

// A Set holds when each kind is due. The zero value holds none.
type Set struct {
	due     [MaxKinds]time.Time // zero: not armed
	changed bool
}

// Arm makes k due at the time at, in place of an earlier arming.
func (s *Set) Arm(k Kind, at time.Time) { s.due[k], s.changed = at, true }

// Disarm makes k never due. Disarming what is not armed costs nothing.
func (s *Set) Disarm(k Kind) {
	if s.Armed(k) {
		s.due[k], s.changed = time.Time{}, true
	}
}

// Armed reports whether k has a time.
func (s *Set) Armed(k Kind) bool { return !s.due[k].IsZero() }

// Due takes out a kind whose time is not after now, the earliest first. It
// reports false when there is none.
func (s *Set) Due(now time.Time) (Kind, bool) {
	k, at := s.earliest()
	if at.IsZero() || at.After(now) {
		return 0, false
	}
	s.Disarm(k)
	return k, true
}

// Next returns the earliest time, zero if nothing is armed.
func (s *Set) Next() time.Time {
	_, at := s.earliest()
	return at
}

// Changed reports whether Next may be another than when it was last called.
func (s *Set) Changed() bool {
	c := s.changed
	s.changed = false
	return c
}

func (s *Set) earliest() (kind Kind, at time.Time) {
	for k, t := range s.due {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			kind, at = Kind(k), t
		}
	}
	return kind, at
}
