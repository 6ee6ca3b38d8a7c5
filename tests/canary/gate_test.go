package canary

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// TestGates: what a server's hook sees, what it finds out and what it tells the
// client is in no log and no trace, whether it lets the call in, refuses it or
// panics; nor is anything of a call that is refused by a limit.
func TestGates(t *testing.T) {
	w := newWatch(t)
	denied, err := status.New(status.PermissionDenied, message).WithDetails(wrapperspb.String(secret))
	if err != nil {
		t.Fatal(err)
	}
	hook := func(ctx context.Context, r *stubs.AuthRequest) error {
		r.Principal = secret
		w.see("a hook", ctx, r, *r, r.Metadata)
		switch what, _ := r.Metadata.Get("what"); what {
		case "refuse":
			return denied.Err()
		case "panic":
			token, _ := r.Metadata.Get("authorization")
			panic(fmt.Sprint("who is ", secret, token))
		}
		return nil
	}
	for _, inline := range []bool{true, false} {
		lis := listen(t)
		w.serve(lis, stubs.ServerAuth(stubs.ServerAuthConfig{Process: hook, Inline: inline}),
			stubs.CallLimit(stubs.CallLimitConfig{Rate: 1e-3, Burst: 6}))
		cc := w.dial(lis.Addr().String(), credentials.NewInsecure())
		ctx := metadata.NewOutgoingContext(within(t), secrets())
		for _, tc := range []struct {
			what string
			code status.Code
		}{
			{"ok", status.OK}, {"refuse", status.PermissionDenied}, {"panic", status.Internal}, {"of a limit", status.ResourceExhausted},
		} {
			ctx := metadata.AppendToOutgoingContext(ctx, "what", tc.what)
			if err := w.unary(ctx, cc, "ok"); status.CodeOf(err) != tc.code {
				t.Errorf("inline %t, unary %s ended with %v, want %v", inline, tc.what, err, tc.code)
			}
			if err := w.stream(ctx, cc, "ok"); status.CodeOf(err) != tc.code {
				t.Errorf("inline %t, stream %s ended with %v, want %v", inline, tc.what, err, tc.code)
			}
		}
	}
	w.check()
}
