// Package backoff computes how long to wait between two attempts to connect:
// the gRPC connection backoff protocol.
package backoff

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// The values of the gRPC connection backoff protocol.
const (
	defaultBaseDelay  = time.Second
	defaultMultiplier = 1.6
	defaultJitter     = 0.2
	defaultMaxDelay   = 120 * time.Second
)

// Config says how the delay grows. The zero value is gRPC's: 1 s, times 1.6,
// give or take 20 %, up to 120 s.
type Config struct {
	// BaseDelay is the delay after the first failure. It has no jitter. Zero
	// means 1 s.
	BaseDelay time.Duration

	// Multiplier is the factor from one failure to the next. Zero means 1.6.
	Multiplier float64

	// Jitter is the part of the delay by which chance moves it, up or down,
	// so that clients that failed together do not come back together. Zero
	// means none, or 0.2 if the whole Config is zero.
	Jitter float64

	// MaxDelay bounds the delay before jitter. Zero means 120 s.
	MaxDelay time.Duration
}

// WithDefaults returns a copy with the zero fields filled in.
func (c Config) WithDefaults() Config {
	if c == (Config{}) {
		c.Jitter = defaultJitter
	}
	if c.BaseDelay == 0 {
		c.BaseDelay = defaultBaseDelay
	}
	if c.Multiplier == 0 {
		c.Multiplier = defaultMultiplier
	}
	if c.MaxDelay == 0 {
		c.MaxDelay = defaultMaxDelay
	}
	return c
}

// Validate reports the first field that is out of range.
func (c Config) Validate() error {
	c = c.WithDefaults()
	switch {
	case c.BaseDelay < 0:
		return fmt.Errorf("backoff: BaseDelay is %v, less than 0", c.BaseDelay)
	case !(c.Multiplier >= 1):
		return fmt.Errorf("backoff: Multiplier is %v, less than 1", c.Multiplier)
	case !(c.Jitter >= 0 && c.Jitter < 1):
		return fmt.Errorf("backoff: Jitter is %v, not in [0, 1)", c.Jitter)
	case c.MaxDelay < 0:
		return fmt.Errorf("backoff: MaxDelay is %v, less than 0", c.MaxDelay)
	}
	return nil
}

// Delay returns the time from the start of an attempt to that of the next.
// retries is the number of failures in a row before that attempt.
func (c Config) Delay(retries int) time.Duration {
	c = c.WithDefaults()
	delay, limit := float64(c.BaseDelay), float64(c.MaxDelay)
	for range retries {
		if delay *= c.Multiplier; delay >= limit || c.Multiplier == 1 {
			break // 75 failures reach any limit; thousands need no loop
		}
	}
	delay = min(delay, limit)
	if retries > 0 {
		delay *= 1 + c.Jitter*(2*rand.Float64()-1)
	}
	return time.Duration(delay)
}
