package stubs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// gzipBothWays has a server answer in gzip what came so.
func gzipBothWays() options {
	cfg := stubs.CompressionConfig{Mirror: true}
	return options{
		server: []stubs.ServerOption{stubs.WithCompression(cfg), stubs.MaxRecvMsgSize(8 << 20)},
		dial:   []stubs.DialOption{stubs.WithDefaultCallOptions(stubs.MaxCallRecvMsgSize(8<<20), stubs.UseCompressor("gzip"))},
	}
}

// TestLongCompressedMessages go both ways, whole and in order, while small calls are
// made on the same connection.
func TestLongCompressedMessages(t *testing.T) {
	longest := 4 << 20
	if testing.Short() {
		longest = 128 << 10 // the race detector makes coding slow
	}
	for name, traced := range map[string]bool{"plain": false, "traced": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := gzipBothWays()
				if traced {
					rec := trace.NewRecorder(trace.LevelEvents)
					o.server = append(o.server, stubs.WithTrace(rec.Endpoint("server", "client")))
					o.dial = append(o.dial, stubs.WithTrace(rec.Endpoint("client", "server")))
				}
				f, ctx := newMemFixture(t, new(echo), o), within(t)
				payload := orders(longest)
				var wg sync.WaitGroup
				for i := range 4 {
					wg.Go(func() {
						stream, err := f.client.Bidi(ctx)
						if err != nil {
							t.Error(err)
							return
						}
						defer stream.Close()
						for n := range 3 {
							text := string(rune('a'+i)) + string(rune('0'+n))
							size := []int{longest, 100, longest / 4}[(i+n)%3]
							if err := stream.Send(&testpb.Request{Text: text, Payload: payload[:size]}); err != nil {
								t.Error(err)
								return
							}
							out, err := stream.Recv()
							if err != nil || out.Text != text || !bytes.Equal(out.Payload, payload[:size]) {
								t.Errorf("message %s of %d bytes came back as %q with %d: %v", text, size, out.GetText(), len(out.GetPayload()), err)
							}
						}
						if err := stream.CloseSend(); err != nil {
							t.Error(err)
						}
						if _, err := stream.Recv(); err != io.EOF {
							t.Errorf("the stream ended with %v", err)
						}
					})
					wg.Go(func() {
						for range 3 {
							out, err := f.client.Unary(ctx, &testpb.Request{Payload: payload})
							if err != nil || !bytes.Equal(out.Payload, payload) {
								t.Errorf("a unary call received %d bytes: %v", len(out.GetPayload()), err)
							}
						}
					})
					wg.Go(func() {
						for range 20 {
							if _, err := f.client.Unary(ctx, &testpb.Request{Text: "small"}); err != nil {
								t.Error(err)
							}
						}
					})
				}
				wg.Wait()
			})
		})
	}
}

// TestLimitWhileInflating: a message that is inflated away from the reader is refused
// with the same words, and so is every other.
func TestLimitWhileInflating(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := gzipBothWays()
		o.server = append(o.server, stubs.MaxRecvMsgSize(1<<20))
		f, ctx := newMemFixture(t, new(echo), o), within(t)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := f.client.Unary(ctx, &testpb.Request{Payload: make([]byte, 2<<20)})
				wantCode(t, err, status.ResourceExhausted)
				if err != nil && !strings.Contains(err.Error(), "passes the receive limit of 1048576 bytes once inflated (server option MaxRecvMsgSize)") {
					t.Errorf("error = %v", err)
				}
			})
		}
		wg.Wait()
	})
}

// inflating reports whether a goroutine inflates a message.
func inflating() bool {
	p := make([]byte, 1<<20)
	return bytes.Contains(p[:runtime.Stack(p, true)], []byte("compression.(*call).inflateAway"))
}

