package credentials

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// A token is credentials that send one.
type token struct {
	value  string
	secret bool
}

func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"Authorization": t.value}, nil
}
func (t token) RequireTransportSecurity() bool { return t.secret }

// info is what a handshake of other credentials found out.
type info struct{}

func (info) AuthType() string { return "own" }

type leveled struct {
	info
	level SecurityLevel
}

func (l leveled) SecurityLevel() SecurityLevel { return l.level }

func TestCheckPerRPC(t *testing.T) {
	for _, tc := range []struct {
		name   string
		secret bool
		info   AuthInfo
		says   string // empty: allowed
	}{
		{"a secret over TLS", true, TLSInfo{}, ""},
		{"a secret over plain text", true, insecureInfo{}, `PrivacyAndIntegrity, and this one has NoSecurity (transport credentials "insecure")`},
		{"a secret over a connection without credentials", true, nil, `NoSecurity (transport credentials "none")`},
		{"a secret over credentials that do not say", true, info{}, `NoSecurity (transport credentials "own")`},
		{"a secret over integrity alone", true, leveled{level: IntegrityOnly}, "IntegrityOnly"},
		{"a secret over credentials of full security", true, leveled{level: PrivacyAndIntegrity}, ""},
		{"no secret over plain text", false, insecureInfo{}, ""},
		{"no secret over a connection without credentials", false, nil, ""},
	} {
		err := CheckPerRPC(token{"secret", tc.secret}, tc.info)
		if tc.says == "" && err == nil {
			continue
		}
		if status.CodeOf(err) != status.Unauthenticated || !strings.Contains(fmt.Sprint(err), tc.says) || tc.says == "" {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.says)
		}
	}
}

func TestSecurityLevels(t *testing.T) {
	for _, tc := range []struct {
		info AuthInfo
		want SecurityLevel
		text string
	}{
		{nil, NoSecurity, "NoSecurity"},
		{info{}, NoSecurity, "NoSecurity"},
		{insecureInfo{}, NoSecurity, "NoSecurity"},
		{leveled{level: IntegrityOnly}, IntegrityOnly, "IntegrityOnly"},
		{TLSInfo{}, PrivacyAndIntegrity, "PrivacyAndIntegrity"},
		{leveled{level: 9}, 9, "unknown"},
	} {
		if got := LevelOf(tc.info); got != tc.want || got.String() != tc.text {
			t.Errorf("LevelOf(%T) = %v, want %v", tc.info, got, tc.text)
		}
	}
}

func TestValidateAuthority(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, "server.test", "*.many.test", "10.0.0.1", "::1")
	shown := TLSInfo{}
	shown.State.PeerCertificates = append(shown.State.PeerCertificates, cert.Leaf, ca.issue(t, "intermediate.test").Leaf)
	for _, tc := range []struct {
		authority string
		ok        bool
	}{
		{"server.test", true}, {"server.test:443", true}, {"a.many.test:1", true}, {"10.0.0.1:443", true}, {"[::1]:443", true}, {"[::1]", true},
		{"other.test", false}, {"server.test.evil", false}, {"many.test", false}, {"10.0.0.2", false}, {"[::2]:443", false}, {"", false},
		{"intermediate.test", false}, {"user@server.test", false}, {"server.test\x00", false},
	} {
		if err := shown.ValidateAuthority(tc.authority); (err == nil) != tc.ok {
			t.Errorf("%q: %v", tc.authority, err)
		}
	}
	if err := (TLSInfo{}).ValidateAuthority("server.test"); err == nil {
		t.Error("a peer without a certificate may speak for a name")
	}
	if err := (insecureInfo{}).ValidateAuthority("anything"); err != nil {
		t.Errorf("plain text: %v", err)
	}
}

func TestAppendRequestMetadata(t *testing.T) {
	for name, tc := range map[string]struct {
		fields map[string]string
		want   []metadata.Pair
	}{
		"none":            {nil, nil},
		"one":             {map[string]string{"authorization": "x"}, []metadata.Pair{{Key: "authorization", Value: "x"}}},
		"in lower case":   {map[string]string{"B-Bin": "\x00", "authorization": "x"}, []metadata.Pair{{Key: "authorization", Value: "x"}, {Key: "b-bin", Value: "\x00"}}},
		"one in two ways": {map[string]string{"A": "1", "a": "2"}, []metadata.Pair{{Key: "a", Value: "1"}, {Key: "a", Value: "2"}}},
	} {
		var list metadata.List
		list.Append("first", "1")
		AppendRequestMetadata(&list, tc.fields)
		want := append([]metadata.Pair{{Key: "first", Value: "1"}}, tc.want...)
		if got := list.Pairs(); !slices.Equal(got, want) {
			t.Errorf("%s: %d pairs, want %d, or they differ", name, len(got), len(want))
		}
	}
}

func ExampleRequestURI() {
	fmt.Println(RequestURI("greeter.example:443", "/greeter.Greeter/SayHello"))
	fmt.Println(RequestURI("greeter.example:50051", "/greeter.Greeter/SayHello"))
	// Output:
	// https://greeter.example/greeter.Greeter
	// https://greeter.example:50051/greeter.Greeter
}

// Secrets do not travel in plain text.
func ExampleCheckPerRPC() {
	err := CheckPerRPC(token{"Bearer …", true}, nil)
	fmt.Println(err == nil, status.CodeOf(err))
	// Output: false Unauthenticated
}
