package faultconn

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// A schedule is where one direction stands in its plan. It depends on the
// octets that have passed and on nothing else.
//
// Invariant: faults are in the order of At. Of those before passed only what
// lasts is left.
type schedule struct {
	side   Side
	rand   *rand.Rand
	passed int64       // octets
	left   int64       // octets of the piece, 0 before it is drawn
	faults []scheduled // to come, or lasting
	struck []Fault
}

// A scheduled fault lasts once it has struck; a stall until it is over.
type scheduled struct {
	Fault
	struck bool
}

func newSchedule(side Side, seed, stream uint64) schedule {
	var faults []scheduled
	for _, f := range side.Faults {
		faults = append(faults, scheduled{Fault: f})
	}
	slices.SortStableFunc(faults, func(a, b scheduled) int { return cmp.Compare(a.At, b.At) })
	return schedule{side: side, rand: rand.New(rand.NewPCG(seed, stream)), faults: faults}
}

// due returns the fault that stands before the next octet, nil if none does.
// A corruption never stands before one: it is of the octet itself.
func (s *schedule) due() *scheduled {
	for i := range s.faults {
		f := &s.faults[i]
		if f.At > s.passed {
			return nil
		}
		if f.Kind != Corrupt {
			return f
		}
	}
	return nil
}

// strike notes that f, which due returned, happens.
func (s *schedule) strike(f *scheduled) {
	if !f.struck {
		f.struck = true
		s.struck = append(s.struck, f.Fault)
	}
}

// over takes stalls out that have ended, which is those that have struck.
func (s *schedule) over() {
	s.faults = slices.DeleteFunc(s.faults, func(f scheduled) bool { return f.struck && f.Kind == Stall })
}

// draw begins the next piece if the last is over, and returns the time to wait
// before it: once for each.
func (s *schedule) draw() (wait time.Duration) {
	if s.left > 0 {
		return 0
	}
	s.left = math.MaxInt64 // until the operation is over
	if s.side.MaxChunk > 0 {
		s.left = 1 + s.rand.Int64N(int64(s.side.MaxChunk))
	}
	if s.side.Delay > 0 && s.rand.IntN(max(s.side.DelayEvery, 1)) == 0 {
		return time.Duration(s.rand.Int64N(int64(s.side.Delay) + 1))
	}
	return 0
}

// room returns how many of n octets pass at once: up to the end of the piece
// or to the next fault that stops them.
func (s *schedule) room(n int) int {
	room := min(int64(n), s.left)
	for _, f := range s.faults {
		if f.Kind != Corrupt && f.At > s.passed {
			room = min(room, f.At-s.passed)
			break
		}
	}
	return int(room)
}

// corrupts reports whether one of the next n octets is to be changed.
func (s *schedule) corrupts(n int) bool {
	return slices.ContainsFunc(s.faults, func(f scheduled) bool {
		return f.Kind == Corrupt && f.At >= s.passed && f.At < s.passed+int64(n)
	})
}

// corrupt changes octets of p, which pass next.
func (s *schedule) corrupt(p []byte) {
	for _, f := range s.faults {
		if i := f.At - s.passed; f.Kind == Corrupt && i >= 0 && i < int64(len(p)) {
			p[i] ^= f.mask()
		}
	}
}

// pass counts n octets that have passed.
func (s *schedule) pass(n int) {
	s.passed += int64(n)
	s.left -= int64(n)
	if s.side.MaxChunk <= 0 {
		s.left = 0
	}
	s.faults = slices.DeleteFunc(s.faults, func(f scheduled) bool {
		gone := f.Kind == Corrupt && f.At < s.passed
		if gone {
			s.struck = append(s.struck, f.Fault)
		}
		return gone
	})
}
