package stubs_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

func wantMD(t testing.TB, what string, md metadata.MD, key string, values ...string) {
	t.Helper()
	if got := md.Get(key); !slices.Equal(got, values) {
		t.Errorf("%s: %q = %q, want %q", what, key, got, values)
	}
}

// respond is a hook that sends back the pair "k" and tells who called.
func respond(t testing.TB) func(context.Context) error {
	return func(ctx context.Context) error {
		md, ok := metadata.FromIncomingContext(ctx)
		if !ok {
			t.Error("the context has no metadata")
		}
		method, _ := stubs.Method(ctx)
		if p, ok := peer.FromContext(ctx); !ok || p.Addr == nil {
			t.Error("the context has no peer")
		}
		if err := stubs.SetHeader(ctx, metadata.Pairs("k", strings.Join(md.Get("k"), "+"), "method", method)); err != nil {
			return err
		}
		if err := stubs.SetHeader(ctx, metadata.Pairs("ua", strings.Join(md.Get("user-agent"), ""))); err != nil {
			return err
		}
		return stubs.SetTrailer(ctx, metadata.Pairs("t-bin", strings.Join(md.Get("b-bin"), "")))
	}
}

// TestMetadata sends pairs there and back, in calls of each kind.
func TestMetadata(t *testing.T) {
	f := newFixture(t, &echo{hook: respond(t)}, options{dial: []stubs.DialOption{stubs.WithUserAgent("tester/1")}})
	ctx := metadata.AppendToOutgoingContext(within(t), "K", "1", "b-bin", "\x00\xff", "k", "2")

	check := func(kind, method string, header, trailer metadata.MD) {
		t.Helper()
		wantMD(t, kind, header, "k", "1+2")
		wantMD(t, kind, header, "method", "/strata.test.Test/"+method)
		if ua := header.Get("ua"); len(ua) != 1 || !strings.HasPrefix(ua[0], "tester/1 ") {
			t.Errorf("%s: user-agent = %q", kind, ua)
		}
		wantMD(t, kind, trailer, "t-bin", "\x00\xff")
	}
	var header, trailer metadata.MD
	var p peer.Peer
	if _, err := f.client.Unary(ctx, new(testpb.Request), stubs.Header(&header), stubs.Trailer(&trailer), stubs.Peer(&p)); err != nil {
		t.Fatal(err)
	}
	check("unary", "Unary", header, trailer)
	if p.Addr == nil {
		t.Error("no peer")
	}
	_, err := f.client.Unary(ctx, &testpb.Request{Code: 5}, stubs.Header(&header), stubs.Trailer(&trailer))
	wantCode(t, err, status.NotFound)
	check("unary that fails", "Unary", header, trailer)

	var streamHeader, streamTrailer metadata.MD
	stream, err := f.client.Bidi(ctx, stubs.Header(&streamHeader), stubs.Trailer(&streamTrailer))
	if err != nil {
		t.Fatal(err)
	}
	if stream.Trailer() != nil {
		t.Error("trailers before the end")
	}
	if err := stream.Send(new(testpb.Request)); err != nil {
		t.Fatal(err)
	}
	header, err = stream.Header()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for _, err := range stubs.Messages(stream) {
		t.Fatal(err)
	}
	check("stream", "Bidi", header, stream.Trailer())
	check("options of a stream", "Bidi", streamHeader, streamTrailer)
}

// TestSendHeader: headers can go out before the first message, once.
func TestSendHeader(t *testing.T) {
	release := make(chan struct{})
	f := newFixture(t, &echo{hook: func(ctx context.Context) error {
		if err := stubs.SendHeader(ctx, metadata.Pairs("early", "yes")); err != nil {
			return err
		}
		<-release
		err := stubs.SendHeader(ctx, nil)
		wantCode(t, err, status.Internal)
		err = stubs.SetHeader(ctx, metadata.Pairs("late", "yes"))
		wantCode(t, err, status.Internal)
		return nil
	}}, options{})
	ctx := within(t)
	stream, err := f.client.ServerStream(ctx, &testpb.Request{Responses: 1})
	if err != nil {
		t.Fatal(err)
	}
	header, err := stream.Header()
	if err != nil {
		t.Fatal(err)
	}
	wantMD(t, "early", header, "early", "yes")
	close(release)
	for _, err := range stubs.Messages(stream) {
		if err != nil {
			t.Fatal(err)
		}
	}
	var md metadata.MD
	if _, err := f.client.Unary(ctx, new(testpb.Request), stubs.Header(&md)); err != nil {
		t.Fatal(err)
	}
	wantMD(t, "unary", md, "early", "yes")
	wantMD(t, "unary", md, "late")
}

// TestMetadataThatCannotTravel: it is a mistake of the program, named without
// the value.
func TestMetadataThatCannotTravel(t *testing.T) {
	bad := metadata.Pairs("secret", "line\nbreak")
	f := newFixture(t, &echo{hook: func(ctx context.Context) error {
		wantCode(t, stubs.SetHeader(ctx, bad), status.Internal)
		wantCode(t, stubs.SendHeader(ctx, bad), status.Internal)
		return stubs.SetTrailer(ctx, bad)
	}}, options{})
	ctx := within(t)
	_, err := f.client.Unary(metadata.NewOutgoingContext(ctx, bad), new(testpb.Request))
	wantCode(t, err, status.Internal)
	if s := err.Error(); !strings.Contains(s, `"secret"`) || strings.Contains(s, "break") {
		t.Errorf("error = %q", s)
	}
	_, err = f.client.Bidi(metadata.NewOutgoingContext(ctx, bad))
	wantCode(t, err, status.Internal)
	_, err = f.client.Unary(ctx, new(testpb.Request))
	wantCode(t, err, status.Internal)
	if s := err.Error(); !strings.Contains(s, "SetTrailer on /strata.test.Test/Unary") {
		t.Errorf("error = %q", s)
	}
}

// TestOtherContexts: the functions for handlers refuse other contexts.
func TestOtherContexts(t *testing.T) {
	ctx := context.Background()
	wantCode(t, stubs.SetHeader(ctx, nil), status.Internal)
	wantCode(t, stubs.SendHeader(ctx, nil), status.Internal)
	wantCode(t, stubs.SetTrailer(ctx, nil), status.Internal)
	if _, ok := stubs.Method(ctx); ok || stubs.Draining(ctx) != nil {
		t.Error("a plain context has a method or drains")
	}
}
