package stubs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// longText is worth compressing.
var longText = strings.Repeat("compress me ", 100)

// A codings is an echo that takes note of how messages came, and answers in the
// coding that a request's payload names.
type codings struct {
	echo
	came []bool // of the goroutine of a handler, one at a time
	errs []error
}

func (c *codings) Unary(ctx context.Context, in *testpb.Request) (*testpb.Response, error) {
	c.came = append(c.came, stubs.RequestCompressed(ctx))
	if len(in.Payload) > 0 {
		c.errs = append(c.errs, stubs.SetSendCompressor(ctx, string(in.Payload)))
	}
	return &testpb.Response{Text: in.Text}, nil
}

// Bidi answers each message, plainly those that came so.
func (c *codings) Bidi(stream stubs.BidiStreamingServer[testpb.Request, testpb.Response]) error {
	if err := stubs.SetSendCompressor(stream.Context(), "deflate"); err != nil {
		return err
	}
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		out := &testpb.Response{Text: in.Text}
		if stubs.RequestCompressed(stream.Context()) {
			err = stream.Send(out)
		} else {
			err = stream.SendMsg(stubs.Uncompressed(out))
		}
		if err != nil {
			return err
		}
	}
}

func TestCompressedUnary(t *testing.T) {
	onlyDeflate := stubs.WithCompression(stubs.CompressionConfig{Compressors: []stubs.Compressor{encoding.Deflate{}}})
	gzipByDefault := stubs.WithCompression(stubs.CompressionConfig{Send: "gzip"})
	for _, tc := range []struct {
		name   string
		o      options
		opts   []stubs.CallOption
		answer string // the coding that the handler chooses

		code      status.Code
		text      string // of the error
		request   bool   // came compressed
		response  bool
		setFailed string // what SetSendCompressor said
	}{
		{name: "nothing by default"},
		{name: "a request", opts: []stubs.CallOption{stubs.UseCompressor("gzip")}, request: true},
		{name: "a response", answer: "gzip", response: true},
		{name: "both, each in its own", opts: []stubs.CallOption{stubs.UseCompressor("gzip")}, answer: "deflate", request: true, response: true},
		{name: "the client's default", o: options{dial: []stubs.DialOption{gzipByDefault}}, request: true},
		{name: "default call options", o: options{dial: []stubs.DialOption{stubs.WithDefaultCallOptions(stubs.UseCompressor("deflate"))}}, request: true},
		{name: "a call without the client's default", o: options{dial: []stubs.DialOption{gzipByDefault}}, opts: []stubs.CallOption{stubs.UseCompressor("identity")}},
		{name: "the server's default", o: options{server: []stubs.ServerOption{gzipByDefault}}, response: true},
		{name: "a response without the server's default", o: options{server: []stubs.ServerOption{gzipByDefault}}, answer: "identity"},
		{name: "the server's default, which the client does not accept",
			o: options{server: []stubs.ServerOption{gzipByDefault}, dial: []stubs.DialOption{onlyDeflate}}},
		{name: "a server that follows its client", o: options{server: []stubs.ServerOption{stubs.WithCompression(stubs.CompressionConfig{Mirror: true})}},
			opts: []stubs.CallOption{stubs.UseCompressor("deflate")}, request: true, response: true},
		{name: "messages are inflated in any case",
			o:    options{server: []stubs.ServerOption{stubs.WithCompression(stubs.CompressionConfig{KeepCompressed: true})}},
			opts: []stubs.CallOption{stubs.UseCompressor("gzip")}, request: true},
		{name: "a coding that the server does not know", o: options{server: []stubs.ServerOption{onlyDeflate}},
			opts: []stubs.CallOption{stubs.UseCompressor("gzip")}, code: status.Unimplemented, text: `grpc-encoding "gzip" is not supported, "deflate" and "identity" are`},
		{name: "a coding that the client does not know", opts: []stubs.CallOption{stubs.UseCompressor("br")},
			code: status.Internal, text: `compressor "br" is not known, "gzip,deflate" and "identity" are`},
		{name: "a response in a coding that the server does not know", answer: "br", setFailed: `compressor "br" is not known`},
		{name: "a response in a coding that the client does not accept", o: options{dial: []stubs.DialOption{onlyDeflate}}, answer: "gzip",
			setFailed: `the client does not accept compressor "gzip"`},
		{name: "a response that is too long once it is inflated", opts: []stubs.CallOption{stubs.MaxCallRecvMsgSize(1000)}, answer: "gzip",
			code: status.ResourceExhausted, text: "passes the receive limit of 1000 bytes once inflated (client option MaxCallRecvMsgSize)"},
		{name: "a request that is too long once it is inflated", o: options{server: []stubs.ServerOption{stubs.MaxRecvMsgSize(1000)}},
			opts: []stubs.CallOption{stubs.UseCompressor("gzip")}, code: status.ResourceExhausted,
			text: "passes the receive limit of 1000 bytes once inflated (server option MaxRecvMsgSize)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				impl := new(codings)
				f := newMemFixture(t, impl, tc.o)
				response := !tc.response
				reply, err := f.client.Unary(t.Context(), &testpb.Request{Text: longText, Payload: []byte(tc.answer)},
					append(tc.opts, stubs.ResponseCompressed(&response))...)
				if tc.code != status.OK {
					if status.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.text) {
						t.Errorf("error = %v, want %v with %q", err, tc.code, tc.text)
					}
					return
				}
				if err != nil || reply.Text != longText {
					t.Fatalf("Unary = %d bytes, %v", len(reply.GetText()), err)
				}
				if response != tc.response || !slices.Equal(impl.came, []bool{tc.request}) {
					t.Errorf("compressed: request %v, response %v, want %v, %v", impl.came, response, tc.request, tc.response)
				}
				failed := fmt.Sprint(errors.Join(impl.errs...))
				if tc.setFailed == "" != (failed == "<nil>") || !strings.Contains(failed, tc.setFailed) {
					t.Errorf("SetSendCompressor: %s, want %q", failed, tc.setFailed)
				}
			})
		})
	}
}

