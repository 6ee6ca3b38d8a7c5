package frame

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/net/http2"
)

// The Framer of golang.org/x/net/http2 reads RFC 9113 independently of us. The
// tests here hold the two against each other; where they differ on purpose,
// difference names the case and why we are right.

// A verdict is what a parser makes of a frame, without the wording.
type verdict struct {
	scope string // "frame", "stream", "connection" or "eof"
	code  ErrCode
}

// ourVerdict parses a whole frame with this package.
func ourVerdict(t testing.TB, wire []byte) (any, verdict) {
	t.Helper()
	f, err := parse(ParseHeader(wire), wire[HeaderLen:])
	e := asError(t, err)
	switch {
	case e == nil:
		return f, verdict{scope: "frame"}
	case e.StreamID != 0:
		return nil, verdict{"stream", e.Code}
	default:
		return nil, verdict{"connection", e.Code}
	}
}

// theirVerdict parses a whole frame with the Framer.
func theirVerdict(t testing.TB, wire []byte) (http2.Frame, verdict) {
	t.Helper()
	fr := http2.NewFramer(io.Discard, bytes.NewReader(wire))
	fr.AllowIllegalReads = true // order of frames; of a single one it checks all
	f, err := fr.ReadFrame()
	var ce http2.ConnectionError
	var se http2.StreamError
	switch {
	case err == nil:
		return f, verdict{scope: "frame"}
	case errors.As(err, &ce):
		return nil, verdict{"connection", ErrCode(ce)}
	case errors.As(err, &se):
		return nil, verdict{"stream", ErrCode(se.Code)}
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return nil, verdict{scope: "eof"}
	}
	t.Fatalf("Framer returned %T: %v", err, err)
	return nil, verdict{}
}

// difference names the reason for which we judge a frame differently from the
// Framer, or is empty if there is none.
func difference(h Header, p []byte, ours, theirs verdict) string {
	frameSize := verdict{"connection", CodeFrameSize}
	protocol := verdict{"connection", CodeProtocol}
	switch {
	case theirs.scope == "eof" && ours == frameSize && (h.Type == TypeData || h.Type == TypeHeaders || h.Type == TypePushPromise):
		// The frame is there; it is too small for its mandatory fields, which
		// RFC 9113 §4.2 calls FRAME_SIZE_ERROR. An end of input would read as
		// a lost connection, and the peer would not be told.
		return "short"
	case h.Type == TypeHeaders && theirs == (verdict{"stream", CodeProtocol}) && ours == protocol:
		// A block that cannot be found cannot be decoded. RFC 9113 §4.3.
		return "padding of HEADERS"
	case h.Type == TypeSettings && ours == firstInvalidValue(p):
		// RFC 9113 §6.5.2. The Framer checks one value of one identifier.
		return "settings value"
	case h.Type == TypePriority && theirs == frameSize && ours == (verdict{"stream", CodeFrameSize}):
		return "length of PRIORITY" // a stream error, RFC 9113 §6.3
	case h.Type == TypePriority && theirs.scope == "frame" && ours == (verdict{"stream", CodeProtocol}):
		return "self-dependency" // for the reason given at Headers
	case h.Type == TypePushPromise && theirs.scope == "frame" && ours == protocol && len(p) >= 4:
		return "promised stream" // RFC 9113 §6.6
	case theirs.scope == "connection" && ours.scope == "connection" && ours == protocol && theirs == frameSize:
		// Two rules broken at once: we look at the stream first.
		if (h.StreamID == 0) == (h.Type == TypeRSTStream) && (h.Type == TypeRSTStream || h.Type == TypeSettings || h.Type == TypePing) {
			return "stream and length"
		}
	}
	return ""
}

