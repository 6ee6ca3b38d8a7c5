package framescript

import (
	"slices"

	"golang.org/x/net/http2"
)

// initialWindow is the window before anybody says otherwise. RFC 9113 §6.9.2.
const initialWindow = 65535

// A credit knows the windows of both directions. RFC 9113 §5.2. Guarded by
// monitor.mu.
type credit struct {
	send windows // what the peer allows us
	recv windows // what we allow the peer

	// The initial windows that we have announced: the first is in force, the
	// others wait for the peer's acknowledgement. Until it comes, the peer
	// may go by any of them. RFC 9113 §6.5.3.
	announced []int64

	// blind: the script has sent bytes that only it understands, so that we
	// do not know any more what the peer may send.
	blind bool
}

// windows are the windows of one direction. That of a stream is initial plus
// its balance.
type windows struct {
	conn    int64
	initial int64
	balance map[uint32]int64
}

func newCredit() credit {
	w := func() windows { return windows{initialWindow, initialWindow, map[uint32]int64{}} }
	return credit{send: w(), recv: w(), announced: []int64{initialWindow}}
}

// grant adds n to a window; stream 0 is the connection.
func (w *windows) grant(stream uint32, n int64) {
	if stream == 0 {
		w.conn += n
		return
	}
	w.balance[stream] += n
}

// spend counts n bytes of DATA.
func (w *windows) spend(stream uint32, n int64) {
	w.conn -= n
	w.balance[stream] -= n
}

// room returns how many bytes of DATA may be sent.
func (w *windows) room(stream uint32) int64 {
	return min(w.conn, w.initial+w.balance[stream])
}

// settings applies the peer's SETTINGS.
func (c *credit) settings(all []http2.Setting) {
	for _, s := range all {
		if s.ID == http2.SettingInitialWindowSize {
			c.send.initial = int64(s.Val)
		}
	}
}

// granted applies the peer's WINDOW_UPDATE.
func (c *credit) granted(stream uint32, n int64) { c.send.grant(stream, n) }

// announce notes SETTINGS that we send. One without an initial window is noted
// as well, since it will be acknowledged.
func (c *credit) announce(all []http2.Setting) {
	window := c.announced[len(c.announced)-1]
	for _, s := range all {
		if s.ID == http2.SettingInitialWindowSize {
			window = int64(s.Val)
		}
	}
	c.announced = append(c.announced, window)
	if len(c.announced) > 1000 {
		c.blind = true // a flood, whose credit is not the point
		c.announced = c.announced[:1]
	}
}

// acked applies our oldest SETTINGS that were not acknowledged.
func (c *credit) acked() {
	if len(c.announced) > 1 {
		c.announced = c.announced[1:]
	}
}

// received counts DATA of the peer and returns by how many bytes it goes
// beyond what we allow at the most.
func (c *credit) received(stream uint32, n int64) int64 {
	c.recv.spend(stream, n)
	if c.blind {
		return 0
	}
	c.recv.initial = slices.Max(c.announced)
	return max(0, -c.recv.room(stream))
}
