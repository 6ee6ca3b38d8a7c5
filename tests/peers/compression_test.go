package peers

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc"
	grpccredentials "google.golang.org/grpc/credentials/insecure"
	grpcencoding "google.golang.org/grpc/encoding"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/stats"

	credentials "github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// These tests go through the libraries themselves: what each of them can do
// with compressed messages differs too much. grpc-go knows gzip from here on,
// in all tests of the package.

// payload is worth compressing.
var payload = bytes.Repeat([]byte("compress me "), 1000)

// A wireLog is a stats.Handler that notes how messages came to grpc-go.
type wireLog struct {
	mu  sync.Mutex
	was []bool // each compressed?
}

func (*wireLog) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (*wireLog) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (*wireLog) HandleConn(context.Context, stats.ConnStats)                       {}

func (w *wireLog) HandleRPC(_ context.Context, s stats.RPCStats) {
	if in, ok := s.(*stats.InPayload); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.was = append(w.was, in.CompressedLength < in.Length/2)
	}
}

// take returns what was noted since the last time.
func (w *wireLog) take() []bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.was
	w.was = nil
	return was
}

// serveStrata serves an echo that answers with the coding that its request
// names in metadata, and returns how the requests have come.
func serveStrata(t *testing.T, cfg stubs.CompressionConfig, answer string) (addr string, came *wireLog) {
	came = new(wireLog)
	note := func(ctx context.Context) {
		came.mu.Lock()
		defer came.mu.Unlock()
		came.was = append(came.was, stubs.RequestCompressed(ctx))
	}
	s := stubs.NewServer(stubs.WithCompression(cfg))
	s.RegisterService(strataDesc(handlers{
		unary: func(ctx context.Context, _ handlerCall, in *message) (*message, error) {
			note(ctx)
			return in, stubs.SetSendCompressor(ctx, answer)
		},
		stream: func(st serverStream) error {
			if err := stubs.SetSendCompressor(st.Context(), answer); err != nil {
				return err
			}
			return echoStream(noting{st, note})
		},
	}), nil)
	lis := listen(t, "")
	serveUntilEnd(t, func() error { return s.Serve(lis) }, s.Stop)
	return lis.Addr().String(), came
}

// noting calls note for each message that is received.
type noting struct {
	serverStream
	note func(context.Context)
}

func (n noting) RecvMsg(m any) error {
	err := n.serverStream.RecvMsg(m)
	if err == nil {
		n.note(n.Context())
	}
	return err
}

// TestCompressedFromGRPCGo has a client of grpc-go call Strata, with each of the
// directions compressed or not.
func TestCompressedFromGRPCGo(t *testing.T) {
	for _, tc := range []struct {
		name              string
		cfg               stubs.CompressionConfig
		opts              []grpc.CallOption
		answer            string
		request, response bool
	}{
		{"neither", stubs.CompressionConfig{}, nil, "", false, false},
		{"request", stubs.CompressionConfig{}, []grpc.CallOption{grpc.UseCompressor(grpcgzip.Name)}, "", true, false},
		{"response", stubs.CompressionConfig{}, nil, "gzip", false, true},
		{"both", stubs.CompressionConfig{}, []grpc.CallOption{grpc.UseCompressor(grpcgzip.Name)}, "gzip", true, true},
		{"mirrored", stubs.CompressionConfig{Mirror: true}, []grpc.CallOption{grpc.UseCompressor(grpcgzip.Name)}, "", true, true},
		{"with grpc-go's own compressor in Strata", stubs.CompressionConfig{Compressors: []stubs.Compressor{grpcencoding.GetCompressor("gzip")}},
			[]grpc.CallOption{grpc.UseCompressor(grpcgzip.Name)}, "gzip", true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			addr, came := serveStrata(t, tc.cfg, tc.answer)
			answers := new(wireLog)
			cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(grpccredentials.NewCredentials()), grpc.WithStatsHandler(answers))
			if err != nil {
				t.Fatal(err)
			}
			defer cc.Close()
			out := new(message)
			if err := cc.Invoke(testContext(t), unaryMethod, &message{Value: payload}, out, tc.opts...); err != nil || !bytes.Equal(out.Value, payload) {
				t.Fatalf("unary: %d bytes, %v", len(out.Value), err)
			}
			wantCame(t, "unary", came, answers, []bool{tc.request}, []bool{tc.response})
			st, err := cc.NewStream(testContext(t), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, streamMethod, tc.opts...)
			if err != nil {
				t.Fatal(err)
			}
			echoThree(t, st, st.CloseSend)
			wantCame(t, "stream", came, answers, slices.Repeat([]bool{tc.request}, 3), slices.Repeat([]bool{tc.response}, 3))
		})
	}
}

