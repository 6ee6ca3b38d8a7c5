package canary

import (
	"context"
	"errors"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// open are credentials of calls that go out in plain text, and do what the test
// says first.
type open struct {
	do func() (map[string]string, error)
}

func (o open) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return o.do()
}
func (open) RequireTransportSecurity() bool { return false }

// promptly are the same, asked where the call is started.
type promptly struct{ open }

func (promptly) NonBlocking() bool { return true }

// TestTokens: what credentials of calls hold, return or panic with is nowhere.
func TestTokens(t *testing.T) {
	w := newWatch(t)
	p := newPair(t)
	bearer := credentials.NewBearerToken(secret)
	w.see("a token", bearer, stubs.PerRPCCredentials(bearer), credentials.CheckPerRPC(bearer, nil))
	plain, secure := listen(t), listen(t)
	w.serve(plain)
	serverCreds, err := credentials.NewServerTLSFromFile(p.cert, p.key)
	if err != nil {
		t.Fatal(err)
	}
	w.serveWith(secure, serverCreds)
	clientCreds, err := credentials.NewClientTLSFromFile(p.cert, "server.test")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.unary(within(t), w.dial(secure.Addr().String(), clientCreds, stubs.WithPerRPCCredentials(bearer)), "ok", stubs.PerRPCCredentials(bearer)); err != nil {
		t.Errorf("over TLS: %v", err)
	}
	_, err = stubs.NewClient(plain.Addr().String(), stubs.WithTransportCredentials(credentials.NewInsecure()), stubs.WithPerRPCCredentials(bearer))
	w.see("a client in plain text", err)
	if err == nil {
		t.Error("a client in plain text is made with a secret")
	}
	cc := w.dial(plain.Addr().String(), credentials.NewInsecure())
	if err := w.unary(within(t), cc, "ok", stubs.PerRPCCredentials(bearer)); status.CodeOf(err) != status.Unauthenticated {
		t.Errorf("over plain text: %v", err)
	}
	for name, do := range map[string]func() (map[string]string, error){
		"a value":            func() (map[string]string, error) { return map[string]string{"authorization": secret}, nil },
		"a bad value":        func() (map[string]string, error) { return map[string]string{"authorization": secret + "\n"}, nil },
		"a bad key":          func() (map[string]string, error) { return map[string]string{"a b": secret}, nil },
		"with an error":      func() (map[string]string, error) { return map[string]string{"a": secret}, errors.New("no") },
		"with a status":      func() (map[string]string, error) { return nil, status.Error(status.NotFound, "no") },
		"with a panic":       func() (map[string]string, error) { panic(secret) },
		"a panic with a map": func() (map[string]string, error) { panic(map[string]string{"authorization": secret}) },
	} {
		for _, creds := range []credentials.PerRPCCredentials{open{do}, promptly{open{do}}} {
			if err := w.unary(within(t), cc, "ok", stubs.PerRPCCredentials(creds)); (err == nil) != (name == "a value") {
				t.Errorf("%s: the call ended with %v", name, err)
			}
		}
	}
	w.see("a client", cc)
	w.check()
}
