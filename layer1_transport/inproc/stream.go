package inproc

import (
	"fmt"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/http2/headerblock"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// A stream is one end of a call. Its callbacks are run by whoever holds its
// delivery token, one after another.
//
// Invariant: an operation that is outstanding, or the token in somebody's
// hands, implies held.
type stream struct {
	// Set by NewStream, read-only afterwards.
	end *end

	// Set by Init, cleared by Reset, read-only in between.
	link  *link
	owner transport.Owner

	// Guarded by link.mu.
	rim, rm, rtm *transport.StreamOpBatch // outstanding receiving operations
	sends        [3]pendingSend           // batches with sends, oldest first
	numSends     int
	gotHeaders   bool // recv_initial_metadata was answered
	single       bool // the only message that may come was received
	held         bool // the transport has a reference of owner
	delivering   bool // somebody has the delivery token
}

// A pendingSend is a batch whose sends are not done.
type pendingSend struct {
	batch   *transport.StreamOpBatch
	decided bool // ends with err, whatever flow control says
	err     error
}

// Init implements [transport.Stream].
func (s *stream) Init(owner transport.Owner, accepted transport.Accepted) {
	s.owner = owner
	if s.end.role == clientRole {
		l := s.end.conn.newLink()
		s.link = l
		l.ends[clientRole] = s // nobody else knows l
		return
	}
	l := accepted.(*link)
	l.ref()
	s.link = l
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends[serverRole], l.accepted = s, true
	if !l.over {
		s.hold()
	}
}

// Reset implements [transport.Stream].
func (s *stream) Reset() {
	l := s.link
	l.mu.Lock()
	l.ends[s.end.role] = nil
	l.mu.Unlock()
	l.unref()
	*s = stream{end: s.end}
}

// PerformBatch implements [transport.Stream].
func (s *stream) PerformBatch(b *transport.StreamOpBatch) {
	l := s.link
	var invalid error
	if b.Ops.Has(transport.OpSendInitialMetadata | transport.OpSendTrailingMetadata) {
		invalid = s.end.conn.checkBatch(b)
	}
	var sent sentEvents
	if s.end.sink != nil {
		sent = emitSends(s, b)
	}
	l.mu.Lock()
	s.start(b, &sent, invalid)
	l.unlockAndRun()
}

// hold takes the transport's reference of the owner. Caller holds link.mu.
func (s *stream) hold() {
	if !s.held {
		s.held = true
		s.owner.Ref()
	}
}

// start notes what b asks for. Caller holds link.mu.
func (s *stream) start(b *transport.StreamOpBatch, sent *sentEvents, invalid error) {
	l, r := s.link, s.end.role
	if b.Ops.Has(transport.OpsSend | transport.OpsRecv) {
		s.hold()
		if r == clientRole && !l.joined && !l.over {
			l.join()
		}
	}
	if b.Ops.Has(transport.OpRecvInitialMetadata) {
		s.rim = b
	}
	if b.Ops.Has(transport.OpRecvMessage) {
		s.rm = b
	}
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		s.rtm = b
	}
	if b.Ops.Has(transport.OpCancelStream) {
		l.cancel(r, b.CancelErr, sent.cancel)
	}
	if invalid != nil {
		l.cancel(r, invalid, 0)
	}
	if b.Ops.Has(transport.OpsSend) {
		s.send(b, sent)
	}
}

