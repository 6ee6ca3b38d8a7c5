package alarm

import (
	"testing"
	"time"
)

// TestDueInOrder: kinds come out by time, once, and not before it.
func TestDueInOrder(t *testing.T) {
	start := time.Unix(1000, 0)
	var s Set
	if !s.Next().IsZero() || s.Changed() {
		t.Error("a new set has something armed")
	}
	s.Arm(2, start.Add(3*time.Second))
	s.Arm(0, start.Add(2*time.Second))
	s.Arm(1, start.Add(time.Second))
	s.Arm(1, start.Add(4*time.Second)) // replaces
	if got := s.Next().Sub(start); got != 2*time.Second {
		t.Errorf("the earliest is after %v", got)
	}
	if _, ok := s.Due(start.Add(2*time.Second - 1)); ok {
		t.Error("due before its time")
	}
	var got []Kind
	for {
		k, ok := s.Due(start.Add(3 * time.Second))
		if !ok {
			break
		}
		got = append(got, k)
	}
	if len(got) != 2 || got[0] != 0 || got[1] != 2 {
		t.Errorf("after 3 s %v are due, want [0 2]", got)
	}
	if !s.Armed(1) || s.Armed(0) {
		t.Error("only kind 1 should be left")
	}
}

// TestChanged: whoever keeps the timer learns of each change, once.
func TestChanged(t *testing.T) {
	var s Set
	changes := func(what string, f func(), want bool) {
		f()
		if got := s.Changed(); got != want {
			t.Errorf("%s: changed is %v", what, got)
		}
		if s.Changed() {
			t.Errorf("%s: told twice", what)
		}
	}
	at := time.Unix(1, 0)
	changes("arm", func() { s.Arm(3, at) }, true)
	changes("not due", func() { s.Due(at.Add(-1)) }, false)
	changes("due", func() { s.Due(at) }, true)
	changes("disarm what is not armed", func() { s.Disarm(3) }, false)
	changes("arm again", func() { s.Arm(3, at) }, true)
	changes("disarm", func() { s.Disarm(3) }, true)
}
