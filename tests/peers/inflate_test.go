package peers

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"testing"

	"google.golang.org/grpc"
	grpccredentials "google.golang.org/grpc/credentials/insecure"
	grpcgzip "google.golang.org/grpc/encoding/gzip"

	credentials "github.com/strata-grpc/strata/layer1_transport/credentials"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// longPayload is as long as a message may be by default, with room for its frame. In
// gzip it has a sixth of that, which Strata inflates away from the connection's reader.
var longPayload = func() []byte {
	var p []byte
	for i := 0; len(p) < 4<<20-100; i++ {
		p = fmt.Appendf(p, "user-%08x@example.com order %d of 2024-%02d-%02d;", uint32(i)*2654435761, i, i%12+1, i*7%28+1)
	}
	return p[:4<<20-100]
}()

// aStream is what the streams of both libraries have.
type aStream interface {
	SendMsg(any) error
	RecvMsg(any) error
	CloseSend() error
}

// exchangeLong makes a unary call and streams at the same time, whose long messages and
// short ones come back as they were, in order, and a status after them.
func exchangeLong(t *testing.T, unary func(in, out *message) error, open func() (aStream, error)) {
	var wg sync.WaitGroup
	wg.Go(func() {
		out := new(message)
		if err := unary(&message{Value: longPayload}, out); err != nil || !bytes.Equal(out.Value, longPayload) {
			t.Errorf("unary: %d bytes, %v", len(out.Value), err)
		}
	})
	for i := range 2 {
		wg.Go(func() {
			st, err := open()
			if err != nil {
				t.Error(err)
				return
			}
			for n := range 3 {
				want := longPayload[:[]int{1 << 20, 100, 60_000}[(i+n)%3]]
				if err := st.SendMsg(&message{Value: want}); err != nil {
					t.Errorf("message %d of stream %d: %v", n, i, err)
					return
				}
				out := new(message)
				if err := st.RecvMsg(out); err != nil || !bytes.Equal(out.Value, want) {
					t.Errorf("message %d of stream %d: %d bytes, %v, want %d", n, i, len(out.Value), err, len(want))
				}
			}
			if err := st.CloseSend(); err != nil {
				t.Error(err)
			}
			if err := st.RecvMsg(new(message)); err != io.EOF {
				t.Errorf("stream %d ended with %v", i, err)
			}
		})
	}
	wg.Wait()
}

func TestLongGzipFromGRPCGo(t *testing.T) {
	addr, _ := serveStrata(t, stubs.CompressionConfig{}, "gzip")
	cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(grpccredentials.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.UseCompressor(grpcgzip.Name)))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	ctx := testContext(t)
	exchangeLong(t, func(in, out *message) error { return cc.Invoke(ctx, unaryMethod, in, out) }, func() (aStream, error) {
		return cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, streamMethod)
	})
}

func TestLongGzipToGRPCGo(t *testing.T) {
	addr, _ := serveGRPCGo(t)
	cc, err := stubs.NewClient(addr, stubs.WithTransportCredentials(credentials.NewInsecure()),
		stubs.WithCompression(stubs.CompressionConfig{Send: "gzip"}))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	ctx := testContext(t)
	exchangeLong(t, func(in, out *message) error { return cc.Invoke(ctx, unaryMethod, in, out) }, func() (aStream, error) {
		return cc.NewStream(ctx, &stubs.StreamDesc{ServerStreams: true, ClientStreams: true}, streamMethod)
	})
}
