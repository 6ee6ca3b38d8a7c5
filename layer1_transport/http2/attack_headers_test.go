package http2

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// TestContinuationFlood: attacks B1 and B2, CVE-2023-45288 and CVE-2026-33871.
// Full CONTINUATION frames and empty ones end the connection after a few.
func TestContinuationFlood(t *testing.T) {
	for _, fragment := range []string{"", "x", strings.Repeat("\xff", frame.MinMaxFrameSize)} {
		a := newAttacker(t, server, Config{})
		if err := a.send(frame.AppendHeader(nil, 0, frame.TypeHeaders, 0, 1)); err != nil {
			t.Fatal(err)
		}
		n, err := a.repeat(1000, 0, func(uint32) []byte {
			return append(frame.AppendHeader(nil, len(fragment), frame.TypeContinuation, 0, 1), fragment...)
		})
		if n != maxContinuations {
			t.Errorf("%d CONTINUATION frames of %d bytes were taken, want %d", n, len(fragment), maxContinuations)
		}
		wantCode(t, err, frame.CodeEnhanceYourCalm)
	}
}

// block appends HEADERS and as many CONTINUATION frames as the block takes.
func block(b []byte, id uint32, flags frame.Flags, p []byte) []byte {
	return frame.AppendHeaders(b, id, flags.Has(frame.FlagEndStream), p, frame.MinMaxFrameSize)
}

// TestHeaderBombs: attacks B3 and B4, CVE-2016-6581 and CVE-2026-49975. A block
// of a few bytes that stands for a list of megabytes ends its call, costs
// little, and leaves the table in step: B7.
func TestHeaderBombs(t *testing.T) {
	for _, tc := range []struct {
		name string
		seed hpack.HeaderField // what the block repeats
	}{
		{"a long field", hpack.HeaderField{Name: "x-long", Value: strings.Repeat("v", 3900)}},
		{"a field without a value", hpack.HeaderField{Name: "x"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newAttacker(t, server, Config{})
			var buf bytes.Buffer
			enc := hpack.NewEncoder(&buf)
			write := func(f hpack.HeaderField) {
				if err := enc.WriteField(f); err != nil {
					t.Fatal(err)
				}
			}
			request := []hpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/a/b"}, tc.seed}
			before := 0
			for id := uint32(1); id < 200; id += 2 {
				if id == 21 {
					before = heap()
				}
				buf.Reset()
				for _, f := range request {
					write(f)
				}
				bomb := append(buf.Bytes(), bytes.Repeat([]byte{0xbe}, 16000)...) // the newest entry: the seed
				if err := a.send(block(nil, id, 0, bomb)); err != nil {
					t.Fatal(err)
				}
			}
			if a.accepted != 0 {
				t.Errorf("%d bombs were accepted", a.accepted)
			}
			if grown := heap() - before; !raceDetector && grown > 64<<10 {
				t.Errorf("the heap grew by %d KiB", grown>>10)
			}
			buf.Reset()
			for _, f := range request {
				write(f) // the seed as an index
			}
			if err := a.send(block(nil, 1001, 0, buf.Bytes())); err != nil || a.accepted != 1 {
				t.Fatalf("the call after the bombs: %v", err)
			}
			h := &a.handlers[0].st.recv.headers
			if v, ok := h.Get(tc.seed.Name); h.Len() != 1 || !ok || v != tc.seed.Value {
				t.Error("the table is out of step")
			}
		})
	}
}

