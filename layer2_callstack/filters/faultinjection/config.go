package faultinjection

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// Config says which calls get which faults. The zero value is no fault.
type Config struct {
	// Delay is how much later a call goes on, and DelayPercent how many of a
	// hundred calls are delayed: 0 is none and 100 all of them, exactly.
	Delay        time.Duration
	DelayPercent float64

	// AbortCode is how a call ends, with AbortMessage at the end of the text, and
	// AbortPercent how many of a hundred calls do. Any code but OK will do.
	AbortCode    status.Code
	AbortMessage string
	AbortPercent float64

	// MaxActive is how many calls can be delayed at once. While so many are, no
	// other call gets a fault, be it a delay or an end. Zero means any number.
	MaxActive int

	// Headers lets a call say what happens to it by its own metadata, with the
	// names below. They set what is zero here, Delay or AbortCode, and can only
	// make the percentages less. What is not a number that they can have is
	// passed over.
	Headers bool

	// Rand returns a number in [0, 1) and is called from any goroutine. It is
	// called for percentages between 0 and 100 only. Nil means that of
	// math/rand/v2.
	Rand func() float64
}

// The headers of gRFC A33: milliseconds, a code as a number, and whole percentages.
const (
	HeaderDelay        = "x-envoy-fault-delay-request"
	HeaderDelayPercent = "x-envoy-fault-delay-request-percentage"
	HeaderAbort        = "x-envoy-fault-abort-grpc-request"
	HeaderAbortPercent = "x-envoy-fault-abort-percentage"
)

// Enabled reports whether any call can get a fault.
func (c Config) Enabled() bool { return c.DelayPercent != 0 || c.AbortPercent != 0 }

// Validate returns an error that quotes the first field that is wrong.
func (c Config) Validate() error {
	switch {
	case c.Delay < 0:
		return fmt.Errorf("option Delay is %v, want at least 0", c.Delay)
	case !(c.DelayPercent >= 0 && c.DelayPercent <= 100):
		return fmt.Errorf("option DelayPercent is %v, want 0 to 100", c.DelayPercent)
	case c.DelayPercent > 0 && c.Delay == 0 && !c.Headers:
		return fmt.Errorf("option Delay is 0 with DelayPercent %v, want a time, or Headers to set it", c.DelayPercent)
	case c.AbortCode > status.Unauthenticated:
		return fmt.Errorf("option AbortCode is %d, want 1 to %d", uint32(c.AbortCode), uint32(status.Unauthenticated))
	case !(c.AbortPercent >= 0 && c.AbortPercent <= 100):
		return fmt.Errorf("option AbortPercent is %v, want 0 to 100", c.AbortPercent)
	case c.AbortPercent > 0 && c.AbortCode == status.OK && !c.Headers:
		return fmt.Errorf("option AbortCode is OK with AbortPercent %v, want another code, or Headers to set it", c.AbortPercent)
	case c.MaxActive < 0:
		return fmt.Errorf("option MaxActive is %d, want at least 0", c.MaxActive)
	}
	return nil
}

// A fault is what is drawn for one call.
type fault struct {
	delay   time.Duration // 0 for none
	code    status.Code   // OK for none
	message string
}

// aborts reports whether the call ends by it.
func (f fault) aborts() bool { return f.code != status.OK }

// err is how the call ends.
func (f fault) err() error {
	reason := "fault injected by the client"
	if f.message != "" {
		reason += ": " + f.message
	}
	return &transport.Error{Code: f.code, Layer: Name, Reason: reason, Progress: transport.ProgressNotSent}
}

// draw returns the fault of one call, whose initial metadata are md.
func (c *Config) draw(md *metadata.List) (f fault) {
	delay, code := c.Delay, c.AbortCode
	delayPercent, abortPercent := c.DelayPercent, c.AbortPercent
	if c.Headers && md.Len() > 0 {
		if n, ok := number(md, HeaderDelay); ok && delay == 0 {
			delay = time.Duration(n) * time.Millisecond
		}
		if n, ok := number(md, HeaderAbort); ok && code == status.OK && n <= uint64(status.Unauthenticated) {
			code = status.Code(n)
		}
		if n, ok := number(md, HeaderDelayPercent); ok {
			delayPercent = min(delayPercent, float64(n))
		}
		if n, ok := number(md, HeaderAbortPercent); ok {
			abortPercent = min(abortPercent, float64(n))
		}
	}
	if delay > 0 && c.hits(delayPercent) {
		f.delay = delay
	}
	if code != status.OK && c.hits(abortPercent) {
		f.code, f.message = code, c.AbortMessage
	}
	return f
}

// hits draws whether something happens that does to so many of a hundred.
func (c *Config) hits(percent float64) bool {
	switch {
	case percent <= 0:
		return false
	case percent >= 100:
		return true
	case c.Rand != nil:
		return c.Rand()*100 < percent
	}
	return rand.Float64()*100 < percent
}

// number returns the value of a header that is a number of up to 32 bits.
func number(md *metadata.List, key string) (uint64, bool) {
	text, _ := md.Get(key) // empty is none
	n, err := strconv.ParseUint(text, 10, 32)
	return n, err == nil
}
