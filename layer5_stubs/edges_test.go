package stubs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// TestForwardMetadata: a proxy passes on what it was sent, as it is.
func TestForwardMetadata(t *testing.T) {
	back := newFixture(t, new(echo), options{})
	front := newFixture(t, &echo{hook: func(ctx context.Context) error {
		md, _ := metadata.FromIncomingContext(ctx)
		_, err := back.client.Unary(metadata.NewOutgoingContext(ctx, md), &testpb.Request{Text: "x"})
		return err
	}}, options{})
	if _, err := front.client.Unary(within(t), &testpb.Request{Text: "x"}); err != nil {
		t.Error(err)
	}
}

// TestInterceptorMayAppendOptions: the options that an interceptor adds are
// those of its call alone.
func TestInterceptorMayAppendOptions(t *testing.T) {
	f := newFixture(t, &echo{hook: func(ctx context.Context) error {
		md, _ := metadata.FromIncomingContext(ctx)
		return stubs.SetHeader(ctx, metadata.Pairs("id", md.Get("id")[0]))
	}}, options{})
	type key struct{}
	cc := dial(t, f.cc.Target(),
		stubs.WithDefaultCallOptions(stubs.WaitForReady(true)),
		stubs.WithDefaultCallOptions(stubs.MaxCallRecvMsgSize(1000)),
		stubs.WithDefaultCallOptions(stubs.MaxCallSendMsgSize(1000)),
		stubs.WithUnaryInterceptor(func(ctx context.Context, m string, req, reply any, cc *stubs.ClientConn, next stubs.UnaryInvoker, opts ...stubs.CallOption) error {
			opts = append(opts, stubs.Header(ctx.Value(key{}).(*metadata.MD)))
			runtime.Gosched()
			return next(ctx, m, req, reply, cc, opts...)
		}))
	client := testpb.NewTestClient(cc)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 100 {
				md := new(metadata.MD)
				ctx := context.WithValue(metadata.NewOutgoingContext(within(t), metadata.Pairs("id", fmt.Sprint(i))), key{}, md)
				if _, err := client.Unary(ctx, &testpb.Request{}); err != nil {
					t.Error(err)
				}
				if got := md.Get("id"); len(got) != 1 || got[0] != fmt.Sprint(i) {
					t.Errorf("the header of another call: %v, want %d", got, i)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestHeaderOfFailedCall: Header of a call that ends without headers is its
// status, whenever one asks.
func TestHeaderOfFailedCall(t *testing.T) {
	f := newFixture(t, &echo{hook: func(context.Context) error { return status.Error(status.NotFound, "no") }}, options{})
	for range 300 {
		stream, err := f.client.Bidi(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if md, err := stream.Header(); md != nil || status.CodeOf(err) != status.NotFound {
			t.Fatalf("Header() = %v, %v, want the call's status", md, err)
		}
		stream.Close()
	}
}

// TestHandlerSeesWhy: a handler whose call a limit has ended is told so.
func TestHandlerSeesWhy(t *testing.T) {
	got := make(chan error, 1)
	f := newFixture(t, new(echo), options{server: []stubs.ServerOption{stubs.MaxRecvMsgSize(10), stubs.StreamInterceptor(
		func(_ any, ss stubs.ServerStream, _ *stubs.StreamServerInfo, _ stubs.StreamHandler) error {
			err := ss.RecvMsg(new(testpb.Request))
			got <- err
			return err
		})}})
	stream, err := f.client.Bidi(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&testpb.Request{Payload: make([]byte, 100)}); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantCode(t, err, status.ResourceExhausted)
	wantCode(t, <-got, status.ResourceExhausted)
}

// An endingListener ends with an error of its own, as some do that are not
// package net's.
type endingListener struct {
	closed chan struct{}
	once   sync.Once
}

func (l *endingListener) Accept() (net.Conn, error) {
	<-l.closed
	return nil, errors.New("closed")
}

func (l *endingListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *endingListener) Addr() net.Addr { return &net.TCPAddr{} }

func TestServeEndsWithItsListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stubs.NewServer(stubs.WithLogger(slog.New(slog.DiscardHandler)))
		l := &endingListener{closed: make(chan struct{})}
		done := make(chan error, 1)
		go func() { done <- s.Serve(l) }()
		l.Close()
		if err := <-done; err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("Serve() = %v, want the listener's error", err)
		}
		s.Stop()
	})
}

// TestShutdownOfAnIdleServer: nothing is left to wait for, so the context does
// not matter.
func TestShutdownOfAnIdleServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		if err := stubs.NewServer().Shutdown(ctx); err != nil {
			t.Fatalf("Shutdown() = %v", err)
		}
	}
}

// TestCloseWithStuckDialer: a dialer that ignores its context does not keep
// Close, and what it returns later is closed.
func TestCloseWithStuckDialer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialing, release := make(chan struct{}), make(chan struct{})
		ours, theirs := net.Pipe()
		cc, err := stubs.NewClient("x", stubs.WithTransportCredentials(credentials.NewInsecure()),
			stubs.WithContextDialer(func(context.Context, string) (net.Conn, error) {
				close(dialing)
				<-release
				return ours, nil
			}))
		if err != nil {
			t.Fatal(err)
		}
		cc.Connect()
		<-dialing
		cc.Close()
		close(release)
		if _, err := theirs.Read(make([]byte, 1)); err == nil {
			t.Error("the connection that came late was used")
		}
	})
}
