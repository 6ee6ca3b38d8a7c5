package faultconn

import (
	"io"
	"testing"
)

// BenchmarkPipe is the price of a plan that does nothing; compare memconn's.
func BenchmarkPipe(b *testing.B) {
	c, s := Pipe(Plan{}, Plan{})
	defer c.Close()
	defer s.Close()
	out, in := make([]byte, 100), make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(out); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(s, in); err != nil {
			b.Fatal(err)
		}
	}
}
