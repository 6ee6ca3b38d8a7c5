package stubs_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

const (
	grpcHeaders = "send HEADERS stream=%[1]d :status=200 content-type=application/grpc\n"
	anAnswer    = "send DATA stream=%[1]d message=0\n"
	okTrailers  = "send HEADERS stream=%[1]d END_STREAM grpc-status=0\n"
	htmlBody    = "send DATA stream=%[1]d payload=3c68746d6c3e END_STREAM\n"
)

// TestAnswersOfBadServers: what a unary call ends with, whatever answers it.
// The connection is one and the same for all rows, so none of them harms the
// next. The codes are those of gRPC-HTTP2 and its table of HTTP statuses.
func TestAnswersOfBadServers(t *testing.T) {
	rows := []struct {
		name   string
		answer string
		code   status.Code
		text   string
	}{
		{"gRPC", grpcHeaders + anAnswer + okTrailers, status.OK, ""},
		{"a page that is not there", "send HEADERS stream=%[1]d :status=404 content-type=text/html\n" + htmlBody, status.Unimplemented, "404 (Not Found)"},
		{"a page", "send HEADERS stream=%[1]d :status=200 content-type=text/html\n" + htmlBody, status.Unknown, `"text/html"`},
		{"a gateway without a server", "send HEADERS stream=%[1]d :status=502 content-type=text/html\n" + htmlBody, status.Unavailable, "502 (Bad Gateway)"},
		{"a gateway with nothing to say", "send HEADERS stream=%[1]d END_STREAM :status=503\n", status.Unavailable, "503"},
		{"a request for credentials", "send HEADERS stream=%[1]d END_STREAM :status=401\n", status.Unauthenticated, "401"},
		{"a refusal", "send HEADERS stream=%[1]d END_STREAM :status=403\n", status.PermissionDenied, "403"},
		{"a bad request", "send HEADERS stream=%[1]d END_STREAM :status=400\n", status.Internal, "400"},
		{"headers that were too long for a proxy", "send HEADERS stream=%[1]d END_STREAM :status=431\n", status.Internal, "431"},
		{"too many requests", "send HEADERS stream=%[1]d END_STREAM :status=429\n", status.Unavailable, "429"},
		{"a teapot", "send HEADERS stream=%[1]d END_STREAM :status=418\n", status.Unknown, "418"},
		{"a status of gRPC with one of HTTP", "send HEADERS stream=%[1]d END_STREAM :status=503 content-type=application/grpc grpc-status=5 grpc-message=no%%20gopher\n", status.NotFound, "no gopher"},
		{"1xx, then gRPC", "send HEADERS stream=%[1]d :status=100\nsend HEADERS stream=%[1]d :status=103\n" + grpcHeaders + anAnswer + okTrailers, status.OK, ""},
		{"1xx without end", strings.Repeat("send HEADERS stream=%[1]d :status=103\n", 20), status.Internal, "1xx"},
		{"no trailers", grpcHeaders + anAnswer + "send DATA stream=%[1]d END_STREAM\n", status.Internal, "without trailers"},
		{"trailers without a status", grpcHeaders + anAnswer + "send HEADERS stream=%[1]d END_STREAM x=y\n", status.Unknown, "without a grpc-status"},
		{"a status that is no number", grpcHeaders + anAnswer + "send HEADERS stream=%[1]d END_STREAM grpc-status=fine\n", status.Unknown, "malformed grpc-status"},
		{"headers in the middle", grpcHeaders + anAnswer + "send HEADERS stream=%[1]d x=y\n", status.Internal, "second header block"},
		{"DATA before headers", anAnswer, status.Internal, "DATA before HEADERS"},
		{"no response", grpcHeaders + okTrailers, status.Unimplemented, "without a response"},
		{"no response and no headers", "send HEADERS stream=%[1]d END_STREAM :status=200 content-type=application/grpc grpc-status=0\n", status.Unimplemented, "without a response"},
		{"two responses", grpcHeaders + anAnswer + anAnswer + okTrailers, status.Unimplemented, "more than one message"},
		{"half a response", grpcHeaders + "send DATA stream=%[1]d prefix=10 len=5\n" + okTrailers, status.Internal, "within a message"},
		{"a response that is too long", grpcHeaders + "send DATA stream=%[1]d prefix=0xffffffff\n", status.ResourceExhausted, "receive limit"},
		{"a compressed response to who cannot read it", grpcHeaders + "send DATA stream=%[1]d flag=1 message=3\n" + okTrailers, status.Internal, "Compressed-Flag"},
		{"a flag that nobody knows", grpcHeaders + "send DATA stream=%[1]d flag=7 message=3\n" + okTrailers, status.Internal, "must be 0 or 1"},
		{"-bin that is no base64", "send HEADERS stream=%[1]d END_STREAM :status=200 content-type=application/grpc grpc-status=0 x-bin=S!CRET\n", status.Internal, `"x-bin" is not base64`},
		{"a response without :status", "send HEADERS stream=%[1]d content-type=application/grpc\n", status.Internal, "needs :status"},
		{"gRPC again", grpcHeaders + anAnswer + okTrailers, status.OK, ""},
	}
	script := "server\nsend SETTINGS\nanswer SETTINGS PING\n"
	for i, row := range rows {
		id := 2*i + 1
		script += fmt.Sprintf("await HEADERS stream=%d\nawait DATA stream=%d END_STREAM\n", id, id) + fmt.Sprintf(row.answer, id)
	}
	synctest.Test(t, func(t *testing.T) {
		client := scriptedClient(t, script+"await close\n")
		for i, row := range rows {
			_, err := client.Unary(t.Context(), &testpb.Request{})
			if got := status.Convert(err); got.Code() != row.code || !strings.Contains(got.Message(), row.text) || strings.Contains(got.Message(), "S!CRET") {
				t.Errorf("%d, %s: the call ended with %v, want %v with %q", i, row.name, err, row.code, row.text)
			}
		}
	})
}

