package frame

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A specCase is a frame and what RFC 9113 §6 makes of it.
type specCase struct {
	name    string
	flags   Flags
	stream  uint32
	payload string

	want any // if there is no error

	code   ErrCode // CodeNoError if there is none
	reset  uint32  // the stream of a stream error
	reason string  // a part of the reason
}

// run parses every case as a frame of type typ.
func run(t *testing.T, typ Type, cases []specCase) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			p := []byte(tc.payload)
			h := head(typ, tc.flags, tc.stream, p)
			got, err := parse(h, p)
			e := asError(t, err)
			if tc.code == CodeNoError {
				if e != nil {
					t.Fatalf("%v: %v", h, e)
				}
				if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(Settings{})); diff != "" {
					t.Errorf("%v (-want +got):\n%s", h, diff)
				}
				return
			}
			if e == nil {
				t.Fatalf("%v: no error, want %v", h, tc.code)
			}
			if e.Code != tc.code || e.StreamID != tc.reset {
				t.Errorf("%v: %v on stream %d, want %v on stream %d", h, e.Code, e.StreamID, tc.code, tc.reset)
			}
			if !strings.Contains(e.Reason, tc.reason) || !strings.Contains(e.Error(), typ.String()) {
				t.Errorf("%v: error %q, want %q and the type in it", h, e, tc.reason)
			}
		})
	}
}

func TestRFC9113_4_1_ReservedBitIsIgnored(t *testing.T) {
	h := ParseHeader([]byte("\x00\x00\x00\x00\x00\x80\x00\x00\x07"))
	if h.StreamID != 7 {
		t.Errorf("StreamID = %d, want 7", h.StreamID)
	}
}

func TestRFC9113_4_2_FrameSize(t *testing.T) {
	for typ := TypeData; typ <= TypeContinuation+1; typ++ {
		h := Header{Length: MinMaxFrameSize, Type: typ, StreamID: 1}
		if err := h.CheckLength(MinMaxFrameSize); err != nil {
			t.Errorf("%v: %v, want none at the limit", h, err)
		}
		h.Length++
		e := asError(t, h.CheckLength(MinMaxFrameSize))
		if e == nil || e.Code != CodeFrameSize || e.StreamID != 0 {
			t.Errorf("%v: %v, want a connection error FRAME_SIZE_ERROR", h, e)
		}
	}
}

func TestRFC9113_6_1_Data(t *testing.T) {
	run(t, TypeData, []specCase{
		{name: "all of the payload is data", stream: 1, payload: "abc", want: Data{Payload: []byte("abc")}},
		{name: "no data at all", flags: FlagEndStream, stream: 1, want: Data{Payload: []byte{}, EndStream: true}},
		{name: "padding counts with its length", flags: FlagPadded, stream: 3, payload: "\x02abc\x00\x00",
			want: Data{Payload: []byte("abc"), Padding: 3}},
		{name: "a padding of zero octets", flags: FlagPadded, stream: 3, payload: "\x00abc",
			want: Data{Payload: []byte("abc"), Padding: 1}},
		{name: "nothing but padding", flags: FlagPadded | FlagEndStream, stream: 3, payload: "\x02\x00\x00",
			want: Data{Payload: []byte{}, Padding: 3, EndStream: true}},
		{name: "padding that is not zero is let through", flags: FlagPadded, stream: 3, payload: "\x01ax",
			want: Data{Payload: []byte("a"), Padding: 2}},
		{name: "flags of other types are ignored", flags: 0xf6, stream: 3, payload: "abc", want: Data{Payload: []byte("abc")}},
		{name: "stream 0", payload: "abc", code: CodeProtocol, reason: "on stream 0"},
		{name: "padding as long as the payload", flags: FlagPadded, stream: 1, payload: "\x03ab",
			code: CodeProtocol, reason: "padding 3 exceeds"},
		{name: "padding longer than the payload", flags: FlagPadded, stream: 1, payload: "\xffab",
			code: CodeProtocol, reason: "padding 255 exceeds"},
		{name: "no octet for the padding length", flags: FlagPadded, stream: 1, code: CodeFrameSize, reason: "no Pad Length"},
	})
}

