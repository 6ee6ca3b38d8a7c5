package limit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// newBucket returns a full bucket and when that was.
func newBucket(rate, burst float64) (*bucket, time.Time) {
	now := time.Now()
	b := new(bucket)
	b.init(rate, burst, now)
	return b, now
}

// drain takes what there is at now, and at most a thousand tokens.
func (b *bucket) drain(now time.Time) (n int) {
	for n < 1000 && b.take(now) {
		n++
	}
	return n
}

// TestBucketFills: tokens are there at the nanosecond at which they are due and
// not before, and no more of them than the bucket holds.
func TestBucketFills(t *testing.T) {
	for _, tc := range []struct {
		rate, burst float64
		after       time.Duration
		want        int
	}{
		{1, 1, 0, 0},
		{1, 1, time.Second - 1, 0},
		{1, 1, time.Second, 1},
		{1, 1, time.Hour, 1},
		{10, 3, 100*time.Millisecond - 1, 0},
		{10, 3, 100 * time.Millisecond, 1},
		{10, 3, 299 * time.Millisecond, 2},
		{10, 3, 300 * time.Millisecond, 3},
		{10, 3, 200 * 365 * 24 * time.Hour, 3},
		{3, 2, 333333333, 0},
		{3, 2, 333333334, 1},
		{0.001, 1, 1000*time.Second - 1, 0},
		{0.001, 1, 1000 * time.Second, 1},
		{1e6, 100, 999, 0},
		{1e6, 100, 1000, 1},
		{1e6, 100, 50 * time.Microsecond, 50},
		{1e300, 5, 1, 5},
		{math.MaxFloat64, 7, math.MaxInt64, 7},
		{1e300, 1e300, math.MaxInt64, 1000},
		{math.SmallestNonzeroFloat64, 5, math.MaxInt64, 0},
		{1, 5, -time.Hour, 0}, // as a caller sees it who was overtaken
	} {
		t.Run(fmt.Sprintf("%v a second, burst %v, after %v", tc.rate, tc.burst, tc.after), func(t *testing.T) {
			b, now := newBucket(tc.rate, tc.burst)
			if got, want := b.drain(now), int(min(1000, tc.burst)); got != want {
				t.Fatalf("a full bucket had %d tokens, want %d", got, want)
			}
			if tc.burst > 1000 {
				b.tokens = 0
			}
			if got := b.drain(now.Add(tc.after)); got != tc.want {
				t.Errorf("%d tokens, want %d", got, tc.want)
			}
		})
	}
}

// TestBucketKeepsTheRate: whenever one looks, and however long, as many tokens were
// taken as the rate has and the burst, and one fewer at most.
func TestBucketKeepsTheRate(t *testing.T) {
	for _, rate := range []float64{0.3, 1, 3, 7, 10, 1000.0 / 3, 1e5} {
		for _, burst := range []float64{2, 5, 100} {
			b, start := newBucket(rate, burst)
			taken := b.drain(start)
			var elapsed time.Duration
			for range 20_000 {
				// Often enough that the bucket is never full.
				elapsed += 1 + time.Duration(rand.Float64()*0.9e9/rate)
				if b.take(start.Add(elapsed)) {
					taken++
				}
			}
			due := burst + elapsed.Seconds()*rate
			if got := float64(taken); got > due+1e-6 || got < due-1 {
				t.Errorf("%v a second, burst %v: %v tokens in %v, want %v", rate, burst, got, elapsed, due)
			}
		}
	}
}

// TestBucketAtOnce: of a full bucket several goroutines get what is there.
func TestBucketAtOnce(t *testing.T) {
	b, now := newBucket(1, 1000)
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { taken.Add(int64(b.drain(now))) })
	}
	wg.Wait()
	if got := taken.Load(); got != 1000 {
		t.Errorf("%d tokens were taken, want 1000", got)
	}
}

// TestGateNeverMore: goroutines that do nothing but enter and leave find the
// moment between looking and entering, if there is one.
func TestGateNeverMore(t *testing.T) {
	g := newGate(Config{MaxConcurrent: 2}, "")
	var inside, let atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100_000 {
				if g.enter() != nil {
					continue
				}
				if n := inside.Add(1); n > 2 {
					t.Errorf("%d calls are inside a gate for 2", n)
				}
				let.Add(1)
				inside.Add(-1)
				g.leave()
			}
		})
	}
	wg.Wait()
	if n := g.calls.Load(); n != 0 || let.Load() == 0 {
		t.Errorf("in the end %d calls are inside, and %d were", n, let.Load())
	}
}
