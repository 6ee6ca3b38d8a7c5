// Package wiretrace tells a trace sink about the frames of a connection.
//
// Everything in it runs only when there is a sink. The transport checks that
// with [Tracer.On], so that an untraced connection pays one nil check.
package wiretrace

import (
	"fmt"
	"strings"

	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// component is how events of this transport are named.
const component = "http2"

// A Tracer emits the events of one connection. It is guarded by the lock of
// the connection.
type Tracer struct {
	// Sink takes the events, nil for none.
	Sink trace.Sink
	// Conn is the number of the connection in events.
	Conn uint64

	last     trace.EventID // of the last frame that was received
	received int64         // bytes of the peer before that frame
}

// On reports whether there is a sink.
func (t *Tracer) On() bool { return t.Sink != nil }

// Last returns the event of the last frame that was received.
func (t *Tracer) Last() trace.EventID { return t.last }

// Skip counts n received bytes that are no frame: the client's preface.
func (t *Tracer) Skip(n int) { t.received += int64(n) }

// Sent tells of one frame that was put into the outbox. at is how many bytes
// went before it; b is the frame, of which a DATA frame shows only the header.
func (t *Tracer) Sent(cause trace.EventID, at int64, b []byte, text string) trace.EventID {
	h := frame.ParseHeader(b)
	e := t.event(trace.DirSend, h, text)
	e.Cause, e.Offset = cause, at
	t.bytes(&e, b)
	return t.Sink.Emit(&e)
}

// SentHeaders tells of a header block.
func (t *Tracer) SentHeaders(cause trace.EventID, at int64, b []byte, list *metadata.List) trace.EventID {
	h := frame.ParseHeader(b)
	e := t.event(trace.DirSend, h, "")
	e.Cause, e.Offset = cause, at
	e.Fields = t.fields(list)
	t.bytes(&e, b)
	return t.Sink.Emit(&e)
}

// Received tells of one frame that is about to be applied.
func (t *Tracer) Received(h frame.Header, payload []byte) {
	e := t.event(trace.DirRecv, h, describe(h, payload))
	e.Offset = t.received
	t.received += int64(frame.HeaderLen + len(payload))
	t.bytes(&e, payload)
	t.last = t.Sink.Emit(&e)
}

// ReceivedHeaders tells what the header block of the last frame says.
func (t *Tracer) ReceivedHeaders(stream uint32, list *metadata.List) {
	e := trace.Event{Cause: t.last, Layer: 1, Component: component, Op: "headers", Dir: trace.DirRecv,
		Conn: t.Conn, Stream: stream, Fields: t.fields(list)}
	t.last = t.Sink.Emit(&e)
}

// Blocked tells that left bytes of a stream wait for flow control or the socket.
func (t *Tracer) Blocked(cause trace.EventID, stream uint32, left, streamWindow, connWindow int) {
	e := trace.Event{Cause: cause, Layer: 1, Component: component, Op: "flow.blocked", Dir: trace.DirSend,
		Conn: t.Conn, Stream: stream, Size: left,
		Text: fmt.Sprintf("stream window %d, connection window %d", streamWindow, connWindow)}
	t.Sink.Emit(&e)
}

// Socket tells of one read or write.
func (t *Tracer) Socket(op string, dir trace.Dir, n int) {
	t.Sink.Emit(&trace.Event{Layer: 0, Component: "socket", Op: op, Dir: dir, Conn: t.Conn, Size: n})
}

// State tells of a change of the whole connection.
func (t *Tracer) State(text string, err error) {
	t.Sink.Emit(&trace.Event{Layer: 1, Component: component, Op: "conn.state", Conn: t.Conn, Text: text, Err: err})
}

func (t *Tracer) event(dir trace.Dir, h frame.Header, text string) trace.Event {
	if f := flags(h); f != "" {
		text = strings.TrimSpace(f + " " + text)
	}
	return trace.Event{Layer: 1, Component: component, Op: trace.OpFrame, Dir: dir, Conn: t.Conn,
		Stream: h.StreamID, Text: strings.TrimSpace(h.Type.String() + " " + text), Size: int(h.Length)}
}

func (t *Tracer) bytes(e *trace.Event, b []byte) {
	if t.Sink.Level() >= trace.LevelBytes {
		e.Bytes = b
	}
}

// fields lists a header list in the order of the wire. Values of the
// application are left out below LevelValues.
func (t *Tracer) fields(l *metadata.List) []trace.Field {
	var out []trace.Field
	add := func(name, value string) {
		if value != "" {
			out = append(out, trace.Field{Name: name, Value: value})
		}
	}
	add(":status", l.HTTPStatus)
	add(":method", l.Method)
	add(":scheme", l.Scheme)
	add(":path", l.Path)
	add(":authority", l.Authority)
	add("content-type", l.ContentType)
	add("user-agent", l.UserAgent)
	add("te", l.TE)
	add("grpc-encoding", l.Encoding)
	add("grpc-accept-encoding", l.AcceptEncoding)
	if l.HasStatus {
		add("grpc-status", fmt.Sprint(l.Status))
		add("grpc-message", l.Message)
	}
	for _, p := range l.Pairs() {
		f := trace.Field{Name: p.Key}
		if t.Sink.Level() >= trace.LevelValues {
			f.Value = p.Value
		}
		out = append(out, f)
	}
	return out
}

// flags names the flags that are set.
func flags(h frame.Header) string {
	var names []string
	add := func(f frame.Flags, name string) {
		if h.Flags.Has(f) {
			names = append(names, name)
		}
	}
	switch h.Type {
	case frame.TypeData:
		add(frame.FlagEndStream, "END_STREAM")
		add(frame.FlagPadded, "PADDED")
	case frame.TypeHeaders:
		add(frame.FlagEndStream, "END_STREAM")
		add(frame.FlagEndHeaders, "END_HEADERS")
		add(frame.FlagPadded, "PADDED")
		add(frame.FlagPriority, "PRIORITY")
	case frame.TypeContinuation:
		add(frame.FlagEndHeaders, "END_HEADERS")
	case frame.TypeSettings, frame.TypePing:
		add(frame.FlagAck, "ACK")
	}
	return strings.Join(names, " ")
}

// describe says what a control frame holds.
func describe(h frame.Header, p []byte) string {
	switch h.Type {
	case frame.TypeSettings:
		if f, err := frame.ParseSettings(h, p); err == nil && !f.Ack {
			return settings(f)
		}
	case frame.TypeWindowUpdate:
		if f, err := frame.ParseWindowUpdate(h, p); err == nil {
			return fmt.Sprintf("increment=%d", f.Increment)
		}
	case frame.TypeRSTStream:
		if f, err := frame.ParseRSTStream(h, p); err == nil {
			return f.Code.String()
		}
	case frame.TypeGoAway:
		if f, err := frame.ParseGoAway(h, p); err == nil {
			return fmt.Sprintf("last=%d %v %q", f.LastStreamID, f.Code, f.Debug)
		}
	}
	return ""
}

func settings(f frame.Settings) string {
	parts := make([]string, f.Len())
	for i := range parts {
		parts[i] = f.At(i).String()
	}
	return strings.Join(parts, " ")
}
