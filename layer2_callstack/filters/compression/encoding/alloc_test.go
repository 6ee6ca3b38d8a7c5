//go:build !race

package encoding_test

import (
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// TestAllocsCompress pins that a message is compressed without an allocation, and
// what inflating costs: package flate makes a table for each long code.
func TestAllocsCompress(t *testing.T) {
	for _, c := range encoding.Defaults() {
		msg := transport.WrapBuffer([]byte(strings.Repeat("compress me ", 100)))
		packed, err := encoding.Compress(c, msg)
		if err != nil {
			t.Fatal(err)
		}
		if got := testing.AllocsPerRun(100, func() {
			out, err := encoding.Compress(c, msg)
			if err != nil {
				t.Fatal(err)
			}
			out.Release()
		}); got > 0 {
			t.Errorf("%s: compressing made %v allocations, want 0", c.Name(), got)
		}
		if got := testing.AllocsPerRun(100, func() {
			out, err := encoding.Inflate(c, packed, 0)
			if err != nil {
				t.Fatal(err)
			}
			out.Release()
		}); got > 2 {
			t.Errorf("%s: inflating made %v allocations, want at most 2", c.Name(), got)
		}
	}
}