// TestCloseWhileInflating: none of the goroutines that inflate is left when Close of the
// client, or Stop of the server, has returned, and no call hangs.
func TestCloseWhileInflating(t *testing.T) {
	loops := 200
	if testing.Short() {
		loops = 20
	}
	for name, tc := range map[string]struct {
		exchange func(f *fixture, ctx context.Context, long []byte) error
		end      func(f *fixture)
	}{
		"client": {receiveLong, func(f *fixture) { _ = f.cc.Close(); f.server.Stop() }}, // which has a long request
		"server": {sendLong, func(f *fixture) { f.server.Stop() }},
	} {
		t.Run(name, func(t *testing.T) {
			long, met := make([]byte, 1<<20), 0
			for range loops {
				synctest.Test(t, func(t *testing.T) {
					f, ctx := newMemFixture(t, new(echo), gzipBothWays()), within(t)
					var wg sync.WaitGroup
					for range 4 {
						wg.Go(func() {
							err := tc.exchange(f, ctx, long)
							if code := status.CodeOf(err); err != nil && err != io.EOF && code != status.Canceled && code != status.Unavailable {
								t.Errorf("a call ended with %v", err)
							}
						})
					}
					for range 200 {
						if runtime.Gosched(); inflating() {
							met++
							break
						}
					}
					tc.end(f)
					if inflating() {
						t.Error("a goroutine still inflates a message")
					}
					_ = f.cc.Close()
					wg.Wait()
				})
			}
			if met == 0 {
				t.Errorf("no message was at work in %d times", loops)
			}
			t.Logf("messages were at work in %d of %d times", met, loops)
		})
	}
}

// receiveLong receives messages that are long until the call ends.
func receiveLong(f *fixture, ctx context.Context, long []byte) error {
	stream, err := f.client.ServerStream(ctx, &testpb.Request{Payload: long, Responses: 10})
	for err == nil {
		_, err = stream.Recv()
	}
	return err
}

// sendLong sends messages that are long, until the call ends.
func sendLong(f *fixture, ctx context.Context, long []byte) error {
	stream, err := f.client.ClientStream(ctx)
	if err != nil {
		return err
	}
	for range 10 {
		if err := stream.Send(&testpb.Request{Payload: long}); err != nil {
			break // how the call ended is for the end to say
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}

// TestCloseWaitsForCompressors: Close and Stop return when the compressors have that
// were at work.
func TestCloseWaitsForCompressors(t *testing.T) {
	for name, end := range map[string]func(f *fixture){
		"client": func(f *fixture) { _ = f.cc.Close() },
		"server": func(f *fixture) { f.server.Stop() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				block := make(chan struct{})
				slow := stubs.WithCompression(stubs.CompressionConfig{Compressors: []stubs.Compressor{stuck{newCanned(), block}}, Mirror: true})
				o := options{server: []stubs.ServerOption{slow}}
				if name == "client" {
					good := stubs.WithCompression(stubs.CompressionConfig{Mirror: true})
					o = options{server: []stubs.ServerOption{good}, dial: []stubs.DialOption{slow}}
				}
				f := newMemFixture(t, new(echo), o)
				var wg sync.WaitGroup
				wg.Go(func() {
					_, err := f.client.Unary(within(t), &testpb.Request{Payload: orders(1 << 20)}, stubs.UseCompressor("gzip"))
					if code := status.CodeOf(err); code != status.Canceled && code != status.Unavailable {
						t.Errorf("the call ended with %v", err)
					}
				})
				synctest.Wait()
				ended := make(chan struct{})
				go func() {
					end(f)
					close(ended)
				}()
				synctest.Wait()
				select {
				case <-ended:
					t.Error("a compressor was still at work")
				default:
				}
				close(block)
				<-ended
				wg.Wait()
			})
		})
	}
}

