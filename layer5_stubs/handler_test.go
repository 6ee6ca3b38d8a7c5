package stubs_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// TestHandlerThatDoesNotReturn: a panic and runtime.Goexit end the call that
// they happen in with INTERNAL, are logged, and nothing else suffers.
func TestHandlerThatDoesNotReturn(t *testing.T) {
	var act func()
	f := newFixture(t, &echo{hook: func(context.Context) error { act(); return nil }}, options{})
	ctx := within(t)
	for _, tc := range []struct {
		name, log string
		act       func()
	}{
		{"panic", "panic=broken", func() { panic("broken") }},
		{"nil pointer", "nil pointer dereference", func() { _ = *(*int)(nil) }},
		{"goexit", "ended its goroutine", runtime.Goexit},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, kind := range []string{"unary", "stream"} {
				act = tc.act
				err := callOf(ctx, f, kind)
				wantCode(t, err, status.Internal)
				if s := fmt.Sprint(err); !strings.Contains(s, "/strata.test.Test/") || strings.Contains(s, "broken") {
					t.Errorf("%s: error = %q", kind, s)
				}
				if !strings.Contains(f.logs.String(), tc.log) {
					t.Errorf("%s: the log does not say %q:\n%s", kind, tc.log, f.logs)
				}
				act = func() {}
				if _, err := f.client.Unary(ctx, new(testpb.Request)); err != nil {
					t.Errorf("the next call: %v", err)
				}
			}
		})
	}
}

// shapes is a service whose handlers and calls disagree about cardinality.
func shapes(handler stubs.StreamHandler, clientStreams, serverStreams bool) *stubs.ServiceDesc {
	return &stubs.ServiceDesc{
		ServiceName: "shapes",
		Streams:     []stubs.StreamDesc{{StreamName: "M", Handler: handler, ClientStreams: clientStreams, ServerStreams: serverStreams}},
	}
}

// serveShapes returns a client of that service.
func serveShapes(t *testing.T, desc *stubs.ServiceDesc) *stubs.ClientConn {
	t.Helper()
	s := stubs.NewServer(stubs.WaitForHandlers(true))
	s.RegisterService(desc, nil)
	return serveServer(t, s)
}

// TestTooFewAndTooMany: a violated cardinality is UNIMPLEMENTED, whoever
// violates it, and hangs nobody.
func TestTooFewAndTooMany(t *testing.T) {
	send := func(n int) stubs.StreamHandler {
		return func(_ any, stream stubs.ServerStream) error {
			for range n {
				if err := stream.SendMsg(new(testpb.Response)); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for _, n := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d responses to a unary call", n), func(t *testing.T) {
			cc := serveShapes(t, shapes(send(n), true, true))
			wantCode(t, cc.Invoke(within(t), "/shapes/M", new(testpb.Request), new(testpb.Response)), status.Unimplemented)
		})
		t.Run(fmt.Sprintf("%d responses to a client stream", n), func(t *testing.T) {
			cc := serveShapes(t, shapes(send(n), true, true))
			stream, err := cc.NewStream(within(t), &stubs.StreamDesc{ClientStreams: true}, "/shapes/M")
			if err != nil {
				t.Fatal(err)
			}
			wantCode(t, stream.RecvMsg(new(testpb.Response)), status.Unimplemented)
		})
		t.Run(fmt.Sprintf("%d requests to a server stream", n), func(t *testing.T) {
			cc := serveShapes(t, shapes(func(_ any, stream stubs.ServerStream) error {
				if err := stream.RecvMsg(new(testpb.Request)); err != nil {
					return err
				}
				<-stream.Context().Done()
				return nil
			}, false, true))
			wantCode(t, sendN(t, cc, "/shapes/M", n), status.Unimplemented)
		})
		t.Run(fmt.Sprintf("%d requests to a unary method", n), func(t *testing.T) {
			f := newFixture(t, &echo{hook: func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}}, options{})
			wantCode(t, sendN(t, f.cc, testpb.Test_Unary_FullMethodName, n), status.Unimplemented)
		})
	}
	t.Run("a handler returns without its response", func(t *testing.T) {
		cc := serveShapes(t, shapes(send(0), true, false))
		stream, err := cc.NewStream(within(t), &stubs.StreamDesc{ClientStreams: true}, "/shapes/M")
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, stream.RecvMsg(new(testpb.Response)), status.Unimplemented)
	})
	t.Run("a handler sends a second response", func(t *testing.T) {
		cc := serveShapes(t, shapes(send(2), true, false))
		wantCode(t, cc.Invoke(within(t), "/shapes/M", new(testpb.Request), new(testpb.Response)), status.Internal)
	})
}

