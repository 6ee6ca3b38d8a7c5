package encoding_test

import (
	"fmt"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// record returns n bytes like a list of messages with names, numbers and dates.
func record(n int) *transport.Buffer {
	b := transport.NewBuffer(n)
	for i := 0; b.Len() < n; i++ {
		line := fmt.Sprintf("\x0a\x20user-%08x@example.com\x12\x0aorder %d of %d\x18\x96\x01 2024-%02d-%02d;", i*2654435761, i, n, i%12+1, i*7%28+1)
		b.Append([]byte(line)[:min(len(line), n-b.Len())])
	}
	return b
}

// codings are what the benchmarks compare.
var codings = []struct {
	name string
	c    encoding.Compressor
}{
	{"gzip", encoding.Gzip{}},
	{"gzip-6", encoding.Gzip{Level: 6}},
	{"deflate", encoding.Deflate{}},
}

func BenchmarkCompress(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		msg := record(size)
		for _, cc := range codings {
			b.Run(fmt.Sprintf("%s/size=%dKiB", cc.name, size>>10), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				var length int
				for b.Loop() {
					out, err := encoding.Compress(cc.c, msg)
					if err != nil {
						b.Fatal(err)
					}
					length = out.Len()
					out.Release()
				}
				b.ReportMetric(float64(length)/float64(size)*100, "%size")
			})
		}
	}
}

// BenchmarkInflateLongest is how long the longest message takes that is accepted by
// default: zeros, of which 4 KB arrive, and records, of which 700 KB do.
func BenchmarkInflateLongest(b *testing.B) {
	const longest = 4 << 20
	for name, plain := range map[string]*transport.Buffer{
		"zeros": transport.WrapBuffer(make([]byte, longest)), "records": record(longest),
	} {
		msg, err := encoding.Compress(encoding.Gzip{}, plain)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				out, err := encoding.Inflate(encoding.Gzip{}, msg, longest)
				if err != nil {
					b.Fatal(err)
				}
				out.Release()
			}
			b.ReportMetric(float64(msg.Len()), "wire-bytes")
		})
	}
}

func BenchmarkInflate(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		for _, cc := range codings {
			msg, err := encoding.Compress(cc.c, record(size))
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/size=%dKiB", cc.name, size>>10), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					out, err := encoding.Inflate(cc.c, msg, 4<<20)
					if err != nil {
						b.Fatal(err)
					}
					out.Release()
				}
			})
		}
	}
}
