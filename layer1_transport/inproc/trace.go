package inproc

import (
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// The Ops of the events, each sent by one end and received by the other.
const (
	opBegin    = "stream.begin" // the client's headers, which begin the stream
	opHeaders  = "stream.headers"
	opMessage  = "stream.message"
	opTrailers = "stream.trailers" // on the client the half-close
	opCancel   = "stream.cancel"
)

// sentEvents are the events of the sends of one batch, 0 without a sink.
type sentEvents struct {
	begin, message, trailers, cancel trace.EventID
}

// emitSends tells the sink what b sends. It is apart from PerformBatch so that
// events cost nothing without a sink. No lock is held.
func emitSends(s *stream, b *transport.StreamOpBatch) (sent sentEvents) {
	if b.Ops.Has(transport.OpSendInitialMetadata) {
		sent.begin = emit(s, &trace.Event{
			Cause: b.Cause, Op: headersOp(s.end.role), Dir: trace.DirSend,
			Fields: fields(s.end.sink, b.SendInitialMetadata.MD), Text: b.SendInitialMetadata.MD.Path,
		})
	}
	if b.Ops.Has(transport.OpSendMessage) {
		sent.message = emit(s, &trace.Event{
			Cause: b.Cause, Op: opMessage, Dir: trace.DirSend, Size: b.SendMessage.Buf.Len(),
		})
	}
	if b.Ops.Has(transport.OpSendTrailingMetadata) {
		sent.trailers = emit(s, &trace.Event{
			Cause: b.Cause, Op: opTrailers, Dir: trace.DirSend,
			Fields: fields(s.end.sink, b.SendTrailingMetadata.MD), Text: statusText(b.SendTrailingMetadata.MD),
		})
	}
	if b.Ops.Has(transport.OpCancelStream) {
		sent.cancel = emit(s, &trace.Event{Cause: b.Cause, Op: opCancel, Dir: trace.DirSend, Err: b.CancelErr})
	}
	return sent
}

// emitReceived tells the sink of a receiving callback that is about to run.
func emitReceived(s *stream, n *next) {
	emit(s, &trace.Event{
		Cause: n.cause, Op: n.op, Dir: trace.DirRecv, Size: n.size,
		Fields: fields(s.end.sink, n.md), Text: receivedText(n), Err: n.err,
	})
}

// receivedText is the Text of the event that tells of the same block's sending.
func receivedText(n *next) string {
	switch n.op {
	case opBegin:
		return n.md.Path
	case opTrailers:
		return statusText(n.md)
	default:
		return ""
	}
}

// statusText names the status in md, which may be nil.
func statusText(md *metadata.List) string {
	if md == nil || !md.HasStatus {
		return ""
	}
	return status.Code(md.Status).String()
}

func emit(s *stream, e *trace.Event) trace.EventID {
	e.Layer, e.Component = 1, name
	e.Conn, e.Stream = s.end.conn.id, s.link.id
	return s.end.sink.Emit(e)
}

// headersOp is what the headers of an end with that role are called.
func headersOp(r role) string {
	if r == clientRole {
		return opBegin
	}
	return opHeaders
}

// fields returns the pairs of md, with values only where the sink wants them.
func fields(s trace.Sink, md *metadata.List) []trace.Field {
	if md == nil || md.Len() == 0 {
		return nil
	}
	out := make([]trace.Field, 0, md.Len())
	for _, p := range md.Pairs() {
		f := trace.Field{Name: p.Key}
		if s.Level() >= trace.LevelValues {
			f.Value = p.Value
		}
		out = append(out, f)
	}
	return out
}
