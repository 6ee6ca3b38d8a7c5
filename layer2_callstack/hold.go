package callstack

import (
	"sync"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// A Hold keeps the batches of one call while a filter waits for something
// without which the call cannot go on, such as a token or the end of a delay.
// It is part of a call element and used for one call after another.
//
//	passing ──Close──▶ holding ──Open──▶ opening ──nothing is left──▶ passing
//
// Batches go down in the order in which they came, and what comes while they do
// waits its turn, so that nothing overtakes a message. A cancel waits for nobody.
// What was kept goes down behind it and fails there, in the order of the call's
// other callbacks; so a filter that gives up cancels the call and opens the hold.
//
// The application cancels, a deadline does, and the end of the channel. The loss of
// a connection does not: the transport knows nothing of what is kept.
//
// All methods but Reset may be called at the same time.
type Hold struct {
	// Atomic, so that a hold that passes costs a load. Written under mu.
	state atomic.Uint32 // one of hold…

	mu sync.Mutex // a leaf; nothing is called while it is held
	// Guarded by mu. The oldest is at first; each operation can be outstanding
	// once, so there is room for all.
	kept      [maxKept]*transport.StreamOpBatch
	first, n  int
	cancelled bool
	busy      bool // a goroutine is inside Open
}

const (
	holdPassing uint32 = iota
	holdHolding        // batches are kept
	holdOpening        // they go down; what comes is still kept
)

// maxKept is how many batches can be outstanding: one for each operation but
// the cancel.
const maxKept = 6

// Close makes the hold keep what comes from now on. It reports false, and does
// not, if the call was cancelled: there is nothing to wait for then.
func (h *Hold) Close() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.cancelled {
		h.state.Store(holdHolding)
	}
	return !h.cancelled
}

// Reset forgets the call. Nothing of it is outstanding.
func (h *Hold) Reset() { h.cancelled = false }

// StartBatch passes b on to next or keeps it. A cancel is passed on at once, and
// what is kept behind it; StartBatch reports true then, so that the filter can
// stop what it waits for. A call that was cancelled is not held any more.
//
// args are those of the call: if b ends it, the hold sees to it that the block
// stays in use until StartBatch returns.
func (h *Hold) StartBatch(next CallElem, args *CallArgs, b *transport.StreamOpBatch) (cancelled bool) {
	if b.Ops.Has(transport.OpCancelStream) {
		owner := args.Owner
		owner.Ref()
		h.mu.Lock()
		h.cancelled = true
		h.mu.Unlock()
		next.StartBatch(b)
		h.Open(next, args)
		owner.Unref()
		return true
	}
	if h.state.Load() == holdPassing || !h.keep(b) {
		next.StartBatch(b)
	}
	return false
}

// keep keeps b, unless the hold passes by now.
func (h *Hold) keep(b *transport.StreamOpBatch) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state.Load() == holdPassing {
		return false
	}
	h.kept[(h.first+h.n)%maxKept] = b
	h.n++
	return true
}

// Open passes on to next what was kept, and lets pass what comes later. Where the
// hold is open it does nothing, and where somebody else is opening it that one
// does the work: of two, one could overtake the other.
//
// The caller holds a reference of the call's owner, or has a batch outstanding.
func (h *Hold) Open(next CallElem, args *CallArgs) {
	h.mu.Lock()
	if h.state.Load() != holdHolding {
		h.mu.Unlock()
		return
	}
	h.state.Store(holdOpening)
	if h.busy { // it was closed while it was opened
		h.mu.Unlock()
		return
	}
	h.busy = true
	owner := args.Owner
	owner.Ref()                                    // the last batch may end the call
	for h.n > 0 && h.state.Load() == holdOpening { // else it was closed again
		b := h.kept[h.first]
		h.kept[h.first] = nil
		h.first, h.n = (h.first+1)%maxKept, h.n-1
		h.mu.Unlock()
		next.StartBatch(b)
		h.mu.Lock()
	}
	h.busy = false
	h.state.CompareAndSwap(holdOpening, holdPassing)
	h.mu.Unlock()
	owner.Unref()
}
