package headerblock

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/strata-grpc/strata/layer1_transport/http2/coding"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// A plainDecoder has no cache: it gives every byte to an HPACK decoder, and
// every field to an assembler.
type plainDecoder struct{ hpack *hpack.Decoder }

// decode returns the list and the stream error of a block; err is an error of
// the connection.
func (d plainDecoder) decode(p []byte, kind Kind) (list metadata.List, fault *BlockError, err error) {
	asm := assembler{list: &list, kind: kind, limits: wide}
	d.hpack.SetEmitFunc(asm.field)
	for len(p) > 0 && isSizeUpdate(p[0]) { // hpack takes one only
		_, rest := varint(p, 5)
		if _, err := d.hpack.Write(p[:len(p)-len(rest)]); err != nil {
			return list, nil, err
		}
		if err := d.hpack.Close(); err != nil {
			return list, nil, err
		}
		p = rest
	}
	if _, err := d.hpack.Write(p); err != nil {
		return list, asm.err, err
	}
	if err := d.hpack.Close(); err != nil {
		return list, asm.err, err
	}
	fault, _ = asm.finish(t0).(*BlockError)
	return list, fault, nil
}

// sameAsPlain gives the blocks to a Decoder and to a plainDecoder and compares
// what they make of each, and their tables at the end.
func sameAsPlain(t testing.TB, blocks [][]byte, kindOf func(i int) Kind) {
	t.Helper()
	d, plain := NewDecoder(wide), plainDecoder{hpack.NewDecoder(tableSize, func(hpack.HeaderField) {})}
	for i, p := range blocks {
		var got metadata.List
		err := d.Decode(p, kindOf(i), &got, t0)
		want, fault, wantErr := plain.decode(p, kindOf(i))
		e, _ := err.(*BlockError)
		switch {
		case e != nil && !e.StreamOnly:
			// Ours is the stricter about size updates only: HPACK lets them
			// stand anywhere while the table is empty.
			if wantErr == nil && !strings.Contains(e.Reason, "size update") {
				t.Fatalf("block %d %x: %v, the plain decoder takes it", i, p, err)
			}
			return
		case wantErr != nil:
			// Behind a fault values are not looked at, so that bad Huffman
			// code in them is not found.
			if e == nil {
				t.Fatalf("block %d %x: taken, the plain decoder says %v", i, p, wantErr)
			}
			return
		case (e == nil) != (fault == nil) || e != nil && *e != *fault:
			t.Fatalf("block %d %x: %v, the plain decoder says %v", i, p, err, fault)
		case e == nil && show(&got) != show(&want):
			t.Fatalf("block %d %x:\ngot  %s\nwant %s", i, p, show(&got), show(&want))
		}
		checkList(t, &got, e)
	}
	d.hpack.SetEmitEnabled(true)
	for i := uint64(62); i < 62+130; i++ {
		got, gotErr := d.hpack.DecodeFull(index(i))
		plain.hpack.SetEmitFunc(func(hpack.HeaderField) {})
		want, wantErr := plain.hpack.DecodeFull(index(i))
		if fmt.Sprint(got) != fmt.Sprint(want) || (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("index %d: got %v %v, want %v %v", i, got, gotErr, want, wantErr)
		}
		if wantErr != nil {
			break
		}
	}
}

// checkList states what layers above may rely on.
func checkList(t testing.TB, l *metadata.List, e *BlockError) {
	t.Helper()
	if l.Len() > wide.Fields {
		t.Fatalf("%d pairs", l.Len())
	}
	if e != nil {
		return
	}
	for _, p := range l.Pairs() {
		reserved := coding.IsReserved(p.Key) && !strings.HasPrefix(p.Key, ":")
		if reserved || !coding.ValidName(p.Key) || !coding.IsBin(p.Key) && !coding.ValidValue(p.Value) {
			t.Fatalf("the pair %q = %q came through", p.Key, p.Value)
		}
	}
}

// split cuts fuzz input into blocks: a byte for the length, then the block.
func split(p []byte) [][]byte {
	var blocks [][]byte
	for len(p) > 0 && len(blocks) < 64 {
		n := min(int(p[0]), len(p)-1)
		blocks = append(blocks, p[1:1+n])
		p = p[1+n:]
	}
	return blocks
}

// pack is the inverse of split.
func pack(blocks ...[]byte) []byte {
	var p []byte
	for _, b := range blocks {
		p = append(append(p, byte(len(b))), b...)
	}
	return p
}

// FuzzDecodeCache: a hit means what decoding would mean.
func FuzzDecodeCache(f *testing.F) {
	for _, tc := range blockCases {
		b := block(tc.fields...)
		f.Add(uint8(tc.kind), pack(b, index(62), b, join(index(62), index(63))))
	}
	least := block(aRequest...)
	f.Add(uint8(0), pack(least, request(""), request("1S"), request("2S"), request("")))
	f.Add(uint8(0), pack(least, request(""), join(request(""), resize(0))))
	f.Add(uint8(0), pack(least, join(request(""), timeoutName, text("5S"), inserted("x", "1")), join(request(""), timeoutName, text("5S"))))
	between := func(value string) []byte {
		return join(index(63), index(64), index(65), timeoutName, text(value), index(62))
	}
	f.Add(uint8(0), pack(block(":path: /s/m", ":scheme: http", ":method: POST", "x: 1"), between("1S"), between("2S"), between("9X"), between("3S")))
	f.Add(uint8(0), pack(least, request(""), join(request(""), inserted("a", "1")), request(""), index(62)))
	f.Add(uint8(2), pack(block("a: 1"), index(62), index(62), join(resize(0), resize(4096)), index(62)))
	f.Add(uint8(2), pack([]byte{0xff}, []byte{0xff, 0x80}, []byte{0x3f}))
	f.Fuzz(func(t *testing.T, kind uint8, p []byte) {
		k := Kind(kind % 3)
		sameAsPlain(t, split(p), func(int) Kind { return k })
	})
}