// TestRFC9113_6_1_Layout covers what ParseData does not need: a payload that
// is not there.
func TestRFC9113_6_1_Layout(t *testing.T) {
	h := Header{Length: 10, Type: TypeData, StreamID: 1}
	if l, err := LayoutData(h, 0xff); err != nil || l != (DataLayout{0, 10, 0}) {
		t.Errorf("without padding: %+v, %v; want 10 octets of data and the first octet ignored", l, err)
	}
	h.Flags = FlagPadded
	if l, err := LayoutData(h, 4); err != nil || l != (DataLayout{1, 5, 4}) {
		t.Errorf("with padding of 4: %+v, %v; want 1, 5, 4", l, err)
	}
	if l, err := LayoutData(h, 10); err == nil {
		t.Errorf("with padding of 10: %+v, want an error", l)
	}
}

func TestRFC9113_6_2_Headers(t *testing.T) {
	run(t, TypeHeaders, []specCase{
		{name: "a block", flags: FlagEndHeaders, stream: 1, payload: "blk", want: Headers{Block: []byte("blk"), EndHeaders: true}},
		{name: "a first fragment", flags: FlagEndStream, stream: 1, payload: "b", want: Headers{Block: []byte("b"), EndStream: true}},
		{name: "an empty fragment", stream: 1, want: Headers{Block: []byte{}}},
		{name: "padding is removed", flags: FlagPadded, stream: 1, payload: "\x02blk\x00\x00", want: Headers{Block: []byte("blk")}},
		{name: "padding fills all", flags: FlagPadded, stream: 1, payload: "\x02\x00\x00", want: Headers{Block: []byte{}}},
		{name: "priority is removed", flags: FlagPriority, stream: 1, payload: "\x00\x00\x00\x03\x10blk", want: Headers{Block: []byte("blk")}},
		{name: "padding and priority", flags: FlagPriority | FlagPadded, stream: 1, payload: "\x01\x00\x00\x00\x03\x10blk\x00",
			want: Headers{Block: []byte("blk")}},
		{name: "self-dependency leaves the block to be decoded", flags: FlagPriority, stream: 3, payload: "\x80\x00\x00\x03\x10blk",
			want: Headers{Block: []byte("blk"), SelfDependent: true}},
		{name: "stream 0", payload: "blk", code: CodeProtocol, reason: "on stream 0"},
		{name: "padding that takes more than the block ends the connection", flags: FlagPadded, stream: 1, payload: "\x03bl",
			code: CodeProtocol, reason: "padding 3 exceeds"},
		{name: "padding that reaches into the priority", flags: FlagPriority | FlagPadded, stream: 1, payload: "\x01\x00\x00\x00\x03\x10",
			code: CodeProtocol, reason: "padding 1 exceeds"},
		{name: "no octet for the padding length", flags: FlagPadded, stream: 1, code: CodeFrameSize, reason: "no Pad Length"},
		{name: "four of five octets of priority", flags: FlagPriority, stream: 1, payload: "\x00\x00\x00\x03",
			code: CodeFrameSize, reason: "too short"},
		{name: "padding length and four octets of priority", flags: FlagPriority | FlagPadded, stream: 1, payload: "\x00\x00\x00\x00\x03",
			code: CodeFrameSize, reason: "too short"},
	})
}

