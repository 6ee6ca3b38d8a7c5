// Package accepting is the accept loop of a listener. It goes on after an error
// that may pass, such as too many open files, and ends with any other.
package accepting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// How long a loop waits after an error before it tries again: twice as long
// each time. It bounds what a server without files does beside its calls.
const (
	minDelay = 5 * time.Millisecond
	maxDelay = time.Second
)

// Loop gives take one connection after another, which take must not wait with.
// It returns nil when ctx has ended, after which the caller closes lis, and
// otherwise why lis cannot accept any more.
func Loop(ctx context.Context, lis net.Listener, logger *slog.Logger, take func(net.Conn)) error {
	var delay time.Duration
	for {
		nc, err := lis.Accept()
		switch {
		case err == nil:
			delay = 0
			take(nc)
			continue
		case ctx.Err() != nil:
			return nil
		case !temporary(err):
			return fmt.Errorf("surface: accepting on %v: %w", lis.Addr(), err)
		}
		delay = min(max(2*delay, minDelay), maxDelay)
		logger.Warn("surface: accepting failed, trying again", "address", lis.Addr(), "error", err, "delay", delay)
		if !pause(ctx, delay) {
			return nil
		}
	}
}

// temporary reports whether accepting may work again. Other errors are the end
// of a listener.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// pause waits, and reports false if ctx ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
