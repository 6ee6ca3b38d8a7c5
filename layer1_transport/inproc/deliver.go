package inproc

import (
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// next is a callback that is to run, with what its event tells.
type next struct {
	done transport.Done
	err  error

	op    string // of the event, empty for none
	cause trace.EventID
	size  int
	md    *metadata.List
}

// unlockAndRun gives up the lock and runs every callback of both ends that can
// run, until there is none or somebody else is at it. Caller holds l.mu and a
// reference of the link; the lock is free when it returns.
//
// The delivery token of an end is a flag under the lock. Whoever set it runs
// one callback and looks again, so nothing that became possible meanwhile is
// missed.
func (l *link) unlockAndRun() {
	c := l.conn
	for {
		l.settle()
		var n next
		s := l.pick(&n)
		if s == nil {
			owners, kick := l.letGo(), l.kick
			l.kick = false
			l.mu.Unlock()
			// The link may serve another call from here on.
			if kick {
				c.run()
			}
			for _, o := range owners {
				if o != nil {
					o.Unref()
				}
			}
			return
		}
		s.delivering = true
		c.active[s.end.role].Add(1)
		l.mu.Unlock()
		if s.end.sink != nil && n.op != "" {
			emitReceived(s, &n)
		}
		n.done.Run(n.err)
		l.mu.Lock()
		s.delivering = false
		c.callbackDone(s.end.role)
	}
}

// pick takes the next callback of an end whose token is free. Caller holds
// l.mu.
func (l *link) pick(n *next) *stream {
	for _, s := range l.ends {
		if s != nil && s.held && !s.delivering && s.pick(n) {
			return s
		}
	}
	return nil
}

// letGo drops the transport's hold of the ends that it will not touch again,
// and returns the owners that are to be told. Caller holds l.mu.
func (l *link) letGo() (owners [2]transport.Owner) {
	if !l.over {
		return owners
	}
	for r, s := range l.ends {
		if s != nil && s.held && !s.delivering && s.idle() {
			s.held = false
			owners[r] = s.owner
		}
	}
	return owners
}

// idle reports that no operation is outstanding. Caller holds link.mu.
func (s *stream) idle() bool {
	return s.rim == nil && s.rm == nil && s.rtm == nil && s.numSends == 0
}

// pick takes the next callback of s: headers before messages, and
// recv_trailing_metadata after everything else. Caller holds link.mu.
func (s *stream) pick(n *next) bool {
	s.checkSingle()
	return s.rim != nil && s.pickHeaders(n) ||
		s.rm != nil && s.pickMessage(n) ||
		s.numSends > 0 && s.pickSend(n) ||
		s.rtm != nil && s.pickTrailers(n)
}

// checkSingle refuses a message after the only one that the call may have.
// Caller holds link.mu.
func (s *stream) checkSingle() {
	l, r := s.link, s.end.role
	if s.single && l.fail[r] == nil && !l.sent[r.other()].empty() {
		l.cancel(r, &transport.Error{
			Code: status.Unimplemented, Layer: name, Peer: name,
			Reason: "the peer sent more than one message where the method has one",
		}, 0)
	}
}

// pickHeaders ends recv_initial_metadata. Headers that came before the peer
// reset the stream are still received. Caller holds link.mu.
func (s *stream) pickHeaders(n *next) bool {
	l, r := s.link, s.end.role
	in, recv := &l.sent[r.other()], &s.rim.RecvInitialMetadata
	failed := l.fail[r] != nil
	switch {
	case failed && (!l.reset[r] || !in.headersSent):
		*n = next{done: recv.Ready, err: l.fail[r]}
	case in.headersSent:
		take(recv.MD, &in.headers)
		*n = next{done: recv.Ready, op: headersOp(r.other()), cause: in.began, md: recv.MD}
	case in.ended:
		recv.TrailersOnly = true
		*n = next{done: recv.Ready}
	default:
		return false
	}
	if recv.Peer != nil {
		recv.Peer.Store(l.conn.peer)
	}
	s.gotHeaders, s.rim = true, nil
	return true
}

// pickMessage ends recv_message. Caller holds link.mu.
func (s *stream) pickMessage(n *next) bool {
	l, r := s.link, s.end.role
	in, recv := &l.sent[r.other()], &s.rm.RecvMessage
	recv.Message = nil
	switch {
	case l.fail[r] != nil:
		*n = next{done: recv.Ready, err: l.fail[r]}
	case !in.empty() && !s.gotHeaders:
		return false // headers come before messages
	case !in.empty() && recv.Limit > 0 && in.front().Len() > recv.Limit:
		err := transport.TooLong(int64(in.front().Len()), recv)
		err.Layer, err.Peer = name, name
		done := recv.Ready
		s.rm = nil
		l.cancel(r, err, 0)
		*n = next{done: done, err: err}
		return true
	case !in.empty():
		m := in.pop()
		recv.Message = m.buf
		s.single = recv.Only
		*n = next{done: recv.Ready, op: opMessage, cause: m.cause, size: m.buf.Len()}
	case in.ended || l.over:
		*n = next{done: recv.Ready}
	default:
		return false
	}
	s.rm = nil
	return true
}

// pickSend ends the oldest batch with sends. Caller holds link.mu.
func (s *stream) pickSend(n *next) bool {
	p := s.sends[0]
	if !p.decided && !s.link.sent[s.end.role].flows(s.link.conn.cfg.Window) {
		return false
	}
	if sent := p.batch.SendTrailingMetadata.Sent; !p.decided && sent != nil && p.batch.Ops.Has(transport.OpSendTrailingMetadata) {
		sent.Store(true)
	}
	*n = next{done: p.batch.OnComplete, err: p.err}
	copy(s.sends[:], s.sends[1:])
	s.numSends--
	s.sends[s.numSends] = pendingSend{}
	return true
}

// pickTrailers ends recv_trailing_metadata. Caller holds link.mu.
func (s *stream) pickTrailers(n *next) bool {
	l, r := s.link, s.end.role
	in, recv := &l.sent[r.other()], &s.rtm.RecvTrailingMetadata
	switch {
	case l.fail[r] != nil:
		*n = next{done: recv.Ready, err: l.fail[r], op: opCancel, cause: in.end}
	case r == clientRole && in.arrived():
		take(recv.MD, &in.trailers)
		*n = next{done: recv.Ready, op: opTrailers, cause: in.end, md: recv.MD}
	case r == serverRole && l.over:
		*n = next{done: recv.Ready}
		if in.ended {
			n.op, n.cause = opTrailers, in.end // the half-close
		}
	default:
		return false
	}
	s.rtm = nil
	return true
}

// take moves the content of src to dst; both keep the memory of a list.
func take(dst, src *metadata.List) {
	dst.Reset()
	*dst, *src = *src, *dst
}
