package http2

import (
	"fmt"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2/bdp"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// connFlow is the flow control of the connection. RFC 9113 §5.2.
//
// Credit goes back when bytes are read, but for the connection's window also
// for bytes that nobody has read: one stream without a reader must not stop
// the others. That ends where unread bytes and window together would pass
// limit. Before it comes to that, the windows of the streams become narrow:
// what is unread is then bounded stream by stream, and those with a reader go
// on however many there are without one.
//
// Invariant: held <= max(0, unread-budget()), and
// recv.avail + recv.owed + held == recv.size.
type connFlow struct {
	send    sendWindow
	emptied time.Time // when send was last used up while streams waited
	recv    recvWindow
	unread  int // bytes in the streams that nobody has read
	held    int // of them, those without credit

	limit int // of unread bytes: maxUnread

	stream int64         // the window that streams begin with, unless it is narrow
	most   bdp.Windows   // what the windows may grow to
	growth bdp.Estimator // when they do
	probe  uint64        // the PING of growth

	settings int // our SETTINGS frames, numbered from 1
	receipts int // how many of them the peer has acknowledged
	narrowed int // the number of those that made streams narrow; 0 if they are not

	longFrames bool // the peer was told that frames may be long, see settings.go
}

func newConnFlow(cfg *Config) connFlow {
	first := bdp.Windows{Stream: int64(cfg.StreamWindow), Conn: int64(cfg.ConnWindow)}
	most := bdp.Windows{Stream: int64(cfg.MaxStreamWindow), Conn: int64(cfg.MaxConnWindow)}
	return connFlow{
		send:   sendWindow{avail: frame.DefaultWindow},
		recv:   newRecvWindow(first.Conn),
		limit:  int(max(maxUnread, most.Conn)),
		stream: first.Stream,
		most:   most,
		growth: bdp.New(first, most),

		settings: 1, // those of the greeting
	}
}

// budget is how many unread bytes get their credit back.
func (f *connFlow) budget() int { return f.limit - int(f.recv.size) }

// isNarrow reports whether the peer knows that the windows are narrow.
func (f *connFlow) isNarrow() bool { return f.narrowed != 0 && f.receipts >= f.narrowed }

// first returns the window of a stream that begins: that which the receipts say
// the peer had when it sent them. RFC 9113 §6.5.3.
func (f *connFlow) first() recvWindow {
	if f.isNarrow() {
		return newRecvWindow(narrowWindow)
	}
	return newRecvWindow(f.stream)
}

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
// Invariant: avail + owed + unread == size, where unread is what was received
// and not consumed. owed goes negative when a message longer than the window
// was credited in advance, avail when the window became narrow under bytes in
// flight. Of the connection's window, unread is connFlow.held.
type recvWindow struct {
	size, avail, owed int64
}

func newRecvWindow(size int64) recvWindow { return recvWindow{size: size, avail: size} }

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
// for a WINDOW_UPDATE, 0 if the window is wide enough. most is what size may
// grow to: such growth comes on top and must stay legal. RFC 9113 §6.9.2.
func (w *recvWindow) extend(need int, most int64) uint32 {
	missing := min(int64(need), frame.MaxWindow-(most-w.size)) - w.avail
	if missing <= 0 {
		return 0
	}
	w.avail += missing
	w.owed -= missing
	return uint32(missing)
}

// widen makes the window n bytes larger, or smaller where n is negative.
func (w *recvWindow) widen(n int64) {
	w.size += n
	w.avail += n
}

// probeWindows counts a DATA frame of n bytes for the growth of the windows,
// and sends the PING that it takes. Before the peer has answered our SETTINGS
// it is not asked anything else.
func (s *session) probeWindows(n int) {
	if s.flow.receipts > 0 && s.flow.growth.Received(n, s.now) {
		s.flow.probe = s.ping(nil)
	}
}

// growWindows takes the answer to probeWindows. The windows of streams grow by
// SETTINGS, at the peer when it applies them: on this side they do so now,
// since one that is too wide for a moment forbids nothing. RFC 9113 §6.9.2
// leaves the connection's window out, which grows by WINDOW_UPDATE.
func (s *session) growWindows() {
	f := &s.flow
	if !f.growth.Answered(s.now) {
		return
	}
	to := f.growth.Windows()
	if s.trace.On() {
		s.trace.Connection("bdp", trace.DirRecv, s.trace.Last(), fmt.Sprintf("stream window %d → %d, connection window %d → %d", f.stream, to.Stream, f.recv.size, to.Conn))
	}
	if to.Stream > f.stream && f.narrowed == 0 {
		f.stream = to.Stream
		s.widenStreams()
	}
	// Unread bytes keep their budget, which a wider window would take.
	if delta := min(to.Conn-f.recv.size, int64(f.budget()-f.unread)); delta > 0 {
		f.recv.widen(delta)
		s.appendWindowUpdate(0, uint32(delta))
	}
}

// A stall is a message that waits for windows of the peer.
type stall struct {
	since time.Time // zero while it is not known to wait
	from  int       // the offset that it had then
}

// stalled notes that the stream waits for the peer. The time is asked for only
// here and in connStalled: when there is nothing else to do.
func (s *session) stalled(st *stream) {
	if st.send.stall.since.IsZero() {
		now := time.Now()
		st.send.stall = stall{now, st.send.offset}
		s.armSendStall(now)
	}
}

// connStalled notes that the window of the connection is used up, for the
// streams that had to wait for their turn just then.
func (s *session) connStalled() {
	if s.queues.data.head != nil {
		s.flow.emptied = time.Now()
		s.armSendStall(s.flow.emptied)
	}
}

// armSendStall arms the alarm for what began to wait at now. If it is armed,
// it is due before that, and looks at all streams then.
func (s *session) armSendStall(now time.Time) {
	if s.cfg.SendStall > 0 && !s.control.alarms.Armed(alarmSendStall) {
		s.control.alarms.Arm(alarmSendStall, now.Add(s.cfg.SendStall))
	}
}

// unstall ends the wait of a stream that has sent enough. Little does not count:
// a peer that grants a byte now and then holds the message as well as one that
// grants nothing.
func (m *sending) unstall() {
	if m.offset-m.stall.from >= stallProgress || m.message == nil {
		m.stall = stall{}
	}
}

// endStalled ends the streams that have waited too long, and finds out when to
// look again.
func (s *session) endStalled(now time.Time) {
	var next time.Time
	for _, id := range s.openStreams() {
		st := s.streams[id]
		if st == nil || st.send.message == nil || !st.send.headers {
			continue
		}
		due := s.stallDue(st, now)
		switch {
		case due.IsZero():
		case !due.After(now):
			s.endStall(st)
		case next.IsZero() || due.Before(next):
			next = due
		}
	}
	if !next.IsZero() {
		s.control.alarms.Arm(alarmSendStall, next)
	}
}

// stallDue returns when the wait of a stream is over, zero if it does not wait
// for the peer. One that waits only for the connection has more time, since the
// end of streams that hold the connection may be what it waits for.
func (s *session) stallDue(st *stream, now time.Time) time.Time {
	m := &st.send
	own := m.window.room() == 0
	if !own && s.flow.send.room() > 0 {
		m.stall = stall{} // for the socket, which has a limit of its own
		return time.Time{}
	}
	if m.stall.since.IsZero() {
		m.stall = stall{s.flow.emptied, m.offset} // it waited for its turn, see connStalled
		if own {
			m.stall.since = now // or for the socket, and SETTINGS took its window meanwhile
		}
	}
	due := m.stall.since.Add(s.cfg.SendStall)
	if !own {
		due = due.Add(stallGrace)
	}
	return due
}

// endStall ends a stream whose peer takes no more. The code is UNAVAILABLE: the
// peer does not do its part at present, and another may. RESOURCE_EXHAUSTED
// would say that the call asked for too much.
func (s *session) endStall(st *stream) {
	m := &st.send
	s.reset(st, frame.CodeCancel) // REFUSED_STREAM would call it unseen
	s.fail(st, s.newError(status.Unavailable, fmt.Sprintf(
		"the peer took less than %d bytes of a message in %v: %d bytes wait (window of the stream %d, of the connection %d)",
		stallProgress, s.cfg.SendStall, prefixLen+m.message.Len()-m.offset, m.window.avail, s.flow.send.avail)))
}

// widenStreams gives all streams the window that f.stream says.
func (s *session) widenStreams() {
	for _, st := range s.streams {
		w := &st.recv.window
		w.widen(s.flow.stream - w.size)
	}
	s.sendInitialWindow(s.flow.stream)
}

// sendInitialWindow tells the peer what windows its streams have.
func (s *session) sendInitialWindow(size int64) {
	s.sendSetting(frame.Setting{ID: frame.SettingInitialWindowSize, Val: uint32(size)})
}

// watchUnread makes the windows of streams narrow when half of the limit is
// unread, and wide again below a quarter. In between the peer has a round trip's
// worth of data on its way, for which the other half is.
func (s *session) watchUnread() {
	switch f := &s.flow; {
	case f.narrowed == 0 && f.unread > f.limit/2:
		s.sendInitialWindow(narrowWindow)
		f.narrowed = f.settings
	case f.isNarrow() && f.unread < f.limit/4:
		f.narrowed, f.stream = 0, f.growth.Windows().Stream // which may have grown meanwhile
		s.widenStreams()
	}
}

// onReceipt counts the receipt of a SETTINGS frame of ours. From that of narrow
// windows on the peer sends a stream without a reader next to nothing, so the
// credit that was held is given back. RFC 9113 §6.5.3, §6.9.2.
func (s *session) onReceipt() {
	f := &s.flow
	f.receipts++
	if f.receipts == 1 { // of the greeting
		s.dec.TableAcknowledged()
	}
	if f.receipts != f.narrowed {
		return
	}
	for _, id := range s.openStreams() {
		st := s.streams[id]
		st.recv.window.widen(narrowWindow - f.stream)
		s.creditStream(st, 0) // what was too little to tell may be all by now
	}
	s.creditHeld()
}
