package budget_test

import (
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/http2/budget"
)

var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// spend takes n tokens and returns how many it got.
func spend(b *budget.Bucket, now time.Time, n int) (got int) {
	for range n {
		if b.Spend(now) {
			got++
		}
	}
	return got
}

func TestBucket(t *testing.T) {
	type step struct {
		after time.Duration // since the start
		want  int           // tokens that a greedy caller gets
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"a full bucket gives its burst and no more", []step{{0, 10}, {0, 0}}},
		{"one token comes each hundredth of a second", []step{{0, 10}, {10 * time.Millisecond, 1}, {35 * time.Millisecond, 2}}},
		{"half a token is kept for later", []step{{0, 10}, {15 * time.Millisecond, 1}, {20 * time.Millisecond, 1}}},
		{"no more than the burst comes back", []step{{0, 10}, {time.Hour, 10}, {time.Hour, 0}}},
		{"the first use may come late", []step{{24 * time.Hour, 10}, {24*time.Hour + 9*time.Millisecond, 0}}},
		{"a full bucket saves nothing for later", []step{{time.Hour, 10}, {time.Hour + 20*time.Millisecond, 2}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := budget.New(10, 100)
			for i, s := range tc.steps {
				if got := spend(&b, start.Add(s.after), 1000); got != s.want {
					t.Errorf("step %d: %d tokens after %v, want %d", i, got, s.after, s.want)
				}
			}
		})
	}
}

func TestReturnedTokensAreSpentAgain(t *testing.T) {
	b := budget.New(10, 1)
	spend(&b, start, 10)
	b.Return()
	b.Return()
	if got := spend(&b, start, 10); got != 2 {
		t.Errorf("%d tokens after 2 were put back, want 2", got)
	}
	for range 100 {
		b.Return()
	}
	if got := spend(&b, start, 100); got != 10 {
		t.Errorf("%d tokens after 100 were put back, want the burst, 10", got)
	}
}

// FuzzBucket: whatever is done with it, a bucket gives no more than its burst,
// what time has brought, and what was put back.
func FuzzBucket(f *testing.F) {
	f.Add([]byte{0, 0, 0, 200, 1, 1, 130, 0, 0})
	f.Fuzz(func(t *testing.T, steps []byte) {
		const burst, perSecond = 5, 1000
		b, now, given, returned := budget.New(burst, perSecond), start, 0, 0
		for _, s := range steps {
			switch {
			case s >= 128:
				now = now.Add(time.Duration(s-128) * 100 * time.Microsecond)
			case s%2 == 0 && b.Spend(now):
				given++
			case s%2 == 1:
				b.Return()
				returned++
			}
			if most := burst + int(now.Sub(start)/time.Millisecond) + returned; given > most {
				t.Fatalf("%d tokens were given, at most %d are due", given, most)
			}
		}
	})
}

func TestAllocsBucket(t *testing.T) {
	b := budget.New(10, 100)
	if n := testing.AllocsPerRun(100, func() { b.Spend(start); b.Return() }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
