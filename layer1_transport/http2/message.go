package http2

import (
	"encoding/binary"
	"math"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// prefixLen is the length of what precedes each message: one flag byte and
// four of length. gRPC-HTTP2 Length-Prefixed-Message.
const prefixLen = 5

// firstAlloc is how much memory a message gets at its prefix. The rest follows
// with the bytes, so that a peer cannot claim memory by a length alone.
const firstAlloc = 4 << 10

// growth is how much more memory a message gets than what has come of it, until
// it is whole.
const growth = 8

// longMessage is how much of a message must be missing for longer frames to be
// worth while.
const longMessage = 128 << 10

// keepRaw bounds the memory for unread bytes that a stream keeps for its next call.
const keepRaw = 16 << 10

// keepUnread bounds the memory for unread bytes that a stream keeps although
// less than a quarter of it is in use. What was unread once would be kept for as
// long as the call lasts otherwise, and a peer could have that of each stream.
const keepUnread = 64 << 10

// A messageReader makes messages of the bytes of DATA frames. Bytes that come
// while nobody wants a message are kept as they are, in one piece however
// small the frames were.
type messageReader struct {
	raw  []byte // not looked at yet
	from int    // where in raw

	prefix  [prefixLen]byte
	nPrefix int
	msg     *transport.Buffer // being filled; its prefix is complete
	left    int               // bytes that msg still needs
	ready   bool              // msg is complete and not delivered
}

// unread returns the number of bytes that were received and not looked at.
func (r *messageReader) unread() int { return len(r.raw) - r.from }

// partial reports whether a message has begun and is not complete.
func (r *messageReader) partial() bool { return !r.ready && (r.nPrefix > 0 || r.msg != nil) }

func (r *messageReader) keep(p []byte) {
	if r.from > 0 && (r.from == len(r.raw) || len(r.raw)+len(p) > cap(r.raw) && r.from >= len(r.raw)/2) {
		// Where less than half of it is left, moving it costs less than growing.
		r.raw, r.from = r.raw[:copy(r.raw, r.raw[r.from:])], 0
	}
	r.raw = append(r.raw, p...)
}

// advance drops the first n of the unread bytes, and memory that is much more
// than the others need.
func (r *messageReader) advance(n int) {
	r.from += n
	if cap(r.raw) > keepUnread && r.unread() < cap(r.raw)/4 {
		r.raw, r.from = append([]byte(nil), r.raw[r.from:]...), 0
	}
}

// fill takes bytes for one message from p and returns how many it took.
func (r *messageReader) fill(p []byte, op *transport.RecvMessage) (n int, err *transport.Error) {
	if r.msg == nil {
		n = copy(r.prefix[r.nPrefix:], p)
		r.nPrefix += n
		if r.nPrefix < prefixLen {
			return n, nil
		}
		if err := r.begin(op, len(p)-n); err != nil {
			return n, err
		}
	}
	k := min(r.left, len(p)-n)
	if free := r.msg.Bytes()[r.msg.Len():r.msg.Cap()]; k > 0 && len(free) >= k && &free[0] == &p[n] {
		r.msg.SetBytes(r.msg.Bytes()[:r.msg.Len()+k]) // read into its place, see destination
	} else {
		r.makeRoom(k)
		r.msg.Append(p[n : n+k])
	}
	r.left -= k
	r.ready = r.left == 0
	return n + k, nil
}

// begin looks at a complete prefix. Of the message here bytes are at hand.
func (r *messageReader) begin(op *transport.RecvMessage, here int) *transport.Error {
	if r.prefix[0] > 1 {
		return streamError(status.Internal, "the first byte of a message is %d, must be 0 or 1 (gRPC-HTTP2 Length-Prefixed-Message)", r.prefix[0])
	}
	announced := int64(binary.BigEndian.Uint32(r.prefix[1:]))
	if op.Limit > 0 && announced > int64(op.Limit) || announced > math.MaxInt {
		return transport.TooLong(announced, op)
	}
	length := int(announced)
	r.msg = transport.NewBuffer(min(length, max(firstAlloc, growth*here)))
	r.msg.Compressed = r.prefix[0] == 1
	r.left = length
	return nil
}

// makeRoom lets k more bytes fit. Each step is growth times the memory of the
// one before and comes from the pool: a peer that announces much and sends
// little claims little, and a message of 1 MiB is copied a seventh of a time.
func (r *messageReader) makeRoom(k int) {
	have := r.msg.Len()
	if have+k <= r.msg.Cap() {
		return
	}
	wider := transport.NewBuffer(min(have+r.left, max(growth*r.msg.Cap(), have+k)))
	wider.Compressed = r.msg.Compressed
	wider.Append(r.msg.Bytes())
	r.msg.Release()
	r.msg = wider
}

// drop forgets the unread bytes, which nobody will ask for.
func (r *messageReader) drop() { r.raw, r.from = r.raw[:0], 0 }

// take returns the complete message.
func (r *messageReader) take() *transport.Buffer {
	msg := r.msg
	r.msg, r.nPrefix, r.ready = nil, 0, false
	return msg
}

// reset drops what is left of a call.
func (r *messageReader) reset() {
	r.msg.Release()
	raw := r.raw[:0]
	if cap(raw) > keepRaw {
		raw = nil
	}
	*r = messageReader{raw: raw}
}

// onData takes a DATA frame. RFC 9113 §6.1.
func (s *session) onData(h frame.Header, p []byte) error {
	f, err := frame.ParseData(h, p)
	if err != nil {
		return err
	}
	if !s.flow.recv.take(len(p)) {
		return connError(frame.CodeFlowControl, "DATA of %d bytes passes the window of the connection", len(p))
	}
	s.receivedForCall()
	s.probeWindows(len(p))
	st := s.streams[h.StreamID]
	if st == nil || !st.state.mayRecv() {
		s.creditConn(len(p))
		if st == nil && s.wasEarly(h.StreamID, s.slots.early.Data(h.StreamID, len(p), len(f.Payload), f.EndStream)) {
			return nil
		}
		return s.dataOnClosed(h.StreamID, st)
	}
	if !st.recv.window.take(len(p)) {
		s.creditConn(len(p))
		s.breach(st, frame.CodeFlowControl, "the peer sent more than the window of the stream")
		return nil
	}
	if s.role == client && !st.recv.haveHeaders {
		s.creditConn(len(p))
		s.breach(st, frame.CodeProtocol, "the peer sent DATA before HEADERS")
		return nil
	}
	s.creditPadding(st, f.Padding)
	st.recv.bytes += int64(len(f.Payload))
	if !st.recv.lengthOK(f.EndStream) {
		s.creditConn(len(f.Payload))
		s.wrongLength(st)
		return nil
	}
	s.receive(st, f.Payload)
	if f.EndStream && st.err == nil {
		s.endRecv(st, false)
	}
	return nil
}

// lengthOK reports whether the DATA so far can be, or at the end is, as long as
// content-length says. RFC 9113 §8.1.1.
func (r *receiving) lengthOK(end bool) bool {
	h := &r.headers
	return !h.HasContentLength || r.bytes == h.ContentLength || r.bytes < h.ContentLength && !end
}

// wrongLength ends a stream whose content-length is not that of its DATA.
func (s *session) wrongLength(st *stream) {
	s.breach(st, frame.CodeProtocol, "the peer sent DATA of another length than content-length")
}

// dataOnClosed decides about DATA for a stream that takes none. st is nil
// where the stream is closed or idle. RFC 9113 §5.1.
func (s *session) dataOnClosed(id uint32, st *stream) error {
	if st != nil {
		s.breach(st, frame.CodeStreamClosed, "the peer sent DATA after END_STREAM")
		return nil
	}
	if err := s.idleCheck(id, "DATA"); err != nil {
		return err
	}
	switch {
	case !s.isOver(id):
	case s.role == client:
		return connError(frame.CodeStreamClosed, "DATA on the closed stream %d", id)
	default:
		s.breachID(id, frame.CodeStreamClosed)
	}
	return nil
}

// leastDirect is the length from which payload is read straight into its message:
// below it the copy is cheaper.
const leastDirect = 4 << 10

// destination returns where the next n bytes of DATA on a stream are to be read
// to, nil if not into a message. The buffer has one more reference: the stream
// may fail while nobody holds the lock. The bytes come back in a DATA frame,
// and fill knows them by where they are.
func (s *session) destination(id uint32, n int) (*transport.Buffer, []byte) {
	st := s.streams[id]
	if st == nil || st.ops.rm == nil || !st.state.mayRecv() {
		return nil, nil
	}
	in := &st.recv.in
	n = min(n, in.left)
	if in.msg == nil || in.unread() > 0 || n < leastDirect {
		return nil, nil
	}
	in.makeRoom(n)
	at := in.msg.Len()
	in.msg.Ref()
	return in.msg, in.msg.Bytes()[at : at+n]
}

// receive takes the payload of DATA: to the message that is wanted, or to the
// unread bytes.
func (s *session) receive(st *stream, p []byte) {
	in := &st.recv.in
	if st.ops.rm != nil && in.unread() == 0 && !in.ready {
		n := s.consume(st, p)
		if st.err != nil {
			s.creditConn(len(p))
			return
		}
		s.creditConn(n)
		p = p[n:]
	}
	if len(p) > 0 {
		in.keep(p)
		s.flow.unread += len(p)
		s.flow.held += len(p)
		s.creditHeld()
		s.checkSingle(st)
	}
	if in.ready {
		s.markDirty(st)
	}
}

// deframe makes a message of unread bytes, if one is wanted.
func (s *session) deframe(st *stream) {
	in := &st.recv.in
	if st.ops.rm == nil || in.ready || in.unread() == 0 || st.err != nil {
		return
	}
	n := s.consume(st, in.raw[in.from:])
	if st.err != nil {
		return // which has dropped what was unread
	}
	in.advance(n)
	s.flow.unread -= n
	s.creditHeld()
	s.checkSingle(st)
	s.checkPartial(st)
}

// consume fills the message that is wanted from p and credits what it took.
func (s *session) consume(st *stream, p []byte) int {
	in, op := &st.recv.in, &st.ops.rm.RecvMessage
	n, err := in.fill(p, op)
	if err != nil {
		err.Layer, err.Peer = layerName, s.peerName
		s.refuse(st, err)
		return n
	}
	if in.left >= longMessage {
		s.allowLongFrames()
	}
	if in.ready && op.Only {
		st.recv.single = true
	}
	st.recv.events[causeMessage] = s.trace.Last()
	s.creditStream(st, n)
	return n
}

// checkSingle refuses bytes after the only message that the call may have.
func (s *session) checkSingle(st *stream) {
	if st.recv.single && st.recv.in.unread() > 0 {
		s.refuse(st, s.newError(status.Unimplemented, "the peer sent more than one message where the method has one"))
	}
}

// checkPartial refuses a message that the end of the stream cut off, unless
// the peer's own status explains it.
func (s *session) checkPartial(st *stream) {
	in := &st.recv.in
	if !st.recv.ended || in.unread() > 0 || !in.partial() {
		return
	}
	if s.role == client && st.recv.trailerList().Status != uint32(status.OK) {
		return
	}
	s.refuse(st, s.newError(status.Internal, "the stream ended within a message"))
}

// refuse ends a stream whose peer broke a rule of gRPC.
func (s *session) refuse(st *stream, err *transport.Error) {
	if st.err != nil {
		return
	}
	if st.state != stateClosed {
		s.tellCancelled(st, err)
	}
	s.fail(st, err)
}

// creditStream gives n consumed bytes back to the stream's window, and for a
// message longer than the window all that it still needs.
func (s *session) creditStream(st *stream, n int) {
	if !st.state.mayRecv() {
		return // nothing more comes, so credit is of no use
	}
	incr := st.recv.window.release(n)
	if !st.recv.in.ready && st.recv.in.left > 0 {
		incr += st.recv.window.extend(st.recv.in.left, s.flow.most.Stream)
	}
	s.appendWindowUpdate(st.id, incr)
}

// creditPadding gives back what padding cost, at once. RFC 9113 §6.9.1.
func (s *session) creditPadding(st *stream, n int) {
	if n > 0 {
		s.creditConn(n)
		s.appendWindowUpdate(st.id, st.recv.window.release(n))
	}
}

// creditConn gives n bytes back to the connection's window.
func (s *session) creditConn(n int) { s.appendWindowUpdate(0, s.flow.recv.release(n)) }

// forgetUnread stops counting the bytes that a stream leaves unread.
func (s *session) forgetUnread(st *stream) {
	s.flow.unread -= st.recv.in.unread()
	s.creditHeld()
}

// creditHeld gives back what credit is held for other than too many unread
// bytes. It is called whenever their number has changed.
func (s *session) creditHeld() {
	s.watchUnread()
	f := &s.flow
	due := f.held
	if !f.isNarrow() {
		due -= max(0, f.unread-f.budget())
	}
	if due > 0 {
		f.held -= due
		s.creditConn(due)
	}
}
