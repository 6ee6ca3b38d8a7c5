package encoding_test

import (
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// A bitWriter writes numbers of so many bits, the lowest first. RFC 1951 §3.1.1
type bitWriter struct {
	p    []byte
	last uint64
	n    uint
}

func (w *bitWriter) put(value uint64, bits uint) {
	w.last |= value << w.n
	for w.n += bits; w.n >= 8; w.n -= 8 {
		w.p = append(w.p, byte(w.last))
		w.last >>= 8
	}
}

// emptyBlock writes a block that declares its codes and holds nothing, of 15 bytes.
// A decoder makes its tables for it all the same. RFC 1951 §3.2.7
func (w *bitWriter) emptyBlock() {
	w.put(0, 1)  // not the last
	w.put(2, 2)  // dynamic codes
	w.put(29, 5) // 286 codes for literals and lengths
	w.put(29, 5) // 30 for distances
	w.put(15, 4) // 19 for the lengths of codes
	lengths := map[int]uint64{18: 1, 0: 2, 1: 2}
	for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15} {
		w.put(lengths[symbol], 3)
	}
	unused := func(codes uint64) { w.put(0, 1); w.put(codes-11, 7) } // symbol 18
	used := func() { w.put(3, 2) }                                   // symbol 1
	unused(138)
	unused(118)
	used() // 256, the end of the block
	used() // 257
	unused(28)
	used() // a distance
	unused(29)
	w.put(0, 1) // 256
}

// emptyBlocks returns gzip of n bytes or a few more, of which nothing comes.
func emptyBlocks(n int) *transport.Buffer {
	w := &bitWriter{p: []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}}
	for len(w.p) < n {
		w.emptyBlock()
	}
	w.put(1, 1) // the last block
	w.put(1, 2) // with fixed codes
	w.put(0, 7) // and nothing in it
	w.put(0, 7) // a byte that has begun is filled up
	return transport.WrapBuffer(append(w.p, make([]byte, 8)...))
}

// TestEmptyBlocks: they are a message, an empty one.
func TestEmptyBlocks(t *testing.T) {
	out, err := encoding.Inflate(encoding.Gzip{}, emptyBlocks(1000), 0)
	if err != nil || out.Len() != 0 {
		t.Errorf("Inflate = %v, %v", out, err)
	}
}

// BenchmarkInflateNothing is the most that a message can cost by its length on the
// wire, which is what bounds it: nothing comes of it that a limit would count.
func BenchmarkInflateNothing(b *testing.B) {
	msg := emptyBlocks(8 << 10)
	for b.Loop() {
		out, err := encoding.Inflate(encoding.Gzip{}, msg, 4<<20)
		if err != nil {
			b.Fatal(err)
		}
		out.Release()
	}
	b.ReportMetric(float64(b.Elapsed()/time.Nanosecond)/float64(b.N)/float64(msg.Len()), "ns/byte")
}
