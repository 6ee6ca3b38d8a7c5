package http2

import (
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// Completions reach the layer above in two steps. Under conn.mu whatever makes
// an operation complete marks its stream dirty. After the lock is released
// whoever held it delivers: it collects what is complete and runs the
// callbacks. The flag delivering is the one token of a stream: who finds it set
// leaves, because its holder looks again before it gives it back. So the
// callbacks of a stream never run at the same time, in whatever goroutine they do.

// A delivery is the completions of one stream that are delivered together.
type delivery struct {
	rim, rm, rtm          transport.Done
	rimErr, rmErr, rtmErr error
	sends                 [3]sendDone
	nSends                int
	causes                *deliveryCauses // nil without a trace
}

// deliveryCauses are the events that the receiving operations owe their end to.
type deliveryCauses struct {
	batches [3]*transport.StreamOpBatch
	events  [3]trace.EventID
}

// The places in deliveryCauses and receiving.events.
const (
	causeHeaders = iota
	causeMessage
	causeTrailers
)

// tell notes in its batch what an operation owes its end to.
func (d *delivery) tell(which int) {
	if d.causes != nil && d.causes.batches[which] != nil {
		d.causes.batches[which].Cause = d.causes.events[which]
	}
}

// run runs the callbacks: what was received first, the end last. No lock is held.
func (d *delivery) run() {
	if d.rim != nil {
		d.tell(causeHeaders)
		d.rim.Run(d.rimErr)
	}
	if d.rm != nil {
		d.tell(causeMessage)
		d.rm.Run(d.rmErr)
	}
	for _, done := range d.sends[:d.nSends] {
		done.onComplete.Run(done.err)
	}
	if d.rtm != nil {
		d.tell(causeTrailers)
		d.rtm.Run(d.rtmErr)
	}
}

// markDirty notes that the stream may have something to deliver. The entry
// holds a reference of the owner: the stream may end before it is delivered.
func (s *session) markDirty(st *stream) {
	if st.dirty {
		return
	}
	st.dirty, st.nextDirty = true, nil
	st.owner.Ref()
	if s.queues.dirtyHead == nil {
		s.queues.dirtyHead = st
	} else {
		s.queues.dirtyTail.nextDirty = st
	}
	s.queues.dirtyTail = st
}

// takeDirty returns the dirty streams, linked through nextDirty.
func (s *session) takeDirty() *stream {
	head := s.queues.dirtyHead
	s.queues.dirtyHead, s.queues.dirtyTail = nil, nil
	return head
}

// deliverAll delivers the streams of a list that takeDirty returned.
func deliverAll(head *stream) {
	for st := head; st != nil; {
		next := st.nextDirty // ours until deliver clears the flag
		st.deliver()
		st = next
	}
}

// deliver runs the callbacks of what is complete, until nothing is.
func (st *stream) deliver() {
	c, owner := st.conn, st.owner
	c.mu.Lock()
	st.dirty, st.nextDirty = false, nil
	if st.delivering {
		c.mu.Unlock()
		owner.Unref()
		return
	}
	st.delivering = true
	for {
		var d delivery
		if !c.s.collect(st, &d) {
			break
		}
		c.mu.Unlock()
		d.run()
		c.mu.Lock()
	}
	st.delivering = false
	owed := st.owedUnref
	st.owedUnref = 0
	c.mu.Unlock()
	for range owed {
		owner.Unref()
	}
	owner.Unref() // the dirty list's
}

// deliverable reports whether collect would find something.
func (st *stream) deliverable() bool {
	return st.ops.nDone > 0 || st.initialReady() || st.messageReady() || st.trailersReady()
}

func (st *stream) initialReady() bool {
	return st.ops.rim != nil && (st.recv.haveHeaders || st.recv.trailersOnly || st.err != nil)
}

func (st *stream) messageReady() bool {
	in := &st.recv.in
	over := st.recv.ended || st.state == stateClosed
	return st.ops.rm != nil && (in.ready || st.err != nil || over && in.unread() == 0)
}

// trailersReady holds back the end while something received before it waits.
func (st *stream) trailersReady() bool {
	if st.ops.rtm == nil {
		return false
	}
	if st.err != nil {
		return true
	}
	if st.conn.s.role == server {
		return st.send.finished && st.state == stateClosed
	}
	return st.recv.ended && !st.recv.in.ready && st.recv.in.unread() == 0
}

// causes returns what the receiving operations owe their end to, if it is now. One
// that gets nothing owes it to the end of the call, and a server's call ends with
// what the server sends.
func (st *stream) causes() [3]trace.EventID {
	e := st.recv.events
	if e[causeTrailers] == 0 {
		e[causeTrailers] = st.cause
	}
	if e[causeHeaders] == 0 {
		e[causeHeaders] = e[causeTrailers]
	}
	if !st.recv.in.ready {
		e[causeMessage] = e[causeTrailers]
	}
	return e
}

// collect moves what is complete from st to d.
func (s *session) collect(st *stream, d *delivery) bool {
	some := false
	if s.trace.On() {
		d.causes = &deliveryCauses{events: st.causes(),
			batches: [3]*transport.StreamOpBatch{st.ops.rim, st.ops.rm, st.ops.rtm}}
	}
	if st.initialReady() {
		some = true
		op := &st.ops.rim.RecvInitialMetadata
		st.ops.rim = nil
		d.rim, d.rimErr = op.Ready, s.initialResult(st, op)
	}
	if st.messageReady() {
		some = true
		op := &st.ops.rm.RecvMessage
		st.ops.rm = nil
		d.rm, d.rmErr = op.Ready, st.err
		if st.recv.in.ready && st.err == nil {
			op.Message = st.recv.in.take()
		} else {
			op.Message = nil
		}
	}
	if st.ops.nDone > 0 {
		some = true
		d.sends, d.nSends = st.ops.done, st.ops.nDone
		st.ops.nDone = 0
	}
	if st.trailersReady() {
		some = true
		op := &st.ops.rtm.RecvTrailingMetadata
		st.ops.rtm = nil
		d.rtm, d.rtmErr = op.Ready, s.finalResult(st, op)
	}
	return some
}

// initialResult fills the result of recv_initial_metadata. Headers that came
// are delivered even where the stream failed later.
func (s *session) initialResult(st *stream, op *transport.RecvInitialMetadata) error {
	if op.Peer != nil {
		op.Peer.Store(s.peerInfo)
	}
	op.TrailersOnly = st.recv.trailersOnly
	switch {
	case st.recv.haveHeaders:
		op.MD.CopyFrom(&st.recv.headers)
		return nil
	case st.recv.trailersOnly:
		return nil
	default:
		return st.err
	}
}

// finalResult fills the result of recv_trailing_metadata.
func (s *session) finalResult(st *stream, op *transport.RecvTrailingMetadata) error {
	if st.err != nil || s.role == server {
		return st.err
	}
	op.MD.CopyFrom(st.recv.trailerList())
	if !op.MD.HasStatus {
		return s.newError(status.Unknown, "the peer ended the stream without a grpc-status")
	}
	return nil
}
