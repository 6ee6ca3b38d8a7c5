package peers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/code"
)

// A token is credentials of calls for both libraries, whose interfaces are the
// same: a secret, and what it is for.
type token struct {
	value string
	fail  error
}

func (t *token) GetRequestMetadata(_ context.Context, uri ...string) (map[string]string, error) {
	return map[string]string{"Authorization": t.value, "x-uri": strings.Join(uri, " "), "x-token-bin": "\x00" + t.value}, t.fail
}

func (*token) RequireTransportSecurity() bool { return true }

// TestTokens: over TLS the tokens of the channel and of the call both arrive, in
// this order, for the same service; over plain text neither does, and the client
// says why. Errors of the credentials end the call, with UNAUTHENTICATED where they
// are no status; grpc-go says INTERNAL if they are those of the call.
func TestTokens(t *testing.T) {
	id := newIdentity(t)
	eachPairing(t, func(t *testing.T, p pairing) {
		seen := make(chan pairs, 10)
		h := handlers{
			unary: func(ctx context.Context, c handlerCall, in *message) (*message, error) {
				seen <- c.incoming(ctx)
				return in, nil
			},
			stream: func(s serverStream) error {
				seen <- s.incoming()
				return echoStream(s)
			},
		}
		secure := p.server.serve(t, h, serverOptions{cert: &id.cert})
		cc := p.client.dial(t, secure.addr, clientOptions{roots: id.roots, serverName: certName, token: &token{value: "a"}})
		for _, tc := range []struct {
			token *token
			want  []string
		}{{nil, []string{"a"}}, {&token{value: "b"}, []string{"a", "b"}}} {
			if _, err := cc.unary(testContext(t), []byte("x"), &callOptions{token: tc.token}); err != nil {
				t.Fatal(err)
			}
			s, err := cc.stream(testContext(t), &callOptions{token: tc.token})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				md := <-seen
				var binary, uris []string
				for _, v := range tc.want {
					binary = append(binary, "\x00"+v)
					uris = append(uris, fmt.Sprintf("https://%s/%s", certName, serviceName))
				}
				if !slices.Equal(md["authorization"], tc.want) || !slices.Equal(md["x-token-bin"], binary) || !slices.Equal(md["x-uri"], uris) {
					t.Errorf("the server got %q, %q for %q, want %q", md["authorization"], md["x-token-bin"], md["x-uri"], tc.want)
				}
			}
		}
		failed := code.Code_UNAUTHENTICATED
		if p.client == library(grpcGoLib{}) {
			failed = code.Code_INTERNAL
		}
		plain, _ := p.connect(t, h)
		for _, tc := range []struct {
			name  string
			cc    conn
			token *token
			want  code.Code
		}{
			{"a context error of their own", cc, &token{fail: context.DeadlineExceeded}, failed},
			{"another error", cc, &token{fail: fmt.Errorf("no token")}, failed},
			{"plain text", plain, &token{}, code.Code_UNAUTHENTICATED},
		} {
			_, err := tc.cc.unary(testContext(t), []byte("x"), &callOptions{token: tc.token})
			if got := code.Code(p.client.statusOf(err).GetCode()); got != tc.want {
				t.Errorf("%s: the call ended with %v, want %v", tc.name, err, tc.want)
			}
		}
		if len(seen) > 0 {
			t.Error("a call without its token came to the server")
		}
	})
}
