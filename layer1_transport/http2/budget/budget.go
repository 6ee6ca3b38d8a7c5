// Package budget counts what a peer may do often but not without end.
//
// A stream error, a SETTINGS frame, a call that is cancelled as soon as it is
// made: each is legal, and each costs us more than it costs the peer. One is
// nothing, a million are an attack (CVE-2023-44487, CVE-2025-8671). A [Bucket]
// holds tokens, gives one for each, and gets new ones as time passes.
//
// # Contract
//
//   - A Bucket is plain data. Its methods are called under the lock of its owner.
//   - Time is what its owner says it is, and never goes back.
//   - Not here: what costs a token, and what happens when none is left.
//
// # Goroutines
//
// None.
//
// # Locks
//
// None.
//
// # Reading order
//
// budget.go.
package budget

import "time"

// A Bucket holds tokens.
//
// Invariant: 0 <= tokens <= burst.
type Bucket struct {
	burst, tokens int
	every         time.Duration // a new token comes this often
	counted       time.Time     // up to when new tokens are in tokens
}

// New returns a full bucket of burst tokens that gets perSecond of them back
// each second. Both are at least 1.
func New(burst, perSecond int) Bucket {
	return Bucket{burst: burst, tokens: burst, every: max(1, time.Second/time.Duration(perSecond))}
}

// Spend takes a token. It reports false if there is none.
func (b *Bucket) Spend(now time.Time) bool {
	b.refill(now)
	if b.tokens == 0 {
		return false
	}
	b.tokens--
	return true
}

// Return puts a token back, for what the peer did in good order.
func (b *Bucket) Return() {
	if b.tokens < b.burst {
		b.tokens++
	}
}

// refill adds the tokens that have come until now. What is left of the time
// to the next one is not lost.
func (b *Bucket) refill(now time.Time) {
	n := max(0, int64(now.Sub(b.counted)/b.every))
	if n >= int64(b.burst-b.tokens) {
		b.tokens, b.counted = b.burst, now // more do not fit
		return
	}
	b.tokens += int(n)
	b.counted = b.counted.Add(time.Duration(n) * b.every)
}
