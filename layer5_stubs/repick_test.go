package stubs_test

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// TestQueuedCallsMoveOn: calls of each kind wait for MAX_CONCURRENT_STREAMS
// when their server begins to shut down. Nothing of them was sent, so they go
// to the next server, and the application hears nothing of it.
func TestQueuedCallsMoveOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		first := &echo{hook: func(context.Context) error { <-release; return nil }}
		old, oldLis := serveMem(first, stubs.MaxConcurrentStreams(1))
		next, nextLis := serveMem(new(echo))
		var lis atomic.Pointer[memconn.Listener]
		lis.Store(oldLis)
		cc, err := stubs.NewClient("passthrough:///mem",
			stubs.WithTransportCredentials(credentials.NewInsecure()), stubs.WithLogger(slog.New(slog.DiscardHandler)),
			stubs.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.Load().Dial(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		client := testpb.NewTestClient(cc)
		if err := cc.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		results := make(chan error, 5)
		unary := func() {
			out, err := client.Unary(t.Context(), &testpb.Request{Text: "hello", Payload: make([]byte, 100_000)})
			if err == nil && (out.GetText() != "hello" || len(out.GetPayload()) != 100_000) {
				t.Errorf("the answer is %q with %d bytes", out.GetText(), len(out.GetPayload()))
			}
			results <- err
		}
		go unary() // is served by the old server
		synctest.Wait()
		go unary()
		go unary()
		go func() { results <- bidiOnce(t.Context(), client) }()
		go func() { results <- bidiOnce(t.Context(), client) }()
		synctest.Wait()

		lis.Store(nextLis)
		go old.Shutdown(context.Background())
		for range 4 { // those that waited
			if err := <-results; err != nil {
				t.Errorf("a call that waited failed: %v", err)
			}
		}
		close(release)
		if err := <-results; err != nil {
			t.Errorf("the call under way failed: %v", err)
		}
		cc.Close()
		next.Shutdown(context.Background())
	})
}

// serveMem starts a server in memory.
func serveMem(impl testpb.TestServer, opts ...stubs.ServerOption) (*stubs.Server, *memconn.Listener) {
	s := stubs.NewServer(append(opts, stubs.WithLogger(slog.New(slog.DiscardHandler)))...)
	testpb.RegisterTestServer(s, impl)
	lis := memconn.Listen()
	go s.Serve(lis)
	return s, lis
}

// bidiOnce sends one message on a stream and wants it back.
func bidiOnce(ctx context.Context, client testpb.TestClient) error {
	stream, err := client.Bidi(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := stream.Send(&testpb.Request{Text: "hello"}); err != nil {
		return err
	}
	if _, err := stream.Recv(); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	_, err = stream.Recv()
	if err.Error() == "EOF" {
		return nil
	}
	return err
}
