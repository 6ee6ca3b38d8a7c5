package stubs_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// A caller is a principal.
type caller struct{ name string }

// bearer is a hook that knows one token, and takes it out of the metadata.
func bearer(_ context.Context, r *stubs.AuthRequest) error {
	if token, _ := r.Metadata.Get("authorization"); token != "Bearer alice's" {
		return status.Errorf(status.Unauthenticated, "%s needs a bearer token", r.Path)
	}
	r.Metadata.Delete("authorization")
	r.Principal = &caller{"alice"}
	return nil
}

// calls makes one call of each kind and returns its error.
func calls(client testpb.TestClient) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Unary": func(ctx context.Context) error {
			_, err := client.Unary(ctx, new(testpb.Request))
			return err
		},
		"ServerStream": func(ctx context.Context) error {
			stream, err := client.ServerStream(ctx, &testpb.Request{Responses: 1})
			if err == nil {
				_, err = stream.Recv()
			}
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
		"ClientStream": func(ctx context.Context) error {
			stream, err := client.ClientStream(ctx)
			if err == nil {
				_, err = stream.CloseAndRecv()
			}
			return err
		},
		"Bidi": func(ctx context.Context) error {
			stream, err := client.Bidi(ctx)
			if err == nil {
				err = errors.Join(stream.CloseSend())
			}
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
	}
}

// TestServerAuth: handlers and interceptors of calls that were let in learn who
// calls; those of the others do not run.
func TestServerAuth(t *testing.T) {
	for _, inline := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var ran atomic.Int32
			look := func(ctx context.Context) error {
				ran.Add(1)
				if who, _ := stubs.Principal(ctx).(*caller); who == nil || who.name != "alice" {
					t.Errorf("the principal is %v, want alice", stubs.Principal(ctx))
				}
				if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("authorization")) != 0 {
					t.Error("the handler sees the token")
				}
				return nil
			}
			f := newMemFixture(t, &echo{hook: look}, options{server: []stubs.ServerOption{
				stubs.ServerAuth(stubs.ServerAuthConfig{Process: bearer, Inline: inline}),
				stubs.UnaryInterceptor(func(ctx context.Context, req any, _ *stubs.UnaryServerInfo, handler stubs.UnaryHandler) (any, error) {
					return handler(ctx, req)
				}),
				stubs.StreamInterceptor(func(srv any, ss stubs.ServerStream, _ *stubs.StreamServerInfo, handler stubs.StreamHandler) error {
					_ = look(ss.Context())
					return handler(srv, ss)
				}),
			}})
			for name, call := range calls(f.client) {
				ran.Store(0)
				if err := call(metadata.AppendToOutgoingContext(within(t), "authorization", "Bearer alice's")); err != nil && err != io.EOF {
					t.Errorf("%s with the token: %v", name, err)
				}
				if ran.Swap(0) == 0 {
					t.Errorf("%s with the token: no handler has run", name)
				}
				err := call(metadata.AppendToOutgoingContext(within(t), "authorization", "Bearer bob's"))
				wantCode(t, err, status.Unauthenticated)
				if err == nil || !strings.Contains(err.Error(), name+" needs a bearer token") || ran.Load() != 0 {
					t.Errorf("%s without a token: %v, and %d handlers have run", name, err, ran.Load())
				}
			}
		})
	}
}

// TestPrincipal: it belongs to the call, to what is derived from its context, and
// to it alone.
func TestPrincipal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept context.Context
		see := func(ctx context.Context) error {
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			if stubs.Principal(derived) != stubs.Principal(ctx) {
				t.Error("a derived context has another principal")
			}
			kept = ctx
			return nil
		}
		f := newMemFixture(t, &echo{hook: see}, options{server: []stubs.ServerOption{stubs.ServerAuth(stubs.ServerAuthConfig{
			Process: func(_ context.Context, r *stubs.AuthRequest) error {
				if name, ok := r.Metadata.Get("name"); ok {
					r.Principal = name
				}
				return nil
			},
		})}})
		for _, name := range []string{"alice", "", "bob"} {
			ctx := within(t)
			var want any
			if name != "" {
				ctx, want = metadata.AppendToOutgoingContext(ctx, "name", name), name
			}
			if _, err := f.client.Unary(ctx, new(testpb.Request)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := stubs.Principal(kept); got != want {
				t.Errorf("the principal after the call is %v, want %v", got, want)
			}
		}
		if got := stubs.Principal(t.Context()); got != nil {
			t.Errorf("a context that is no handler's has the principal %v", got)
		}
	})
}

// TestPanicOfAHook: the server goes on, and the client learns nothing of it.
func TestPanicOfAHook(t *testing.T) {
	for _, inline := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := newMemFixture(t, new(echo), options{server: []stubs.ServerOption{stubs.ServerAuth(stubs.ServerAuthConfig{
				Process: func(_ context.Context, r *stubs.AuthRequest) error {
					if _, bad := r.Metadata.Get("bad"); bad {
						panic("nobody has the token alice's")
					}
					return nil
				}, Inline: inline,
			})}})
			_, err := f.client.Unary(metadata.AppendToOutgoingContext(within(t), "bad", "x"), new(testpb.Request))
			if st := status.Convert(err); st.Code() != status.Internal || st.Message() != "the server failed to find out who calls" {
				t.Errorf("inline %t: %v", inline, err)
			}
			if logs := f.logs.String(); strings.Contains(logs, "alice's") || !strings.Contains(logs, "serverauth_test.go") {
				t.Errorf("inline %t: logged %s, want the stack of the panic and not its token", inline, logs)
			}
			if _, err := f.client.Unary(within(t), new(testpb.Request)); err != nil {
				t.Errorf("inline %t: the next call: %v", inline, err)
			}
		})
	}
}
