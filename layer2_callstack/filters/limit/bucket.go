package limit

import (
	"sync"
	"time"
)

// A bucket holds tokens, one for each call that may come: a token bucket. It has
// no timer: when it is looked at, it is filled with what has come in since.
//
// Tokens are a float, and what has come in is at most the burst, so that neither
// the longest pause nor the highest rate overflows.
type bucket struct {
	// Set by init, read-only afterwards.
	rate   float64 // tokens a second
	burst  float64 // most tokens
	enough float64 // a token, but for what rounding may have lost of it

	mu sync.Mutex // a leaf; nothing is called while it is held
	// Guarded by mu.
	tokens float64
	filled time.Time // when tokens was right
}

// slack bounds what rounding loses, for each token that the bucket holds, so that
// one is there at the nanosecond at which it is due.
const slack = 1e-13

// init fills the bucket.
func (b *bucket) init(rate, burst float64, now time.Time) {
	b.rate, b.burst, b.enough = rate, burst, max(0.5, 1-slack*burst)
	b.tokens, b.filled = burst, now
}

// take takes a token and reports whether there was one. Callers may be overtaken,
// so that now is before the one of the caller before.
func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := now.Sub(b.filled); d > 0 {
		b.tokens = min(b.burst, b.tokens+d.Seconds()*b.rate)
		b.filled = now
	}
	if b.tokens < b.enough {
		return false
	}
	b.tokens--
	return true
}
