package stubs_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// TestPathsThatAreNoMethod: what decides by the name of a method, such as an
// interceptor that authorises, must see the very name whose handler runs. So a
// path that is another spelling of a method is no method, and one without its
// slash is refused before anything sees it (CVE-2026-33186).
func TestPathsThatAreNoMethod(t *testing.T) {
	method := testpb.Test_Unary_FullMethodName // "/service/Unary"
	cut := strings.LastIndexByte(method, '/')
	service, name := method[:cut], method[cut+1:]
	const (
		noMethod  = "await HEADERS stream=%d END_STREAM :status=200 grpc-status=12"
		noPath    = "await HEADERS stream=%d END_STREAM :status=404 grpc-status=12"
		malformed = "await RST_STREAM stream=%d code=PROTOCOL_ERROR"
		tooLong   = "await HEADERS stream=%d END_STREAM :status=431"
	)
	paths := []struct{ path, answer string }{
		{method, "await HEADERS stream=%d END_STREAM grpc-status=0"},
		{method[1:], noPath},
		{"/" + method, noMethod},
		{service + "//" + name, noMethod},
		{method + "/", noMethod},
		{method + "?x", noMethod},
		{method + "#", noMethod},
		{method + " ", malformed}, // RFC 9113 §8.2.1: a blank at the end
		{service + "/%55nary", noMethod},
		{strings.ToUpper(method), noMethod},
		{strings.ToLower(method), noMethod},
		{service + "%2f" + name, noMethod},
		{service + "/../" + method[1:], noMethod},
		{"/.." + method, noMethod},
		{"http://h" + method, noPath},
		{"*", noPath},
		{"", malformed},
		{"/", noMethod},
		{"//", noMethod},
		{service, noMethod},
		{service + "/", noMethod},
		{method + "\xff", noMethod},
		{method + "\x00", malformed},
		{method + "\n", malformed},
		{method + strings.Repeat("x", 60_000), tooLong},
	}
	script := "client\nsend PREFACE\nsend SETTINGS\nanswer SETTINGS PING\n"
	for i, p := range paths {
		id := 2*i + 1
		script += fmt.Sprintf("send HEADERS stream=%d split=16000 :method=POST :scheme=http :path=%q content-type=application/grpc te=trailers\n", id, p.path)
		script += fmt.Sprintf("send DATA stream=%d message=0 END_STREAM\n"+p.answer+"\n", id, id)
	}
	synctest.Test(t, func(t *testing.T) {
		var seen, handled []string
		look := func(ctx context.Context, req any, info *stubs.UnaryServerInfo, handler stubs.UnaryHandler) (any, error) {
			seen = append(seen, info.FullMethod)
			return handler(ctx, req)
		}
		lis := memconn.Listen()
		f := serveOn(t, lis, "memory", &echo{hook: func(ctx context.Context) error {
			called, _ := stubs.Method(ctx)
			handled = append(handled, called)
			return nil
		}}, options{server: []stubs.ServerOption{stubs.ChainUnaryInterceptor(look)}})
		nc, err := lis.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := framescript.MustParse("paths", script).Run(t.Context(), nc, framescript.Options{}); err != nil {
			t.Error(err)
		}
		f.server.Stop()
		if only := []string{method}; !slices.Equal(seen, only) || !slices.Equal(handled, only) {
			t.Errorf("an interceptor saw %q and handlers ran for %q, want %q once in both", seen, handled, method)
		}
	})
}
