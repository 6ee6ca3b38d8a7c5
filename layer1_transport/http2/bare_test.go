package http2

import (
	"testing"
	"testing/synctest"
	"time"
)

// bareConn returns a connection that is its session and nothing else. Its timer
// counts as set, or it would be set by whatever releases the lock, and find
// nothing of a connection when it fires.
func bareConn(s *session) *conn {
	c := &conn{s: s}
	c.timer.at = time.Unix(1, 0)
	return c
}

// TestBareConnHasNoTimer: what a test of the session leaves behind does not
// come back a minute later.
func TestBareConnHasNoTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, beginServer+"recv SETTINGS ACK")
		s.flood(s.c.s.flow.limit/2 + 1) // which sends SETTINGS that want a receipt
		s.c.mu.Lock()
		s.c.release(writeNow)
		time.Sleep(2 * settingsAckTime)
	})
}
