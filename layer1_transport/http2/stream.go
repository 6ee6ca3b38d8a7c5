package http2

import (
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// A streamState is a state of RFC 9113 §5.1, without the reserved states,
// which exist only for server push.
//
//	idle ──HEADERS──▶ open ──END_STREAM──▶ half-closed ──END_STREAM──▶ closed
//	                   └───────────────RST_STREAM──────────────────────▶
type streamState uint8

const (
	stateIdle streamState = iota
	stateOpen
	stateHalfClosedLocal  // we have sent END_STREAM
	stateHalfClosedRemote // the peer has sent END_STREAM
	stateClosed
)

var stateNames = [...]string{"idle", "open", "half-closed (local)", "half-closed (remote)", "closed"}

func (s streamState) String() string { return stateNames[s] }

// recvEnd is the transition for an END_STREAM flag from the peer. It reports
// false where RFC 9113 §5.1 makes the frame an error.
func (s streamState) recvEnd() (next streamState, ok bool) {
	switch s {
	case stateOpen:
		return stateHalfClosedRemote, true
	case stateHalfClosedLocal:
		return stateClosed, true
	default:
		return s, false
	}
}

// sendEnd is the transition for an END_STREAM flag to the peer.
func (s streamState) sendEnd() (next streamState, ok bool) {
	switch s {
	case stateOpen:
		return stateHalfClosedLocal, true
	case stateHalfClosedRemote:
		return stateClosed, true
	default:
		return s, false
	}
}

// mayRecv reports whether the peer may send HEADERS and DATA. RFC 9113 §5.1.
func (s streamState) mayRecv() bool { return s == stateOpen || s == stateHalfClosedLocal }

// maySend reports whether we may send HEADERS and DATA. RFC 9113 §5.1.
func (s streamState) maySend() bool { return s == stateOpen || s == stateHalfClosedRemote }

// A stream is one call on a connection. It lives in a call block and serves
// one call after another.
//
// All fields but conn are guarded by conn.mu.
type stream struct {
	conn *conn // set by NewStream, read-only afterwards

	callState
	recv receiving
	send sending
	ops  pendingOps
}

// callState is what a stream knows of its present call, besides its halves.
type callState struct {
	owner transport.Owner // set by Init

	id     uint32 // 0 before the stream is begun
	state  streamState
	err    error // how the stream failed; nil if it did not
	cause  trace.EventID
	opened time.Time // on a server: when its headers came

	// The delivery of completions, see deliver.go.
	delivering bool
	dirty      bool
	nextDirty  *stream
	owedUnref  int // references to drop after delivery

	// The queues of the session, see send.go.
	queued               queueKind
	prevQueue, nextQueue *stream

	// countsSlot: on a server, the stream counts against MaxStreams. A stream
	// that was aborted counts until its handler has returned, see Reset.
	countsSlot, aborted bool

	peerEnded bool // by RST_STREAM
}

// receiving is the half of a stream that takes what the peer sends.
type receiving struct {
	headers  metadata.List
	trailers *metadata.List // made by trailerList, and kept; nil until a peer sends some
	in       messageReader
	recvState
}

// trailerList returns the list for trailers. A server gets none from its clients,
// so a stream has the list only once there is something for it.
func (r *receiving) trailerList() *metadata.List {
	if r.trailers == nil {
		r.trailers = new(metadata.List)
	}
	return r.trailers
}

// recvState is what of the receiving half does not outlive a call.
type recvState struct {
	window        recvWindow
	bytes         int64 // of DATA, without padding
	haveHeaders   bool  // headers are complete and not Trailers-Only
	trailersOnly  bool
	ended         bool // END_STREAM
	single        bool // no further message may come
	informational uint8

	events [3]trace.EventID // with a trace: what brought headers, message, trailers
}

// sending is the half of a stream that sends.
type sending struct {
	window   sendWindow
	message  *transport.Buffer // being sent; nil between messages
	prefix   [prefixLen]byte
	offset   int  // bytes of prefix and message that were sent
	headers  bool // initial metadata was sent
	finished bool // END_STREAM was sent
	stall    stall
	refusal  bool // of a server: Trailers-Only, or a :status other than 200

	blocked trace.EventID // with a trace: what told that the message waits
}

// pendingOps are the operations that wait: at most one of each kind.
type pendingOps struct {
	rim, rm, rtm *transport.StreamOpBatch
	sim, sm, stm *transport.StreamOpBatch

	// done are send batches that are complete and not delivered yet; one for
	// each of sim, sm and stm at the most.
	done  [3]sendDone
	nDone int
}

type sendDone struct {
	onComplete transport.Done
	err        error
}

// A causedDone is an onComplete, with a trace, that first notes in its batch what
// the end of that comes of. Until then others may be using the batch.
type causedDone struct {
	transport.Done
	batch *transport.StreamOpBatch
	event trace.EventID
}

func (d *causedDone) Run(err error) {
	d.batch.Cause = d.event
	d.Done.Run(err)
}

// Init binds the stream to a call.
func (st *stream) Init(owner transport.Owner, accepted transport.Accepted) {
	st.owner = owner
	if in, ok := accepted.(*incoming); ok && in != nil {
		st.conn.mu.Lock()
		st.conn.s.adopt(st, in)
		st.conn.mu.Unlock()
	}
}

// Reset makes the stream ready for another call. Its memory is kept: lists,
// and the bytes for what is unread.
func (st *stream) Reset() {
	c := st.conn
	c.mu.Lock()
	if st.countsSlot {
		c.s.slots.used--
	}
	before := c.s.out.Len()
	if st.recv.in.unread() > 0 {
		c.s.forgetUnread(st)
	}
	credited := c.s.out.Len() > before
	c.mu.Unlock()
	// Nobody else refers to the stream any more.
	st.recv.headers.Reset()
	if st.recv.trailers != nil {
		st.recv.trailers.Reset()
	}
	st.recv.in.reset()
	st.recv.recvState = recvState{}
	st.send.message.Release()
	st.send = sending{}
	st.ops = pendingOps{}
	st.callState = callState{}
	if credited { // connection credit, which nobody else may come to write
		c.mu.Lock()
		c.release(writeNow)
	}
}

// PerformBatch starts the operations of b.
func (st *stream) PerformBatch(b *transport.StreamOpBatch) {
	c := st.conn
	c.mu.Lock()
	c.s.perform(st, b)
	c.release(yieldFirst)
}

// perform starts the operations of b on st. Caller holds conn.mu.
func (s *session) perform(st *stream, b *transport.StreamOpBatch) {
	if b.Cause != 0 {
		st.cause = b.Cause
	}
	if b.Ops.Has(transport.OpRecvInitialMetadata) {
		st.ops.rim = b
	}
	if b.Ops.Has(transport.OpRecvMessage) {
		st.ops.rm = b
	}
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		st.ops.rtm = b
	}
	if b.Ops.Has(transport.OpsSend) {
		s.performSend(st, b)
	}
	if b.Ops.Has(transport.OpRecvMessage) {
		s.deframe(st)
	}
	if st.state == stateIdle && st.err == nil && st.queued == queueNone {
		s.notBegun(st)
	}
	if b.Ops.Has(transport.OpCancelStream) {
		s.cancel(st, b.CancelErr)
	}
	if st.deliverable() {
		s.markDirty(st)
	}
}

