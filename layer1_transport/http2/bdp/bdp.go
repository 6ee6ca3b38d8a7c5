// Package bdp finds out how wide flow-control windows have to be.
//
// A sender may have one window of bytes on their way, so that it sends at most
// one window in a round trip: 1 MiB with a round trip of 50 ms is 20 MB/s,
// however fast the network. A window that is as wide as bandwidth times delay
// does not slow the sender down. Neither factor is known. But a PING that is
// sent while data comes in tells both: how long the answer takes, and how many
// bytes came meanwhile.
//
//	bytes came ──▶ Received ──▶ "send a PING" ──▶ answer ──▶ Answered ──▶ wider windows
//
// # Contract
//
//   - Where one round trip brings two thirds of a window or more, the window
//     may be what limits the sender. It is made twice as wide as what came, if
//     data came faster than when it was made wider last: otherwise the network
//     is the limit, and more bytes on their way would only wait in its queues.
//   - Windows never shrink, and do not pass the limits of New.
//   - PINGs follow data: at least 64 KiB in frames that are not small, since
//     the last answer. A peer that counts PINGs as abuse unless it has sent
//     data since (gRFC A8) finds nothing to count. Small messages cause none.
//   - One PING is under way at most. While windows do not grow, the pause
//     between them doubles, from 100 ms to 10 s; at the limits there are none.
//   - Not here: frames, clocks, and the windows themselves.
//
// # Goroutines
//
// None.
//
// # Locks
//
// None. An Estimator is guarded by the lock of its owner.
//
// # Reading order
//
// bdp.go.
package bdp

import "time"

const (
	// leastBulk is how many bytes must come between an answer and the next PING.
	leastBulk = 64 << 10

	// leastFrame is the length from which a DATA frame counts as bulk. Small
	// messages are limited by other things than windows.
	leastFrame = 1 << 10

	// minPause and maxPause bound the time between two PINGs that find nothing.
	minPause = 100 * time.Millisecond
	maxPause = 10 * time.Second

	// leastTrip is the shortest round trip that is believed: the clock is read
	// once for all that is read from the connection at once.
	leastTrip = time.Microsecond
)

// Windows are the receive windows of a stream and of a connection.
type Windows struct{ Stream, Conn int64 }

// An Estimator watches the bytes that come in and decides about the windows.
// The zero value never sends a PING.
//
// Invariant: windows never pass most, and probing ends when they are there.
type Estimator struct {
	windows, most Windows

	bulk   int64 // since the last answer, in frames of leastFrame or more
	came   int64 // since the PING, in all frames
	since  time.Time
	asking bool // a PING is under way

	best  float64 // bytes a second when a window grew last
	pause time.Duration
	next  time.Time // no PING before
}

// New returns an estimator for windows that begin at now and may grow to most.
func New(now, most Windows) Estimator { return Estimator{windows: now, most: most} }

// Windows returns how wide the windows are to be.
func (e *Estimator) Windows() Windows { return e.windows }

// Received counts a DATA frame with n bytes that came at now. It reports true
// when a PING is to be sent; Received takes it that it is.
func (e *Estimator) Received(n int, now time.Time) bool {
	if e.asking {
		e.came += int64(n)
		return false
	}
	if n < leastFrame {
		return false
	}
	e.bulk += int64(n)
	if e.bulk < leastBulk || now.Before(e.next) || !e.mayGrow() {
		return false
	}
	e.asking, e.came, e.since = true, 0, now
	return true
}

func (e *Estimator) mayGrow() bool {
	return e.windows.Stream < e.most.Stream || e.windows.Conn < e.most.Conn
}

// Answered ends the measurement that the PING began, and reports whether the
// windows have grown.
func (e *Estimator) Answered(now time.Time) bool {
	if !e.asking {
		return false
	}
	trip := max(now.Sub(e.since), leastTrip)
	e.asking, e.bulk = false, 0
	before := e.windows
	if speed := float64(e.came) / trip.Seconds(); speed > e.best {
		e.windows.Stream = wider(e.windows.Stream, e.came, e.most.Stream)
		e.windows.Conn = wider(e.windows.Conn, e.came, e.most.Conn)
		if e.windows != before {
			e.best, e.pause, e.next = speed, 0, now
			return true
		}
	}
	e.pause = min(max(2*e.pause, minPause), maxPause)
	e.next = now.Add(e.pause)
	return false
}

// wider returns what a window becomes of which came bytes were used in one
// round trip.
func wider(window, came, most int64) int64 {
	if 3*came < 2*window {
		return window
	}
	return max(window, min(2*came, most))
}
