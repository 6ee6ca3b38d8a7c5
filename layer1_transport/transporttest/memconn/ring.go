package memconn

// A ring is a queue of octets that never takes more memory than its limit. It
// grows when it has to, so that the many connections of a test that carry
// little stay small.
//
// Invariant: n <= len(mem) <= limit, and head < len(mem) unless mem is empty.
type ring struct {
	limit int
	mem   []byte
	head  int // of the first octet in mem
	n     int // octets queued
}

// put queues as much of b as there is room for and returns how much.
func (r *ring) put(b []byte) int {
	b = b[:min(len(b), r.limit-r.n)]
	if need := r.n + len(b); need > len(r.mem) {
		grown := make([]byte, min(max(need, 2*len(r.mem)), r.limit))
		r.peek(grown)
		r.mem, r.head = grown, 0
	}
	if len(b) == 0 {
		return 0
	}
	tail := (r.head + r.n) % len(r.mem)
	done := copy(r.mem[tail:], b)
	copy(r.mem, b[done:])
	r.n += len(b)
	return len(b)
}

// take moves the first octets to b and returns how many.
func (r *ring) take(b []byte) int {
	n := r.peek(b)
	r.n -= n
	if r.head += n; r.head >= len(r.mem) {
		r.head -= len(r.mem)
	}
	return n
}

// peek copies the first octets to b and returns how many.
func (r *ring) peek(b []byte) int {
	b = b[:min(len(b), r.n)]
	done := copy(b, r.mem[r.head:])
	copy(b[done:], r.mem)
	return len(b)
}

// drop forgets what is queued, and its memory.
func (r *ring) drop() { *r = ring{limit: r.limit} }