func TestRFC9113_6_3_Priority(t *testing.T) {
	run(t, TypePriority, []specCase{
		{name: "exclusive", stream: 1, payload: "\x80\x00\x00\x03\x0f", want: Priority{3, true, 15}},
		{name: "of the root", stream: 1, payload: "\x00\x00\x00\x00\xff", want: Priority{0, false, 255}},
		{name: "stream 0", payload: "\x80\x00\x00\x03\x0f", code: CodeProtocol, reason: "on stream 0"},
		{name: "four octets are a stream error", stream: 7, payload: "\x80\x00\x00\x03", code: CodeFrameSize, reset: 7, reason: "not 5"},
		{name: "six octets are a stream error", stream: 7, payload: "\x80\x00\x00\x03\x00\x00", code: CodeFrameSize, reset: 7},
		{name: "self-dependency is a stream error", stream: 3, payload: "\x80\x00\x00\x03\x0f", code: CodeProtocol, reset: 3, reason: "itself"},
	})
}

func TestRFC9113_6_4_RSTStream(t *testing.T) {
	run(t, TypeRSTStream, []specCase{
		{name: "a known code", stream: 1, payload: "\x00\x00\x00\x08", want: RSTStream{CodeCancel}},
		{name: "an unknown code is kept", stream: 1, payload: "\xff\xff\xff\xff", want: RSTStream{0xffffffff}},
		{name: "stream 0", payload: "\x00\x00\x00\x08", code: CodeProtocol, reason: "on stream 0"},
		{name: "three octets", stream: 1, payload: "\x00\x00\x00", code: CodeFrameSize, reason: "length 3 is not 4"},
		{name: "five octets", stream: 1, payload: "\x00\x00\x00\x08\x00", code: CodeFrameSize},
	})
}

func TestRFC9113_6_5_Settings(t *testing.T) {
	entry := "\x00\x04\x00\x01\x00\x00"
	run(t, TypeSettings, []specCase{
		{name: "none", want: Settings{p: []byte{}}},
		{name: "a receipt", flags: FlagAck, want: Settings{Ack: true, p: []byte{}}},
		{name: "one", payload: entry, want: Settings{p: []byte(entry)}},
		{name: "unknown identifiers pass", payload: "\xfe\x03\xff\xff\xff\xff", want: Settings{p: []byte("\xfe\x03\xff\xff\xff\xff")}},
		{name: "duplicates pass", payload: entry + entry, want: Settings{p: []byte(entry + entry)}},
		{name: "a stream", stream: 1, code: CodeProtocol, reason: "on stream 1"},
		{name: "a receipt with a payload", flags: FlagAck, payload: entry, code: CodeFrameSize, reason: "ACK"},
		{name: "five octets", payload: entry[:5], code: CodeFrameSize, reason: "length 5 is not a multiple"},
		{name: "seven octets", payload: entry + "\x00", code: CodeFrameSize},
		{name: "a wrong value after a right one", payload: entry + "\x00\x05\x00\x00\x00\x00", code: CodeProtocol, reason: "MAX_FRAME_SIZE=0"},
	})
}

func TestRFC9113_6_5_2_Values(t *testing.T) {
	for _, tc := range []struct {
		s    Setting
		want ErrCode
	}{
		{Setting{SettingEnablePush, 0}, CodeNoError},
		{Setting{SettingEnablePush, 1}, CodeNoError},
		{Setting{SettingEnablePush, 2}, CodeProtocol},
		{Setting{SettingInitialWindowSize, MaxWindow}, CodeNoError},
		{Setting{SettingInitialWindowSize, MaxWindow + 1}, CodeFlowControl},
		{Setting{SettingMaxFrameSize, 0}, CodeProtocol},
		{Setting{SettingMaxFrameSize, MinMaxFrameSize - 1}, CodeProtocol},
		{Setting{SettingMaxFrameSize, MinMaxFrameSize}, CodeNoError},
		{Setting{SettingMaxFrameSize, MaxMaxFrameSize}, CodeNoError},
		{Setting{SettingMaxFrameSize, MaxMaxFrameSize + 1}, CodeProtocol},
		{Setting{SettingHeaderTableSize, 1<<32 - 1}, CodeNoError},
		{Setting{SettingMaxConcurrentStreams, 0}, CodeNoError},
		{Setting{SettingMaxHeaderListSize, 0}, CodeNoError},
		{Setting{0, 1<<32 - 1}, CodeNoError},
	} {
		b := AppendSettings(nil, Setting{SettingMaxConcurrentStreams, 1}, tc.s)
		h := ParseHeader(b)
		s, err := ParseSettings(h, b[HeaderLen:])
		got := CodeNoError
		if e := asError(t, err); e != nil {
			got = e.Code
			if e.StreamID != 0 {
				t.Errorf("%v: an error on stream %d", tc.s, e.StreamID)
			}
		} else if s.Len() != 2 || s.At(1) != tc.s {
			t.Errorf("%v: parsed as %d settings, the last %v", tc.s, s.Len(), s.At(s.Len()-1))
		}
		if got != tc.want {
			t.Errorf("%v: %v, want %v", tc.s, got, tc.want)
		}
	}
}

