package http2

import (
	"encoding/binary"
	"fmt"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2/headerblock"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// performSend starts the send operations of b. Those that cannot go yet stay
// in st.ops.
func (s *session) performSend(st *stream, b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpSendInitialMetadata) {
		st.ops.sim = b
	}
	if b.Ops.Has(transport.OpSendMessage) {
		st.ops.sm = b
		m := &st.send
		m.message, m.offset = b.SendMessage.Buf, 0
		if b.SendMessage.Flags&transport.FlagUnframed != 0 && m.message.Len() > 0 {
			m.offset = prefixLen
		}
		m.prefix[0] = 0
		if m.message.Compressed {
			m.prefix[0] = 1
		}
		binary.BigEndian.PutUint32(m.prefix[1:], uint32(m.message.Len()))
	}
	if b.Ops.Has(transport.OpSendTrailingMetadata) {
		st.ops.stm = b
	}
	switch {
	case st.err != nil || st.state == stateClosed:
		s.failSends(st, st.err)
	case st.ops.sim != nil && s.role == client:
		if b == st.ops.sim { // else it waits for its turn, and keeps its place
			s.begin(st)
		}
	case st.ops.sim != nil:
		if s.sendInitial(st) {
			s.pump(st)
		}
	default:
		s.pump(st)
	}
}

// begin opens a client's stream, or queues it while there may be no more.
// RFC 9113 §5.1.2.
func (s *session) begin(st *stream) {
	s.unqueue(st)
	switch {
	case s.control.closed != nil:
		s.fail(st, s.notSent("connection closed", s.control.closed))
	case s.control.draining:
		s.fail(st, s.notSent("connection is draining", s.control.cause))
	case s.queues.opening.head != nil || !s.mayOpen():
		s.queues.opening.push(st, queueOpening)
	default:
		s.open(st)
	}
}

// open begins a client's stream on the wire.
func (s *session) open(st *stream) {
	st.id = s.ids.next
	st.recv.window = s.flow.first()
	st.send.window = sendWindow{avail: s.peer.initialWindow}
	if !s.sendInitial(st) {
		return // the identifier was not used
	}
	s.ids.next += 2
	s.become(st, stateOpen)
	s.streams[st.id] = st
	st.owner.Ref()
	if s.control.pings.alive.Asleep() {
		s.checkAlive(time.Now())
	}
	s.pump(st)
	if s.ids.next > frame.MaxStreamID { // RFC 9113 §5.1.1: the next call needs another connection
		s.drain(s.newError(status.Unavailable, "the stream identifiers of the connection are used up"))
	}
}

// mayOpen reports whether the peer allows another stream, and the socket: who
// opens and cancels calls while nothing can be written would fill memory, and
// where writing has failed a call would end as one that may have been seen.
func (s *session) mayOpen() bool {
	return uint64(len(s.streams)) < uint64(s.peer.maxStreams) && s.out.Len() < highWater && !s.out.Closed()
}

// openWaiting opens streams that waited for their turn.
func (s *session) openWaiting() {
	for s.queues.opening.head != nil && s.mayOpen() && !s.control.draining && s.control.closed == nil {
		s.open(s.queues.opening.pop())
	}
}

// sendInitial sends the headers of st.ops.sim. It reports false if they may
// not be sent, which fails the stream.
func (s *session) sendInitial(st *stream) bool {
	b, before := st.ops.sim, s.out.Len()
	if err := s.sendBlock(st, b.SendInitialMetadata.MD, false); err != nil {
		if s.streams[st.id] != st {
			st.id, st.state = 0, stateIdle // nothing of it left
		}
		s.cancel(st, err)
		return false
	}
	if headersWait(b) {
		s.deferred(s.out.Len() - before)
	}
	if b.SendInitialMetadata.Peer != nil {
		b.SendInitialMetadata.Peer.Store(s.peerInfo)
	}
	s.sent(st, &st.ops.sim, nil)
	return true
}

