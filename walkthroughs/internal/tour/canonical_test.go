package tour

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// event returns a record of a lane.
func event(id, cause trace.EventID, lane, op string) trace.Record {
	return trace.Record{ID: id, Endpoint: "e", Lane: lane, Event: trace.Event{Cause: cause, Op: op}}
}

// list shows records as "number lane op cause".
func list(records []trace.Record) (s []string) {
	for _, r := range records {
		s = append(s, fmt.Sprintf("%d %s %s %d", r.ID, r.Lane, r.Op, r.Cause))
	}
	return s
}

func TestCanonical(t *testing.T) {
	// a1 causes b1; b2 causes a3; c1 is caused by something that is not there.
	records := []trace.Record{
		event(11, 0, "a", "a1"), event(12, 99, "c", "c1"), event(13, 0, "a", "a2"),
		event(14, 11, "b", "b1"), event(15, 14, "b", "b2"), event(16, 15, "a", "a3"),
	}
	want := []string{"1 a a1 0", "2 a a2 0", "3 b b1 1", "4 b b2 3", "5 a a3 4", "6 c c1 0"}
	if got := list(Canonical(records)); !slices.Equal(got, want) {
		t.Errorf("Canonical = %q, want %q", got, want)
	}
}

// TestCanonicalForgetsTurns: however the goroutines took turns, the result is
// the same.
func TestCanonicalForgetsTurns(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	lanes := [][]trace.Record{
		{event(1, 0, "a", "a1"), event(2, 0, "a", "a2"), event(3, 22, "a", "a3")},
		{event(21, 1, "b", "b1"), event(22, 31, "b", "b2")},
		{event(31, 21, "c", "c1"), event(32, 0, "c", "c2")},
	}
	var want []string
	for range 200 {
		if got := list(Canonical(interleave(rnd, lanes))); want == nil {
			want = got
		} else if !slices.Equal(got, want) {
			t.Fatalf("Canonical = %q, want %q", got, want)
		}
	}
}

// interleave returns the lanes as one record in which causes come first, with
// the first lane first.
func interleave(rnd *rand.Rand, lanes [][]trace.Record) (out []trace.Record) {
	at, seen := make([]int, len(lanes)), map[trace.EventID]bool{0: true}
	out, at[0] = append(out, lanes[0][0]), 1
	seen[lanes[0][0].ID] = true
	for len(out) < 7 {
		i := rnd.IntN(len(lanes))
		if at[i] < len(lanes[i]) && seen[lanes[i][at[i]].Cause] {
			r := lanes[i][at[i]]
			out, seen[r.ID] = append(out, r), true
			at[i]++
		}
	}
	return out
}

// TestCanonicalWithoutOrder: what cannot be put in order is a fault of the tracer.
func TestCanonicalWithoutOrder(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("two events that cause each other have an order")
		}
	}()
	Canonical([]trace.Record{event(1, 2, "a", "a1"), event(2, 1, "b", "b1")})
}
