package credentials

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestBearerToken(t *testing.T) {
	creds := NewBearerToken("SECRET")
	fields, err := creds.GetRequestMetadata(t.Context(), "https://server.test/s")
	if err != nil || len(fields) != 1 || fields["authorization"] != "Bearer SECRET" {
		t.Errorf("%d fields and the error %v, want authorization", len(fields), err)
	}
	if !creds.RequireTransportSecurity() {
		t.Error("the token is no secret")
	}
	if n, ok := creds.(NonBlocker); !ok || !n.NonBlocking() {
		t.Error("the token is asked for on a goroutine")
	}
}

// TestBearerTokenIsNotPrinted: by no verb, alone or as part of something.
func TestBearerTokenIsNotPrinted(t *testing.T) {
	creds := NewBearerToken("SECRET")
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "creds", creds, "list", []any{creds})
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "creds", creds, "list", []any{creds})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&log, verb+verb, creds, struct{ C PerRPCCredentials }{creds})
	}
	if got := log.String(); strings.Contains(got, "SECRET") || strings.Contains(got, "534543524554") || !strings.Contains(got, "BearerToken") {
		t.Errorf("printed: %s", got)
	}
}

func TestRequestInfo(t *testing.T) {
	if info, ok := RequestInfoFromContext(context.Background()); ok || info != (RequestInfo{}) {
		t.Errorf("a context without one has %+v", info)
	}
	want := RequestInfo{Method: "/s/m", AuthInfo: insecureInfo{}}
	if got, ok := RequestInfoFromContext(NewRequestInfoContext(t.Context(), &want)); !ok || got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, ok := RequestInfoFromContext(NewRequestInfoContext(t.Context(), nil)); ok {
		t.Error("nil is taken for something")
	}
}

// The token of a service account, say, goes out with each call over TLS.
func ExampleNewBearerToken() {
	creds := NewBearerToken("eyJhbGciOi…")
	fields, _ := creds.GetRequestMetadata(context.Background())
	fmt.Println(creds, creds.RequireTransportSecurity(), len(fields))
	// Output: BearerToken true 1
}

// Credentials that depend on the method learn it from their context.
func ExampleNewRequestInfoContext() {
	ctx := NewRequestInfoContext(context.Background(), &RequestInfo{Method: "/greeter.Greeter/SayHello"})
	info, ok := RequestInfoFromContext(ctx)
	fmt.Println(info.Method, ok)
	// Output: /greeter.Greeter/SayHello true
}
