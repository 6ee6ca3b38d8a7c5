package callstack

import (
	"math/bits"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// ways is where the operations of a call are, as seen from a filter that is
// contained: sets of operations and some flags in one word, so that a step is
// one compare-and-swap. It is plain data; guardcall.go and floor.go make the steps.
//
//	idle ─▶ entered ─floor─▶ below ─floor─▶ returned ─▶ idle, and the callback runs
//	           └──────────the filter fails it──────────▲
//
// The filter has what is entered or returned. Where another callback runs
// meanwhile, or has to run first, the way to the end is longer: ending, while its
// error is put where it is found, and due.
//
// Invariant: an operation is in at most one of entered, below, returned, ending
// and due; overdue&^(entered|returned) == 0.
type ways uint64

// A place is one of the sets, by its lowest bit.
type place uint

const (
	entered  place = 6 * iota // with the filter, on the way down
	below                     // it has passed the floor
	returned                  // with the filter, on the way up
	ending                    // taken from the filter, not yet due
	due                       // its callback is to run
	overdue                   // with the filter since the grace began
	begun                     // started in this call, at any time
	lentDown                  // loans to the element below that are in use
	lentUp                    // loans to the filter that are in use
	giving                    // loans to the filter whose StartBatch has not returned
	flags
)

const (
	live    ways = 1 << (flags + iota) // between Init and Reset
	running                            // a callback runs: others wait until they are due
	broken                             // the filter has broken a rule: the guard ends what comes
	over                               // a cancel has passed the floor, or a server's stream has ended
)

const (
	// belowLoans is how many loans to the element below have a bit.
	belowLoans = opKinds - 1

	// watched is the bit behind them: the guard has asked below for the end of the
	// stream, and the filter has not yet. See grace.go.
	watched ways = 1 << (lentDown + belowLoans)
)

// busyMask is what keeps a block from being recycled: operations on their way, calls
// of the filter's StartBatch, a callback.
const busyMask = (1<<overdue - 1) | (1<<flags - 1<<giving) | running

func (w ways) has(flag ways) bool { return w&flag != 0 }

// busy reports whether the guard has to do with the call at present.
func (w ways) busy() bool { return w&busyMask != 0 }

// at returns the operations in a place.
func (w ways) at(p place) transport.OpSet { return transport.OpSet(w >> p & (1<<opKinds - 1)) }

// held returns what the filter has.
func (w ways) held() transport.OpSet { return w.at(entered) | w.at(returned) }

// put adds operations to a place.
func (w ways) put(p place, ops transport.OpSet) ways { return w | ways(ops)<<p }

// take removes operations from a place.
func (w ways) take(p place, ops transport.OpSet) ways { return w &^ (ways(ops) << p) }

// release takes from the filter what it has of ops.
func (w ways) release(ops transport.OpSet) ways {
	return w.take(entered, ops).take(returned, ops).take(overdue, ops)
}

// free returns the lowest loan of a place that is not in use, as its bit, and 0 if
// all are.
func (w ways) free(p place) ways {
	used := w >> p
	switch p {
	case lentUp:
		used |= w >> giving
	case lentDown:
		used |= 1 << belowLoans
	}
	unused := ^used & (1<<opKinds - 1)
	return unused & -unused << p
}

// isGiving returns the bit that goes with that of a loan to the filter.
func isGiving(lent ways) ways { return lent << (giving - lentUp) }

// outstanding returns what is with the filter or below it.
func (w ways) outstanding() transport.OpSet { return w.held() | w.at(below) }

// waits reports whether the call is over and not all has come back.
func (w ways) waits() bool { return w.has(over) && !w.has(broken) && w.outstanding() != 0 }

// beforeEnd are the operations that recv_trailing_metadata waits for.
const beforeEnd = transport.OpRecvInitialMetadata | transport.OpRecvMessage

// mayEnd reports whether the callback of recv_trailing_metadata may run: last of
// those that receive.
func (w ways) mayEnd() bool { return (w.outstanding()|w.at(ending)|w.at(due))&beforeEnd == 0 }

// next returns the operations of the callback that is to run next, 0 for none.
// sends returns the operations that complete together with one that sends.
func (w ways) next(sends func(op transport.OpSet) transport.OpSet) transport.OpSet {
	d := w.at(due)
	if d == 0 {
		return 0
	}
	for _, op := range [...]transport.OpSet{transport.OpRecvInitialMetadata, transport.OpRecvMessage, transport.OpRecvTrailingMetadata} {
		if d.Has(op) && (op != transport.OpRecvTrailingMetadata || w.mayEnd()) {
			return op
		}
	}
	for s := d & transport.OpsSend; s != 0; s &= s - 1 {
		if together := sends(s & -s); together&^d == 0 {
			return together
		}
	}
	return 0
}

// opKinds is how many operations a call can have outstanding, each once.
const opKinds = 6

// index returns the number of the first operation of ops.
func index(ops transport.OpSet) int { return bits.TrailingZeros8(uint8(ops)) }
