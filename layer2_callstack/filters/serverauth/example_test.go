package serverauth_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/filters/serverauth"
)

// A hook is a function like any other, and can be tried without a server. A server
// is given it with surface.WithServerAuth or stubs.ServerAuth.
func ExampleNew() {
	users := map[string]string{"t0ken": "alice"}
	cfg := serverauth.Config{Process: func(_ context.Context, r *serverauth.Request) error {
		header, _ := r.Metadata.Get("authorization")
		token, ok := strings.CutPrefix(header, "Bearer ")
		if !ok {
			return status.Error(status.Unauthenticated, "a bearer token is missing")
		}
		user, ok := users[token]
		if !ok {
			return status.Error(status.Unauthenticated, "the bearer token is not known")
		}
		if strings.HasPrefix(r.Path, "/admin.") && user != "root" {
			return status.Errorf(status.PermissionDenied, "%s may not call %s", user, r.Path)
		}
		r.Metadata.Delete("authorization") // nobody after this sees it
		r.Principal = user
		return nil
	}}
	fmt.Println(serverauth.New(cfg).Name())

	for _, call := range []struct{ path, header string }{
		{"/shop.Shop/Buy", "Bearer t0ken"}, {"/shop.Shop/Buy", "Bearer guess"}, {"/shop.Shop/Buy", ""}, {"/admin.Admin/Drop", "Bearer t0ken"},
	} {
		r := &serverauth.Request{Path: call.path, Metadata: new(metadata.List)}
		if call.header != "" {
			r.Metadata.Append("authorization", call.header)
		}
		err := cfg.Process(context.Background(), r)
		fmt.Println(r.Principal, err)
	}
	// Output:
	// server_auth
	// alice <nil>
	// <nil> rpc error: code = Unauthenticated desc = the bearer token is not known
	// <nil> rpc error: code = Unauthenticated desc = a bearer token is missing
	// <nil> rpc error: code = PermissionDenied desc = alice may not call /admin.Admin/Drop
}

// A test of a handler says who calls.
func ExampleNewContext() {
	greet := func(ctx context.Context) { fmt.Println("hello,", serverauth.FromContext(ctx)) }
	greet(serverauth.NewContext(context.Background(), "alice"))
	// Output: hello, alice
}
