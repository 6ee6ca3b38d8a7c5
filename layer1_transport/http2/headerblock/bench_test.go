package headerblock

import (
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// benchCall is a call as most are: a deadline, and nothing of the application.
func benchCall() *metadata.List {
	l := call("/greeter.Greeter/SayHello")
	l.Deadline = t0.Add(20 * time.Second)
	return l
}

// steady returns an encoder and a decoder that know the list, and the block
// that it has from then on.
func steady(t testing.TB, l *metadata.List) (*Encoder, *Decoder, []byte) {
	e, d := NewEncoder(), NewDecoder(wide)
	var p []byte
	for range 4 {
		p = encode(t, e, l)
		decodeOK(t, d, Request, p)
	}
	return e, d, p
}

func BenchmarkDecodeCached(b *testing.B) {
	_, d, p := steady(b, benchCall())
	var list metadata.List
	b.ReportAllocs()
	for b.Loop() {
		list.Reset()
		if err := d.Decode(p, Request, &list, t0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodePlain(b *testing.B) {
	_, d, p := steady(b, benchCall())
	var list metadata.List
	b.ReportAllocs()
	for b.Loop() {
		d.cache.forget()
		list.Reset()
		if err := d.Decode(p, Request, &list, t0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeCached(b *testing.B) {
	l := benchCall()
	e, _, p := steady(b, l)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if p, err = e.Append(p[:0], l, t0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodePlain(b *testing.B) {
	l := benchCall()
	e, _, p := steady(b, l)
	b.ReportAllocs()
	for b.Loop() {
		e.gen++ // as if the table had changed
		var err error
		if p, err = e.Append(p[:0], l, t0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTrailersOK(b *testing.B) {
	l := &metadata.List{}
	l.SetStatus(0, "")
	e, d, p := steady(b, call("/s/m"))
	p, _ = e.Append(p[:0], l, t0)
	if err := d.Decode(p, Trailers, &metadata.List{}, t0); err != nil {
		b.Fatal(err)
	}
	var list metadata.List
	b.ReportAllocs()
	for b.Loop() {
		p, _ = e.Append(p[:0], l, t0)
		list.Reset()
		if err := d.Decode(p, Trailers, &list, t0); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkListSize is what the limit of the peer costs with each block.
func BenchmarkListSize(b *testing.B) {
	request := &metadata.List{Deadline: time.Now().Add(time.Hour), Known: metadata.Known{
		Method: "POST", Scheme: "http", Path: "/s/m", Authority: "greeter:443",
		ContentType: "application/grpc", UserAgent: "strata", TE: "trailers",
	}}
	for b.Loop() {
		if ListSize(request) == 0 {
			b.Fatal("it has fields")
		}
	}
}
