package main

import (
	"math/bits"
	"time"
)

// Sub-buckets divide each power of two, so that a latency is known to 1/64.
const (
	subBits    = 6
	subBuckets = 1 << subBits
	// The last bucket also holds whatever is longer than 2^40 ns, 18 minutes.
	maxExponent = 40
	buckets     = (maxExponent - subBits + 1) * subBuckets
)

// A histogram counts latencies. Recording one allocates nothing, however many
// there are.
//
// Invariant: the buckets add up to the number of latencies recorded.
type histogram struct {
	counts [buckets]int64
}

// bucketOf returns the bucket of a latency: linear below 2·subBuckets ns, then
// subBuckets a power of two.
func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0))
	shift := max(bits.Len64(n)-subBits-1, 0)
	return min(shift*subBuckets+int(n>>shift), buckets-1)
}

// lowerBound is the inverse of bucketOf: the shortest latency of a bucket.
func lowerBound(bucket int) time.Duration {
	if bucket < 2*subBuckets {
		return time.Duration(bucket)
	}
	shift := bucket/subBuckets - 1
	return time.Duration((bucket - shift*subBuckets) << shift)
}

// record counts one latency.
func (h *histogram) record(d time.Duration) { h.counts[bucketOf(d)]++ }

// reset forgets everything.
func (h *histogram) reset() { h.counts = [buckets]int64{} }

// add counts everything that other has counted.
func (h *histogram) add(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
}

// count returns how many latencies were recorded.
func (h *histogram) count() int64 {
	var n int64
	for _, c := range h.counts {
		n += c
	}
	return n
}

// quantile returns the latency that a fraction q of all do not exceed, to the
// width of a bucket; 0 if there are none.
func (h *histogram) quantile(q float64) time.Duration {
	left := int64(q * float64(h.count()))
	for i, n := range h.counts {
		if left -= n; left < 0 {
			return lowerBound(i)
		}
	}
	return 0
}