// unsendable says which block cannot be sent. It is all that a client is told of what
// a server has in its headers.
func (s *session) unsendable(end bool) string {
	switch {
	case s.role == client:
		return "the headers cannot be sent"
	case end:
		return "the server's trailers cannot be sent"
	}
	return "the server's headers cannot be sent"
}

// sendBlock sends a header block. On an error nothing was sent.
func (s *session) sendBlock(st *stream, list *metadata.List, end bool) error {
	var now time.Time
	if !list.Deadline.IsZero() {
		now = time.Now()
	}
	// Before the table can change: nothing of the block is sent then.
	if size := headerblock.ListSize(list); size > int64(s.peer.maxHeaderList) {
		return s.newError(status.ResourceExhausted, fmt.Sprintf("a header list of %d bytes passes the limit of the peer, %d", size, s.peer.maxHeaderList)) // RFC 9113 §10.5.1
	}
	block, err := s.enc.Append(s.scratch[:0], list, now)
	s.scratch = block[:0]
	if err != nil {
		return s.wrapError(status.Internal, s.unsendable(end), err)
	}
	dst := s.out.Small()
	start := len(dst)
	dst = frame.AppendHeaders(dst, st.id, end, block, frame.MinMaxFrameSize)
	if s.trace.On() {
		st.cause = s.trace.SentHeaders(st.cause, s.out.Total(), dst[start:], len(block), list)
	}
	if s.role == client {
		s.out.Bulk(len(dst) - start) // the application's own pace
	}
	s.out.Commit(dst)
	if !st.send.headers {
		st.send.refusal = end || list.HTTPStatus != "200"
	}
	s.sentForCall()
	st.send.headers = true
	if end {
		s.endSend(st)
	}
	return nil
}

// pump sends as much of the stream's message and end as may go.
func (s *session) pump(st *stream) {
	if !st.send.headers && (s.role == client || st.ops.stm == nil) || !st.state.maySend() {
		return
	}
	for st.send.message != nil {
		if !st.send.headers || !s.sendData(st) {
			return
		}
		if st.send.message != nil && s.queues.data.head != nil {
			s.wait(st) // the others are next
			return
		}
	}
	if st.ops.stm != nil && st.state.maySend() {
		s.sendEnd(st)
	}
}

// sendData sends one DATA frame. It reports false if the stream has to wait:
// for its own window, which onWindowUpdate ends, or in the queue for the
// connection's window and the socket.
func (s *session) sendData(st *stream) bool {
	m := &st.send
	left := prefixLen + m.message.Len() - m.offset
	n := min(left, m.window.room(), s.flow.send.room(), s.peer.maxFrame, maxSendFrame)
	if n == 0 || s.out.Len() >= highWater {
		if m.window.room() > 0 {
			s.wait(st)
		}
		if n == 0 {
			s.stalled(st)
		}
		s.out.Hurry()
		if s.trace.On() {
			m.blocked = s.trace.Blocked(st.cause, st.id, left, m.window.avail, s.flow.send.avail, s.out.Len())
		}
		return false
	}
	m.window.take(n)
	s.flow.send.take(n)
	s.sentForCall()
	end := n == left && st.ops.stm != nil && s.role == client
	waits, before := !end && messageWaits(st.ops.sm), s.out.Len()
	s.out.Bulk(frame.HeaderLen + n)
	dst := s.out.Small()
	start := len(dst)
	dst = frame.AppendDataHeader(dst, st.id, end, n)
	if s.trace.On() {
		s.traceData(st, dst[start:])
	}
	if k := min(n, prefixLen-m.offset); k > 0 {
		dst = append(dst, m.prefix[m.offset:m.offset+k]...)
		m.offset += k
		n -= k
	}
	s.out.Commit(dst)
	if n > 0 {
		at := m.offset - prefixLen
		s.out.AppendPayload(m.message, m.message.Bytes()[at:at+n])
		m.offset += n
	}
	if waits {
		s.deferred(s.out.Len() - before)
	}
	if m.offset == prefixLen+m.message.Len() {
		m.message.Release()
		m.message = nil
		s.sent(st, &st.ops.sm, nil)
	}
	if !m.stall.since.IsZero() {
		m.unstall()
	}
	if s.flow.send.room() == 0 {
		s.connStalled()
	}
	if end {
		s.sent(st, &st.ops.stm, nil)
		s.endSend(st)
	}
	return true
}