// TestCompressedStream has each message decide for itself.
func TestCompressedStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newMemFixture(t, new(codings), options{})
		var came bool
		stream, err := f.client.Bidi(t.Context(), stubs.UseCompressor("gzip"), stubs.ResponseCompressed(&came))
		if err != nil {
			t.Fatal(err)
		}
		for _, plain := range []bool{false, true, true, false} {
			in := &testpb.Request{Text: longText}
			if plain {
				err = stream.SendMsg(stubs.Uncompressed(in))
			} else {
				err = stream.Send(in)
			}
			if err != nil {
				t.Fatal(err)
			}
			out, err := stream.Recv()
			if err != nil || out.Text != longText || came == plain {
				t.Errorf("Recv = %d bytes, %v, compressed %v, want %v", len(out.GetText()), err, came, !plain)
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != io.EOF {
			t.Errorf("Recv = %v, want io.EOF", err)
		}
	})
}

// TestCompressorOfAnswers: it can be chosen until the headers go out.
func TestCompressorOfAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late, after error
		var accepted []string
		var ctx context.Context
		f := newMemFixture(t, &echo{hook: func(c context.Context) error {
			ctx = c
			accepted, _ = stubs.ClientSupportedCompressors(c)
			if err := stubs.SendHeader(c, nil); err != nil {
				return err
			}
			late = stubs.SetSendCompressor(c, "gzip")
			return nil
		}}, options{})
		if _, err := f.client.Unary(t.Context(), &testpb.Request{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		after = stubs.SetSendCompressor(ctx, "gzip")
		if !slices.Equal(accepted, []string{"gzip", "deflate"}) {
			t.Errorf("ClientSupportedCompressors = %q", accepted)
		}
		if late == nil || !strings.Contains(late.Error(), "after the headers were sent") {
			t.Errorf("SetSendCompressor after SendHeader = %v", late)
		}
		wantCode(t, after, status.Canceled)
		wantCode(t, stubs.SetSendCompressor(t.Context(), "gzip"), status.Internal)
		if _, err := stubs.ClientSupportedCompressors(ctx); err == nil {
			t.Error("ClientSupportedCompressors works when the handler has returned")
		}
		if stubs.RequestCompressed(ctx) || stubs.RequestCompressed(t.Context()) {
			t.Error("RequestCompressed is true without a call")
		}
	})
}

