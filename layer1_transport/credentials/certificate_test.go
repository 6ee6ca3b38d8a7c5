package credentials

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestServerCertificates has every way in which a server's certificate can be
// right or wrong for the name that the client wants.
func TestServerCertificates(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	old := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}
	young := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	}
	for _, tc := range []struct {
		name   string
		cert   tls.Certificate
		host   string
		refuse string // empty: the certificate is right
	}{
		{"the name", ca.issue(t, "server.test"), "server.test:443", ""},
		{"one of several names", ca.issue(t, "a.test", "server.test"), "server.test:443", ""},
		{"another case of the name", ca.issue(t, "server.test"), "Server.TEST:443", ""},
		{"an IPv4 address", ca.issue(t, "10.0.0.1"), "10.0.0.1:443", ""},
		{"an IPv6 address", ca.issue(t, "2001:db8::1"), "[2001:db8::1]:443", ""},
		{"a wildcard", ca.issue(t, "*.server.test"), "a.server.test:443", ""},
		{"a wildcard for two labels", ca.issue(t, "*.server.test"), "a.b.server.test:443", "not a.b.server.test"},
		{"a wildcard for its own domain", ca.issue(t, "*.server.test"), "server.test:443", "not server.test"},
		{"another name", ca.issue(t, "server.test"), "wrong.test:443", "not wrong.test"},
		{"a name that begins alike", ca.issue(t, "server.test"), "server.test.evil:443", "not server.test.evil"},
		{"another IP address", ca.issue(t, "10.0.0.1"), "10.0.0.2:443", "not 10.0.0.2"},
		{"an IP address as a name", ca.issueWith(t, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"10.0.0.1"}, nil }, "x"), "10.0.0.1:443", "10.0.0.1"},
		{"a common name only", ca.issueWith(t, func(c *x509.Certificate) { c.DNSNames = nil }, "server.test"), "server.test:443", "legacy Common Name"},
		{"a name with a NUL", ca.issueWith(t, func(c *x509.Certificate) { c.DNSNames = []string{"server.test\x00.evil"} }, "x"), "server.test:443", "server.test"},
		{"expired", ca.issueWith(t, old, "server.test"), "server.test:443", "has expired or is not yet valid"},
		{"not valid yet", ca.issueWith(t, young, "server.test"), "server.test:443", "has expired or is not yet valid"},
		{"an unknown authority", other.issue(t, "server.test"), "server.test:443", "unknown authority"},
		{"for clients only", ca.issueWith(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "server.test"),
			"server.test:443", "incompatible key usage"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client, server := NewTLS(&tls.Config{RootCAs: ca.pool}), NewTLS(&tls.Config{Certificates: []tls.Certificate{tc.cert}})
			c, s := shake(t.Context(), asClient(client, tc.host), asServer(server))
			checkOutcome(t, c, "mem:server", tc.refuse)
			if tc.refuse == "" && s.err != nil {
				t.Errorf("the server fails: %v", s.err)
			}
			closeBoth(c, s)
		})
	}
}

// TestClientCertificates has every way in which a client's certificate can be
// right or wrong for a server that demands one.
func TestClientCertificates(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	old := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}
	for _, tc := range []struct {
		name   string
		certs  []tls.Certificate
		refuse string
	}{
		{"right", []tls.Certificate{ca.issue(t, "client.test")}, ""},
		{"missing", nil, "didn't provide a certificate"},
		{"of another authority", []tls.Certificate{other.issue(t, "client.test")}, "certificate"},
		{"expired", []tls.Certificate{ca.issueWith(t, old, "client.test")}, "has expired or is not yet valid"},
		{"for servers only", []tls.Certificate{ca.issueWith(t, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}, "client.test")}, "incompatible key usage"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client := NewTLS(&tls.Config{RootCAs: ca.pool, Certificates: tc.certs})
			server := NewTLS(&tls.Config{Certificates: []tls.Certificate{ca.issue(t, "server.test")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool})
			c, s := shake(t.Context(), asClient(client, "server.test"), asServer(server))
			checkOutcome(t, s, "mem:client", tc.refuse)
			closeBoth(c, s)
		})
	}
}

// TestOldSuites: RFC 9113 §9.2.2 prohibits what a client of CBC suites offers.
func TestOldSuites(t *testing.T) {
	ca := newAuthority(t)
	client := &tls.Config{RootCAs: ca.pool, ServerName: "server.test", NextProtos: []string{"h2"}, MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}
	server := NewTLS(&tls.Config{Certificates: []tls.Certificate{ca.issue(t, "server.test")}})
	c, s := shake(t.Context(), plainTLS(tls.Client, client), asServer(server))
	checkOutcome(t, s, "mem:client", "no cipher suite supported by both client and server")
	if c.err == nil {
		t.Error("the client succeeds")
	}
}

// TestSessionsEndWithTheirAuthority: a client that was let in once is not let
// in by its session when the server no longer trusts who vouched for it.
func TestSessionsEndWithTheirAuthority(t *testing.T) {
	ca, first, second := newAuthority(t), newAuthority(t), newAuthority(t)
	cert := ca.issue(t, "server.test")
	trusted := first
	choosing := NewTLS(&tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusted.pool}, nil
	}})
	client := NewTLS(&tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{first.issue(t, "client.test")}, ClientSessionCache: tls.NewLRUClientSessionCache(1)})
	if _, resumed, err := visit(t.Context(), client, choosing); err != nil || resumed {
		t.Fatalf("the first visit: resumed %v, %v", resumed, err)
	}
	if _, resumed, err := visit(t.Context(), client, choosing); err != nil || !resumed {
		t.Fatalf("the second visit: resumed %v, %v", resumed, err)
	}
	trusted = second
	if _, resumed, err := visit(t.Context(), client, choosing); err == nil {
		t.Errorf("a session of an authority that is not trusted any more is good, resumed %v", resumed)
	}
}

// visit makes a connection and reads from it, which is when a client of TLS 1.3
// learns of its session and of a refusal. It returns what the client sees of
// the server.
func visit(ctx context.Context, client, server TransportCredentials) (TLSInfo, bool, error) {
	c, s := shake(ctx, asClient(client, "server.test"), asServer(server))
	if err := errors.Join(c.err, s.err); err != nil {
		closeBoth(c, s)
		return TLSInfo{}, false, err
	}
	_, err := s.conn.Write([]byte("x"))
	if err == nil {
		_, err = c.conn.Read(make([]byte, 1))
	}
	closeBoth(c, s)
	info := c.info.(TLSInfo)
	return info, info.State.DidResume, err
}

// checkOutcome compares the end of a handshake with what was to be refused.
func checkOutcome(t *testing.T, o outcome, peer, refuse string) {
	t.Helper()
	switch {
	case refuse == "" && o.err != nil:
		t.Errorf("refused: %v", o.err)
	case refuse != "" && o.err == nil:
		t.Error("accepted")
	case refuse == "":
	default:
		for _, part := range []string{"tls: handshake with " + peer, refuse} {
			if !strings.Contains(o.err.Error(), part) {
				t.Errorf("the error does not say %q: %v", part, o.err)
			}
		}
		if o.conn != nil || o.info != nil {
			t.Error("there is a connection beside the error")
		}
	}
}

func closeBoth(ends ...outcome) {
	for _, o := range ends {
		if o.conn != nil {
			_ = o.conn.Close() // the other end may be gone
		}
	}
}
