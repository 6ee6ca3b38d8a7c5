package peers

import (
	"context"
	"testing"

	status "github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// TestRefusedByServerAuth: a client learns what the hook of our server has
// decided, whichever library it is made with, and whatever it sends meanwhile.
func TestRefusedByServerAuth(t *testing.T) {
	hook := func(_ context.Context, r *stubs.AuthRequest) error {
		switch token, _ := r.Metadata.Get("authorization"); token {
		case "Bearer alice's":
			r.Principal = "alice"
			return nil
		case "":
			return status.Error(status.Unauthenticated, "a bearer token is missing")
		default:
			return status.Errorf(status.PermissionDenied, "not for you: %s", r.Path)
		}
	}
	server := stubs.ServerAuth(stubs.ServerAuthConfig{Process: hook})
	for _, client := range []library{strataLib{}, grpcGoLib{}} {
		t.Run(client.name(), func(t *testing.T) {
			who := make(chan any, 1)
			s := strataLib{}.serve(t, handlers{unary: func(ctx context.Context, _ handlerCall, in *message) (*message, error) {
				who <- stubs.Principal(ctx)
				return in, nil
			}}, serverOptions{strata: []stubs.ServerOption{server}})
			cc := client.dial(t, "passthrough:///"+s.addr, clientOptions{})
			ctx := testContext(t)
			body := make([]byte, 100<<10) // more than a window: the refusal finds the client sending
			with := func(token string) *callOptions { return &callOptions{send: pairs{"authorization": {token}}} }
			if out, err := cc.unary(ctx, body, with("Bearer alice's")); err != nil || len(out) != len(body) {
				t.Errorf("with a token: %d bytes, %v", len(out), err)
			} else if got := <-who; got != "alice" {
				t.Errorf("the principal is %v, want alice", got)
			}
			for _, tc := range []struct {
				o    *callOptions
				code status.Code
				text string
			}{
				{nil, status.Unauthenticated, "a bearer token is missing"},
				{with("Bearer bob's"), status.PermissionDenied, "not for you: " + unaryMethod},
			} {
				_, err := cc.unary(ctx, body, tc.o)
				if st := client.statusOf(err); status.Code(st.GetCode()) != tc.code || st.GetMessage() != tc.text {
					t.Errorf("refused with %v, want %v %q", st, tc.code, tc.text)
				}
			}
			stream, err := cc.stream(ctx, nil)
			if err == nil {
				err = stream.RecvMsg(new(message))
			}
			if st := client.statusOf(err); status.Code(st.GetCode()) != status.Unauthenticated {
				t.Errorf("a stream was refused with %v", st)
			}
		})
	}
}

// TestRefusedByCallLimit: one call too many ends at once, with what the limit is,
// on the connection of the first call and on another; when that is over there is a
// place again.
func TestRefusedByCallLimit(t *testing.T) {
	for _, client := range []library{strataLib{}, grpcGoLib{}} {
		t.Run(client.name(), func(t *testing.T) {
			begun, finish := make(chan bool, 1), make(chan bool)
			s := strataLib{}.serve(t, handlers{unary: func(_ context.Context, _ handlerCall, in *message) (*message, error) {
				begun <- true
				<-finish
				return in, nil
			}}, serverOptions{strata: []stubs.ServerOption{stubs.CallLimit(stubs.CallLimitConfig{MaxConcurrent: 1})}})
			cc := client.dial(t, "passthrough:///"+s.addr, clientOptions{})
			ctx := testContext(t)
			first := make(chan error, 1)
			go func() {
				_, err := cc.unary(ctx, []byte("first"), nil)
				first <- err
			}()
			<-begun
			for _, cc := range []conn{cc, client.dial(t, "passthrough:///"+s.addr, clientOptions{})} {
				_, err := cc.unary(ctx, make([]byte, 100<<10), nil)
				const want = "the server has as many calls at once as it may have: 1 (option MaxConcurrent)"
				if st := client.statusOf(err); status.Code(st.GetCode()) != status.ResourceExhausted || st.GetMessage() != want {
					t.Errorf("one call too many: %v, want RESOURCE_EXHAUSTED with %q", st, want)
				}
			}
			close(finish)
			if err := await(t, "the first call", first); err != nil {
				t.Errorf("the first call: %v", err)
			}
			// The place is free when the server has seen the end of the call.
			for {
				_, err := cc.unary(ctx, nil, nil)
				if err == nil {
					break
				}
				if st := client.statusOf(err); status.Code(st.GetCode()) != status.ResourceExhausted || ctx.Err() != nil {
					t.Fatalf("when the first call is over: %v", err)
				}
			}
		})
	}
}