// TestNoCompressionInProcess: messages are handed over as they are.
func TestNoCompressionInProcess(t *testing.T) {
	client, server := inproc.Pair(inproc.Config{})
	s := stubs.NewServer()
	impl := new(codings)
	testpb.RegisterTestServer(s, impl)
	if err := s.ServeTransport(server); err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	cc, err := stubs.NewClientOn(client)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	reply, err := testpb.NewTestClient(cc).Unary(within(t), &testpb.Request{Text: longText}, stubs.UseCompressor("gzip"))
	if err != nil || reply.Text != longText || impl.came[0] {
		t.Errorf("Unary = %d bytes, %v, compressed %v", len(reply.GetText()), err, impl.came)
	}
}

// TestBadCompressionConfig: what cannot be is found when the ends are made.
func TestBadCompressionConfig(t *testing.T) {
	bad := stubs.WithCompression(stubs.CompressionConfig{Send: "br"})
	const want = `filter "compression": option Send: compressor "br" is not known`
	_, err := stubs.NewClient("passthrough:///x", stubs.WithTransportCredentials(credentials.NewInsecure()), bad)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("NewClient = %v, want %q", err, want)
	}
	client, _ := inproc.Pair(inproc.Config{})
	defer client.Close()
	if _, err := stubs.NewClientOn(client, bad); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("NewClientOn = %v, want %q", err, want)
	}
	defer func() {
		if p := fmt.Sprint(recover()); !strings.Contains(p, want) {
			t.Errorf("NewServer panics with %q, want %q", p, want)
		}
	}()
	stubs.NewServer(bad)
}

// ExampleUseCompressor compresses a request. The server reads gzip and deflate
// without being asked to.
func ExampleUseCompressor() {
	s, target := serveExample()
	defer s.Stop()
	cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := exampleContext()
	defer cancel()
	reply, err := testpb.NewTestClient(cc).Unary(ctx, &testpb.Request{Text: strings.Repeat("hello ", 100)}, stubs.UseCompressor("gzip"))
	fmt.Println(len(reply.GetText()), err)
	// Output:
	// 600 <nil>
}

// ExampleWithCompression makes a server that compresses its answers, hard, for
// clients that accept gzip, and that knows no other coding.
func ExampleWithCompression() {
	s, target := serveExample(stubs.WithCompression(stubs.CompressionConfig{
		Compressors: []stubs.Compressor{encoding.Gzip{Level: 9}},
		Send:        "gzip",
	}))
	defer s.Stop()
	cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := exampleContext()
	defer cancel()
	var compressed bool
	reply, err := testpb.NewTestClient(cc).Unary(ctx, &testpb.Request{Text: strings.Repeat("hello ", 100)}, stubs.ResponseCompressed(&compressed))
	fmt.Println(len(reply.GetText()), compressed, err)
	// Output:
	// 600 true <nil>
}

// A shortening answers in gzip whoever can read it.
type shortening struct{ echo }

func (*shortening) Unary(ctx context.Context, in *testpb.Request) (*testpb.Response, error) {
	known, err := stubs.ClientSupportedCompressors(ctx)
	if err != nil {
		return nil, err
	}
	if slices.Contains(known, "gzip") {
		if err := stubs.SetSendCompressor(ctx, "gzip"); err != nil {
			return nil, err
		}
	}
	return &testpb.Response{Text: in.Text}, nil
}

// ExampleSetSendCompressor is a handler that chooses how its answer is coded.
func ExampleSetSendCompressor() {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := stubs.NewServer()
	testpb.RegisterTestServer(s, new(shortening))
	go s.Serve(lis)
	defer s.Stop()
	cc, err := stubs.NewClient(lis.Addr().String(), stubs.WithTransportCredentials(credentials.NewInsecure()))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := exampleContext()
	defer cancel()
	var compressed bool
	reply, err := testpb.NewTestClient(cc).Unary(ctx, &testpb.Request{Text: strings.Repeat("hello ", 100)}, stubs.ResponseCompressed(&compressed))
	fmt.Println(len(reply.GetText()), compressed, err)
	// Output:
	// 600 true <nil>
}
