package memconn

import (
	"io"
	"testing"
)

// BenchmarkPipe moves octets from one end to the other.
func BenchmarkPipe(b *testing.B) {
	for _, bc := range []struct {
		name string
		size int
	}{{"size=100", 100}, {"size=16KiB", 16 << 10}} {
		b.Run(bc.name, func(b *testing.B) {
			c, peer := Pipe()
			defer c.Close()
			defer peer.Close()
			out, in := make([]byte, bc.size), make([]byte, bc.size)
			b.SetBytes(int64(bc.size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(out); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(peer, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
