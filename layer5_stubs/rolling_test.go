package stubs_test

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// TestRollingRestart: one server after another takes over and the one before it
// shuts down, under calls that know nothing of it. None fails and none is
// handled twice: what a server has seen it serves, and what it has not seen the
// client sends to the next one. The times differ from run to run.
func TestRollingRestart(t *testing.T) {
	const servers, callers = 20, 8
	synctest.Test(t, func(t *testing.T) {
		var handled, made atomic.Int64
		impl := &echo{hook: func(context.Context) error {
			handled.Add(1)
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
			return nil
		}}
		var current atomic.Pointer[memconn.Listener]
		start := func() func() {
			lis := memconn.Listen()
			server := stubs.NewServer(stubs.WaitForHandlers(true))
			testpb.RegisterTestServer(server, impl)
			served := make(chan error, 1)
			go func() { served <- server.Serve(lis) }()
			current.Store(lis)
			return func() {
				if err := server.Shutdown(t.Context()); err != nil {
					t.Errorf("Shutdown: %v", err)
				}
				<-served
			}
		}
		stop := start()
		cc := dial(t, "memory", stubs.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return current.Load().Dial(ctx)
		}))
		client := testpb.NewTestClient(cc)

		var done atomic.Bool
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for !done.Load() {
					if _, err := client.Unary(t.Context(), &testpb.Request{Text: "x"}); err != nil {
						t.Errorf("a call is lost: %v", err)
						return
					}
					made.Add(1)
				}
			})
		}
		for range servers {
			time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
			before := stop
			stop = start()
			before()
		}
		done.Store(true)
		wg.Wait()
		if handled.Load() != made.Load() || made.Load() < servers {
			t.Errorf("%d calls succeeded and %d were handled", made.Load(), handled.Load())
		}
		cc.Close()
		stop()
	})
}
