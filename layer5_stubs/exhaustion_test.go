package stubs_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// TestStreamIdentifiersRunOut: a connection has 2^30 stream identifiers for its
// client, RFC 9113 §5.1.1. Here each has fifty left, so 10,000 calls need two
// hundred connections; with -short it is 2,000 and a hundred. None of the calls
// fails, a stream that is open when they run out goes on, and the connection
// closes after it.
func TestStreamIdentifiersRunOut(t *testing.T) {
	const callers = 8
	calls, each := 10_000, 50
	if testing.Short() {
		calls, each = 2_000, 20
	}
	synctest.Test(t, func(t *testing.T) {
		lis := memconn.Listen()
		var dialed, open atomic.Int32
		f := serveOn(t, lis, "memory", &echo{}, options{dial: []stubs.DialOption{
			stubs.WithHTTP2(http2.Config{FirstStreamID: frame.MaxStreamID - 2*uint32(each-1)}),
			stubs.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				nc, err := lis.Dial(ctx)
				if err != nil {
					return nil, err
				}
				dialed.Add(1)
				open.Add(1)
				return &countedConn{Conn: nc, open: &open}, nil
			}),
		}})
		long, err := f.client.Bidi(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		exchange := func(text string) {
			if err := long.Send(&testpb.Request{Text: text}); err != nil {
				t.Fatalf("the stream that was open all the time: %v", err)
			}
			if out, err := long.Recv(); err != nil || out.Text != text {
				t.Fatalf("the stream that was open all the time got %v, %v", out, err)
			}
		}
		exchange("first")
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				for i := range calls / callers {
					text := fmt.Sprint(caller, i)
					out, err := f.client.Unary(t.Context(), &testpb.Request{Text: text})
					if err != nil || out.Text != text {
						t.Errorf("call %s got %v, %v", text, out, err)
						return
					}
				}
			})
		}
		wg.Wait()
		exchange("last")
		if got := dialed.Load(); int(got) < calls/each {
			t.Errorf("%d calls took %d connections, want at least %d", calls, got, calls/each)
		}
		if err := long.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := long.Recv(); err == nil {
			t.Error("the stream has no end")
		}
		synctest.Wait()
		if got := open.Load(); got > 1 {
			t.Errorf("%d connections are open though their streams have ended", got)
		}
	})
}

// A countedConn counts itself out when it is closed.
type countedConn struct {
	net.Conn
	open *atomic.Int32
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}