// traceData tells of a DATA frame, whose header is b, and what it leaves of the
// windows.
func (s *session) traceData(st *stream, b []byte) {
	m := &st.send
	if m.blocked != 0 {
		s.trace.Unblocked(m.blocked, st.id, m.window.avail, s.flow.send.avail)
		m.blocked = 0
	}
	st.cause = s.trace.Sent(st.cause, s.out.Total(), b, "")
	s.trace.Window(st.cause, st.id, m.window.avail, s.flow.send.avail)
}

// sendEnd ends the sending side: a client half-closes with an empty DATA
// frame, a server sends its trailers. gRPC-HTTP2 EOS, Trailers.
func (s *session) sendEnd(st *stream) {
	b := st.ops.stm
	if s.role == client {
		s.out.Append(func(dst []byte) []byte {
			start := len(dst)
			dst = frame.AppendDataHeader(dst, st.id, true, 0)
			if s.trace.On() {
				st.cause = s.trace.Sent(st.cause, s.out.Total(), dst[start:], "")
			}
			return dst
		})
		s.out.Bulk(frame.HeaderLen)
		s.sent(st, &st.ops.stm, nil)
		s.endSend(st)
		return
	}
	if md := b.SendTrailingMetadata.MD; st.send.headers {
		md.HTTPStatus, md.ContentType = "", "" // headers overtook the batch
	} else if md.HTTPStatus == "" {
		md.HTTPStatus, md.ContentType = "200", "application/grpc" // it overtook them
	}
	if err := s.sendTrailers(st, b.SendTrailingMetadata.MD); err != nil {
		s.cancel(st, err)
		return
	}
	if b.SendTrailingMetadata.Sent != nil {
		b.SendTrailingMetadata.Sent.Store(true)
	}
	s.sent(st, &st.ops.stm, nil)
}

// maxClippedMessage is what is left of a status message that the peer would
// refuse.
const maxClippedMessage = 1 << 10

// sendTrailers sends the trailers, or what the peer takes of them: the code
// says more than that they were too long.
func (s *session) sendTrailers(st *stream, md *metadata.List) error {
	err := s.sendBlock(st, md, true)
	if err == nil || status.CodeOf(err) != status.ResourceExhausted || !md.HasStatus {
		return err
	}
	short := metadata.List{Known: md.Known}
	short.SetStatus(md.Status, md.Message[:min(len(md.Message), maxClippedMessage)]+" (the peer does not take the rest of the trailers)")
	return s.sendBlock(st, &short, true)
}

// endSend is the transition for our END_STREAM. A server that ends before the
// client has ended does not want the rest. RFC 9113 §8.1.
func (s *session) endSend(st *stream) {
	st.send.finished = true
	next, _ := st.state.sendEnd()
	s.become(st, next)
	if s.role == server && st.state == stateHalfClosedLocal {
		if st.send.refusal && !st.aborted {
			s.refusedEarly(st)
		} else {
			s.reset(st, frame.CodeNoError)
		}
	}
	if st.state == stateClosed {
		s.finish(st)
	}
	s.markDirty(st)
}

// sent marks a send operation as done. When the other send operations of its
// batch are done too, the batch is complete.
func (s *session) sent(st *stream, op **transport.StreamOpBatch, err error) {
	b := *op
	*op = nil
	if o := &st.ops; o.sim != b && o.sm != b && o.stm != b {
		done := b.OnComplete
		if s.trace.On() {
			done = &causedDone{done, b, st.cause}
		}
		o.done[o.nDone] = sendDone{done, err}
		o.nDone++
		s.markDirty(st)
	}
}

