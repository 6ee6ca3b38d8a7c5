package surfacetest

import (
	"testing"
	"time"
)

// TestTooSlow: where time is real, a case whose deadline passed before it had
// done what comes first is run again with more time, and then judged.
func TestTooSlow(t *testing.T) {
	f := Memory()[0]
	f.Virtual = false
	var left []time.Duration
	tc := testCase{file: "ours", name: "Slow", test: func(r *rig) {
		left = append(left, time.Until(r.meanwhile()).Round(short))
		if len(left) < 3 {
			r.passing = time.Now().Add(-1) // as if it had passed
			r.unexpected("an event of the end")
		}
		r.passes()
	}}
	if got := runCase(t, &tc, &f); got != passed {
		t.Errorf("the case has ended as %v, want that it passed", marks[got])
	}
	if len(left) != 3 || left[0] != short || left[1] != 4*short || left[2] != 16*short {
		t.Errorf("there was time of %v, want %v, 4 and 16 times that", left, short)
	}
}
