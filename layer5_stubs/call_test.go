package stubs_test

import (
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

func wantProto(t testing.TB, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Errorf("message differs (-want +got):\n%s", d)
	}
}

// TestCardinalities makes one call of each kind, twice, so that what is used
// again is used again.
func TestCardinalities(t *testing.T) {
	f := newFixture(t, new(echo), options{})
	ctx := within(t)
	for range 2 {
		out, err := f.client.Unary(ctx, &testpb.Request{Text: "one", Payload: []byte("two")})
		if err != nil {
			t.Fatal(err)
		}
		wantProto(t, out, &testpb.Response{Text: "one", Payload: []byte("two"), Received: 1})

		down, err := f.client.ServerStream(ctx, &testpb.Request{Text: "x", Responses: 3})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for msg, err := range stubs.Messages(down) {
			if err != nil {
				t.Fatal(err)
			}
			wantProto(t, msg, &testpb.Response{Text: "x", Received: 1})
			n++
		}
		if n != 3 {
			t.Errorf("%d messages, want 3", n)
		}

		up, err := f.client.ClientStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"a", "b", "c"} {
			if err := up.Send(&testpb.Request{Text: s}); err != nil {
				t.Fatal(err)
			}
		}
		sum, err := up.CloseAndRecv()
		if err != nil {
			t.Fatal(err)
		}
		wantProto(t, sum, &testpb.Response{Text: "abc", Received: 3})

		bidi, err := f.client.Bidi(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range int32(10) {
			if err := bidi.Send(&testpb.Request{Text: "ping"}); err != nil {
				t.Fatal(err)
			}
			msg, err := bidi.Recv()
			if err != nil {
				t.Fatal(err)
			}
			wantProto(t, msg, &testpb.Response{Text: "ping", Received: i + 1})
		}
		if err := bidi.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := bidi.Recv(); err != io.EOF {
			t.Errorf("Recv after the end = %v, want io.EOF", err)
		}
	}
}
