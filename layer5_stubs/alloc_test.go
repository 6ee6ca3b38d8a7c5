//go:build !race

package stubs_test

import (
	"context"
	"testing"

	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// BenchmarkUnary is the whole path of a small call over loopback TCP.
func BenchmarkUnary(b *testing.B) {
	f := newFixture(b, new(echo), options{})
	ctx := context.Background()
	req := &testpb.Request{Text: "hello"}
	if _, err := f.client.Unary(ctx, req); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.client.Unary(ctx, req); err != nil {
			b.Fatal(err)
		}
	}
}

var _ = stubs.Method
