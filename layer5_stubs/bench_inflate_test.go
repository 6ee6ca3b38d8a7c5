package stubs_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// A canned is gzip that compresses each length of message once and then sends what
// came of that, so that a benchmark measures who receives.
type canned struct {
	encoding.Gzip
	mu   *sync.Mutex
	done map[int][]byte // guarded by mu
}

func newCanned() canned { return canned{mu: new(sync.Mutex), done: make(map[int][]byte)} }

func (c canned) Compress(w io.Writer) (io.WriteCloser, error) { return &cannedWriter{c, w}, nil }

type cannedWriter struct {
	c canned
	w io.Writer
}

func (w *cannedWriter) Write(p []byte) (int, error) {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	packed := w.c.done[len(p)]
	if packed == nil {
		out, err := encoding.Compress(w.c.Gzip, transport.WrapBuffer(p))
		if err != nil {
			return 0, err
		}
		packed = slices.Clone(out.Bytes())
		w.c.done[len(p)] = packed
	}
	_, err := w.w.Write(packed)
	return len(p), err
}

func (w *cannedWriter) Close() error { return nil }

// orders returns n bytes like a list of records, which get a sixth as long.
func orders(n int) []byte {
	var p []byte
	for i := 0; len(p) < n; i++ {
		p = fmt.Appendf(p, "\x0a\x20user-%08x@example.com\x12\x0aorder %d of %d\x18\x96\x01 2024-%02d-%02d;", i*2654435761, i, n, i%12+1, i*7%28+1)
	}
	return p[:n]
}

// newCannedFixture is a fixture over TCP whose server answers in gzip.
func newCannedFixture(b *testing.B) *fixture {
	cfg := stubs.CompressionConfig{Compressors: []stubs.Compressor{newCanned()}, Mirror: true}
	return newFixture(b, new(echo), options{
		server: []stubs.ServerOption{stubs.WithCompression(cfg), stubs.MaxRecvMsgSize(8 << 20)},
		dial:   []stubs.DialOption{stubs.WithCompression(cfg), stubs.WithDefaultCallOptions(stubs.MaxCallRecvMsgSize(8 << 20))},
	})
}

// BenchmarkUnaryGzip is a call whose messages come compressed.
func BenchmarkUnaryGzip(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 64 << 10, 4 << 20} {
		b.Run(fmt.Sprintf("size=%dKiB", size>>10), func(b *testing.B) {
			f := newCannedFixture(b)
			req := &testpb.Request{Payload: orders(size)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.client.Unary(b.Context(), req, stubs.UseCompressor("gzip")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLatencyBesideGzip is a small call every 2 ms, or when the one before has
// ended, on a connection on which streams receive messages of 4 MiB in gzip. What counts
// is p50 and p99.
func BenchmarkLatencyBesideGzip(b *testing.B) {
	for _, streams := range []int{0, 1, 4, 8} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			f := newCannedFixture(b)
			ctx, cancel := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			defer wg.Wait()
			defer cancel()
			var ready sync.WaitGroup
			for range streams {
				ready.Add(1)
				wg.Go(func() { _ = serverStream(ctx, f, 4<<20, sync.OnceFunc(ready.Done)) })
			}
			ready.Wait()
			var took []time.Duration
			req, tick := &testpb.Request{Payload: make([]byte, 100)}, time.NewTicker(2*time.Millisecond)
			defer tick.Stop()
			for b.Loop() {
				<-tick.C
				begin := time.Now()
				if _, err := f.client.Unary(b.Context(), req); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begin))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// serverStream receives messages of size bytes in gzip until ctx ends, and calls got
// for each.
func serverStream(ctx context.Context, f *fixture, size int, got func()) error {
	req := &testpb.Request{Payload: orders(size), Responses: 1 << 30}
	stream, err := f.client.ServerStream(ctx, req, stubs.UseCompressor("gzip"))
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
		got()
	}
}

// BenchmarkGzipStreams is four streams of one connection that receive messages of
// 1 MiB in gzip.
func BenchmarkGzipStreams(b *testing.B) {
	const streams, size = 4, 1 << 20
	f := newCannedFixture(b)
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	got := make(chan struct{})
	for range streams {
		wg.Go(func() {
			_ = serverStream(ctx, f, size, func() {
				select {
				case got <- struct{}{}:
				case <-ctx.Done():
				}
			})
		})
	}
	for range streams {
		<-got
	}
	b.SetBytes(size)
	for b.Loop() {
		<-got
	}
}
