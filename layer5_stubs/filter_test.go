package stubs_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/filters/calllog"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// callLog returns a filter that logs calls to out, at level info and without what
// differs from run to run.
func callLog(out *logBuffer) callstack.Filter {
	return calllog.New(calllog.Config{Level: slog.LevelInfo, Logger: slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey {
				return slog.Attr{}
			}
			return a
		},
	}))})
}

// wantLine checks that one line was logged.
func wantLine(t *testing.T, who string, l *logBuffer, want string) {
	t.Helper()
	got := strings.ReplaceAll(l.String(), "/strata.test.Test/", "")
	if got != want+"\n" {
		t.Errorf("%s logged\n%swant\n%s", who, got, want)
	}
}

// TestFilters has a filter that logs calls on each place where a filter can stand,
// and calls of all kinds.
func TestFilters(t *testing.T) {
	slow := func(ctx context.Context) error {
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	}
	for _, tc := range []struct {
		name           string
		hook           func(context.Context) error
		call           func(ctx context.Context, c testpb.TestClient) error
		client, server string
	}{
		{"unary", nil, func(ctx context.Context, c testpb.TestClient) error {
			_, err := c.Unary(ctx, &testpb.Request{Text: "hello"})
			return err
		}, "method=Unary code=OK duration=0s sent=7 received=9", "method=Unary code=OK duration=0s sent=9 received=7"},
		{"unary with a status", nil, func(ctx context.Context, c testpb.TestClient) error {
			_, err := c.Unary(ctx, &testpb.Request{Code: int32(status.NotFound)})
			return err
		}, "method=Unary code=NotFound duration=0s sent=2 received=0", "method=Unary code=NotFound duration=0s sent=0 received=2"},
		{"messages of the server", nil, func(ctx context.Context, c testpb.TestClient) error {
			stream, err := c.ServerStream(ctx, &testpb.Request{Text: "hello", Responses: 3})
			if err != nil {
				return err
			}
			for _, err = range stubs.Messages(stream) {
			}
			return err
		}, "method=ServerStream code=OK duration=0s sent=9 received=27", "method=ServerStream code=OK duration=0s sent=27 received=9"},
		{"messages of the client", nil, func(ctx context.Context, c testpb.TestClient) error {
			stream, err := c.ClientStream(ctx)
			if err != nil {
				return err
			}
			for range 3 {
				if err := stream.Send(&testpb.Request{Text: "hello"}); err != nil {
					return err
				}
			}
			_, err = stream.CloseAndRecv()
			return err
		}, "method=ClientStream code=OK duration=0s sent=21 received=19", "method=ClientStream code=OK duration=0s sent=19 received=21"},
		{"messages of both", nil, func(ctx context.Context, c testpb.TestClient) error {
			stream, err := c.Bidi(ctx)
			if err != nil {
				return err
			}
			for range 2 {
				if err := stream.Send(&testpb.Request{Text: "hello"}); err != nil {
					return err
				}
				if _, err := stream.Recv(); err != nil {
					return err
				}
			}
			stream.CloseSend()
			stream.Recv()
			return nil
		}, "method=Bidi code=OK duration=0s sent=14 received=18", "method=Bidi code=OK duration=0s sent=18 received=14"},
		{"a deadline", slow, func(ctx context.Context, c testpb.TestClient) error {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			_, err := c.Unary(ctx, &testpb.Request{Text: "hello"})
			return err
		}, "method=Unary code=DeadlineExceeded duration=2s sent=7 received=0", "method=Unary code=DeadlineExceeded duration=2s sent=0 received=7"},
		{"a client that goes", slow, func(ctx context.Context, c testpb.TestClient) error {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			_, err := c.Unary(ctx, &testpb.Request{Text: "hello"})
			return err
		}, "method=Unary code=Canceled duration=1s sent=7 received=0", "method=Unary code=Canceled duration=1s sent=0 received=7"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var channel, connection, server logBuffer
				f := newMemFixture(t, &echo{hook: tc.hook}, options{
					dial: []stubs.DialOption{
						stubs.WithChannelFilter(stubs.ExtraFilter{Filter: callLog(&channel), Before: []string{"client_channel"}}),
						stubs.WithFilter(stubs.ExtraFilter{Filter: callLog(&connection), Before: []string{"compression"}}),
					},
					server: []stubs.ServerOption{stubs.WithFilter(stubs.ExtraFilter{Filter: callLog(&server), After: []string{"server"}})},
				})
				tc.call(t.Context(), f.client)
				synctest.Wait()
				wantLine(t, "the channel's filter", &channel, tc.client)
				wantLine(t, "the filter of the client's connection", &connection, tc.client)
				wantLine(t, "the server's filter", &server, tc.server)
			})
		})
	}
}