// TestEmptyNames: attack B5, CVE-2019-9516.
func TestEmptyNames(t *testing.T) {
	a := newAttacker(t, server, Config{FaultBurst: 1 << 30})
	a.repeat(100, 1, emptyNames)
	before := heap()
	if n, err := a.repeat(10000, 1001, emptyNames); err != nil || a.accepted != 0 {
		t.Errorf("after %d requests, %d of them accepted: %v", n, a.accepted, err)
	}
	if grown := heap() - before; !raceDetector && grown > 16<<10 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

func emptyNames(id uint32) []byte { return fields(nil, id, frame.FlagEndStream, "", "", "", "") }

// TestStringLengths: attack B6, CVE-2023-33953. A length of many octets, and one
// that the block does not have, end the connection before there is memory for
// the string.
func TestStringLengths(t *testing.T) {
	for _, text := range []string{
		"\x00\x7f\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",             // 2^63 and more
		"\x00\x7f\xff\xff\xff\xff\x07x",                                // 2 GiB
		"\x00\xff\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", // never ends
	} {
		a := newAttacker(t, server, Config{})
		wantCode(t, a.send(block(nil, 1, 0, []byte(text))), frame.CodeCompression)
	}
}

// TestTableOfThePeer: attack B8. However large a table the peer offers, the one
// that we keep for it has the default size, whatever answers hold.
func TestTableOfThePeer(t *testing.T) {
	a := newAttacker(t, server, Config{})
	if err := a.send(frame.AppendSettings(nil, frame.Setting{ID: frame.SettingHeaderTableSize, Val: 1<<32 - 1})); err != nil {
		t.Fatal(err)
	}
	answer := func(from, n int) {
		for i := from; i < from+n; i++ {
			if err := a.send(request(nil, uint32(2*i+1), frame.FlagEndStream)); err != nil {
				t.Fatal(err)
			}
			h := a.handlers[0]
			a.handlers = a.handlers[:0]
			md := trailersOnly()
			md.Append("x-unique", fmt.Sprintf("%d %s", i, strings.Repeat("u", 4000)))
			a.s.perform(h.st, &transport.StreamOpBatch{Ops: transport.OpSendTrailingMetadata, OnComplete: h,
				SendTrailingMetadata: transport.SendTrailingMetadata{MD: md}})
			a.settle()
		}
	}
	answer(0, 100)
	before := heap()
	answer(100, 5000)
	if grown := heap() - before; !raceDetector && grown > 64<<10 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
}

// TestNamesAreNotKept: attack B10, CVE-2022-41717. What is remembered of names
// that come once does not grow with them.
func TestNamesAreNotKept(t *testing.T) {
	a := newAttacker(t, server, Config{})
	call := func(i int) {
		id := uint32(2*i + 1)
		name := fmt.Sprintf("x-%08d-%s", i, strings.Repeat("n", 100))
		if err := a.send(fields(nil, id, frame.FlagEndStream, ":method", "POST", ":scheme", "http", ":path", "/a/b", name, "v")); err != nil {
			t.Fatal(err)
		}
		a.finish()
		a.handlers = a.handlers[:0]
	}
	for i := range 1000 {
		call(i)
	}
	before := heap()
	for i := range 20000 {
		call(1000 + i)
	}
	if grown := heap() - before; !raceDetector && grown > 16<<10 {
		t.Errorf("the heap grew by %d bytes with 20000 names", grown)
	}
}

// TestTinyHeaderListOfThePeer: attack B12. A peer that takes no header lists gets
// none, and each call ends.
func TestTinyHeaderListOfThePeer(t *testing.T) {
	for _, limit := range []uint32{0, 1} {
		settings := frame.AppendSettings(nil, frame.Setting{ID: frame.SettingMaxHeaderListSize, Val: limit})

		a := newAttacker(t, server, Config{})
		if err := a.send(request(settings, 1, frame.FlagEndStream)); err != nil {
			t.Fatal(err)
		}
		a.finish()
		if a.running != 0 || a.sent[frame.TypeRSTStream] != 1 {
			t.Errorf("limit %d: %d handlers run on, %v was sent", limit, a.running, a.sent)
		}

		a = newAttacker(t, client, Config{})
		if err := a.send(settings); err != nil {
			t.Fatal(err)
		}
		h := &attacked{a: a, st: a.c.NewStream().(*stream), refs: 1}
		h.st.Init(h, nil)
		a.s.perform(h.st, sendHeaders(h))
		a.settle()
		if code := status.CodeOf(h.st.err); code != status.ResourceExhausted || a.sent[frame.TypeHeaders] != 0 {
			t.Errorf("limit %d: a call of a client ended with %v, and %v was sent", limit, h.st.err, a.sent)
		}
	}
}

// TestFrameSizeOfThePeer: attack B13, CVE-2026-33814. RFC 9113 §6.5.2.
func TestFrameSizeOfThePeer(t *testing.T) {
	for _, r := range []role{client, server} {
		for _, size := range []uint32{0, 1, frame.MinMaxFrameSize - 1, frame.MaxMaxFrameSize + 1} {
			a := newAttacker(t, r, Config{})
			wantCode(t, a.send(frame.AppendSettings(nil, frame.Setting{ID: frame.SettingMaxFrameSize, Val: size})), frame.CodeProtocol)
		}
	}
}

// TestHeaderLimits: the limits themselves, from both sides: 8 KiB, 128 fields,
// and on a client 16 informational responses.
func TestHeaderLimits(t *testing.T) {
	pairs := []string{":method", "POST", ":scheme", "http", ":path", "/a/b"}
	many := func(n int) []string { // n fields in all
		p := pairs
		for range n - 3 {
			p = append(p, "x", "")
		}
		return p
	}
	long := func(size int) []string { // a list of that size
		p, left := pairs, size-(len(":method")+len("POST")+len(":scheme")+len("http")+len(":path")+len("/a/b")+3*32)
		for left > 0 {
			n := min(left, 140)
			if left-n > 0 && left-n < 34 {
				n = left - 34
			}
			p = append(p, "xx", strings.Repeat("v", n-34))
			left -= n
		}
		return p
	}
	for _, tc := range []struct {
		name   string
		fields []string
		ok     bool
	}{
		{"128 fields", many(maxHeaderFields), true},
		{"129 fields", many(maxHeaderFields + 1), false},
		{"8 KiB", long(defaultHeaderList), true},
		{"8 KiB and a byte", long(defaultHeaderList + 1), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newAttacker(t, server, Config{})
			if err := a.send(fields(nil, 1, frame.FlagEndStream, tc.fields...)); err != nil {
				t.Fatal(err)
			}
			if got := a.accepted == 1; got != tc.ok {
				t.Errorf("accepted = %v, want %v", got, tc.ok)
			}
		})
	}
	t.Run("informational", func(t *testing.T) {
		a := newAttacker(t, client, Config{})
		h := &attacked{a: a, st: a.c.NewStream().(*stream), refs: 1}
		h.st.Init(h, nil)
		a.s.perform(h.st, sendHeaders(h))
		n := 0
		for ; n < 100 && h.st.err == nil; n++ {
			if err := a.send(fields(nil, 1, 0, ":status", "103")); err != nil {
				t.Fatal(err)
			}
		}
		if n != maxInformational+1 {
			t.Errorf("%d informational responses were taken, want %d", n-1, maxInformational)
		}
	})
}