// TestDecodeCacheProperty does the same with conversations that are likely to
// hit: few names and values, many indexes, an odd size update.
func TestDecodeCacheProperty(t *testing.T) {
	names := []string{"a", "a", "b", "b", "c", "a-bin", "grpc-status", "A"}
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 4711))
		name := func() string { return names[r.IntN(len(names))] }
		value := func() string { return strings.Repeat("A", r.IntN(3)*r.IntN(300)) }
		var blocks [][]byte
		for range 40 {
			var p []byte
			if r.IntN(15) == 0 {
				p = append(p, resize(uint64(r.IntN(4097)))...)
			}
			for range r.IntN(6) {
				switch n := r.IntN(40); {
				case n < 30:
					p = append(p, index(uint64([]int{8, 62, 63, 64, 65, 130}[min(r.IntN(7), 5)]))...)
				case n < 33:
					p = append(p, plain(name(), value())...)
				case n < 35:
					p = append(p, never(name(), value())...)
				case n < 39:
					p = append(p, inserted(name(), value())...)
				default:
					p = append(p, resize(4096)...)
				}
			}
			if bytes.Contains(p, index(130)) && r.IntN(4) > 0 {
				p = block("a: 1", "b: 2", "c: 3", "a-bin: AA") // an index that would end the run
			}
			blocks = append(blocks, p)
		}
		blocks = append([][]byte{block("a: 1", "b: 2", "c: 3", "a-bin: AA")}, blocks...)
		sameAsPlain(t, blocks, func(i int) Kind { return Trailers })
	}
}

// FuzzEncode: what an encoder writes for a list, a decoder gives back,
// whatever either has cached and however often the table is resized.
func FuzzEncode(f *testing.F) {
	f.Add("/s/m", "user", "x-id", "1", "x-bin", "\x00\xff", "not found: 世", uint32(5), int64(time.Second), uint32(4096))
	f.Add("", "", "a", "  b  ", "b-bin", "", "", uint32(0), int64(0), uint32(0))
	f.Add("/", "u", "host", "v", "", "v", "m", uint32(17), int64(-1), uint32(100))
	f.Fuzz(func(t *testing.T, path, agent, key1, value1, key2, value2, message string, code uint32, timeout int64, table uint32) {
		e, d := NewEncoder(), NewDecoder(Limits{ListSize: 1 << 20, Fields: 1000})
		headers := &metadata.List{Known: metadata.Known{Method: "POST", Scheme: "http", Path: "/" + path, UserAgent: agent}}
		headers.Append(key1, value1)
		headers.Append(key2, value2)
		if timeout != 0 {
			headers.Deadline = t0.Add(time.Duration(timeout))
		}
		trailers := &metadata.List{}
		trailers.SetStatus(code>>1, message)
		trailers.Append(key2, value1)
		for round := range 6 {
			if round == 3 {
				e.SetMaxTableSize(table)
				e.SetMaxTableSize(table / 2)
			}
			if !roundTrip(t, e, d, Request, headers) || !roundTrip(t, e, d, Trailers, trailers) {
				roundTrip(t, e, d, Request, call("/s/m", "a", "1"))
			}
		}
	})
}

// roundTrip sends list and reports whether it may be sent.
func roundTrip(t testing.TB, e *Encoder, d *Decoder, kind Kind, list *metadata.List) bool {
	p, err := e.Append(nil, list, t0)
	if err != nil {
		if len(p) != 0 {
			t.Fatalf("%v, but %x was appended", err, p)
		}
		return false
	}
	var got, want metadata.List
	if err := d.Decode(p, kind, &got, t0); err != nil {
		t.Fatalf("%s: block %x: %v", show(list), p, err)
	}
	want = *list
	want.Message = coding.DecodeMessage(coding.EncodeMessage(list.Message))
	want.Deadline = got.Deadline
	var trimmed metadata.List
	trimmed.CopyFrom(&want)
	for i, pair := range trimmed.Pairs() {
		if !coding.IsBin(pair.Key) {
			trimmed.Pairs()[i].Value = coding.TrimValue(pair.Value)
		}
	}
	if show(&got) != show(&trimmed) {
		t.Fatalf("got  %s\nwant %s", show(&got), show(&trimmed))
	}
	// The timeout is rounded up, by less than one part in 99,999,999 of the
	// largest number that fits, and never negative.
	if left, sent := got.Deadline.Sub(t0), max(list.Deadline.Sub(t0), 0); !list.Deadline.IsZero() && (left < sent || left-sent > time.Hour) {
		t.Fatalf("a timeout of %v arrives as %v", sent, left)
	}
	return true
}
