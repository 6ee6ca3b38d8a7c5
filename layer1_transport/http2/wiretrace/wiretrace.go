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
	applying bool          // that frame is being applied
	received int64         // bytes of the peer before that frame
}

// On reports whether there is a sink.
func (t *Tracer) On() bool { return t.Sink != nil }

// Last returns the event of the last frame that was received.
func (t *Tracer) Last() trace.EventID { return t.last }

// Cause returns what brings about what happens now: the frame that is being
// applied, or else own.
func (t *Tracer) Cause(own trace.EventID) trace.EventID {
	if t.applying {
		return t.last
	}
	return own
}

// Applied tells that the last frame has been applied.
func (t *Tracer) Applied() { t.applying = false }

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

// SentHeaders tells of a header list, the block of size bytes that HPACK has
// made of it, and the frame that it begins.
func (t *Tracer) SentHeaders(cause trace.EventID, at int64, b []byte, size int, list *metadata.List) trace.EventID {
	h := frame.ParseHeader(b)
	hpack := trace.Event{Cause: cause, Layer: 1, Component: component, Op: "hpack", Dir: trace.DirSend,
		Conn: t.Conn, Stream: h.StreamID, Size: size, Fields: t.fields(list)}
	e := t.event(trace.DirSend, h, "")
	e.Cause, e.Offset = t.Sink.Emit(&hpack), at
	t.bytes(&e, b)
	return t.Sink.Emit(&e)
}

// Received tells of one frame that is about to be applied.
func (t *Tracer) Received(h frame.Header, payload []byte) {
	e := t.event(trace.DirRecv, h, describe(h, payload))
	e.Offset = t.received
	t.received += int64(frame.HeaderLen + len(payload))
	if t.Sink.Level() >= trace.LevelBytes {
		e.Bytes = append(frame.AppendHeader(nil, len(payload), h.Type, h.Flags, h.StreamID), payload...)
	}
	t.last, t.applying = t.Sink.Emit(&e), true
}

// ReceivedHeaders tells what HPACK makes of the header block of size bytes that
// the last frame has completed.
func (t *Tracer) ReceivedHeaders(stream uint32, size int, list *metadata.List) {
	e := trace.Event{Cause: t.last, Layer: 1, Component: component, Op: "hpack", Dir: trace.DirRecv,
		Conn: t.Conn, Stream: stream, Size: size, Fields: t.fields(list)}
	t.last = t.Sink.Emit(&e)
}

// Blocked tells that left bytes of a stream wait for flow control, or for the
// socket where both windows are open.
func (t *Tracer) Blocked(cause trace.EventID, stream uint32, left int, streamWindow, connWindow int64, outbox int) trace.EventID {
	return t.flow("flow.blocked", cause, stream, left, fmt.Sprintf("%s, %d bytes wait for the socket", windows(stream, streamWindow, connWindow), outbox))
}

// Unblocked tells that a stream that waited sends again.
func (t *Tracer) Unblocked(cause trace.EventID, stream uint32, streamWindow, connWindow int64) {
	t.flow("flow.unblocked", cause, stream, 0, windows(stream, streamWindow, connWindow))
}

// Window tells what the peer still allows us to send, after a frame that has
// changed it. stream is 0 where only the connection's window has changed.
func (t *Tracer) Window(cause trace.EventID, stream uint32, streamWindow, connWindow int64) {
	t.flow("flow.window", cause, stream, 0, windows(stream, streamWindow, connWindow))
}

func (t *Tracer) flow(op string, cause trace.EventID, stream uint32, size int, text string) trace.EventID {
	return t.Sink.Emit(&trace.Event{Cause: cause, Layer: 1, Component: component, Op: op, Dir: trace.DirSend,
		Conn: t.Conn, Stream: stream, Size: size, Text: text})
}

func windows(stream uint32, streamWindow, connWindow int64) string {
	if stream == 0 {
		return fmt.Sprintf("connection window %d", connWindow)
	}
	return fmt.Sprintf("stream window %d, connection window %d", streamWindow, connWindow)
}

// StreamState tells of a change of a stream's state.
func (t *Tracer) StreamState(cause trace.EventID, stream uint32, from, to string) {
	t.Sink.Emit(&trace.Event{Cause: cause, Layer: 1, Component: component, Op: "stream.state", Conn: t.Conn, Stream: stream, Text: from + " → " + to})
}

// Connection tells of something that concerns the whole connection, such as
// "preface", "settings" or "goaway".
func (t *Tracer) Connection(op string, dir trace.Dir, cause trace.EventID, text string) {
	t.Sink.Emit(&trace.Event{Cause: cause, Layer: 1, Component: component, Op: op, Dir: dir, Conn: t.Conn, Text: text})
}

// Batch tells that somebody begins to write what has collected.
func (t *Tracer) Batch(size int) {
	t.Sink.Emit(&trace.Event{Layer: 1, Component: component, Op: "writer.batch", Dir: trace.DirSend, Conn: t.Conn, Size: size})
}

// Socket tells of one read or write, or of the close.
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
