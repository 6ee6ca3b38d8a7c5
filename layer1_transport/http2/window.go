package http2

import "github.com/strata-grpc/strata/layer1_transport/frame"

// A sendWindow counts the DATA bytes that the peer still allows us to send.
//
// Invariant: avail <= frame.MaxWindow. avail goes negative when the peer
// lowers SETTINGS_INITIAL_WINDOW_SIZE under data in flight: a 64 KiB window
// with 60 KiB in flight, lowered to 16 KiB, stands at -44 KiB. RFC 9113 §6.9.2.
type sendWindow struct {
	avail int64
}

// grant adds credit from WINDOW_UPDATE or SETTINGS. It reports false when the
// window would pass its largest size, RFC 9113 §6.9.1; the caller knows
// whether the stream or the connection is at fault.
func (w *sendWindow) grant(n int64) bool {
	if w.avail+n > frame.MaxWindow {
		return false
	}
	w.avail += n
	return true
}

// room returns how many bytes may be sent, at least 0.
func (w *sendWindow) room() int { return int(max(0, w.avail)) }

// take spends n bytes, at most room.
func (w *sendWindow) take(n int) { w.avail -= int64(n) }

// A recvWindow counts the DATA bytes that we still allow the peer to send, and
// those that were consumed and not given back yet.
//
// Invariant: avail >= 0 and avail + owed + unread == size, where unread is what
// was received and not consumed. owed goes negative when a message longer than
// the window was credited in advance.
type recvWindow struct {
	size, avail, owed int64
}

func newRecvWindow(size int32) recvWindow { return recvWindow{size: int64(size), avail: int64(size)} }

// take counts n received bytes, padding included. It reports false when the
// peer sent more than it was allowed. RFC 9113 §6.9.1.
func (w *recvWindow) take(n int) bool {
	if int64(n) > w.avail {
		return false
	}
	w.avail -= int64(n)
	return true
}

// release gives back n consumed bytes. It returns the increment for a
// WINDOW_UPDATE, 0 while less than a quarter of the window is owed, so that
// small messages do not cost a frame each.
func (w *recvWindow) release(n int) uint32 {
	w.owed += int64(n)
	if w.owed < w.size/4 {
		return 0
	}
	n64 := w.owed
	w.owed = 0
	w.avail += n64
	return uint32(n64)
}

// extend allows the peer to send need bytes beyond what it has sent, for a
// message longer than the window whose reader waits. It returns the increment
// for a WINDOW_UPDATE, 0 if the window is wide enough.
func (w *recvWindow) extend(need int) uint32 {
	missing := min(int64(need), frame.MaxWindow) - w.avail
	if missing <= 0 {
		return 0
	}
	w.avail += missing
	w.owed -= missing
	return uint32(missing)
}
