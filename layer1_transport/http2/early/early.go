// Package early remembers the streams that a server has answered in full before
// the client had sent its whole request.
//
//	          client                          server
//	HEADERS ───────────────────────────────────▶ a request to be refused
//	        ◀─────────────── HEADERS, END_STREAM   here the stream is forgotten,
//	DATA ──────────────────────────────────────▶   but for a [Stream]
//	DATA, END_STREAM or RST_STREAM ────────────▶ here the Stream is
//
// A refusal costs the server little, so that nothing else would hold a client
// back that only sends requests to be refused: its streams would be closed
// before it could reach the limit of them. A stream therefore counts until the
// client has ended it too. A gRPC client does at once when it gets the answer.
// The others get RST_STREAM after a while, which RFC 9113 §8.1 allows at any time.
//
// # Contract
//
//   - Up: what the client may still send on such a stream is checked like that
//     of any other, though nobody wants it: length, flow control, the one
//     header block that may still come.
//   - One costs some 70 bytes, whatever the call had cost.
//   - Not here: the frames and the time. How many there are is bounded by the
//     limit of streams, since each counts.
//
// # Goroutines
//
// None.
//
// # Locks
//
// None. The owner of a Set guards it.
//
// # Reading order
//
// early.go.
package early

import (
	"math"
	"time"
)

// maxWindow is the largest flow-control window. RFC 9113 §6.9.1.
const maxWindow = math.MaxInt32

// A Stream is what is left of a stream that was answered early.
type Stream struct {
	ID  uint32
	Due time.Time // when the rest of the request is no longer waited for

	// Recv and Send are the windows of the stream: what the client may still
	// send, and what it would let us send. Changes by SETTINGS are left out:
	// the answer is complete, so a mistake would cost nobody anything.
	Recv, Send int64

	// Length is how many bytes of DATA content-length still announces, less
	// than 0 for any number. RFC 9113 §8.1.1.
	Length int64
}

// An entry is a Stream in 48 bytes.
type entry struct {
	prev, next *entry
	due        time.Duration // since Set.start
	length     int64
	recv, send int32
	id         uint32
}

// A Verdict is what a frame means to such a stream.
type Verdict uint8

const (
	// Unknown: it is none of these streams.
	Unknown Verdict = iota
	// Waits: the client has more to send.
	Waits
	// Ended: the client has ended it, and it is forgotten.
	Ended
	// Overflow: the client broke flow control, and it is forgotten.
	Overflow
	// Malformed: the client broke another rule, and it is forgotten.
	Malformed
)

// A Set holds streams in the order in which they are due. The zero value is
// empty.
//
// Invariant: each entry is in byID and in the list, or in neither.
type Set struct {
	byID        map[uint32]*entry
	first, last *entry
	start       time.Time // the first Due there was
}

// Len returns the number of streams.
func (s *Set) Len() int { return len(s.byID) }

// Add puts in a stream that is due after all others.
func (s *Set) Add(st Stream) {
	if s.byID == nil {
		s.byID, s.start = map[uint32]*entry{}, st.Due
	}
	e := &entry{
		prev: s.last, id: st.ID, due: st.Due.Sub(s.start),
		recv: clip(st.Recv), send: clip(st.Send), length: st.Length,
	}
	if s.last == nil {
		s.first = e
	} else {
		s.last.next = e
	}
	s.last = e
	s.byID[e.id] = e
}

// clip makes a window one of 32 bits, which every legal one is.
func clip(window int64) int32 { return int32(max(math.MinInt32, min(window, maxWindow))) }

// Data takes a DATA frame: flow bytes with its padding, body bytes without.
func (s *Set) Data(id uint32, flow, body int, end bool) Verdict {
	e := s.byID[id]
	if e == nil {
		return Unknown
	}
	announced := e.length >= 0
	if announced {
		e.length -= int64(body)
	}
	switch left := int64(e.recv) - int64(flow); {
	case left < 0:
		return s.remove(e, Overflow) // RFC 9113 §6.9.1
	case announced && (e.length < 0 || end && e.length > 0):
		return s.remove(e, Malformed) // RFC 9113 §8.1.1
	case end:
		return s.remove(e, Ended)
	default:
		e.recv = int32(left)
		return Waits
	}
}

// Headers takes a header block, which can only be one that ends the request.
// bad says that it is no valid one. RFC 9113 §8.1.
func (s *Set) Headers(id uint32, bad, end bool) Verdict {
	switch e := s.byID[id]; {
	case e == nil:
		return Unknown
	case bad || !end || e.length > 0:
		return s.remove(e, Malformed)
	default:
		return s.remove(e, Ended)
	}
}

// WindowUpdate takes the credit of a WINDOW_UPDATE frame. RFC 9113 §6.9.1.
func (s *Set) WindowUpdate(id, increment uint32) Verdict {
	e := s.byID[id]
	if e == nil {
		return Unknown
	}
	send := int64(e.send) + int64(increment)
	if send > maxWindow {
		return s.remove(e, Overflow)
	}
	e.send = int32(send)
	return Waits
}

// Reset takes RST_STREAM, of either side.
func (s *Set) Reset(id uint32) Verdict {
	if e := s.byID[id]; e != nil {
		return s.remove(e, Ended)
	}
	return Unknown
}

// Due takes out a stream that is due. It reports false when none is.
func (s *Set) Due(now time.Time) (id uint32, ok bool) {
	e := s.first
	if e == nil || e.due > now.Sub(s.start) {
		return 0, false
	}
	s.remove(e, Ended)
	return e.id, true
}

// Next returns when the first is due, zero for never.
func (s *Set) Next() time.Time {
	if s.first == nil {
		return time.Time{}
	}
	return s.start.Add(s.first.due)
}

// remove takes out a stream and returns why.
func (s *Set) remove(e *entry, why Verdict) Verdict {
	delete(s.byID, e.id)
	if e.prev == nil {
		s.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		s.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	return why
}