// TestMessageOutlivesItsConnection: an answer that has come is not lost because the
// server ends the connection before it is inflated.
func TestMessageOutlivesItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		cfg := stubs.CompressionConfig{Compressors: []stubs.Compressor{stuck{newCanned(), block}}}
		f := newMemFixture(t, new(echo), options{
			server: []stubs.ServerOption{stubs.WithCompression(stubs.CompressionConfig{Send: "gzip"})},
			dial:   []stubs.DialOption{stubs.WithCompression(cfg)},
		})
		var wg sync.WaitGroup
		payload := orders(1 << 20)
		for range 3 {
			wg.Go(func() {
				out, err := f.client.Unary(within(t), &testpb.Request{Payload: payload})
				if err != nil || !bytes.Equal(out.Payload, payload) {
					t.Errorf("a call ended with %d bytes and %v", len(out.GetPayload()), err)
				}
			})
		}
		synctest.Wait()
		f.server.GracefulStop()
		close(block)
		wg.Wait()
	})
}

// TestDeadlineWhileInflating: a call does not wait at its deadline until its message
// has been inflated.
func TestDeadlineWhileInflating(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		cfg := stubs.CompressionConfig{Compressors: []stubs.Compressor{stuck{newCanned(), block}}, Mirror: true}
		f := newMemFixture(t, new(echo), options{
			server: []stubs.ServerOption{stubs.WithCompression(stubs.CompressionConfig{Mirror: true})},
			dial:   []stubs.DialOption{stubs.WithCompression(cfg)},
		})
		var wg sync.WaitGroup
		defer wg.Wait()
		defer close(block)
		long := &testpb.Request{Payload: orders(1 << 20)}
		first := within(t)
		for range max(1, runtime.GOMAXPROCS(0)/2) { // they are at work
			wg.Go(func() { _, _ = f.client.Unary(first, long, stubs.UseCompressor("gzip")) })
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		_, err := f.client.Unary(ctx, long, stubs.UseCompressor("gzip"))
		wantCode(t, err, status.DeadlineExceeded)
		if got := time.Since(begin); got != time.Second {
			t.Errorf("a call whose message waits ended after %v, want its deadline of 1s", got)
		}
		if _, err := f.client.Unary(within(t), &testpb.Request{Text: "small"}); err != nil {
			t.Error(err)
		}
	})
}

// A stuck is a coding that inflates when the test lets it.
type stuck struct {
	canned
	block chan struct{}
}

func (s stuck) Decompress(r io.Reader) (io.Reader, error) {
	<-s.block
	return s.canned.Decompress(r)
}

// A faulty is a coding whose messages cannot be read: it panics.
type faulty struct{ canned }

func (faulty) Decompress(io.Reader) (io.Reader, error) { panic(errors.New("on purpose")) }

// TestPanicOfACompressor ends the call with the compressor's name, whether the message
// is inflated by the reader or elsewhere, and nothing else.
func TestPanicOfACompressor(t *testing.T) {
	bad := stubs.CompressionConfig{Compressors: []stubs.Compressor{faulty{newCanned()}}, Mirror: true}
	good := stubs.CompressionConfig{Mirror: true}
	for name, o := range map[string]options{
		"client": {server: []stubs.ServerOption{stubs.WithCompression(good)}, dial: []stubs.DialOption{stubs.WithCompression(bad)}},
		"server": {server: []stubs.ServerOption{stubs.WithCompression(bad)}, dial: []stubs.DialOption{stubs.WithCompression(good)}},
	} {
		for _, size := range []int{1 << 10, 1 << 20} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newMemFixture(t, new(echo), o)
					_, err := f.client.Unary(within(t), &testpb.Request{Payload: orders(size)}, stubs.UseCompressor("gzip"))
					wantCode(t, err, status.Internal)
					if name == "client" && (err == nil || !strings.Contains(err.Error(), `compressor "gzip" panicked: on purpose`)) {
						t.Errorf("error = %v", err)
					}
					if _, err := f.client.Unary(within(t), &testpb.Request{Text: "next"}); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}
