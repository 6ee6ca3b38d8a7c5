package frame

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"
)

// FuzzAppend appends frames of all types that we send with any values, one
// after another into one buffer, and parses the buffer. x/net's Framer has to
// write the same octets.
func FuzzAppend(f *testing.F) {
	f.Add(uint32(1), uint32(65535), true, []byte("hello"))
	f.Add(uint32(MaxStreamID), uint32(0), false, []byte{})
	f.Add(uint32(3), uint32(1<<31), false, bytes.Repeat([]byte("x"), MinMaxFrameSize+1))
	f.Fuzz(func(t *testing.T, id, v uint32, flag bool, p []byte) {
		if len(p) > 1<<20 {
			return
		}
		appendWithBoth(t, id, v, flag, p)
		id = max(id&MaxStreamID, 1)
		increment := max(v&MaxWindow, 1)
		setting := Setting{SettingMaxConcurrentStreams, v}
		data := [8]byte{}
		copy(data[:], p)

		b := append(AppendDataHeader(nil, id, flag, len(p)), p...)
		b = AppendRSTStream(b, id, ErrCode(v))
		b = AppendSettings(b, setting)
		b = AppendSettingsAck(b)
		b = AppendPing(b, flag, data)
		b = AppendGoAway(b, id, ErrCode(v), string(p))
		b = AppendWindowUpdate(b, id, increment)
		b = AppendHeaders(b, id, flag, p, MinMaxFrameSize)

		want := []any{
			Data{Payload: p, EndStream: flag},
			RSTStream{ErrCode(v)},
			setting,
			Settings{Ack: true, p: []byte{}},
			Ping{data, flag},
			GoAway{id, ErrCode(v), p[:min(len(p), MaxGoAwayDebug)]},
			WindowUpdate{increment},
		}
		for i, w := range want {
			h, got := next(t, &b)
			if s, ok := got.(Settings); ok && s.Len() == 1 {
				got = s.At(0)
			}
			if !reflect.DeepEqual(got, w) {
				t.Fatalf("frame %d, %v: read %+v, wrote %+v", i, h, got, w)
			}
		}
		_, got := next(t, &b)
		first := got.(Headers)
		block, done := first.Block, first.EndHeaders
		for !done {
			_, got := next(t, &b)
			c := got.(Continuation)
			block, done = append(block[:len(block):len(block)], c.Block...), c.EndHeaders
		}
		if !bytes.Equal(block, p) || first.EndStream != flag || len(b) != 0 {
			t.Fatalf("read a block of %d octets and END_STREAM %v, wrote %d and %v; %d octets left", len(block), first.EndStream, len(p), flag, len(b))
		}
	})
}

// next parses the frame at the start of *b, as a read loop does, and steps
// over it.
func next(t *testing.T, b *[]byte) (Header, any) {
	t.Helper()
	h := ParseHeader(*b)
	if err := h.CheckLength(MaxMaxFrameSize); err != nil {
		t.Fatal(err)
	}
	f, err := parse(h, (*b)[HeaderLen:][:h.Length])
	if err != nil {
		t.Fatal(err)
	}
	*b = (*b)[HeaderLen+h.Length:]
	return h, f
}

// FuzzParse checks what holds for every frame, valid or not: errors are ours
// and name a stream only where the frame did; slices lie within the payload;
// the octets of DATA and its padding add up, since windows are counted by them.
// And what x/net's Framer makes of the frame is the same, but for the intended
// differences.
func FuzzParse(f *testing.F) {
	for _, v := range validFrames {
		f.Add(append(AppendHeader(nil, len(v.payload), v.h.Type, v.h.Flags, v.h.StreamID), v.payload...))
		for n := range len(v.payload) {
			f.Add(append(AppendHeader(nil, n, v.h.Type, v.h.Flags|FlagPadded, v.h.StreamID^1), v.payload[:n]...))
		}
	}
	f.Add([]byte("\x00\x00\x00\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		if len(wire) < HeaderLen {
			return
		}
		h, p := ParseHeader(wire), wire[HeaderLen:]
		if h.Type <= TypeContinuation && len(p) <= MaxMaxFrameSize {
			// The reserved bit of the stream goes onto the wire, for both to ignore.
			id := binary.BigEndian.Uint32(wire[5:])
			compare(t, append(AppendHeader(nil, len(p), h.Type, h.Flags, id), p...))
		}
		if h.StreamID > MaxStreamID || h.Length > MaxMaxFrameSize {
			t.Fatalf("invariant broken: %+v", h)
		}
		got, err := parse(h, p)
		if e := asError(t, err); e != nil {
			if e.StreamID != 0 && e.StreamID != h.StreamID || e.Code == CodeNoError || e.Reason == "" {
				t.Fatalf("%v: bad error %+v", h, e)
			}
			return
		}
		var part []byte
		switch v := got.(type) {
		case Data:
			part = v.Payload
			if len(v.Payload)+v.Padding != len(p) {
				t.Fatalf("%v: %d octets of data and %d of padding in a payload of %d", h, len(v.Payload), v.Padding, len(p))
			}
		case Headers:
			part = v.Block
		case PushPromise:
			part = v.Block
		case Continuation:
			part = v.Block
		case GoAway:
			part = v.Debug
		case Settings:
			for i := range v.Len() {
				if err := v.At(i).Valid(); err != nil {
					t.Fatalf("%v: passed with %v", h, err)
				}
			}
		}
		if len(part) > len(p) || !bytes.Contains(p, part) {
			t.Fatalf("%v: %x is no part of the payload %x", h, part, p)
		}
	})
}
