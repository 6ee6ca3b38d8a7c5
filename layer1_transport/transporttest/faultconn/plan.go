package faultconn

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// A Plan is what happens to the octets of one end of a connection. The zero
// value changes nothing.
type Plan struct {
	// Seed makes the choices that the rest of the plan leaves open.
	Seed uint64

	// Read and Write are about what this end reads and what it writes.
	Read, Write Side
}

// A Side is the plan of one direction.
type Side struct {
	// MaxChunk is how many octets pass at once at the most: each piece has
	// between 1 and MaxChunk. Zero lets pass what comes.
	MaxChunk int

	// Delay is the longest wait before a piece, and DelayEvery how many pieces
	// there are to each that waits, on average. Zero of the first is never, of
	// the second every piece. A writer waits as for a network that is slow; a
	// reader is one that is slow itself.
	Delay      time.Duration
	DelayEvery int

	// Faults strike in the order of their octets.
	Faults []Fault
}

// A Fault is something that goes wrong once.
type Fault struct {
	// At is how many octets pass in good order before it.
	At   int64
	Kind Kind

	// For is how long a stall lasts. Zero is until [Conn.Release].
	For time.Duration
	// Err is what operations fail with. Nil means what TCP would give.
	Err error
	// Mask is which bits a corruption flips. Zero means the lowest.
	Mask byte
}

// A Kind is a way to go wrong.
type Kind uint8

const (
	// Stall lets nothing pass in this direction for a time.
	Stall Kind = iota
	// Corrupt changes one octet.
	Corrupt
	// Fail makes this direction fail from here on; the other one works.
	Fail
	// Reset ends both directions with an error. A TCP peer sees a reset as
	// well, any other the end.
	Reset
	// Close ends both directions as if the peer had closed: reading gives
	// io.EOF, writing fails. The peer sees the end.
	Close
	// Silence is a peer that is gone without a word: from here on writes seem to
	// succeed and nothing is read.
	Silence
)

var kindNames = [...]string{"stall", "corrupt", "fail", "reset", "close", "silence"}

// String returns the name of k.
func (k Kind) String() string { return kindNames[k] }

// String describes f, as in "stall 50ms at 1200".
func (f Fault) String() string {
	switch {
	case f.Kind == Stall && f.For > 0:
		return fmt.Sprintf("stall %v at %d", f.For, f.At)
	case f.Kind == Corrupt:
		return fmt.Sprintf("corrupt %#02x at %d", f.mask(), f.At)
	default:
		return fmt.Sprintf("%v at %d", f.Kind, f.At)
	}
}

func (f Fault) mask() byte {
	if f.Mask == 0 {
		return 1
	}
	return f.Mask
}

// String describes the plan for the message of a test that failed. It begins
// with the seed, which is all that a plan of [Benign] or [Hostile] needs to be
// made again.
func (p Plan) String() string {
	return fmt.Sprintf("seed %d; read: %v; write: %v", p.Seed, p.Read, p.Write)
}

// String describes the plan of one direction.
func (s Side) String() string {
	var parts []string
	if s.MaxChunk > 0 {
		parts = append(parts, fmt.Sprintf("pieces of up to %d", s.MaxChunk))
	}
	if s.Delay > 0 {
		parts = append(parts, fmt.Sprintf("one in %d waits up to %v", max(s.DelayEvery, 1), s.Delay))
	}
	for _, f := range s.Faults {
		parts = append(parts, f.String())
	}
	if len(parts) == 0 {
		return "as it is"
	}
	return strings.Join(parts, ", ")
}

// The sizes of pieces that Benign chooses from: single octets, less than a
// frame header of HTTP/2, and ever more of a frame.
var chunkSizes = [...]int{0, 1, 3, 8, 100, 5000}

// benignDelay is the longest wait of a benign plan, and octetsPerDelay how many
// octets pass to each wait, so that single octets do not take for ever.
const (
	benignDelay    = time.Millisecond
	octetsPerDelay = 512
)

// Benign returns a plan that no user of a connection may notice but by the
// clock: pieces and short waits.
func Benign(seed uint64) Plan {
	r := planRand(seed)
	return Plan{Seed: seed, Read: benignSide(r), Write: benignSide(r)}
}

func benignSide(r *rand.Rand) Side {
	s := Side{MaxChunk: chunkSizes[r.IntN(len(chunkSizes))]}
	if r.IntN(2) == 0 {
		s.Delay, s.DelayEvery = benignDelay, 1
		if s.MaxChunk > 0 {
			s.DelayEvery = 1 + octetsPerDelay/s.MaxChunk
		}
	}
	return s
}

// hostileStall is the longest stall of a hostile plan. It is longer than the
// patience of some transports, so that this is tried as well.
const hostileStall = 30 * time.Second

// Hostile returns a benign plan with one to three faults of these kinds, of any
// if none is given, among the first span octets of either direction.
func Hostile(seed uint64, span int64, kinds ...Kind) Plan {
	p := Benign(seed)
	r := planRand(^seed)
	if len(kinds) == 0 {
		kinds = []Kind{Stall, Corrupt, Fail, Reset, Close, Silence}
	}
	for range 1 + r.IntN(3) {
		f := Fault{At: r.Int64N(max(span, 1)), Kind: kinds[r.IntN(len(kinds))]}
		switch f.Kind {
		case Stall:
			f.For = time.Duration(1 + r.Int64N(int64(hostileStall)))
		case Corrupt:
			f.Mask = byte(1 + r.IntN(255))
		}
		side := &p.Read
		if r.IntN(2) == 0 {
			side = &p.Write
		}
		side.Faults = append(side.Faults, f)
	}
	return p
}

func planRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
