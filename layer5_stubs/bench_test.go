package stubs_test

import (
	"fmt"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/inproc"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// BenchmarkUnary is the whole path of a small call over loopback TCP.
func BenchmarkUnary(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			f := newFixture(b, new(echo), options{})
			b.ReportAllocs()
			b.SetParallelism(callers)
			b.RunParallel(func(pb *testing.PB) {
				req := &testpb.Request{Payload: make([]byte, 100)}
				for pb.Next() {
					if _, err := f.client.Unary(b.Context(), req); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkUnaryInProcess is the same without a wire.
func BenchmarkUnaryInProcess(b *testing.B) {
	client, server := inproc.Pair(inproc.Config{})
	s := stubs.NewServer()
	testpb.RegisterTestServer(s, new(echo))
	if err := s.ServeTransport(server); err != nil {
		b.Fatal(err)
	}
	cc, err := stubs.NewClientOn(client)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Stop()
	defer cc.Close()
	c, req := testpb.NewTestClient(cc), &testpb.Request{Payload: make([]byte, 100)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Unary(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPingPong is a message each way on an open stream.
func BenchmarkPingPong(b *testing.B) {
	f := newFixture(b, new(echo), options{})
	stream, err := f.client.Bidi(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer stream.Close()
	req := &testpb.Request{Payload: make([]byte, 100)}
	b.ReportAllocs()
	for b.Loop() {
		if err := stream.Send(req); err != nil {
			b.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			b.Fatal(err)
		}
	}
}
