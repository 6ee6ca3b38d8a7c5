package frame

import (
	"errors"
	"testing"
)

// parse parses one payload and returns what it means as the struct of its
// type, or nil for a type that RFC 9113 does not define.
func parse(h Header, p []byte) (any, error) {
	switch h.Type {
	case TypeData:
		return ParseData(h, p)
	case TypeHeaders:
		return ParseHeaders(h, p)
	case TypePriority:
		return ParsePriority(h, p)
	case TypeRSTStream:
		return ParseRSTStream(h, p)
	case TypeSettings:
		return ParseSettings(h, p)
	case TypePushPromise:
		return ParsePushPromise(h, p)
	case TypePing:
		return ParsePing(h, p)
	case TypeGoAway:
		return ParseGoAway(h, p)
	case TypeWindowUpdate:
		return ParseWindowUpdate(h, p)
	case TypeContinuation:
		return ParseContinuation(h, p)
	}
	return nil, nil
}

// head returns the header of a frame with payload p.
func head(t Type, f Flags, id uint32, p []byte) Header {
	return Header{Length: uint32(len(p)), Type: t, Flags: f, StreamID: id}
}

// asError returns err as an *Error; it fails if it is another error.
func asError(t testing.TB, err error) *Error {
	t.Helper()
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v has type %T, want *Error", err, err)
	}
	return e
}

