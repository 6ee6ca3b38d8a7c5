package cq

import "sync/atomic"

// A count is what a queue counts, in one word: in the upper half the
// operations begun and not taken out again, and one until Shutdown is called;
// in the lower half those of them that ended without the lock. The latter only
// serve to notice an EndOp too many.
type count struct{ word atomic.Int64 }

const (
	one   int64 = 1 << 32 // operation
	ended int64 = 1       // of them, without the lock
)

// reset makes c that of a fresh queue.
func (c *count) reset() { c.word.Store(one) }

// pending returns the upper half; 0 means shut down, for ever.
func (c *count) pending() int { return int(c.word.Load() / one) }

// begin adds an operation, unless the queue has shut down.
func (c *count) begin() bool {
	for {
		n := c.word.Load()
		if n < one {
			return false
		}
		if c.word.CompareAndSwap(n, n+one) {
			return true
		}
	}
}

// end notes that an operation ends without the lock. It reports false, and
// notes nothing, if there may be none, which is for the holder of the lock to
// find out.
func (c *count) end() bool {
	n := c.word.Add(ended)
	if n%one >= n/one { // as many as were begun, and the queue's own
		c.undoEnd()
		return false
	}
	return true
}

// undoEnd takes back an end that went through the lock after all.
func (c *count) undoEnd() { c.word.Add(-ended) }

// collect takes n operations out that ended without the lock.
func (c *count) collect(n int64) { c.word.Add(-n * (one + ended)) }

// release takes one out, or the queue's own, and reports whether it was the
// last. It is for the holder of the lock.
func (c *count) release() (last bool) { return c.word.Add(-one) < one }
