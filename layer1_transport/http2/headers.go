package http2

import (
	"time"

	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2/early"
	"github.com/strata-grpc/strata/layer1_transport/http2/headerblock"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// blockState is a header block whose frames are still coming in.
type blockState struct {
	open          bool
	stream        uint32
	end           bool // END_STREAM of its HEADERS frame
	selfDependent bool
	continuations int
	number        int // counts blocks that have CONTINUATION frames
	bytes         []byte
}

// incoming is a request whose headers are here and whose stream nobody has
// taken yet. There is one for each connection, used between a HEADERS frame
// and the return of AcceptStream.
type incoming struct {
	id      uint32
	end     bool
	list    metadata.List
	waiting bool // to be given to the acceptor
	cause   trace.EventID
}

// Cause returns the event of the HEADERS frame. It is called by the acceptor.
func (in *incoming) Cause() trace.EventID { return in.cause }

// onHeaders takes a HEADERS frame. RFC 9113 §6.2.
func (s *session) onHeaders(h frame.Header, p []byte) error {
	f, err := frame.ParseHeaders(h, p)
	if err != nil {
		return err
	}
	if f.EndHeaders {
		return s.onBlock(h.StreamID, f.Block, f.EndStream, f.SelfDependent)
	}
	s.block = blockState{open: true, number: s.block.number + 1, stream: h.StreamID, end: f.EndStream,
		selfDependent: f.SelfDependent, bytes: append(s.block.bytes[:0], f.Block...)}
	return nil
}

// onContinuation takes a CONTINUATION frame. RFC 9113 §6.10.
func (s *session) onContinuation(h frame.Header, p []byte) error {
	f, err := frame.ParseContinuation(h, p)
	if err != nil {
		return err
	}
	b := &s.block
	if !b.open || b.stream != h.StreamID {
		return connError(frame.CodeProtocol, "CONTINUATION without HEADERS on stream %d", h.StreamID)
	}
	b.continuations++
	most, frames := s.blockLimits()
	if b.continuations > frames || len(b.bytes)+len(f.Block) > most {
		return connError(frame.CodeEnhanceYourCalm, "a header block of more than %d CONTINUATION frames or %d bytes", frames, most)
	}
	b.bytes = append(b.bytes, f.Block...)
	if !f.EndHeaders {
		return nil
	}
	b.open = false
	block := b.bytes
	if cap(b.bytes) > keepBlock {
		b.bytes = nil
	}
	return s.onBlock(b.stream, block, b.end, b.selfDependent)
}

// blockLimits are how many bytes and CONTINUATION frames a header block may
// have. A list that is too long ends its stream, so longer ones are read than
// are taken, from a server much longer ones.
func (s *session) blockLimits() (most, frames int) {
	most = max(2*int(s.cfg.MaxHeaderList), (maxContinuations+1)*frame.MinMaxFrameSize)
	if s.role == client {
		most = max(most, maxResponseBlock)
	}
	return most, max(maxContinuations, most/frame.MinMaxFrameSize-1)
}

// onBlock takes a complete header block. Whatever is wrong with its stream, it
// is decoded: HPACK must stay in step with the peer. RFC 9113 §4.3.
func (s *session) onBlock(id uint32, block []byte, end, selfDependent bool) error {
	s.decoding = id
	st := s.streams[id]
	if s.role == server && id%2 == 0 || s.role == client && st == nil && (id%2 == 0 || id >= s.ids.next) {
		return connError(frame.CodeProtocol, "HEADERS on stream %d, which the peer may not open", id)
	}
	switch {
	case s.role == client && st != nil:
		return s.onResponse(st, block, end)
	case st != nil:
		return s.onRequestTrailers(st, block, end)
	case s.role == server && id > s.ids.lastPeer:
		return s.onRequest(id, block, end, selfDependent)
	}
	var drop metadata.List
	err := s.decode(block, headerblock.Trailers, &drop)
	if err != nil && !streamOnly(err) {
		return err
	}
	if s.wasEarly(id, s.slots.early.Headers(id, err != nil, end)) {
		return nil
	}
	if s.isOver(id) {
		return connError(frame.CodeStreamClosed, "HEADERS on the closed stream %d", id)
	}
	if s.role == server && !s.unseen(id) {
		s.spend(streamFaults) // to decode a block for nothing
	}
	return nil
}

// decode decodes a block for list. A connection error comes as *frame.Error, a
// stream error as *headerblock.BlockError.
func (s *session) decode(block []byte, kind headerblock.Kind, list *metadata.List) error {
	list.Reset()
	err := s.dec.Decode(block, kind, list, s.now)
	if e, ok := err.(*headerblock.BlockError); ok && !e.StreamOnly {
		return connError(e.Code, "%s", e.Reason)
	}
	if s.trace.On() {
		s.trace.ReceivedHeaders(s.decoding, len(block), list)
	}
	return err
}

func streamOnly(err error) bool {
	_, ok := err.(*headerblock.BlockError)
	return ok
}

// onRequest takes the headers that begin a stream on a server.
func (s *session) onRequest(id uint32, block []byte, end, selfDependent bool) error {
	s.ids.lastPeer = id
	in := &s.in
	in.id, in.end = id, end
	err := s.decode(block, headerblock.Request, &in.list)
	e, bad := err.(*headerblock.BlockError)
	switch {
	case err != nil && !bad:
		return err
	case s.unseen(id):
		return nil
	case selfDependent:
		s.breachID(id, frame.CodeProtocol) // RFC 9113 §5.3.1
	case uint64(s.slots.used) >= uint64(s.cfg.MaxStreams):
		s.resetID(id, frame.CodeRefusedStream)
	case bad && (e.TooLarge || e.Field):
		s.reject(in, e)
	case bad:
		s.breachID(id, e.Code)
	case end && in.list.HasContentLength && in.list.ContentLength != 0:
		s.breachID(id, frame.CodeProtocol) // RFC 9113 §8.1.1
	default:
		in.waiting, in.cause = true, s.trace.Last()
	}
	return nil
}

// reject answers a request that HTTP/2 allows and gRPC does not: with
// Trailers-Only, which a client understands better than a reset.
func (s *session) reject(in *incoming, e *headerblock.BlockError) {
	var answer metadata.List
	answer.HTTPStatus, answer.ContentType = "400", "application/grpc"
	code := status.Internal
	if e.TooLarge {
		answer.HTTPStatus, code = "431", status.ResourceExhausted
	}
	answer.SetStatus(uint32(code), e.Reason)
	block, err := s.enc.Append(s.scratch[:0], &answer, s.now)
	s.scratch = block[:0]
	if err != nil {
		s.resetID(in.id, frame.CodeInternal)
		return
	}
	s.sentForCall()
	s.out.Append(func(b []byte) []byte {
		start := len(b)
		b = frame.AppendHeaders(b, in.id, true, block, frame.MinMaxFrameSize)
		s.traceSent(b, start, e.Reason)
		return b
	})
	if !in.end {
		s.slots.used++
		s.keepSlot(early.Stream{ID: in.id, Recv: s.flow.stream, Send: s.peer.initialWindow, Length: -1})
	}
}

// refusedEarly ends a stream with a refusal that is complete before the
// request is. Its slot is kept instead of RST_STREAM, see package early.
func (s *session) refusedEarly(st *stream) {
	e := early.Stream{ID: st.id, Recv: st.recv.window.avail, Send: st.send.window.avail, Length: -1}
	if h := &st.recv.headers; h.HasContentLength {
		e.Length = h.ContentLength - st.recv.bytes
	}
	st.countsSlot = false
	s.keepSlot(e)
	s.become(st, stateClosed)
}

func (s *session) keepSlot(e early.Stream) {
	e.Due = time.Now().Add(refusedTime)
	s.slots.early.Add(e)
	if !s.control.alarms.Armed(alarmEarly) {
		s.control.alarms.Arm(alarmEarly, e.Due)
	}
}

// wasEarly frees the slot of a stream that was answered early, if a frame has
// ended it. It reports false where the stream is none of those.
func (s *session) wasEarly(id uint32, v early.Verdict) bool {
	if v == early.Unknown || v == early.Waits {
		return v == early.Waits
	}
	s.slots.used--
	if s.slots.early.Len() == 0 {
		s.control.alarms.Disarm(alarmEarly)
	}
	switch v {
	case early.Overflow:
		s.breachID(id, frame.CodeFlowControl)
	case early.Malformed:
		s.breachID(id, frame.CodeProtocol)
	}
	return true
}

// endEarly asks the clients that have not ended to stop. RFC 9113 §8.1.
func (s *session) endEarly(now time.Time) {
	for id, ok := s.slots.early.Due(now); ok; id, ok = s.slots.early.Due(now) {
		s.slots.used--
		s.resetID(id, frame.CodeNoError)
	}
	if next := s.slots.early.Next(); !next.IsZero() {
		s.control.alarms.Arm(alarmEarly, next)
	}
}

// adopt gives the incoming request to the stream that Init bound to it.
func (s *session) adopt(st *stream, in *incoming) {
	if !in.waiting {
		return
	}
	in.waiting = false
	st.id, st.opened = in.id, s.now
	s.become(st, stateOpen)
	st.recv.window = s.flow.first()
	st.send.window = sendWindow{avail: s.peer.initialWindow}
	st.recv.headers, in.list = in.list, st.recv.headers
	st.recv.haveHeaders = true
	st.countsSlot = true
	st.cause = s.trace.Last()
	st.recv.events[causeHeaders] = s.trace.Last()
	s.slots.used++
	st.owner.Ref()
	if s.control.closed != nil {
		s.streams[st.id] = st
		s.fail(st, s.wrapError(status.Unavailable, "connection closed", s.control.closed))
		return
	}
	s.streams[st.id] = st
	if in.end {
		s.become(st, stateHalfClosedRemote)
		st.recv.ended = true
	}
}

// onRequestTrailers takes a second header block of a client, which gRPC does
// not have: it may only end the stream. RFC 9113 §8.1.
func (s *session) onRequestTrailers(st *stream, block []byte, end bool) error {
	err := s.decode(block, headerblock.Trailers, st.recv.trailerList())
	if err != nil && !streamOnly(err) {
		return err
	}
	switch {
	case !st.state.mayRecv():
		s.breach(st, frame.CodeStreamClosed, "the peer sent HEADERS after END_STREAM")
	case err != nil || !end:
		s.breach(st, frame.CodeProtocol, "the peer sent a second header block that does not end the stream")
	case !st.recv.lengthOK(true):
		s.wrongLength(st)
	default:
		s.endRecv(st, true)
	}
	return nil
}

// onResponse takes a header block of a server.
func (s *session) onResponse(st *stream, block []byte, end bool) error {
	r := &st.recv
	kind, list := headerblock.Response, &r.headers
	if r.haveHeaders {
		kind, list = headerblock.Trailers, r.trailerList()
	}
	err := s.decode(block, kind, list)
	if err != nil && !streamOnly(err) {
		return err
	}
	s.receivedForCall()
	switch {
	case !st.state.mayRecv():
		s.breach(st, frame.CodeStreamClosed, "the peer sent HEADERS after END_STREAM")
	case err != nil:
		s.badResponse(st, err.(*headerblock.BlockError))
	case !r.haveHeaders && list.HTTPStatus[0] == '1':
		s.informational(st, end)
	case r.haveHeaders && !end:
		s.breach(st, frame.CodeProtocol, "the peer sent a second header block that does not end the stream")
	case end && !r.lengthOK(true):
		s.wrongLength(st)
	case !r.haveHeaders && end: // gRPC-HTTP2 Trailers-Only
		r.trailersOnly = true
		t := r.trailerList()
		r.headers, *t = *t, r.headers
		s.endRecv(st, true)
	case end:
		s.endRecv(st, true)
	default:
		r.haveHeaders = true
		r.events[causeHeaders] = s.trace.Last()
		s.markDirty(st)
	}
	return nil
}

// badResponse fails a call whose response breaks a rule. One that is only too
// long, or has a field that only gRPC finds fault with, costs no token: the
// application of the server made it.
func (s *session) badResponse(st *stream, e *headerblock.BlockError) {
	if !e.TooLarge && !e.Field {
		s.breach(st, e.Code, e.Error())
		return
	}
	code := status.Internal
	if e.TooLarge {
		code = status.ResourceExhausted
	}
	s.reset(st, e.Code)
	s.fail(st, s.newError(code, e.Error()))
}

// informational skips a 1xx response. RFC 9113 §8.1.
func (s *session) informational(st *stream, end bool) {
	r := &st.recv
	upgrade := r.headers.HTTPStatus == "101"
	r.headers.Reset()
	r.informational++
	fault := ""
	switch {
	case end:
		fault = "the peer ended the stream with a 1xx response"
	case upgrade:
		fault = "the peer switches protocols, which HTTP/2 cannot" // RFC 9113 §8.6
	case r.informational > maxInformational:
		fault = "the peer sent too many 1xx responses"
	default:
		return
	}
	s.breach(st, frame.CodeProtocol, fault)
}

// endRecv is the transition for the peer's END_STREAM. withBlock tells
// trailers from a DATA frame.
func (s *session) endRecv(st *stream, withBlock bool) {
	s.peerClosed(st.id)
	if s.role == client && !withBlock {
		if st.state == stateOpen {
			s.reset(st, frame.CodeNoError)
		}
		s.fail(st, s.newError(status.Internal, "the peer ended the stream without trailers"))
		return
	}
	st.recv.ended = true
	st.recv.events[causeTrailers] = s.trace.Last()
	next, _ := st.state.recvEnd()
	s.become(st, next)
	s.checkPartial(st)
	if st.err != nil {
		return
	}
	if s.role == client && st.state == stateHalfClosedRemote {
		// The call is over, so nobody reads what we would still send.
		s.reset(st, frame.CodeNoError)
	}
	if st.state == stateClosed {
		s.failSends(st, nil)
		s.finish(st)
	}
	s.markDirty(st)
}

// acceptWaiting hands the request that waits to the acceptor, without the
// lock. A request that it does not take is refused.
func (c *conn) acceptWaiting() {
	in := &c.s.in
	if !in.waiting {
		return
	}
	if c.acceptor != nil {
		c.acceptor.AcceptStream(c, in)
	}
	if in.waiting {
		c.mu.Lock()
		in.waiting = false
		c.s.resetID(in.id, frame.CodeRefusedStream)
		c.s.maybeDrained()
		c.mu.Unlock()
	}
}