func TestHeader(t *testing.T) {
	for _, tc := range []struct {
		name string
		wire string
		want Header
		str  string
	}{
		{"an empty SETTINGS", "\x00\x00\x00\x04\x00\x00\x00\x00\x00",
			Header{0, TypeSettings, 0, 0}, "SETTINGS stream=0 len=0"},
		{"a receipt for SETTINGS", "\x00\x00\x00\x04\x01\x00\x00\x00\x00",
			Header{0, TypeSettings, FlagAck, 0}, "SETTINGS stream=0 len=0 ACK"},
		{"HEADERS with all of its flags", "\x00\x00\x28\x01\x2d\x00\x00\x00\x01",
			Header{40, TypeHeaders, 0x2d, 1}, "HEADERS stream=1 len=40 END_STREAM|END_HEADERS|PADDED|PRIORITY"},
		{"flags that DATA does not have", "\x00\x00\x00\x00\xf6\x00\x00\x00\x03",
			Header{0, TypeData, 0xf6, 3}, "DATA stream=3 len=0 0x2|0x4|0x10|0x20|0x40|0x80"},
		{"each octet in its place", "\x01\x02\x03\x09\x04\x05\x06\x07\x08",
			Header{0x010203, TypeContinuation, FlagEndHeaders, 0x05060708}, "CONTINUATION stream=84281096 len=66051 END_HEADERS"},
		{"the largest of everything", "\xff\xff\xff\xff\x00\x7f\xff\xff\xff",
			Header{MaxMaxFrameSize, 0xff, 0, MaxStreamID}, "FRAME_TYPE_0xff stream=2147483647 len=16777215"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := ParseHeader([]byte(tc.wire)); got != tc.want {
				t.Errorf("ParseHeader(%x) = %+v, want %+v", tc.wire, got, tc.want)
			}
			h := tc.want
			got := AppendHeader([]byte("x"), int(h.Length), h.Type, h.Flags, h.StreamID)
			if string(got) != "x"+tc.wire {
				t.Errorf("AppendHeader = %x, want %x after an x", got, tc.wire)
			}
			b := []byte("0123456789")
			PutHeader(b, int(h.Length), h.Type, h.Flags, h.StreamID)
			if string(b) != tc.wire+"9" {
				t.Errorf("PutHeader wrote %x, want %x and the rest unchanged", b, tc.wire)
			}
			if got := h.String(); got != tc.str {
				t.Errorf("String() = %q, want %q", got, tc.str)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for _, tc := range []struct {
		got  interface{ String() string }
		want string
	}{
		{TypeData, "DATA"}, {TypeHeaders, "HEADERS"}, {TypePriority, "PRIORITY"},
		{TypeRSTStream, "RST_STREAM"}, {TypeSettings, "SETTINGS"}, {TypePushPromise, "PUSH_PROMISE"},
		{TypePing, "PING"}, {TypeGoAway, "GOAWAY"}, {TypeWindowUpdate, "WINDOW_UPDATE"},
		{TypeContinuation, "CONTINUATION"}, {Type(0xa), "FRAME_TYPE_0xa"},
		{SettingHeaderTableSize, "SETTINGS_HEADER_TABLE_SIZE"}, {SettingEnablePush, "SETTINGS_ENABLE_PUSH"},
		{SettingMaxConcurrentStreams, "SETTINGS_MAX_CONCURRENT_STREAMS"},
		{SettingInitialWindowSize, "SETTINGS_INITIAL_WINDOW_SIZE"},
		{SettingMaxFrameSize, "SETTINGS_MAX_FRAME_SIZE"},
		{SettingMaxHeaderListSize, "SETTINGS_MAX_HEADER_LIST_SIZE"},
		{SettingID(0), "SETTINGS_0x0"}, {SettingID(7), "SETTINGS_0x7"}, {SettingID(0xffff), "SETTINGS_0xffff"},
		{Setting{SettingEnablePush, 0}, "SETTINGS_ENABLE_PUSH=0"},
		{CodeNoError, "NO_ERROR"}, {CodeHTTP11Required, "HTTP_1_1_REQUIRED"},
	} {
		if got := tc.got.String(); got != tc.want {
			t.Errorf("%T(%d).String() = %q, want %q", tc.got, tc.got, got, tc.want)
		}
	}
}

// TestErrorText pins the text, because it travels in GOAWAY and in the status
// of every call that a broken connection ends.
func TestErrorText(t *testing.T) {
	for _, tc := range []struct {
		h    Header
		p    string
		want string
	}{
		{Header{Type: TypeSettings}, "1234567", "http2 frame: SETTINGS length 7 is not a multiple of 6"},
		{Header{Type: TypePing, StreamID: 5}, "12345678", "http2 frame: PING on stream 5"},
		{Header{Type: TypeData}, "", "http2 frame: DATA on stream 0"},
		{Header{Type: TypeData, Flags: FlagPadded, StreamID: 1}, "\x03abc", ""},
		{Header{Type: TypeData, Flags: FlagPadded, StreamID: 1}, "\x04abc", "http2 frame: DATA padding 4 exceeds its payload of 4"},
		{Header{Type: TypeSettings}, "\x00\x05\x00\x00\x00\x00",
			"http2 frame: SETTINGS_MAX_FRAME_SIZE=0 is not within 16384 and 16777215"},
		{Header{Type: TypeWindowUpdate, StreamID: 3}, "\x00\x00\x00\x00", "http2 frame: WINDOW_UPDATE increment is 0"},
	} {
		_, err := parse(tc.h, []byte(tc.p))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("parse(%v, %q) error = %q, want %q", tc.h, tc.p, got, tc.want)
		}
	}
}

// validFrames has one frame of each shape, and tells which shorter payloads
// under the same header are frames as well. The fuzz targets start from it.
var validFrames = []struct {
	name    string
	h       Header
	payload string
	fits    func(n int) bool
}{
	{"DATA", Header{Type: TypeData, StreamID: 1}, "hello", func(int) bool { return true }},
	{"DATA padded", Header{Type: TypeData, Flags: FlagPadded | FlagEndStream, StreamID: 1}, "\x03hello\x00\x00\x00",
		func(n int) bool { return n >= 4 }},
	{"HEADERS", Header{Type: TypeHeaders, Flags: FlagEndHeaders, StreamID: 1}, "\x82\x86\x84", func(int) bool { return true }},
	{"HEADERS padded, with priority", Header{Type: TypeHeaders, Flags: FlagEndHeaders | FlagPadded | FlagPriority, StreamID: 1},
		"\x02\x80\x00\x00\x03\x0f\x82\x86\x84\x00\x00", func(n int) bool { return n >= 8 }},
	{"PRIORITY", Header{Type: TypePriority, StreamID: 1}, "\x80\x00\x00\x03\x0f", func(n int) bool { return n == 5 }},
	{"RST_STREAM", Header{Type: TypeRSTStream, StreamID: 1}, "\x00\x00\x00\x08", func(n int) bool { return n == 4 }},
	{"SETTINGS", Header{Type: TypeSettings}, "\x00\x02\x00\x00\x00\x00\x00\x04\x00\x01\x00\x00", func(n int) bool { return n%6 == 0 }},
	{"SETTINGS ack", Header{Type: TypeSettings, Flags: FlagAck}, "", func(int) bool { return true }},
	{"PUSH_PROMISE", Header{Type: TypePushPromise, Flags: FlagEndHeaders | FlagPadded, StreamID: 1},
		"\x01\x00\x00\x00\x02\x82\x00", func(n int) bool { return n >= 6 }},
	{"PING", Header{Type: TypePing, Flags: FlagAck}, "\x01\x02\x03\x04\x05\x06\x07\x08", func(n int) bool { return n == 8 }},
	{"GOAWAY", Header{Type: TypeGoAway}, "\x00\x00\x00\x05\x00\x00\x00\x0btoo_many_pings", func(n int) bool { return n >= 8 }},
	{"WINDOW_UPDATE", Header{Type: TypeWindowUpdate, StreamID: 1}, "\x00\x00\x10\x00", func(n int) bool { return n == 4 }},
	{"CONTINUATION", Header{Type: TypeContinuation, Flags: FlagEndHeaders, StreamID: 1}, "\x82\x86", func(int) bool { return true }},
}

// TestTruncatedAtEveryByte cuts each frame after each octet of its payload.
// What is left is a frame if its type has no fixed layout up to there, and a
// *Error otherwise.
func TestTruncatedAtEveryByte(t *testing.T) {
	for _, tc := range validFrames {
		t.Run(tc.name, func(t *testing.T) {
			for n := range len(tc.payload) + 1 {
				// An exact capacity, so that reading past the end panics.
				p := []byte(tc.payload)[:n:n]
				h := tc.h
				h.Length = uint32(n)
				_, err := parse(h, p)
				e := asError(t, err)
				switch {
				case tc.fits(n) && e != nil:
					t.Errorf("with %d octets: %v, want a frame", n, e)
				case !tc.fits(n) && e == nil:
					t.Errorf("with %d octets: no error", n)
				case e != nil && e.Code != CodeFrameSize && e.Code != CodeProtocol:
					t.Errorf("with %d octets: code %v", n, e.Code)
				}
			}
		})
	}
}