func TestRFC9113_6_6_PushPromise(t *testing.T) {
	run(t, TypePushPromise, []specCase{
		{name: "a promise", flags: FlagEndHeaders, stream: 1, payload: "\x80\x00\x00\x02blk", want: PushPromise{2, []byte("blk"), true}},
		{name: "a padded promise", flags: FlagPadded, stream: 1, payload: "\x01\x00\x00\x00\x02blk\x00", want: PushPromise{2, []byte("blk"), false}},
		{name: "stream 0", payload: "\x00\x00\x00\x02blk", code: CodeProtocol, reason: "on stream 0"},
		{name: "stream 0 is promised", stream: 1, payload: "\x00\x00\x00\x00", code: CodeProtocol, reason: "promises stream 0"},
		{name: "a stream of the client is promised", stream: 1, payload: "\x00\x00\x00\x03", code: CodeProtocol, reason: "promises stream 3"},
		{name: "three octets", stream: 1, payload: "\x00\x00\x00", code: CodeFrameSize, reason: "too short"},
		{name: "padding that reaches into the identifier", flags: FlagPadded, stream: 1, payload: "\x01\x00\x00\x00\x02",
			code: CodeProtocol, reason: "padding 1"},
	})
}

func TestRFC9113_6_7_Ping(t *testing.T) {
	run(t, TypePing, []specCase{
		{name: "a question", payload: "12345678", want: Ping{Data: [8]byte([]byte("12345678"))}},
		{name: "an answer", flags: FlagAck, payload: "12345678", want: Ping{Data: [8]byte([]byte("12345678")), Ack: true}},
		{name: "a stream", stream: 1, payload: "12345678", code: CodeProtocol, reason: "on stream 1"},
		{name: "seven octets", payload: "1234567", code: CodeFrameSize, reason: "length 7 is not 8"},
		{name: "nine octets", payload: "123456789", code: CodeFrameSize},
	})
}

func TestRFC9113_6_8_GoAway(t *testing.T) {
	run(t, TypeGoAway, []specCase{
		{name: "without debug data", payload: "\x80\x00\x00\x05\x00\x00\x00\x00", want: GoAway{5, CodeNoError, []byte{}}},
		{name: "with debug data", payload: "\x7f\xff\xff\xff\x00\x00\x00\x0btoo_many_pings",
			want: GoAway{MaxStreamID, CodeEnhanceYourCalm, []byte("too_many_pings")}},
		{name: "a stream", stream: 1, payload: "\x00\x00\x00\x05\x00\x00\x00\x00", code: CodeProtocol, reason: "on stream 1"},
		{name: "seven octets", payload: "\x00\x00\x00\x05\x00\x00\x00", code: CodeFrameSize, reason: "length 7 is less than 8"},
	})
}

// TestGoAwayDebugIsCut: a frame that a peer with the smallest
// SETTINGS_MAX_FRAME_SIZE would refuse would hide why we left.
func TestGoAwayDebugIsCut(t *testing.T) {
	b := AppendGoAway(nil, 1, CodeProtocol, strings.Repeat("x", MinMaxFrameSize))
	h := ParseHeader(b)
	if h.Length != MinMaxFrameSize || len(b) != HeaderLen+MinMaxFrameSize {
		t.Errorf("length %d in %d octets, want the whole frame to be %d", h.Length, len(b), MinMaxFrameSize)
	}
}

