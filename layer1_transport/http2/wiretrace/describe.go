package wiretrace

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// fields lists a header list in the order of the wire. What the application
// has put there, the text of its status included, is shown by name only below
// LevelValues: it may be secret. So is the timeout always, since what is in the
// list is the deadline that was made of it.
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
	if !l.Deadline.IsZero() {
		out = append(out, trace.Field{Name: "grpc-timeout"})
	}
	secret := func(name, value string) {
		f := trace.Field{Name: name}
		if t.Sink.Level() >= trace.LevelValues {
			f.Value = value
		}
		out = append(out, f)
	}
	if l.HasStatus {
		add("grpc-status", strconv.FormatUint(uint64(l.Status), 10))
	}
	if l.Message != "" {
		secret("grpc-message", l.Message)
	}
	for _, p := range l.Pairs() {
		secret(p.Key, p.Value)
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
	case frame.TypePushPromise:
		add(frame.FlagEndHeaders, "END_HEADERS")
		add(frame.FlagPadded, "PADDED")
	case frame.TypeContinuation:
		add(frame.FlagEndHeaders, "END_HEADERS")
	case frame.TypeSettings, frame.TypePing:
		add(frame.FlagAck, "ACK")
	}
	return strings.Join(names, " ")
}

// maxDebug bounds what is shown of a GOAWAY's debug data, which can be as long
// as a frame.
const maxDebug = 256

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
			return fmt.Sprintf("last=%d %v %q", f.LastStreamID, f.Code, f.Debug[:min(len(f.Debug), maxDebug)])
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