// firstInvalidValue states RFC 9113 §6.5.2 once more, as a table.
func firstInvalidValue(p []byte) verdict {
	bounds := map[uint16]struct {
		lo, hi uint32
		code   ErrCode
	}{
		2: {0, 1, CodeProtocol},
		4: {0, 0x7fffffff, CodeFlowControl},
		5: {0x4000, 0xffffff, CodeProtocol},
	}
	for ; len(p) >= 6; p = p[6:] {
		b, ok := bounds[uint16(p[0])<<8|uint16(p[1])]
		v := uint32(p[2])<<24 | uint32(p[3])<<16 | uint32(p[4])<<8 | uint32(p[5])
		if ok && (v < b.lo || v > b.hi) {
			return verdict{"connection", b.code}
		}
	}
	return verdict{}
}

// same compares two of our frames. That a slice without octets may be nil is
// nothing that RFC 9113 knows.
func same(a, b any) bool { return cmp.Equal(a, b, cmpopts.EquateEmpty()) }

// sameFrame reports whether both parsers read the same values.
func sameFrame(ours any, theirs http2.Frame) bool {
	flags := theirs.Header().Flags
	switch f := theirs.(type) {
	case *http2.DataFrame:
		d := ours.(Data)
		return bytes.Equal(d.Payload, f.Data()) && d.EndStream == f.StreamEnded() &&
			d.Padding == int(f.Length)-len(f.Data())
	case *http2.HeadersFrame:
		return same(ours, Headers{
			Block: f.HeaderBlockFragment(), EndStream: f.StreamEnded(), EndHeaders: f.HeadersEnded(),
			SelfDependent: f.HasPriority() && f.Priority.StreamDep == f.StreamID,
		})
	case *http2.PriorityFrame:
		return ours == Priority{f.StreamDep, f.Exclusive, f.Weight}
	case *http2.RSTStreamFrame:
		return ours == RSTStream{ErrCode(f.ErrCode)}
	case *http2.SettingsFrame:
		s := ours.(Settings)
		same := s.Len() == f.NumSettings() && s.Ack == f.IsAck()
		for i := 0; same && i < s.Len(); i++ {
			v := f.Setting(i)
			same = s.At(i) == Setting{SettingID(v.ID), v.Val}
		}
		return same
	case *http2.PushPromiseFrame:
		return same(ours, PushPromise{f.PromiseID, f.HeaderBlockFragment(), f.HeadersEnded()})
	case *http2.PingFrame:
		return ours == Ping{f.Data, f.IsAck()}
	case *http2.GoAwayFrame:
		return same(ours, GoAway{f.LastStreamID, ErrCode(f.ErrCode), f.DebugData()})
	case *http2.WindowUpdateFrame:
		return ours == WindowUpdate{f.Increment}
	case *http2.ContinuationFrame:
		return same(ours, Continuation{f.HeaderBlockFragment(), flags.Has(http2.FlagContinuationEndHeaders)})
	}
	return false
}

// compare parses one frame with both and returns the name of their difference.
func compare(t testing.TB, wire []byte) string {
	t.Helper()
	h, p := ParseHeader(wire), wire[HeaderLen:]
	our, ours := ourVerdict(t, wire)
	their, theirs := theirVerdict(t, wire)
	if ours == theirs {
		if ours.scope == "frame" && !sameFrame(our, their) {
			t.Errorf("%v %x: we read %+v, the Framer %+v", h, p, our, their)
		}
		return ""
	}
	d := difference(h, p, ours, theirs)
	if d == "" {
		t.Errorf("%v %x: our verdict is %v, the Framer's %v", h, p, ours, theirs)
	}
	return d
}