// echoThree sends three messages and receives them again.
func echoThree(t *testing.T, st interface {
	SendMsg(any) error
	RecvMsg(any) error
}, closeSend func() error) {
	t.Helper()
	for range 3 {
		out := new(message)
		if err := st.SendMsg(&message{Value: payload}); err != nil {
			t.Fatal(err)
		}
		if err := st.RecvMsg(out); err != nil || !bytes.Equal(out.Value, payload) {
			t.Fatalf("stream: %d bytes, %v", len(out.Value), err)
		}
	}
	if err := closeSend(); err != nil {
		t.Fatal(err)
	}
}

func wantCame(t *testing.T, what string, requests, responses *wireLog, request, response []bool) {
	t.Helper()
	if got := requests.take(); !slices.Equal(got, request) {
		t.Errorf("%s: requests came compressed: %v, want %v", what, got, request)
	}
	if got := responses.take(); !slices.Equal(got, response) {
		t.Errorf("%s: responses came compressed: %v, want %v", what, got, response)
	}
}

// serveGRPCGo serves an echo on grpc-go, which answers as it is asked.
func serveGRPCGo(t *testing.T) (addr string, came *wireLog) {
	came = new(wireLog)
	s := grpc.NewServer(grpc.StatsHandler(came))
	s.RegisterService(grpcGoDesc(handlers{}), nil)
	lis := listen(t, "")
	serveUntilEnd(t, func() error { return s.Serve(lis) }, s.Stop)
	return lis.Addr().String(), came
}

// TestCompressedToGRPCGo has Strata call a server of grpc-go, which answers in
// the coding of the request if it knows that.
func TestCompressedToGRPCGo(t *testing.T) {
	addr, came := serveGRPCGo(t)
	for _, tc := range []struct {
		name       string
		cfg        stubs.CompressionConfig
		opts       []stubs.CallOption
		compressed bool
	}{
		{"neither", stubs.CompressionConfig{}, nil, false},
		{"both", stubs.CompressionConfig{}, []stubs.CallOption{stubs.UseCompressor("gzip")}, true},
		{"by default", stubs.CompressionConfig{Send: "gzip"}, nil, true},
		{"with grpc-go's own compressor in Strata", stubs.CompressionConfig{Compressors: []stubs.Compressor{grpcencoding.GetCompressor("gzip")}, Send: "gzip"}, nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cc, err := stubs.NewClient(addr, stubs.WithTransportCredentials(credentials.NewInsecure()), stubs.WithCompression(tc.cfg))
			if err != nil {
				t.Fatal(err)
			}
			defer cc.Close()
			answer, out := !tc.compressed, new(message)
			opts := append(tc.opts, stubs.ResponseCompressed(&answer))
			if err := cc.Invoke(testContext(t), unaryMethod, &message{Value: payload}, out, opts...); err != nil || !bytes.Equal(out.Value, payload) {
				t.Fatalf("unary: %d bytes, %v", len(out.Value), err)
			}
			wantCame(t, "unary", came, &wireLog{was: []bool{answer}}, []bool{tc.compressed}, []bool{tc.compressed})
			st, err := cc.NewStream(testContext(t), &stubs.StreamDesc{ServerStreams: true, ClientStreams: true}, streamMethod, opts...)
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			echoThree(t, st, st.CloseSend)
			wantCame(t, "stream", came, &wireLog{was: []bool{answer}}, slices.Repeat([]bool{tc.compressed}, 3), []bool{tc.compressed})
		})
	}
}

// TestUnknownCodings: each end refuses what it does not know.
func TestUnknownCodings(t *testing.T) {
	t.Run("grpc-go to Strata", func(t *testing.T) {
		addr, _ := serveStrata(t, stubs.CompressionConfig{Compressors: []stubs.Compressor{encoding.Deflate{}}}, "")
		cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(grpccredentials.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		err = cc.Invoke(testContext(t), unaryMethod, &message{Value: payload}, new(message), grpc.UseCompressor(grpcgzip.Name))
		wantCode(t, grpcGoLib{}, err, code.Code_UNIMPLEMENTED)
		if !strings.Contains(err.Error(), `grpc-encoding "gzip" is not supported, "deflate" and "identity" are`) {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("Strata to grpc-go", func(t *testing.T) {
		addr, _ := serveGRPCGo(t)
		cc, err := stubs.NewClient(addr, stubs.WithTransportCredentials(credentials.NewInsecure()))
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		err = cc.Invoke(testContext(t), unaryMethod, &message{Value: payload}, new(message), stubs.UseCompressor("deflate"))
		wantCode(t, strataLib{}, err, code.Code_UNIMPLEMENTED)
	})
}