// numbered is a filter's part of a call: it counts, and adds its number to the
// headers.
type numbered struct {
	callstack.CallBase
	n   *atomic.Int32
	key string
}

func (c *numbered) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpSendInitialMetadata) {
		b.SendInitialMetadata.MD.Append(c.key, fmt.Sprint(c.n.Add(1)))
	}
	c.Next.StartBatch(b)
}

// numbering returns a filter that numbers what passes.
func numbering(key string, n *atomic.Int32) stubs.ExtraFilter {
	return stubs.ExtraFilter{Filter: callstack.NewFilter("numbering", func(next callstack.CallElem) callstack.CallElem {
		return &numbered{callstack.CallBase{Next: next}, n, key}
	})}
}

// TestFilterSeesAttempts has a call that waits for its turn at a server which
// begins to shut down, so that it goes to the next one. A filter of the channel
// sees it once, one of the connections twice; the server that takes it reads what
// the last attempt has added, and only that.
func TestFilterSeesAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		old, oldLis := serveMem(&echo{hook: func(context.Context) error { <-release; return nil }}, stubs.MaxConcurrentStreams(1))
		var md metadata.MD
		next, nextLis := serveMem(&echo{hook: func(ctx context.Context) error {
			md, _ = metadata.FromIncomingContext(ctx)
			return nil
		}})
		var lis atomic.Pointer[memconn.Listener]
		lis.Store(oldLis)
		var calls, attempts atomic.Int32
		cc := dial(t, "passthrough:///mem",
			stubs.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.Load().Dial(ctx) }),
			stubs.WithChannelFilter(numbering("x-call", &calls)), stubs.WithFilter(numbering("x-attempt", &attempts)))
		client := testpb.NewTestClient(cc)
		ended := make(chan error, 2)
		unary := func() {
			_, err := client.Unary(t.Context(), new(testpb.Request))
			ended <- err
		}
		go unary() // is served by the old server
		synctest.Wait()
		go unary()
		synctest.Wait()
		lis.Store(nextLis)
		go old.Shutdown(context.Background())
		if err := <-ended; err != nil {
			t.Errorf("the call that waited: %v", err)
		}
		if got := fmt.Sprint(md["x-call"], md["x-attempt"], calls.Load(), attempts.Load()); got != "[2] [3] 2 3" {
			t.Errorf("the server read call and attempt, and the filters saw as many: %s, want [2] [3] 2 3", got)
		}
		close(release)
		if err := <-ended; err != nil {
			t.Errorf("the call of the old server: %v", err)
		}
		cc.Close()
		next.Stop()
		synctest.Wait()
	})
}

// TestFaultsOfFilters: what cannot be is found when the ends are made, and says
// which filter it is about.
func TestFaultsOfFilters(t *testing.T) {
	extra := numbering("x", new(atomic.Int32))
	extra.After = []string{"nobody"}
	const want = `filter "numbering" is to stand after "nobody", which is not registered; known here are "`
	for name, bad := range map[string]stubs.DialOption{
		"WithFilter": stubs.WithFilter(extra), "WithChannelFilter": stubs.WithChannelFilter(extra),
	} {
		_, err := stubs.NewClient("passthrough:///x", stubs.WithTransportCredentials(credentials.NewInsecure()), bad)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NewClient with %s = %v, want %q", name, err, want)
		}
	}
	defer func() {
		if p := fmt.Sprint(recover()); !strings.Contains(p, want) {
			t.Errorf("NewServer panics with %q, want %q", p, want)
		}
	}()
	stubs.NewServer(stubs.WithFilter(extra))
}

// stained is a filter's part of a call: it adds a field that cannot be sent.
type stained struct{ callstack.CallBase }

func (c *stained) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpSendInitialMetadata) {
		b.SendInitialMetadata.MD.Append("X-Upper", "v")
	}
	c.Next.StartBatch(b)
}

// TestHeadersThatCannotBeSent: where a filter of the server has spoilt the headers,
// the client is told with a status, not only that the stream was reset, also where a
// message comes with the headers.
func TestHeadersThatCannotBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newMemFixture(t, new(echo), options{server: []stubs.ServerOption{stubs.WithFilter(stubs.ExtraFilter{
			Filter: callstack.NewFilter("stained", func(next callstack.CallElem) callstack.CallElem {
				return &stained{callstack.CallBase{Next: next}}
			}),
		})}})
		for name, call := range map[string]func() error{
			"unary":    func() error { _, err := f.client.Unary(t.Context(), &testpb.Request{Text: "x"}); return err },
			"a stream": func() error { return bidiOnce(t.Context(), f.client) },
		} {
			err := call()
			if wantCode(t, err, status.Internal); !strings.HasSuffix(fmt.Sprint(err), "desc = the server's headers cannot be sent") {
				t.Errorf("%s: the client is told %v", name, err)
			}
		}
	})
}
