package frame

import (
	"bytes"
	"io"
	"testing"

	"golang.org/x/net/http2"
)

// unaryCall is what a server reads for one call with a message of 100 octets,
// with the WINDOW_UPDATE and PING that come now and then.
func unaryCall() []byte {
	b := AppendHeaders(nil, 1, false, make([]byte, 40), MinMaxFrameSize)
	b = append(AppendDataHeader(b, 1, true, 105), make([]byte, 105)...)
	b = AppendWindowUpdate(b, 0, 4096)
	return AppendPing(b, false, [8]byte{2, 4})
}

// BenchmarkParse reads the four frames of unaryCall: ours in place, the
// Framer's with its reader.
func BenchmarkParse(b *testing.B) {
	wire := unaryCall()
	b.Run("frame", func(b *testing.B) {
		b.ReportAllocs()
		sum := 0
		for b.Loop() {
			for rest := wire; len(rest) > 0; {
				h := ParseHeader(rest)
				p := rest[HeaderLen:][:h.Length]
				rest = rest[HeaderLen+len(p):]
				switch h.Type {
				case TypeData:
					d, _ := ParseData(h, p)
					sum += len(d.Payload)
				case TypeHeaders:
					v, _ := ParseHeaders(h, p)
					sum += len(v.Block)
				case TypeWindowUpdate:
					w, _ := ParseWindowUpdate(h, p)
					sum += int(w.Increment)
				case TypePing:
					g, _ := ParsePing(h, p)
					sum += int(g.Data[0])
				}
			}
		}
		if sum != b.N*(105+40+4096+2) {
			b.Fatalf("read %d in %d rounds", sum, b.N)
		}
	})
	b.Run("framer", func(b *testing.B) {
		b.ReportAllocs()
		r := bytes.NewReader(wire)
		fr := http2.NewFramer(io.Discard, r)
		fr.SetReuseFrames()
		for b.Loop() {
			r.Reset(wire)
			for range 4 {
				if _, err := fr.ReadFrame(); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// BenchmarkAppend writes a response: HEADERS, DATA header, trailers.
func BenchmarkAppend(b *testing.B) {
	b.ReportAllocs()
	buf := make([]byte, 0, 1024)
	block := make([]byte, 20)
	for b.Loop() {
		d := AppendHeaders(buf, 1, false, block, MinMaxFrameSize)
		d = AppendDataHeader(d, 1, false, 105)
		d = AppendHeaders(d, 1, true, block, MinMaxFrameSize)
		if len(d) != 3*HeaderLen+2*len(block) {
			b.Fatal(len(d))
		}
	}
}
