package stubs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// testTimeout bounds what has to happen.
const testTimeout = 20 * time.Second

// An echo serves testpb.Test: it answers with what it was sent. hook, if not
// nil, runs first in every handler and its error ends the call.
type echo struct {
	testpb.UnimplementedTestServer
	hook func(ctx context.Context) error
}

func (e *echo) before(ctx context.Context) error {
	if e.hook == nil {
		return nil
	}
	return e.hook(ctx)
}

func (e *echo) Unary(ctx context.Context, in *testpb.Request) (*testpb.Response, error) {
	if err := e.before(ctx); err != nil {
		return nil, err
	}
	if in.Code != 0 {
		return nil, status.Error(status.Code(in.Code), in.Text)
	}
	return &testpb.Response{Text: in.Text, Payload: in.Payload, Received: 1}, nil
}

func (e *echo) ServerStream(in *testpb.Request, stream stubs.ServerStreamingServer[testpb.Response]) error {
	if err := e.before(stream.Context()); err != nil {
		return err
	}
	for range in.Responses {
		if err := stream.Send(&testpb.Response{Text: in.Text, Payload: in.Payload, Received: 1}); err != nil {
			return err
		}
	}
	if in.Code != 0 {
		return status.Error(status.Code(in.Code), in.Text)
	}
	return nil
}

func (e *echo) ClientStream(stream stubs.ClientStreamingServer[testpb.Request, testpb.Response]) error {
	if err := e.before(stream.Context()); err != nil {
		return err
	}
	out := new(testpb.Response)
	for in, err := range stubs.Messages(stream) {
		if err != nil {
			return err
		}
		out.Text += in.Text
		out.Received++
		if in.Code != 0 {
			return status.Error(status.Code(in.Code), in.Text)
		}
	}
	return stream.SendAndClose(out)
}

func (e *echo) Bidi(stream stubs.BidiStreamingServer[testpb.Request, testpb.Response]) error {
	if err := e.before(stream.Context()); err != nil {
		return err
	}
	for n := int32(1); ; n++ {
		in, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if in.Code != 0 {
			return status.Error(status.Code(in.Code), in.Text)
		}
		if err := stream.Send(&testpb.Response{Text: in.Text, Payload: in.Payload, Received: n}); err != nil {
			return err
		}
	}
}

// A fixture is a server and a client that are connected.
type fixture struct {
	server *stubs.Server
	cc     *stubs.ClientConn
	client testpb.TestClient
	logs   *logBuffer
}

// A logBuffer keeps what a server logs.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// An options holds those of both sides.
type options struct {
	server []stubs.ServerOption
	dial   []stubs.DialOption
}

// newFixture serves impl over loopback TCP and stops at the end of the test.
func newFixture(t testing.TB, impl testpb.TestServer, o options) *fixture {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, lis, lis.Addr().String(), impl, o)
}

// newMemFixture is newFixture in memory, for synctest bubbles.
func newMemFixture(t testing.TB, impl testpb.TestServer, o options) *fixture {
	t.Helper()
	lis := memconn.Listen()
	o.dial = append(o.dial, stubs.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.Dial(ctx) }))
	return serveOn(t, lis, "memory", impl, o)
}

func serveOn(t testing.TB, lis net.Listener, target string, impl testpb.TestServer, o options) *fixture {
	t.Helper()
	f := &fixture{logs: new(logBuffer)}
	logger := slog.New(slog.NewTextHandler(f.logs, nil))
	f.server = stubs.NewServer(append([]stubs.ServerOption{stubs.WithLogger(logger), stubs.WaitForHandlers(true)}, o.server...)...)
	testpb.RegisterTestServer(f.server, impl)
	served := make(chan error, 1)
	go func() { served <- f.server.Serve(lis) }()
	t.Cleanup(func() {
		f.server.Stop()
		if err := <-served; err != nil && err != stubs.ErrServerStopped {
			t.Errorf("Serve = %v", err)
		}
	})
	f.cc = dial(t, target, o.dial...)
	f.client = testpb.NewTestClient(f.cc)
	return f
}

// dial returns a client of target, closed at the end of the test.
func dial(t testing.TB, target string, opts ...stubs.DialOption) *stubs.ClientConn {
	t.Helper()
	cc, err := stubs.NewClient(target, append([]stubs.DialOption{
		stubs.WithTransportCredentials(credentials.NewInsecure()), stubs.WithLogger(slog.New(slog.DiscardHandler)),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// within returns a context that ends in time for the test to say where it hung.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// wantCode checks the status behind err.
func wantCode(t testing.TB, err error, code status.Code) {
	t.Helper()
	if got := status.CodeOf(err); got != code {
		t.Errorf("error = %v with code %v, want %v", err, got, code)
	}
}

// errRefused is what refuse says.
var errRefused = errors.New("the test refuses")

// refuse is a dialer that does not connect.
func refuse(context.Context, string) (net.Conn, error) { return nil, errRefused }