// become is every change of a stream's state.
func (s *session) become(st *stream, to streamState) {
	if s.trace.On() && st.state != to {
		s.trace.StreamState(s.trace.Cause(st.cause), st.id, st.state.String(), to.String())
	}
	st.state = to
}

// notBegun keeps a stream that has operations and no headers yet, so that it
// learns of the connection's end.
func (s *session) notBegun(st *stream) {
	if s.control.closed != nil {
		s.fail(st, s.notSent("connection closed", s.control.closed))
		return
	}
	s.queues.idle.push(st, queueIdle)
}

// cancel ends the stream from this side. The first end counts.
func (s *session) cancel(st *stream, err error) {
	if st.err != nil {
		return
	}
	if st.state == stateClosed && (s.role == server || !st.recv.in.ready && st.recv.in.unread() == 0) {
		return // a server's status is on its way; a client has its own, with nothing before it
	}
	if st.state != stateIdle && st.state != stateClosed {
		s.tellCancelled(st, err)
	}
	s.fail(st, err)
}

// tellCancelled tells the peer that the stream is cancelled: a server that has
// not sent its trailers yet sends the status in them, so that the client
// learns it; else, and within a message, RST_STREAM has to do.
func (s *session) tellCancelled(st *stream, err error) {
	st.aborted = true
	o := transport.OutcomeOf(err, time.Time{})
	if s.role == client || st.send.headers && st.send.message != nil || !st.state.maySend() {
		before := s.out.Len()
		s.reset(st, o.Reset)
		if s.role == client {
			s.out.Bulk(s.out.Len() - before) // the application's own pace
		}
		return
	}
	var trailers metadata.List
	if !st.send.headers {
		trailers.HTTPStatus, trailers.ContentType = "200", "application/grpc"
	}
	trailers.SetStatus(uint32(o.Code), o.Told)
	if o.Details != "" {
		trailers.Append("grpc-status-details-bin", o.Details)
	}
	if s.sendBlock(st, &trailers, true) != nil || st.state != stateClosed {
		s.reset(st, frame.CodeNoError)
	}
}

// reset sends RST_STREAM. RFC 9113 §5.4.2.
func (s *session) reset(st *stream, code frame.ErrCode) {
	s.resetID(st.id, code)
	s.become(st, stateClosed)
}

