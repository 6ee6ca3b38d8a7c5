// Package warnlimit keeps warnings that strangers can cause from filling a log.
//
// Whoever opens thousands of connections that are refused, or that break a
// rule, causes a warning with each. A [Handler] lets one of them through in an
// interval, which says how many others there were; the others are for debugging.
//
// # Contract
//
//   - Only records of slog.LevelWarn are touched.
//   - Handlers made by WithAttrs and WithGroup share the count.
//   - Not here: which warnings strangers can cause. Their loggers get a Handler,
//     others do not.
//
// # Goroutines
//
// None.
//
// # Locks
//
// count.mu, a leaf.
//
// # Reading order
//
// warnlimit.go, stack.go.
package warnlimit

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A Handler is a slog.Handler that lets one warning through in an interval. Its
// methods may be called at the same time.
type Handler struct {
	slog.Handler
	interval time.Duration
	count    *count
}

// count is what the handlers made of one share.
type count struct {
	mu sync.Mutex // a leaf
	// Guarded by mu.
	last   time.Time // of the last warning that was let through
	others int       // since then
}

// New returns a Handler in front of next.
func New(next slog.Handler, interval time.Duration) *Handler {
	return &Handler{Handler: next, interval: interval, count: &count{}}
}

// Handle passes r on: a warning as it is, with the number of the others, or as
// a record for debugging.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn {
		if others, ok := h.count.take(r.Time, h.interval); ok {
			r = r.Clone()
			r.AddAttrs(slog.Int("others", others))
		} else if r.Level = slog.LevelDebug; !h.Handler.Enabled(ctx, r.Level) {
			return nil
		}
	}
	return h.Handler.Handle(ctx, r)
}

// take reports whether a warning at now is let through, and if so how many were
// not since the last.
func (c *count) take(now time.Time, interval time.Duration) (others int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.IsZero() && now.Sub(c.last) < interval {
		c.others++
		return 0, false
	}
	others, c.last, c.others = c.others, now, 0
	return others, true
}

// WithAttrs returns a Handler that shares the count of h.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{Handler: h.Handler.WithAttrs(attrs), interval: h.interval, count: h.count}
}

// WithGroup returns a Handler that shares the count of h.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{Handler: h.Handler.WithGroup(name), interval: h.interval, count: h.count}
}