// failSends ends the send operations that wait, err being nil where the peer
// ended the call in good order. A message to a peer that has ended the stream,
// in whatever way, is marked and does not fail: what the application must
// learn is the status, which recv_trailing_metadata has.
func (s *session) failSends(st *stream, err error) {
	if st.send.message != nil {
		st.send.message.Release()
		st.send.message = nil
	}
	if st.ops.sim != nil {
		s.sent(st, &st.ops.sim, err)
	}
	if b := st.ops.sm; b != nil {
		b.SendMessage.WriteClosed = err == nil || st.peerEnded
		if b.SendMessage.WriteClosed {
			s.sent(st, &st.ops.sm, nil)
		} else {
			s.sent(st, &st.ops.sm, err)
		}
	}
	if st.ops.stm != nil {
		s.sent(st, &st.ops.stm, err)
	}
}

// onWindowUpdate applies WINDOW_UPDATE. RFC 9113 §6.9.
func (s *session) onWindowUpdate(h frame.Header, p []byte) error {
	f, err := frame.ParseWindowUpdate(h, p)
	if err != nil {
		return err
	}
	if s.control.drained {
		s.control.credited = s.now
	}
	if h.StreamID == 0 {
		if !s.flow.send.grant(int64(f.Increment)) {
			return connError(frame.CodeFlowControl, "WINDOW_UPDATE overflows the window of the connection")
		}
		if s.trace.On() {
			s.trace.Window(s.trace.Last(), 0, 0, s.flow.send.avail)
		}
		s.pumpWaiting()
		return nil
	}
	st := s.streams[h.StreamID]
	if st == nil {
		s.wasEarly(h.StreamID, s.slots.early.WindowUpdate(h.StreamID, f.Increment))
		return s.idleCheck(h.StreamID, "WINDOW_UPDATE")
	}
	if !st.send.window.grant(int64(f.Increment)) {
		s.breach(st, frame.CodeFlowControl, "WINDOW_UPDATE overflows the window of the stream")
		return nil
	}
	if s.trace.On() {
		s.trace.Window(s.trace.Last(), st.id, st.send.window.avail, s.flow.send.avail)
	}
	if st.queued == queueNone {
		s.pump(st)
	}
	return nil
}

// pumpWaiting gives each waiting stream its turn while the connection takes more.
func (s *session) pumpWaiting() {
	for s.queues.data.head != nil && s.flow.send.room() > 0 && s.out.Len() < highWater {
		s.pump(s.queues.data.pop())
	}
}

// wait puts the stream at the end of the queue for the connection.
func (s *session) wait(st *stream) {
	if st.queued == queueNone && st.send.message != nil {
		s.queues.data.push(st, queueData)
	}
}

// unqueue takes the stream out of whatever queue it is in.
func (s *session) unqueue(st *stream) {
	switch st.queued {
	case queueIdle:
		s.queues.idle.remove(st)
	case queueOpening:
		s.queues.opening.remove(st)
	case queueData:
		s.queues.data.remove(st)
	}
}

// A queueKind says which queue a stream is in.
type queueKind uint8

const (
	queueNone queueKind = iota
	queueIdle
	queueOpening
	queueData
)

// A queue is a FIFO of streams, linked through stream.nextQueue.
type queue struct {
	head, tail *stream
}

func (q *queue) push(st *stream, kind queueKind) {
	st.queued, st.prevQueue, st.nextQueue = kind, q.tail, nil
	if q.head == nil {
		q.head = st
	} else {
		q.tail.nextQueue = st
	}
	q.tail = st
}

func (q *queue) pop() *stream {
	st := q.head
	q.remove(st)
	return st
}

func (q *queue) remove(st *stream) {
	if st.prevQueue == nil {
		q.head = st.nextQueue
	} else {
		st.prevQueue.nextQueue = st.nextQueue
	}
	if st.nextQueue == nil {
		q.tail = st.prevQueue
	} else {
		st.nextQueue.prevQueue = st.prevQueue
	}
	st.queued, st.prevQueue, st.nextQueue = queueNone, nil, nil
}