// resetID sends RST_STREAM. A server remembers the stream, as frames of the
// client may be on their way: in a table with one place for a stream, so that
// to ask costs little however many frames come. RFC 9113 §5.1.
func (s *session) resetID(id uint32, code frame.ErrCode) {
	if s.role == server {
		if s.control.recent == nil {
			s.control.recent = make([]uint32, recentResets)
		}
		s.control.recent[id/2%recentResets] = id
	}
	s.out.Append(func(b []byte) []byte {
		start := len(b)
		b = frame.AppendRSTStream(b, id, code)
		s.traceSent(b, start, code.String())
		return b
	})
}

// recentlyReset reports whether this end, a server, reset the stream and no
// later one has taken its place.
func (s *session) recentlyReset(id uint32) bool {
	return s.control.recent != nil && s.control.recent[id/2%recentResets] == id
}

// isOver reports whether a frame on a stream that is not in the map any more
// breaks a rule. RFC 9113 §5.1. A server takes it so unless it may have been on
// its way. A client may have cancelled more calls than anybody remembers, so it
// is only sure of streams that the server has ended.
func (s *session) isOver(id uint32) bool {
	if s.role == client {
		return s.control.ended[id/2%endedStreams] == id
	}
	return !s.recentlyReset(id) && !s.unseen(id)
}

// peerClosed notes that the server has ended a stream.
func (s *session) peerClosed(id uint32) {
	if s.role == client {
		s.control.ended[id/2%endedStreams] = id
	}
}

// fail ends the stream on this side with err; nothing more is sent. The
// operations that wait fail with it, and later ones too.
func (s *session) fail(st *stream, err error) {
	if st.err != nil {
		return
	}
	st.err = err
	if s.trace.On() {
		st.cause = s.trace.Cause(st.cause)
		st.recv.events[causeTrailers] = st.cause
	}
	s.become(st, stateClosed)
	s.failSends(st, err)
	if st.recv.in.unread() > 0 {
		s.forgetUnread(st)
		st.recv.in.drop()
	}
	s.finish(st)
	s.markDirty(st)
}

// finish takes a closed stream out of the session. It is safe to call it for
// a stream that is out already.
func (s *session) finish(st *stream) {
	s.unqueue(st)
	if st.id == 0 || s.streams[st.id] != st {
		return
	}
	delete(s.streams, st.id)
	if st.err == nil && !st.aborted {
		s.control.faults.Return() // it ended in good order
		s.control.resets.Return()
		if st.countsSlot {
			// Ended by its own trailers, so the handler is done with it.
			st.countsSlot = false
			s.slots.used--
		}
	}
	st.owedUnref++
	s.markDirty(st)
	s.openWaiting()
	s.maybeDrained()
}

// unprocessed is how far a call has come whose peer says that it has not looked
// at it. A peer that has answered already is not believed: the call might be
// carried out twice.
func (st *stream) unprocessed() transport.Progress {
	if st.recv.haveHeaders {
		return transport.ProgressUnknown
	}
	return transport.ProgressNotSeen
}

// rapid reports whether the client resets a stream sooner than a call of a
// client comes to its end: within a second of its headers, and before half of
// its deadline is over. Calls that time out in an overload are not rapid,
// however short their deadlines are (CVE-2023-44487).
func (st *stream) rapid(now time.Time) bool {
	age, deadline := now.Sub(st.opened), st.recv.headers.Deadline
	return age < rapidReset && (deadline.IsZero() || age < deadline.Sub(st.opened)/2)
}

// resetRapidly counts a rapid reset. Where there are too many, reading pauses.
func (s *session) resetRapidly() {
	if !s.control.resets.Spend(s.now) && !s.paused() {
		s.control.alarms.Arm(alarmPause, time.Now().Add(resetPause))
	}
}

// paused reports whether the reader is to wait before it goes on.
func (s *session) paused() bool { return s.control.alarms.Armed(alarmPause) }

// onRSTStream applies RST_STREAM. RFC 9113 §6.4.
func (s *session) onRSTStream(h frame.Header, p []byte) error {
	f, err := frame.ParseRSTStream(h, p)
	if err != nil {
		return err
	}
	st := s.streams[h.StreamID]
	if st == nil {
		s.wasEarly(h.StreamID, s.slots.early.Reset(h.StreamID))
		return s.idleCheck(h.StreamID, "RST_STREAM")
	}
	if s.role == server && st.rapid(s.now) {
		s.resetRapidly()
	}
	progress := transport.ProgressUnknown
	if f.Code == frame.CodeRefusedStream {
		progress = st.unprocessed() // RFC 9113 §8.7
	}
	e := s.newError(status.FromHTTP2(f.Code), "stream reset by the peer with "+f.Code.String())
	e.Progress, e.HTTP2, e.HasHTTP2, e.At = progress, f.Code, true, time.Now()
	st.peerEnded = true
	s.peerClosed(st.id)
	s.fail(st, e)
	return nil
}