// sendN sends n requests where one is wanted and returns how the call ended.
func sendN(t *testing.T, cc *stubs.ClientConn, method string, n int) error {
	t.Helper()
	stream, err := cc.NewStream(within(t), &stubs.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := stream.SendMsg(new(testpb.Request)); err != nil && err != io.EOF {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	return stream.RecvMsg(new(testpb.Response))
}

// TestSendAfterLast: a message after the last is a mistake that ends the call.
func TestSendAfterLast(t *testing.T) {
	f := newFixture(t, new(echo), options{})
	stream, err := f.client.Bidi(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, stream.Send(new(testpb.Request)), status.Internal)
}

// TestServerAnswersEarly: the status of a call that the server ended is not
// lost to a client that is still sending, and is repeated.
func TestServerAnswersEarly(t *testing.T) {
	f := newFixture(t, new(echo), options{})
	stream, err := f.client.Bidi(within(t))
	if err != nil {
		t.Fatal(err)
	}
	for {
		err := stream.Send(&testpb.Request{Code: int32(status.Aborted), Text: "enough"})
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("Send = %v, want io.EOF in the end", err)
		}
	}
	for range 2 {
		_, err := stream.Recv()
		wantCode(t, err, status.Aborted)
	}
}

// TestInterceptors: those given first are outermost, on both sides and for
// both kinds of calls.
func TestInterceptors(t *testing.T) {
	var mu sync.Mutex
	var order []string
	note := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, s)
	}
	unaryClient := func(name string) stubs.UnaryClientInterceptor {
		return func(ctx context.Context, method string, req, reply any, cc *stubs.ClientConn, next stubs.UnaryInvoker, opts ...stubs.CallOption) error {
			note(name)
			return next(ctx, method, req, reply, cc, opts...)
		}
	}
	streamClient := func(name string) stubs.StreamClientInterceptor {
		return func(ctx context.Context, desc *stubs.StreamDesc, cc *stubs.ClientConn, method string, next stubs.Streamer, opts ...stubs.CallOption) (stubs.ClientStream, error) {
			note(name)
			return next(ctx, desc, cc, method, opts...)
		}
	}
	unaryServer := func(name string) stubs.UnaryServerInterceptor {
		return func(ctx context.Context, req any, info *stubs.UnaryServerInfo, next stubs.UnaryHandler) (any, error) {
			note(name + info.FullMethod)
			return next(ctx, req)
		}
	}
	streamServer := func(name string) stubs.StreamServerInterceptor {
		return func(srv any, ss stubs.ServerStream, info *stubs.StreamServerInfo, next stubs.StreamHandler) error {
			note(fmt.Sprintf("%s%s %t %t", name, info.FullMethod, info.IsClientStream, info.IsServerStream))
			return next(srv, ss)
		}
	}
	f := newFixture(t, new(echo), options{
		dial: []stubs.DialOption{
			stubs.WithChainUnaryInterceptor(unaryClient("b"), unaryClient("c")), stubs.WithUnaryInterceptor(unaryClient("a")),
			stubs.WithChainStreamInterceptor(streamClient("b"), streamClient("c")), stubs.WithStreamInterceptor(streamClient("a")),
			stubs.WithDefaultCallOptions(stubs.WaitForReady(true)),
		},
		server: []stubs.ServerOption{
			stubs.UnaryInterceptor(unaryServer("x")), stubs.ChainUnaryInterceptor(unaryServer("y"), unaryServer("z")),
			stubs.StreamInterceptor(streamServer("x")), stubs.ChainStreamInterceptor(streamServer("y"), streamServer("z")),
		},
	})
	for kind, method := range map[string]string{"unary": "/strata.test.Test/Unary", "stream": "/strata.test.Test/ServerStream"} {
		order = nil
		var err error
		if kind == "unary" {
			_, err = f.client.Unary(within(t), new(testpb.Request), stubs.WaitForReady(false))
		} else {
			method += " false true"
			var stream stubs.ServerStreamingClient[testpb.Response]
			if stream, err = f.client.ServerStream(within(t), new(testpb.Request)); err == nil {
				_, err = stream.Recv()
			}
		}
		if err != nil && err != io.EOF {
			t.Error(err)
		}
		mu.Lock()
		if want := []string{"a", "b", "c", "x" + method, "y" + method, "z" + method}; !slices.Equal(order, want) {
			t.Errorf("%s: order = %q, want %q", kind, order, want)
		}
		mu.Unlock()
	}
}

// TestInterceptorAnswers: an interceptor may answer in place of the handler,
// and what it says wins.
func TestInterceptorAnswers(t *testing.T) {
	f := newFixture(t, new(echo), options{server: []stubs.ServerOption{
		stubs.UnaryInterceptor(func(context.Context, any, *stubs.UnaryServerInfo, stubs.UnaryHandler) (any, error) {
			return nil, status.Error(status.Unauthenticated, "who are you?")
		}),
	}})
	_, err := f.client.Unary(within(t), new(testpb.Request))
	wantCode(t, err, status.Unauthenticated)
}
