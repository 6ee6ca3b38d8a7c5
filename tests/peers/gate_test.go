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
