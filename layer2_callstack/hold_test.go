package callstack_test

import (
	"slices"
	"sync"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// ops is all operations but the cancel, in the order of their numbers.
var ops = []transport.OpSet{
	transport.OpSendInitialMetadata, transport.OpSendMessage, transport.OpSendTrailingMetadata,
	transport.OpRecvInitialMetadata, transport.OpRecvMessage, transport.OpRecvTrailingMetadata,
}

// below is the element under test's next one: it takes note of what comes, and
// then does what the test wants.
type below struct {
	callstack.CallBase
	then func(b *transport.StreamOpBatch)

	mu  sync.Mutex
	got []transport.OpSet // guarded by mu
}

func (e *below) StartBatch(b *transport.StreamOpBatch) {
	e.mu.Lock()
	e.got = append(e.got, b.Ops)
	e.mu.Unlock()
	if e.then != nil {
		e.then(b)
	}
}

func (e *below) seen() []transport.OpSet {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got)
}

// A holding is a hold, the call it is part of and the element below.
type holding struct {
	callstack.Hold
	args  callstack.CallArgs
	block callstack.Block
	back  counter
	below below
}

func newHolding() *holding {
	h := &holding{}
	h.block.Bind(&h.back)
	h.block.Start()
	h.args.Owner = &h.block
	return h
}

// start gives batches with those operations to the hold.
func (h *holding) start(ops ...transport.OpSet) (cancelled bool) {
	for _, o := range ops {
		cancelled = h.StartBatch(&h.below, &h.args, &transport.StreamOpBatch{Ops: o})
	}
	return cancelled
}

func (h *holding) open() { h.Open(&h.below, &h.args) }

func (h *holding) want(t *testing.T, what string, want ...transport.OpSet) {
	t.Helper()
	if got := h.below.seen(); !slices.Equal(got, want) {
		t.Errorf("%s: %v went down, want %v", what, got, want)
	}
}

func TestHold(t *testing.T) {
	cancel := transport.OpCancelStream
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, h *holding)
		want []transport.OpSet
	}{
		{"an open hold passes", func(t *testing.T, h *holding) { h.start(ops[1], ops[0]) }, []transport.OpSet{ops[1], ops[0]}},
		{"to open an open one changes nothing", func(t *testing.T, h *holding) {
			h.open()
			h.start(ops[0])
		}, []transport.OpSet{ops[0]}},
		{"a closed one keeps", func(t *testing.T, h *holding) {
			h.Close()
			h.start(ops...)
		}, nil},
		{"batches go down in the order in which they came", func(t *testing.T, h *holding) {
			h.Close()
			h.start(ops[3], ops[0], ops[5], ops[1], ops[2], ops[4])
			h.open()
		}, []transport.OpSet{ops[3], ops[0], ops[5], ops[1], ops[2], ops[4]}},
		{"it is used again and again", func(t *testing.T, h *holding) {
			for range 3 {
				h.Close()
				h.start(ops[0], ops[1], ops[2], ops[3])
				h.open()
				h.start(ops[4])
			}
		}, slices.Repeat([]transport.OpSet{ops[0], ops[1], ops[2], ops[3], ops[4]}, 3)},
		{"one opens it at a time, although it was closed and opened again amid that", func(t *testing.T, h *holding) {
			depth := 0
			h.below.then = func(*transport.StreamOpBatch) {
				if depth++; depth != 1 {
					t.Error("a batch went down while another did")
				}
				h.Close()
				h.open()
				depth--
			}
			h.Close()
			h.start(ops[0], ops[1], ops[2])
			h.open()
		}, []transport.OpSet{ops[0], ops[1], ops[2]}},
		{"what comes while it opens waits its turn", func(t *testing.T, h *holding) {
			h.below.then = func(b *transport.StreamOpBatch) {
				if b.Ops == ops[0] {
					h.start(ops[3])
					h.want(t, "amid the opening", ops[0])
				}
			}
			h.Close()
			h.start(ops[0], ops[1])
			h.open()
			h.start(ops[4])
		}, []transport.OpSet{ops[0], ops[1], ops[3], ops[4]}},
		{"closed while it opens it keeps what is left", func(t *testing.T, h *holding) {
			h.below.then = func(b *transport.StreamOpBatch) {
				if b.Ops == ops[0] && !h.Close() {
					t.Error("Close reports a cancel")
				}
			}
			h.Close()
			h.start(ops[0], ops[1])
			h.open()
			h.start(ops[2])
			h.want(t, "after it was closed again", ops[0])
			h.open()
		}, []transport.OpSet{ops[0], ops[1], ops[2]}},
		{"a cancel passes, and what is kept behind it", func(t *testing.T, h *holding) {
			h.Close()
			if h.start(ops[0], ops[1]) || !h.start(cancel) {
				t.Error("StartBatch reports the wrong batch as a cancel")
			}
			h.start(ops[2])
		}, []transport.OpSet{cancel, ops[0], ops[1], ops[2]}},
		{"a cancelled call is not held any more", func(t *testing.T, h *holding) {
			h.start(cancel)
			if h.Close() {
				t.Error("Close after a cancel succeeded")
			}
			h.start(ops[0])
		}, []transport.OpSet{cancel, ops[0]}},
		{"a later call is", func(t *testing.T, h *holding) {
			h.start(cancel)
			h.Reset()
			if !h.Close() {
				t.Error("Close after Reset reports the cancel of the call before")
			}
			h.start(ops[0])
		}, []transport.OpSet{cancel}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHolding()
			tc.do(t, h)
			h.want(t, "in the end", tc.want...)
			h.block.Unref()
			if got := h.back.Load(); got != 1 {
				t.Errorf("the block came back %d times", got)
			}
		})
	}
}

