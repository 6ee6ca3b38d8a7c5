package coding

import (
	"testing"
	"time"
)

func BenchmarkTimeout(b *testing.B) {
	b.ReportAllocs()
	buf := make([]byte, 0, 16)
	for b.Loop() {
		s := AppendTimeout(buf, 20*time.Second)
		if len(s) != len("20000000u") {
			b.Fatal(s)
		}
		if d, err := ParseTimeout("20000000u"); d != 20*time.Second || err != nil {
			b.Fatal(d, err)
		}
	}
}

func BenchmarkBin(b *testing.B) {
	trace := "\x00\x00" + "0123456789abcdef" + "\x01" + "01234567" + "\x02\x01"
	b.ReportAllocs()
	for b.Loop() {
		err := DecodeBin(EncodeBin(trace), func(v string) {
			if v != trace {
				b.Fatal(v)
			}
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMessage(b *testing.B) {
	for _, bc := range []struct{ name, text string }{
		{"text=plain", "greeter: no such name: gopher"},
		{"text=UTF-8", "greeter: no such name: 世界"},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := DecodeMessage(EncodeMessage(bc.text)); got != bc.text {
					b.Fatal(got)
				}
			}
		})
	}
}

func BenchmarkField(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if !ValidName("x-request-id") || !ValidValue("0123456789abcdef0123456789abcdef") || IsReserved("x-request-id") {
			b.Fatal("the field is fine")
		}
	}
}
