package security

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// A token is credentials of a call that send fields, and say what they are for.
type token struct {
	fields map[string]string
	secret bool
}

func (t token) GetRequestMetadata(_ context.Context, uri ...string) (map[string]string, error) {
	fields := map[string]string{"x-uri": strings.Join(uri, " ")}
	for k, v := range t.fields {
		fields[k] = v
	}
	return fields, nil
}

func (t token) RequireTransportSecurity() bool { return t.secret }

// A promptToken is one that is asked where the call is started.
type promptToken struct{ token }

func (promptToken) NonBlocking() bool { return true }

// A tokenRow is a call with a token, and what becomes of both.
type tokenRow struct {
	name        string
	tls         bool
	creds       token
	code        status.Code
	says        string
	sees        string // by the server, of authorization
	wantsOnWire bool   // the word; plain text only
}

// tokenRows are calls on connections that are safe enough and on others, and
// fields that may not be sent: those are not left out as with an application
// that passes on what it was sent, since nobody has asked for them.
func tokenRows() []tokenRow {
	rows := []tokenRow{
		{name: "a secret over TLS", tls: true, creds: token{map[string]string{"Authorization": "SECRET"}, true}, sees: "SECRET"},
		{name: "no secret over TLS", tls: true, creds: token{map[string]string{"authorization": "SECRET"}, false}, sees: "SECRET"},
		{name: "a secret over plain text", creds: token{map[string]string{"authorization": "SECRET"}, true}, code: status.Unauthenticated,
			says: `need a connection of security level PrivacyAndIntegrity, and this one has NoSecurity (transport credentials "insecure")`},
		{name: "no secret over plain text", creds: token{map[string]string{"authorization": "SECRET."}, false}, sees: "SECRET.", wantsOnWire: true},
		{name: "a key in upper case", creds: token{map[string]string{"AUTHORIZATION": "SECRET."}, false}, sees: "SECRET.", wantsOnWire: true},
		{name: "any bytes under a key in -bin", creds: token{map[string]string{"authorization": "a", "x-bin": "\r\n\x00é"}, false}, sees: "a"},
	}
	for _, f := range forbidden {
		rows = append(rows, tokenRow{name: f.name, creds: token{map[string]string{f.key: f.value}, false}, code: status.Internal, says: "metadata key"})
	}
	return rows
}

// TestTokens: credentials of a call go out on connections that are safe enough
// and on no others, and what they return is checked like everything else.
func TestTokens(t *testing.T) {
	ca := newIssuer(t)
	for _, tc := range tokenRows() {
		for mode, creds := range map[string]credentials.PerRPCCredentials{"blocking": tc.creds, "prompt": promptToken{tc.creds}} {
			for kind, do := range kinds {
				t.Run(strings.ReplaceAll(tc.name, " ", "_")+"/"+mode+"/"+kind, func(t *testing.T) {
					lis, wire := listenTCP(t), new(tap)
					seen := make(chan string, 1)
					var server []stubs.ServerOption
					secure := credentials.NewInsecure()
					if tc.tls {
						server, secure = append(server, stubs.Creds(ca.server(t, "server.test"))), ca.client()
					}
					serve(t, lis, func(ctx context.Context) error {
						md, _ := metadata.FromIncomingContext(ctx)
						seen <- fmt.Sprint(md.Get("authorization"), md.Get("x-uri"))
						return nil
					}, server...)
					cc := dial(t, "ipv4:"+lis.Addr().String(), stubs.WithTransportCredentials(secure), stubs.WithAuthority("server.test"), tapDialer(wire))
					err := do(within(t), cc, stubs.PerRPCCredentials(creds))
					if status.CodeOf(err) != tc.code || tc.says != "" && !strings.Contains(err.Error(), tc.says) || err != nil && strings.Contains(err.Error(), "SECRET") {
						t.Errorf("the call ended with %v, want %v %q", err, tc.code, tc.says)
					}
					frames := 0
					if tc.code == status.OK {
						frames = 1
						if got, want := <-seen, fmt.Sprintf("[%s] [https://server.test/strata.security.Test]", tc.sees); got != want {
							t.Errorf("the server sees %s, want %s", got, want)
						}
					}
					if got := onWire(wire.bytes()); got != tc.wantsOnWire {
						t.Errorf("the secret can be read on the wire: %v", got)
					}
					if got := headers(wire.bytes(), true); !tc.tls && got != frames {
						t.Errorf("%d HEADERS frames were written, want %d", got, frames)
					}
				})
			}
		}
	}
}

// TestTokensOfAClient: a client in plain text is not made with a secret, and
// connects to nobody.
func TestTokensOfAClient(t *testing.T) {
	dialer := stubs.WithContextDialer(func(context.Context, string) (net.Conn, error) {
		t.Error("it dials")
		return nil, net.ErrClosed
	})
	_, err := stubs.NewClient("server.test", stubs.WithTransportCredentials(credentials.NewInsecure()), dialer,
		stubs.WithPerRPCCredentials(credentials.NewBearerToken("SECRET")))
	if err == nil || !strings.Contains(err.Error(), "need a secure connection") || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("NewClient: %v", err)
	}
}