// TestHoldRecycled has the last batch that goes down end the call: the block
// must not come back, and serve another call, while the hold still works on it.
func TestHoldRecycled(t *testing.T) {
	for _, how := range []string{"open", "cancel"} {
		t.Run(how, func(t *testing.T) {
			h := newHolding()
			h.Close()
			h.start(ops[0], ops[1])
			h.below.then = func(b *transport.StreamOpBatch) {
				if b.Ops == ops[1] {
					h.block.Unref() // the last one, but for that of the hold
				}
				if got := h.back.Load(); got != 0 {
					t.Error("the block came back while the hold was at work")
				}
			}
			if how == "open" {
				h.open()
			} else {
				h.start(transport.OpCancelStream)
			}
			if got := h.back.Load(); got != 1 {
				t.Errorf("the block came back %d times", got)
			}
		})
	}
}

// TestHoldRaces starts batches on several goroutines while others close, open
// and cancel. Each goes down once, those of one goroutine in their order.
func TestHoldRaces(t *testing.T) {
	for round := range 50 {
		h := newHolding()
		h.Close()
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() { h.start(ops[2*i], ops[2*i+1]) })
		}
		wg.Go(h.open)
		wg.Go(func() {
			h.Close()
			h.open()
		})
		if round%2 == 0 {
			wg.Go(func() { h.start(transport.OpCancelStream) })
		}
		wg.Wait()
		h.open() // of the two that opened one may have closed behind the other
		got := h.below.seen()
		for i := range 3 {
			first, then := slices.Index(got, ops[2*i]), slices.Index(got, ops[2*i+1])
			if first < 0 || then < first {
				t.Fatalf("round %d: %v went down, want %v before %v", round, got, ops[2*i], ops[2*i+1])
			}
		}
		if want := len(ops) + 1 - round%2; len(got) != want {
			t.Fatalf("round %d: %v went down, want %d batches", round, got, want)
		}
		h.block.Unref()
		if h.back.Load() != 1 {
			t.Fatalf("round %d: a reference was kept", round)
		}
	}
}