func TestRFC9113_6_9_WindowUpdate(t *testing.T) {
	run(t, TypeWindowUpdate, []specCase{
		{name: "of a stream", stream: 1, payload: "\x00\x00\x10\x00", want: WindowUpdate{4096}},
		{name: "of the connection, reserved bit set", payload: "\xff\xff\xff\xff", want: WindowUpdate{MaxWindow}},
		{name: "three octets", stream: 1, payload: "\x00\x00\x01", code: CodeFrameSize, reason: "length 3 is not 4"},
		{name: "five octets", stream: 1, payload: "\x00\x00\x00\x01\x00", code: CodeFrameSize},
		{name: "a zero increment on a stream", stream: 5, payload: "\x00\x00\x00\x00", code: CodeProtocol, reset: 5, reason: "increment is 0"},
		{name: "a zero increment but for the reserved bit", stream: 5, payload: "\x80\x00\x00\x00", code: CodeProtocol, reset: 5},
		{name: "a zero increment on the connection", payload: "\x00\x00\x00\x00", code: CodeProtocol, reason: "increment is 0"},
	})
}

func TestRFC9113_6_10_Continuation(t *testing.T) {
	run(t, TypeContinuation, []specCase{
		{name: "the last fragment", flags: FlagEndHeaders, stream: 1, payload: "blk", want: Continuation{[]byte("blk"), true}},
		{name: "an empty fragment", stream: 1, want: Continuation{[]byte{}, false}},
		{name: "the PADDED flag means nothing here", flags: FlagPadded, stream: 1, payload: "\xffk", want: Continuation{[]byte("\xffk"), false}},
		{name: "stream 0", payload: "blk", code: CodeProtocol, reason: "on stream 0"},
	})
}

// TestRFC9113_6_10_BlockIsSplit puts a block of every interesting length
// together again and checks what stands on each piece.
func TestRFC9113_6_10_BlockIsSplit(t *testing.T) {
	const limit = MinMaxFrameSize
	for _, tc := range []struct {
		size, max int
		want      []int // lengths of the frames
	}{
		{0, limit, []int{0}},
		{1, limit, []int{1}},
		{limit, limit, []int{limit}},
		{limit + 1, limit, []int{limit, 1}},
		{3 * limit, limit, []int{limit, limit, limit}},
		{limit + 1, limit + 1, []int{limit + 1}},
		{limit + 1, 0, []int{limit, 1}}, // the limit of a peer is never that low
		{limit + 1, -1, []int{limit, 1}},
	} {
		block := bytes.Repeat([]byte("0123456789abcdefg"), tc.size/17+1)[:tc.size]
		wire := AppendHeaders(nil, 7, true, block, tc.max)
		var got []int
		var whole []byte
		for i := 0; len(wire) > 0; i++ {
			h := ParseHeader(wire)
			p := wire[HeaderLen:][:h.Length]
			wire = wire[HeaderLen+len(p):]
			got = append(got, len(p))
			whole = append(whole, p...)
			want := Header{uint32(len(p)), TypeContinuation, 0, 7}
			if i == 0 {
				want.Type, want.Flags = TypeHeaders, FlagEndStream
			}
			if len(wire) == 0 {
				want.Flags |= FlagEndHeaders
			}
			if h != want {
				t.Errorf("size %d, frame %d: %v, want %v", tc.size, i, h, want)
			}
		}
		if !cmp.Equal(got, tc.want) || !bytes.Equal(whole, block) {
			t.Errorf("size %d, limit %d: frames of %v, want %v; block equal: %v", tc.size, tc.max, got, tc.want, bytes.Equal(whole, block))
		}
	}
}
