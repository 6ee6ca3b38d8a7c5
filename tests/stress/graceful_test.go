package stress

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

const (
	gracefulRounds  = 10 // without -short
	shortRounds     = 3  // with -short
	gracefulCallers = 16
	gracefulLimit   = 10 * time.Second       // of a call, which no call needs
	gracefulPause   = 30 * time.Millisecond  // before and after the first server drains
	gracefulNap     = 200 * time.Microsecond // of a handler, so that calls are under way
)

// A napper answers unary calls after a while, and counts them.
type napper struct {
	grpctestingpb.UnimplementedTestServiceServer
	handled atomic.Int64
}

// UnaryCall answers with nothing.
func (n *napper) UnaryCall(context.Context, *grpctestingpb.SimpleRequest) (*grpctestingpb.SimpleResponse, error) {
	n.handled.Add(1)
	time.Sleep(gracefulNap)
	return &grpctestingpb.SimpleResponse{}, nil
}

// TestGracefulStopLosesNoCall: of two servers that a channel knows one drains,
// and calls that wait for a server go to the other one. None fails, and none is
// handled twice.
func TestGracefulStopLosesNoCall(t *testing.T) {
	before := runtime.NumGoroutine()
	rounds := gracefulRounds
	if testing.Short() {
		rounds = shortRounds
	}
	defer watch(time.Duration(rounds)*time.Second + graceToEnd).Stop()
	for range rounds {
		drainOneOfTwo(t)
	}
	awaitGoroutines(t, before)
}

// drainOneOfTwo is one round.
func drainOneOfTwo(t *testing.T) {
	n := new(napper)
	first, firstAddr := startNapper(t, n)
	second, secondAddr := startNapper(t, n)
	defer second.Stop()
	cc := dial(t, "ipv4:"+firstAddr+","+secondAddr)
	if cc == nil {
		return
	}
	defer cc.Close()

	client := grpctestingpb.NewTestServiceClient(cc)
	var done atomic.Bool
	var made atomic.Int64
	var callers sync.WaitGroup
	for range gracefulCallers {
		callers.Go(func() {
			for !done.Load() {
				ctx, cancel := context.WithTimeout(context.Background(), gracefulLimit)
				_, err := client.UnaryCall(ctx, &grpctestingpb.SimpleRequest{}, stubs.WaitForReady(true))
				cancel()
				if err != nil {
					t.Errorf("a call is lost: %v", err)
					return
				}
				made.Add(1)
			}
		})
	}
	time.Sleep(gracefulPause)
	first.GracefulStop()
	drained := made.Load()
	time.Sleep(gracefulPause)
	done.Store(true)
	callers.Wait()
	if made.Load() == drained {
		t.Error("no call was made after the first server had drained")
	}
	if handled := n.handled.Load(); handled != made.Load() && !t.Failed() {
		t.Errorf("%d calls succeeded, %d were handled", made.Load(), handled)
	}
}

// startNapper serves n at an address of its own.
func startNapper(t *testing.T, n *napper) (server *stubs.Server, addr string) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server = stubs.NewServer(quiet())
	grpctestingpb.RegisterTestServiceServer(server, n)
	go func() {
		if err := server.Serve(lis); err != nil && !errors.Is(err, stubs.ErrServerStopped) {
			t.Errorf("Serve: %v", err)
		}
	}()
	return server, lis.Addr().String()
}
