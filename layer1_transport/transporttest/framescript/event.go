package framescript

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// An event is a frame that came, with its whole header block, or "PREFACE", or
// "close".
type event struct {
	name     string
	typ      http2.FrameType
	flags    http2.Flags
	stream   uint32
	length   uint32
	code     http2.ErrCode
	last     uint32
	incr     uint32
	data     [8]byte
	settings []http2.Setting
	fields   []hpack.HeaderField
	text     string // GOAWAY's debug data; why a connection closed
	answered bool   // automatically, so that no step need expect it
}

// newEvent copies what scripts can ask about out of a frame, which is valid
// until the next is read.
func newEvent(f http2.Frame) event {
	h := f.Header()
	e := event{name: "FRAME", typ: h.Type, flags: h.Flags, stream: h.StreamID, length: h.Length}
	if _, known := frameTypes[h.Type.String()]; known {
		e.name = h.Type.String()
	}
	switch f := f.(type) {
	case *http2.RSTStreamFrame:
		e.code = f.ErrCode
	case *http2.GoAwayFrame:
		e.code, e.last, e.text = f.ErrCode, f.LastStreamID, string(f.DebugData())
	case *http2.WindowUpdateFrame:
		e.incr = f.Increment
	case *http2.PingFrame:
		e.data = f.Data
	case *http2.SettingsFrame:
		for i := range f.NumSettings() {
			e.settings = append(e.settings, f.Setting(i))
		}
	}
	return e
}

// blockOf returns the part of a header block that a frame carries, and whether
// it is the last.
func blockOf(f http2.Frame) (fragment []byte, ends bool) {
	switch f := f.(type) {
	case *http2.HeadersFrame:
		return f.HeaderBlockFragment(), f.HeadersEnded()
	case *http2.PushPromiseFrame:
		return f.HeaderBlockFragment(), f.HeadersEnded()
	case *http2.ContinuationFrame:
		return f.HeaderBlockFragment(), f.HeadersEnded()
	}
	return nil, false
}

func (e *event) hasBlock() bool {
	return e.name == "HEADERS" || e.name == "PUSH_PROMISE" || e.name == "CONTINUATION"
}

// ack reports whether a SETTINGS or PING is an answer.
func (e *event) ack() bool { return e.flags.Has(http2.FlagSettingsAck) }

// flag reports whether the frame has the flag of that name.
func (e *event) flag(name string) bool { return e.flags.Has(flagBits[name]) }

// attribute returns what a script calls key, as text.
func (e *event) attribute(key string) string {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	switch key {
	case "stream":
		return number(uint64(e.stream))
	case "len":
		return number(uint64(e.length))
	case "type":
		return number(uint64(e.typ))
	case "incr":
		return number(uint64(e.incr))
	case "last":
		return number(uint64(e.last))
	case "data":
		return number(binary.BigEndian.Uint64(e.data[:]))
	case "code":
		return e.code.String()
	case "debug":
		return e.text
	}
	return ""
}

// String returns the frame much as a script would write it.
func (e *event) String() string {
	if e.name == "close" {
		return "close (" + clip(e.text) + ")"
	}
	var b strings.Builder
	b.WriteString(e.name)
	if e.name == "FRAME" {
		fmt.Fprintf(&b, " type=%#x", uint8(e.typ))
	}
	if e.stream != 0 {
		fmt.Fprintf(&b, " stream=%d", e.stream)
	}
	switch e.name {
	case "DATA", "FRAME":
		fmt.Fprintf(&b, " len=%d", e.length)
	case "RST_STREAM":
		fmt.Fprintf(&b, " code=%v", e.code)
	case "GOAWAY":
		fmt.Fprintf(&b, " last=%d code=%v debug=%q", e.last, e.code, clip(e.text))
	case "WINDOW_UPDATE":
		fmt.Fprintf(&b, " incr=%d", e.incr)
	case "PING":
		fmt.Fprintf(&b, " data=%s", e.attribute("data"))
	case "SETTINGS":
		for _, s := range e.settings {
			fmt.Fprintf(&b, " %v=%d", s.ID, s.Val)
		}
	}
	for _, f := range e.fields {
		fmt.Fprintf(&b, " %s=%s", clip(f.Name), quoted(f.Value))
	}
	if (e.name == "DATA" || e.name == "HEADERS") && e.flag("END_STREAM") {
		b.WriteString(" END_STREAM")
	}
	if (e.name == "SETTINGS" || e.name == "PING") && e.ack() {
		b.WriteString(" ACK")
	}
	return b.String()
}

// quoted quotes text where a script would have to.
func quoted(text string) string {
	text = clip(text)
	if q := strconv.Quote(text); text == "" || strings.ContainsAny(text, " #") || len(q) != len(text)+2 {
		return q
	}
	return text
}

// maxGoAways is how many GOAWAY frames a record keeps whole.
const maxGoAways = 16

// A Record is what happened in a run.
type Record struct {
	// Sent and SentBytes count the writes of steps, a frame each but for raw
	// bytes and what a step cuts into several, and all bytes.
	Sent, SentBytes int64

	// Received counts frames by type, "RST_STREAM", answers apart from what they
	// answer, "PING" and "PING ACK", those with a code by type and code as well,
	// "RST_STREAM CANCEL", and header blocks by their status, "grpc-status=14".
	Received map[string]int

	// DataBytes are those of DATA frames, padding included.
	DataBytes int64

	// GoAways are the first GOAWAY frames.
	GoAways []GoAway

	// Closed says how the peer ended the connection: "EOF", or the error of
	// reading. It is empty if it did not.
	Closed string
}

// A GoAway is a GOAWAY frame. RFC 9113 §6.8.
type GoAway struct {
	LastStreamID uint32
	Code         http2.ErrCode
	Debug        string
}

// note counts a frame.
func (r *Record) note(e *event) {
	if (e.name == "PING" || e.name == "SETTINGS") && e.ack() {
		r.Received[e.name+" ACK"]++
		return
	}
	r.Received[e.name]++
	switch e.name {
	case "DATA":
		r.DataBytes += int64(e.length)
	case "HEADERS":
		for _, f := range e.fields {
			if f.Name == "grpc-status" {
				r.Received["grpc-status="+clip(f.Value)]++
			}
		}
	case "RST_STREAM":
		r.Received["RST_STREAM "+e.code.String()]++
	case "GOAWAY":
		r.Received["GOAWAY "+e.code.String()]++
		if len(r.GoAways) < maxGoAways {
			r.GoAways = append(r.GoAways, GoAway{e.last, e.code, clip(e.text)})
		}
	}
}
