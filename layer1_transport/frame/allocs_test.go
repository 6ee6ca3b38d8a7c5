//go:build !race

package frame

import "testing"

// TestAllocsParse: a valid frame of any type costs no allocation.
func TestAllocsParse(t *testing.T) {
	for _, v := range validFrames {
		wire := append(AppendHeader(nil, len(v.payload), v.h.Type, v.h.Flags, v.h.StreamID), v.payload...)
		if n := testing.AllocsPerRun(100, func() { parseOnly(t, wire) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", v.name, n)
		}
	}
}

// parseOnly is parse without the interface that the result is put into there.
func parseOnly(t testing.TB, wire []byte) {
	h := ParseHeader(wire)
	p := wire[HeaderLen:][:h.Length]
	err := h.CheckLength(MinMaxFrameSize)
	if err == nil {
		switch h.Type {
		case TypeData:
			_, err = ParseData(h, p)
		case TypeHeaders:
			_, err = ParseHeaders(h, p)
		case TypePriority:
			_, err = ParsePriority(h, p)
		case TypeRSTStream:
			_, err = ParseRSTStream(h, p)
		case TypeSettings:
			_, err = ParseSettings(h, p)
		case TypePushPromise:
			_, err = ParsePushPromise(h, p)
		case TypePing:
			_, err = ParsePing(h, p)
		case TypeGoAway:
			_, err = ParseGoAway(h, p)
		case TypeWindowUpdate:
			_, err = ParseWindowUpdate(h, p)
		case TypeContinuation:
			_, err = ParseContinuation(h, p)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAllocsAppend: a frame that fits the buffer costs no allocation.
func TestAllocsAppend(t *testing.T) {
	buf := make([]byte, 0, 1024)
	block := make([]byte, 40)
	n := testing.AllocsPerRun(100, func() {
		b := AppendDataHeader(buf, 1, true, 5)
		b = AppendHeaders(b, 1, true, block, MinMaxFrameSize)
		b = AppendRSTStream(b, 1, CodeCancel)
		b = AppendSettings(b, Setting{SettingEnablePush, 0}, Setting{SettingMaxFrameSize, 1 << 20})
		b = AppendSettingsAck(b)
		b = AppendPing(b, true, [8]byte{1})
		b = AppendGoAway(b, 1, CodeEnhanceYourCalm, "too_many_pings")
		b = AppendWindowUpdate(b, 1, 1)
		PutHeader(b, 1, TypeData, 0, 1)
	})
	if n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// TestAllocsStreamError: errors that a peer can cause without end on one
// connection cost one small allocation each.
func TestAllocsStreamError(t *testing.T) {
	zero := make([]byte, 4)
	h := head(TypeWindowUpdate, 0, 1, zero)
	n := testing.AllocsPerRun(100, func() {
		if _, err := ParseWindowUpdate(h, zero); err == nil {
			t.Fatal("no error")
		}
	})
	if n > 1 {
		t.Errorf("%v allocations, want at most 1", n)
	}
}
