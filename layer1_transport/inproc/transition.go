package inproc

import (
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// All functions of this file are called with link.mu held.

// join makes the link one of those that end with the connection.
func (l *link) join() {
	l.joined = true
	if err := l.conn.enlist(l); err != nil {
		l.lose(err)
	}
}

// begin is the transition for the headers of the client.
func (l *link) begin() {
	wait, err := l.conn.begin(l)
	if err != nil {
		l.lose(err)
		return
	}
	l.begun, l.waiting, l.kick = !wait, wait, true
}

// unblock is the transition for a call that waited for the limit of open
// calls: one of them is its own, or err says why there will be none.
func (l *link) unblock(err *transport.Error) {
	switch {
	case err != nil:
		l.lose(err)
	case l.over: // cancelled or lost meanwhile
		if l.conn.giveBack() {
			l.kick = true
		}
	default:
		l.begun, l.waiting, l.kick = true, false, true
		l.sent[clientRole].headersSent = true
		l.conn.offer(l)
	}
}

// cancel is the transition for cancel_stream at the end with role r, and for
// an end that refuses what it was sent. The first one counts, and none does
// after the end.
func (l *link) cancel(r role, cause error, event trace.EventID) {
	if l.fail[r] != nil || l.seenEnd(r) {
		return
	}
	if cause == nil {
		cause = status.Error(status.Canceled, "the stream was cancelled")
	}
	peer := r.other()
	l.fail[r] = cause
	l.decideSends(r)
	l.sent[peer].drop()
	if l.over || !l.begun {
		return // the other end is past it, or does not exist
	}
	o := transport.OutcomeOf(cause, time.Time{})
	if r == serverRole {
		l.answer(&o, event)
		return
	}
	// What the other end would learn from RST_STREAM: a code, no text.
	code := status.FromHTTP2(o.Reset)
	l.sent[r].drop()
	l.sent[r].end = event
	l.fail[peer], l.reset[peer] = &transport.Error{
		Code: code, Layer: name, Peer: name, Reason: "stream reset by the " + r.String(),
	}, true
	l.decideSends(peer)
}

// seenEnd reports that the end with role r has got, or can get without the
// other's help, the normal end of the call.
func (l *link) seenEnd(r role) bool {
	if r == clientRole {
		return l.sent[serverRole].arrived()
	}
	return l.over
}

// answer ends the call for the client with a status that is not that of the
// handler. What had passed flow control stays.
func (l *link) answer(o *transport.Outcome, event trace.EventID) {
	out := &l.sent[serverRole]
	switch {
	case !out.headersSent:
		out.bare = true
		out.drop()
	case out.queued > l.conn.cfg.Window:
		out.popLast()
	}
	out.ended, out.end = true, event
	out.trailers.Reset()
	out.trailers.SetStatus(uint32(o.Code), o.Told)
	if o.Details != "" {
		out.trailers.Append("grpc-status-details-bin", o.Details)
	}
}

// refuse is the transition for a stream that the acceptor did not take.
func (l *link) refuse() {
	if l.over || l.accepted {
		return
	}
	l.fail[clientRole] = unavailable(transport.ProgressNotSeen, nil, "the server refused the stream")
	l.reset[clientRole] = true
	l.decideSends(clientRole)
}

// lose is the transition for the loss of the connection.
func (l *link) lose(cause *transport.Error) {
	if l.over {
		return
	}
	err := *cause
	switch {
	case !l.begun:
		err.Progress = transport.ProgressNotSent
	case !l.accepted:
		err.Progress = transport.ProgressNotSeen
	}
	for r := range l.fail {
		l.sent[r].drop()
		if l.fail[r] == nil {
			l.fail[r] = &err
			l.decideSends(role(r))
		}
	}
}

// settle finds out whether the call is over for the connection: it failed, or
// the server's trailers have passed flow control. What the client has sent and
// the server did not take is dropped then, as with the RST_STREAM that follows
// early trailers over HTTP/2.
func (l *link) settle() {
	answer := &l.sent[serverRole]
	failed := l.fail[clientRole] != nil || l.fail[serverRole] != nil
	if l.over || !failed && !(answer.ended && answer.flows(l.conn.cfg.Window)) {
		return
	}
	l.over = true
	if !l.sent[clientRole].flows(l.conn.cfg.Window) {
		l.decideSends(clientRole)
	}
	l.sent[clientRole].drop()
	if l.joined && l.conn.leave(l) {
		l.kick = true
	}
}

// decideSends ends the sends of the end with role r, which can send no more.
func (l *link) decideSends(r role) {
	s := l.ends[r]
	if s == nil {
		return
	}
	for i := range s.sends[:s.numSends] {
		if p := &s.sends[i]; !p.decided {
			p.decided, p.err = true, l.sendResult(r, p.batch)
		}
	}
}

// sendResult is how sends end that were not accepted before the stream ended.
// Where the peer ended it, a message and a half-close are not errors: they are
// of no use any more, and the status says what happened.
func (l *link) sendResult(r role, b *transport.StreamOpBatch) error {
	if l.fail[r] != nil && !l.reset[r] {
		return l.fail[r]
	}
	if b.Ops.Has(transport.OpSendMessage) {
		b.SendMessage.WriteClosed = true
	}
	if r == clientRole || b.Ops&transport.OpsSend == transport.OpSendMessage {
		return nil
	}
	return l.fail[r]
}
