package callstack

import (
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

const (
	opSIM = transport.OpSendInitialMetadata
	opSM  = transport.OpSendMessage
	opRIM = transport.OpRecvInitialMetadata
	opRM  = transport.OpRecvMessage
	opRTM = transport.OpRecvTrailingMetadata
)

// alone says that every operation that sends has a batch of its own.
func alone(op transport.OpSet) transport.OpSet { return op }

// inOne says that headers and a message are sent in one batch.
func inOne(op transport.OpSet) transport.OpSet {
	if op.Has(opSIM | opSM) {
		return opSIM | opSM
	}
	return op
}

func TestNext(t *testing.T) {
	for _, tc := range []struct {
		name  string
		ways  ways
		sends func(transport.OpSet) transport.OpSet
		want  transport.OpSet
	}{
		{"nothing is due", ways(0).put(below, opRM), alone, 0},
		{"headers come before a message", ways(0).put(due, opRM|opRIM), alone, opRIM},
		{"a message comes before the end", ways(0).put(due, opRM|opRTM), alone, opRM},
		{"the end comes before what was sent", ways(0).put(due, opSM|opRTM), alone, opRTM},
		{"the end waits for headers that are below", ways(0).put(due, opRTM).put(below, opRIM), alone, 0},
		{"and with the filter, on their way down", ways(0).put(due, opRTM).put(entered, opRIM), alone, 0},
		{"and up", ways(0).put(due, opRTM).put(returned, opRIM), alone, 0},
		{"and for a message that is ending", ways(0).put(due, opRTM).put(ending, opRM), alone, 0},
		{"while others do not wait", ways(0).put(due, opRTM|opSM).put(below, opRIM), alone, opSM},
		{"the end does not wait for what is sent", ways(0).put(due, opRTM).put(below, opSM), alone, opRTM},
		{"batches that send come one by one", ways(0).put(due, opSIM|opSM), alone, opSIM},
		{"those in one come together", ways(0).put(due, opSIM|opSM), inOne, opSIM | opSM},
		{"and not before all have", ways(0).put(due, opSM).put(below, opSIM), inOne, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.ways.next(tc.sends); got != tc.want {
				t.Errorf("next is %q, want %q", got, tc.want)
			}
		})
	}
}

// TestPlaces: the sets and flags of the word do not touch each other.
func TestPlaces(t *testing.T) {
	all := transport.OpsSend | transport.OpsRecv
	seen := live | running | broken | over | watched
	for _, p := range []place{entered, below, returned, ending, due, overdue, begun} {
		w := ways(0).put(p, all)
		if seen&w != 0 || w.at(p) != all || w.take(p, all) != 0 {
			t.Errorf("place %d is %#x, beside %#x", p, w, seen)
		}
		if busy := p != overdue && p != begun; w.busy() != busy {
			t.Errorf("with something in place %d busy is %v", p, w.busy())
		}
		seen |= w
	}
	for p, n := range map[place]int{lentDown: belowLoans, lentUp: opKinds} {
		var w ways
		for range n {
			bit := w.free(p)
			if bit == 0 || bit&(w|seen) != 0 {
				t.Fatalf("loan %#x of %#x", bit, w)
			}
			w |= bit
		}
		if got := w.free(p); got != 0 || w.busy() {
			t.Errorf("one more than %d loans: %#x, busy %v", n, got, w.busy())
		}
		seen |= w
	}
	var given ways
	for range opKinds {
		w := isGiving(given.free(lentUp)) // a loan that is given is not free
		if w == 0 || w&(given|seen) != 0 || !w.busy() {
			t.Fatalf("given is %#x beside %#x", w, given|seen)
		}
		given |= w
	}
	if got := given.free(lentUp); got != 0 || given|seen != ^ways(0) {
		t.Errorf("one more is given than there are loans: %#x, of %#x", got, given|seen)
	}
	if !running.busy() || (live | broken | over | watched).busy() {
		t.Error("the wrong flag is busy")
	}
}