// TestDifferencesFromFramer has a frame for every intended difference, so that
// the list shrinks when the Framer changes its mind.
func TestDifferencesFromFramer(t *testing.T) {
	for _, tc := range []struct {
		want    string
		h       Header
		payload string
	}{
		{"short", Header{Type: TypeData, Flags: FlagPadded, StreamID: 1}, ""},
		{"short", Header{Type: TypeHeaders, Flags: FlagPadded, StreamID: 1}, ""},
		{"short", Header{Type: TypeHeaders, Flags: FlagPriority, StreamID: 1}, "\x00\x00\x00\x03"},
		{"short", Header{Type: TypeHeaders, Flags: FlagPriority | FlagPadded, StreamID: 1}, "\xff\x00\x00\x00\x03"},
		{"short", Header{Type: TypePushPromise, StreamID: 1}, "\x00\x00\x00"},
		{"padding of HEADERS", Header{Type: TypeHeaders, Flags: FlagPadded, StreamID: 1}, "\x03bl"},
		{"settings value", Header{Type: TypeSettings}, "\x00\x05\x00\x00\x00\x00"},
		{"settings value", Header{Type: TypeSettings}, "\x00\x02\x00\x00\x00\x02"},
		{"settings value", Header{Type: TypeSettings}, "\x00\x04\x00\x00\x00\x00\x00\x04\xff\xff\xff\xff"},
		{"settings value", Header{Type: TypeSettings}, "\x00\x02\x00\x00\x00\x02\x00\x04\xff\xff\xff\xff"},
		{"length of PRIORITY", Header{Type: TypePriority, StreamID: 1}, "\x00\x00\x00\x03"},
		{"self-dependency", Header{Type: TypePriority, StreamID: 3}, "\x00\x00\x00\x03\x00"},
		{"promised stream", Header{Type: TypePushPromise, StreamID: 1}, "\x00\x00\x00\x00"},
		{"stream and length", Header{Type: TypePing, StreamID: 1}, "1234567"},
		{"stream and length", Header{Type: TypeRSTStream}, "123"},
		{"stream and length", Header{Type: TypeSettings, Flags: FlagAck, StreamID: 1}, "123456"},
	} {
		wire := append(AppendHeader(nil, len(tc.payload), tc.h.Type, tc.h.Flags, tc.h.StreamID), tc.payload...)
		if got := compare(t, wire); got != tc.want {
			t.Errorf("%v %x: difference %q, want %q", tc.h, tc.payload, got, tc.want)
		}
	}
}

// appendWithBoth writes the same frames with the Framer; a frame is right if the
// octets are equal.
func appendWithBoth(t *testing.T, id, v uint32, flag bool, p []byte) {
	if len(p) > MaxGoAwayDebug {
		return
	}
	id, v = max(id&MaxStreamID, 1), max(v&MaxWindow, 1)
	var theirs bytes.Buffer
	fr := http2.NewFramer(&theirs, nil)
	data := [8]byte{}
	copy(data[:], p)
	one, two := Setting{SettingID(id), v}, Setting{SettingID(v), id}

	ours := append(AppendDataHeader(nil, id, flag, len(p)), p...)
	ours = AppendHeaders(ours, id, flag, p, MinMaxFrameSize)
	ours = AppendRSTStream(ours, id, ErrCode(v))
	ours = AppendSettings(ours, one, two)
	ours = AppendSettingsAck(ours)
	ours = AppendPing(ours, flag, data)
	ours = AppendGoAway(ours, id, ErrCode(v), string(p))
	ours = AppendWindowUpdate(ours, id, v)

	err := errors.Join(
		fr.WriteData(id, flag, p),
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p, EndStream: flag, EndHeaders: true}),
		fr.WriteRSTStream(id, http2.ErrCode(v)),
		fr.WriteSettings(
			http2.Setting{ID: http2.SettingID(one.ID), Val: one.Val},
			http2.Setting{ID: http2.SettingID(two.ID), Val: two.Val}),
		fr.WriteSettingsAck(),
		fr.WritePing(flag, data),
		fr.WriteGoAway(id, http2.ErrCode(v), p),
		fr.WriteWindowUpdate(id, v),
	)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours, theirs.Bytes()) {
		t.Errorf("we wrote\n%x, the Framer\n%x", ours, theirs.Bytes())
	}
}