// TestHugeTrailersFailOneCall: of a hundred calls under way at once one gets
// 1 MiB of trailers. It fails, and the others do not notice.
func TestHugeTrailersFailOneCall(t *testing.T) {
	const calls = 100
	script := "server\nsend SETTINGS\nanswer SETTINGS PING\n"
	for i := range calls {
		script += fmt.Sprintf("await HEADERS stream=%d\n", 2*i+1)
	}
	huge := strings.Repeat("~", 1<<20)
	for i := range calls {
		id := 2*i + 1
		if i == calls/2 {
			script += fmt.Sprintf(grpcHeaders, id) + fmt.Sprintf("send HEADERS stream=%d END_STREAM split=16384 grpc-status=13 grpc-message=%s\n", id, huge)
		} else {
			script += fmt.Sprintf(grpcHeaders+anAnswer+okTrailers, id)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		client := scriptedClient(t, script+"await close\n")
		var wg sync.WaitGroup
		failed := make(chan error, calls)
		for range calls {
			wg.Go(func() {
				if _, err := client.Unary(t.Context(), &testpb.Request{}); err != nil {
					failed <- err
				}
			})
		}
		wg.Wait()
		close(failed)
		n := 0
		for err := range failed {
			n++
			wantCode(t, err, status.ResourceExhausted)
		}
		if n != 1 {
			t.Errorf("%d calls failed, want 1", n)
		}
	})
}

// scriptedClient is a client whose server is a script, which must have been
// played to its end by the end of the test.
func scriptedClient(t *testing.T, script string) testpb.TestClient {
	t.Helper()
	lis := memconn.Listen()
	played := make(chan error, 1)
	go func() {
		nc, err := lis.Accept()
		if err == nil {
			_, err = framescript.MustParse("script", script).Run(context.Background(), nc, framescript.Options{})
		}
		played <- err
	}()
	cc := dial(t, "memory", stubs.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.Dial(ctx) }))
	t.Cleanup(func() {
		cc.Close()
		if err := <-played; err != nil {
			t.Errorf("%.500v", err)
		}
	})
	return testpb.NewTestClient(cc)
}