// send carries out the sends of b. Caller holds link.mu.
func (s *stream) send(b *transport.StreamOpBatch, sent *sentEvents) {
	l, r := s.link, s.end.role
	s.sends[s.numSends] = pendingSend{batch: b}
	s.numSends++
	if b.Ops.Has(transport.OpSendInitialMetadata) && r == clientRole && !l.over {
		l.begin()
	}
	out := &l.sent[r]
	if b.Ops.Has(transport.OpSendMessage) {
		m := message{b.SendMessage.Buf, sent.message}
		b.SendMessage.Buf = nil
		if s.end.conn.cfg.CopyMessages {
			m.buf = copyOf(m.buf)
		}
		if l.over || l.fail[r] != nil || out.ended {
			m.buf.Release()
			b.SendMessage.WriteClosed = out.ended // by ourselves; decideSends knows of the peer
		} else {
			out.push(m)
		}
	}
	if l.over || l.fail[r] != nil {
		l.decideSends(r)
		return
	}
	if b.Ops.Has(transport.OpSendInitialMetadata) {
		if slot := b.SendInitialMetadata.Peer; slot != nil {
			slot.Store(l.conn.peer)
		}
		out.headers.CopyFrom(b.SendInitialMetadata.MD)
		out.headers.Encoding = "" // what the application wished for; messages are handed over as they are
		out.headersSent, out.began = !l.waiting, sent.begin
	}
	if b.Ops.Has(transport.OpSendTrailingMetadata) {
		s.endSending(b, sent.trailers)
	}
}

// copyOf returns a buffer with the bytes of b, whose reference it releases.
func copyOf(b *transport.Buffer) *transport.Buffer {
	c := transport.NewBuffer(b.Len())
	c.Append(b.Bytes())
	c.Compressed = b.Compressed
	b.Release()
	return c
}

// endSending is the transition for send_trailing_metadata. Caller holds
// link.mu.
func (s *stream) endSending(b *transport.StreamOpBatch, cause trace.EventID) {
	out := &s.link.sent[s.end.role]
	out.ended, out.end = true, cause
	if s.end.role == clientRole {
		return // END_STREAM; a client has no trailers
	}
	out.bare = !out.headersSent
	if out.bare && !out.empty() {
		// gRPC-HTTP2 Trailers-Only has no room for messages.
		out.drop()
		for i := range s.sends[:s.numSends] {
			s.sends[i].batch.SendMessage.WriteClosed = true
		}
	}
	out.trailers.CopyFrom(b.SendTrailingMetadata.MD)
	s.end.conn.shorten(&out.trailers)
}

// checkBatch holds the metadata that b sends to the rules of the wire and to
// the limit of the other end.
func (c *conn) checkBatch(b *transport.StreamOpBatch) error {
	if b.Ops.Has(transport.OpSendInitialMetadata) {
		if err := c.checkList("headers", b.SendInitialMetadata.MD); err != nil {
			return err
		}
	}
	md := b.SendTrailingMetadata.MD
	if !b.Ops.Has(transport.OpSendTrailingMetadata) || md == nil {
		return nil
	}
	err := c.checkList("trailers", md)
	if status.CodeOf(err) == status.ResourceExhausted && md.HasStatus {
		return nil // the code says more: see shorten
	}
	return err
}

func (c *conn) checkList(block string, md *metadata.List) error {
	if err := checkMetadata(md); err != nil {
		return invalidMetadata(block, err)
	}
	if size := headerblock.ListSize(md); size > int64(c.cfg.MaxHeaderList) {
		return &transport.Error{
			Code: status.ResourceExhausted, Layer: name, Peer: name,
			Reason: fmt.Sprintf("a header list of %d bytes passes the limit of the peer, %d", size, c.cfg.MaxHeaderList),
		}
	}
	return nil
}

// maxClippedMessage is what is left of a status message that is too long.
const maxClippedMessage = 1 << 10

// shorten makes trailers that are too long what the peer takes of them, which
// is the status, as over HTTP/2.
func (c *conn) shorten(md *metadata.List) {
	if headerblock.ListSize(md) <= int64(c.cfg.MaxHeaderList) {
		return
	}
	code, message := md.Status, md.Message[:min(len(md.Message), maxClippedMessage)]
	md.Reset()
	md.SetStatus(code, message+" (the peer does not take the rest of the trailers)")
}

func invalidMetadata(block string, cause error) error {
	return &transport.Error{
		Code: status.Internal, Layer: name, Reason: "the " + block + " cannot be sent",
		Progress: transport.ProgressUnknown, Cause: cause,
	}
}
