package credentials

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// An authority issues certificates for one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a := &authority{key: key, pool: x509.NewCertPool()}
	a.cert = parse(t, template, template, key, key)
	a.pool.AddCert(a.cert)
	return a
}

// issue returns a certificate for names and IP addresses, for either end.
func (a *authority) issue(t testing.TB, names ...string) tls.Certificate {
	return a.issueWith(t, func(*x509.Certificate) {}, names...)
}

// issueWith is issue for a certificate that change makes a special one.
func (a *authority) issueWith(t testing.TB, change func(*x509.Certificate), names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]},
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	change(template)
	cert := parse(t, template, a.cert, key, a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func parse(t testing.TB, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// An outcome is how one end's handshake ended.
type outcome struct {
	conn net.Conn
	info AuthInfo
	err  error
}

// shake runs a handshake at both ends of a connection in memory. An end that
// fails closes its connection, as callers do.
func shake(ctx context.Context, client, server func(ctx context.Context, nc net.Conn) outcome) (c, s outcome) {
	clientConn, serverConn := memconn.Pipe()
	done := make(chan outcome)
	go func() {
		o := server(ctx, serverConn)
		if o.err != nil {
			serverConn.Close()
		}
		done <- o
	}()
	c = client(ctx, clientConn)
	if c.err != nil {
		clientConn.Close()
	}
	return c, <-done
}

func asClient(creds TransportCredentials, name string) func(context.Context, net.Conn) outcome {
	return func(ctx context.Context, nc net.Conn) outcome {
		conn, info, err := creds.ClientHandshake(ctx, name, nc)
		return outcome{conn, info, err}
	}
}

func asServer(creds TransportCredentials) func(context.Context, net.Conn) outcome {
	return func(ctx context.Context, nc net.Conn) outcome {
		conn, info, err := creds.ServerHandshake(ctx, nc)
		return outcome{conn, info, err}
	}
}

// plainTLS is an end that is not ours.
func plainTLS(wrap func(net.Conn, *tls.Config) *tls.Conn, cfg *tls.Config) func(context.Context, net.Conn) outcome {
	return func(ctx context.Context, nc net.Conn) outcome {
		conn := wrap(nc, cfg)
		err := conn.HandshakeContext(ctx)
		if err == nil {
			_, err = conn.Read(make([]byte, 1)) // an alert of the other end, or its end
		}
		return outcome{err: err}
	}
}

// talk sends a word each way.
func talk(t *testing.T, a, b net.Conn) {
	t.Helper()
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		if _, err := pair[0].Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 5)
		if _, err := io.ReadFull(pair[1], p); err != nil || string(p) != "hello" {
			t.Fatalf("read %q, %v", p, err)
		}
	}
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, "server.test", "::1")
	server := NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}})
	chooser := NewTLS(&tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{cert}}, nil // without "h2"
	}})
	keeper := NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return nil, nil // use the outer one
	}})
	trusting := &tls.Config{RootCAs: ca.pool}
	for _, tc := range []struct {
		name   string
		client TransportCredentials
		server TransportCredentials
		host   string
	}{
		{"a name", NewTLS(trusting), server, "server.test:443"},
		{"a name without a port", NewTLS(trusting), server, "server.test"},
		{"an IPv6 address", NewTLS(trusting), server, "[::1]:443"},
		{"an IPv6 address without a port", NewTLS(trusting), server, "[::1]"},
		{"a name from the configuration", NewTLS(&tls.Config{RootCAs: ca.pool, ServerName: "server.test"}), server, "10.0.0.1:443"},
		{"TLS 1.2", NewTLS(&tls.Config{RootCAs: ca.pool, MaxVersion: tls.VersionTLS12}), server, "server.test:443"},
		{"other protocols beside h2", NewTLS(&tls.Config{RootCAs: ca.pool, NextProtos: []string{"http/1.1"}}), server, "server.test:443"},
		{"a server that chooses its configuration", NewTLS(trusting), chooser, "server.test:443"},
		{"a server that could choose and does not", NewTLS(trusting), keeper, "server.test:443"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, s := shake(t.Context(), asClient(tc.client, tc.host), asServer(tc.server))
			if c.err != nil || s.err != nil {
				t.Fatalf("client: %v; server: %v", c.err, s.err)
			}
			for _, o := range []outcome{c, s} {
				info, ok := o.info.(TLSInfo)
				if !ok || info.AuthType() != "tls" || info.State.NegotiatedProtocol != "h2" || info.State.Version < tls.VersionTLS12 || !info.State.HandshakeComplete {
					t.Errorf("AuthInfo is %T with ALPN %q", o.info, info.State.NegotiatedProtocol)
				}
				if info.State.Version == tls.VersionTLS12 && !slices.Contains(suites, info.State.CipherSuite) {
					t.Errorf("cipher suite %s, which RFC 9113 §9.2.2 prohibits", tls.CipherSuiteName(info.State.CipherSuite))
				}
			}
			talk(t, c.conn, s.conn)
			_ = errors.Join(c.conn.Close(), s.conn.Close())
		})
	}
}

func TestTLSRefusals(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	cert := ca.issue(t, "server.test")
	withCert := func(cfg *tls.Config) *tls.Config {
		cfg.Certificates = []tls.Certificate{cert}
		return cfg
	}
	ours, theirs := NewTLS(&tls.Config{RootCAs: ca.pool}), NewTLS(withCert(&tls.Config{}))
	say := func(text string) func(context.Context, net.Conn) outcome {
		return func(_ context.Context, nc net.Conn) outcome {
			_, err := nc.Write([]byte(text))
			return outcome{err: err}
		}
	}
	for _, tc := range []struct {
		name           string
		client, server func(context.Context, net.Conn) outcome
		onClient       bool // whose error is looked at
		want           string
	}{
		{"a server without ALPN", asClient(ours, "server.test"), plainTLS(tls.Server, withCert(&tls.Config{})), true, `did not agree on "h2"`},
		{"a server without h2", asClient(ours, "server.test"), plainTLS(tls.Server, withCert(&tls.Config{NextProtos: []string{"http/1.1"}})), true, "no application protocol"},
		{"a server that takes another of ours", asClient(NewTLS(&tls.Config{RootCAs: ca.pool, NextProtos: []string{"h2", "http/1.1"}}), "server.test"),
			plainTLS(tls.Server, withCert(&tls.Config{NextProtos: []string{"http/1.1"}})), true, `ALPN agreed on "http/1.1"`},
		{"a client without ALPN", plainTLS(tls.Client, &tls.Config{RootCAs: ca.pool, ServerName: "server.test"}), asServer(theirs), false, `did not agree on "h2"`},
		{"a client without h2", plainTLS(tls.Client, &tls.Config{RootCAs: ca.pool, ServerName: "server.test", NextProtos: []string{"http/1.1"}}), asServer(theirs), false, `did not agree on "h2"`},
		{"a client of TLS 1.1", plainTLS(tls.Client, &tls.Config{RootCAs: ca.pool, ServerName: "server.test", NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}),
			asServer(NewTLS(withCert(&tls.Config{MinVersion: tls.VersionTLS10}))), false, "unsupported versions"},
		{"a server of TLS 1.1", asClient(NewTLS(&tls.Config{RootCAs: ca.pool, MinVersion: tls.VersionTLS10}), "server.test"),
			plainTLS(tls.Server, withCert(&tls.Config{NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})), true, "protocol version"},
		{"a certificate for another name", asClient(ours, "wrong.test:443"), asServer(theirs), true, "not wrong.test"},
		{"an authority that the client does not know", asClient(NewTLS(&tls.Config{RootCAs: other.pool}), "server.test"), asServer(theirs), true, "unknown authority"},
		{"a certificate that the client refused, as the server sees it", asClient(NewTLS(&tls.Config{RootCAs: other.pool}), "server.test"), asServer(theirs), false, "bad certificate"},
		{"a server of HTTP/2 without TLS", asClient(ours, "server.test"), say("\x00\x00\x00\x04\x00\x00\x00\x00\x00"), true, "does not speak TLS"},
		{"a server of HTTP/1.1 without TLS", asClient(ours, "server.test"), say("HTTP/1.1 400 Bad Request\r\n\r\n"), true, "does not speak TLS"},
		{"a client of HTTP/2 without TLS", say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), asServer(theirs), false, "does not speak TLS"},
		{"a client without a certificate", plainTLS(tls.Client, &tls.Config{RootCAs: ca.pool, ServerName: "server.test", NextProtos: []string{"h2"}}),
			asServer(NewTLS(withCert(&tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool}))), false, "didn't provide a certificate"},
		{"a client with a certificate of another authority", asClient(NewTLS(&tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{other.issue(t, "client")}}), "server.test"),
			asServer(NewTLS(withCert(&tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool}))), false, "certificate"},
		{"a client that hangs up", func(context.Context, net.Conn) outcome { return outcome{err: io.EOF} }, asServer(theirs), false, "EOF"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			c, s := shake(ctx, tc.client, tc.server)
			o, peer := s, "mem:client"
			if tc.onClient {
				o, peer = c, "mem:server"
			}
			if o.err == nil || o.conn != nil || o.info != nil {
				t.Fatalf("the handshake succeeds; the other end says %v", map[bool]error{true: s.err, false: c.err}[tc.onClient])
			}
			for _, part := range []string{"tls: handshake with " + peer, tc.want} {
				if !strings.Contains(o.err.Error(), part) {
					t.Errorf("the error does not say %q: %v", part, o.err)
				}
			}
		})
	}
}

func TestMutualTLS(t *testing.T) {
	ca := newAuthority(t)
	server := NewTLS(&tls.Config{Certificates: []tls.Certificate{ca.issue(t, "server.test")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool})
	client := NewTLS(&tls.Config{Certificates: []tls.Certificate{ca.issue(t, "client.test")}, RootCAs: ca.pool})
	c, s := shake(t.Context(), asClient(client, "server.test"), asServer(server))
	if c.err != nil || s.err != nil {
		t.Fatalf("client: %v; server: %v", c.err, s.err)
	}
	if got := s.info.(TLSInfo).State.PeerCertificates[0].Subject.CommonName; got != "client.test" {
		t.Errorf("the server sees %q", got)
	}
	_ = errors.Join(c.conn.Close(), s.conn.Close())
}

// TestHandshakeEndsWithContext: a peer that says nothing holds nobody.
func TestHandshakeEndsWithContext(t *testing.T) {
	cert := newAuthority(t).issue(t, "server.test")
	for name, shakeHands := range map[string]func(context.Context, net.Conn) outcome{
		"client": asClient(NewTLS(nil), "server.test"),
		"server": asServer(NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}})),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nc, silent := memconn.Pipe()
				defer silent.Close()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				start := time.Now()
				o := shakeHands(ctx, nc)
				if !errors.Is(o.err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
					t.Errorf("after %v: %v", time.Since(start), o.err)
				}
				if _, err := nc.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
					t.Errorf("the connection is still open: %v", err)
				}
			})
		})
	}
}

// TestNewTLSCopies: the configuration stays the caller's.
func TestNewTLSCopies(t *testing.T) {
	cfg := &tls.Config{NextProtos: []string{"http/1.1"}, ServerName: "a.test"}
	creds := NewTLS(cfg)
	if len(cfg.NextProtos) != 1 || cfg.MinVersion != 0 || cfg.CipherSuites != nil {
		t.Errorf("the configuration was changed: %v", cfg.NextProtos)
	}
	cfg.ServerName = "changed"
	if got, want := creds.Info(), (ProtocolInfo{SecurityProtocol: "tls", ServerName: "a.test"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if NewTLS(&tls.Config{MinVersion: tls.VersionTLS13}).(*tlsCredentials).cfg.MinVersion != tls.VersionTLS13 {
		t.Error("MinVersion was lowered")
	}
}

func TestFromFiles(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, "server.test")
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certFile, keyFile, caFile := file("cert", "CERTIFICATE", cert.Certificate[0]), file("key", "PRIVATE KEY", key), file("ca", "CERTIFICATE", ca.cert.Raw)
	server, err := NewServerTLSFromFile(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	client, err := NewClientTLSFromFile(caFile, "server.test")
	if err != nil {
		t.Fatal(err)
	}
	c, s := shake(t.Context(), asClient(client, "10.0.0.1:443"), asServer(server))
	if c.err != nil || s.err != nil {
		t.Fatalf("client: %v; server: %v", c.err, s.err)
	}
	_ = errors.Join(c.conn.Close(), s.conn.Close())

	missing := filepath.Join(dir, "missing")
	if _, err := NewServerTLSFromFile(missing, keyFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing certificate: %v", err)
	}
	if _, err := NewServerTLSFromFile(caFile, keyFile); err == nil {
		t.Error("a key of another certificate is taken")
	}
	if _, err := NewClientTLSFromFile(missing, ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing authorities: %v", err)
	}
	if _, err := NewClientTLSFromFile(keyFile, ""); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("authorities without a certificate: %v", err)
	}
}

func TestHostOf(t *testing.T) {
	for authority, want := range map[string]string{
		"server.test:443": "server.test", "server.test": "server.test", "server.test:": "server.test",
		"10.0.0.1:443": "10.0.0.1", "10.0.0.1": "10.0.0.1",
		"[::1]:443": "::1", "[::1]": "::1", "::1": "::1", "[fe80::1%25eth0]:1": "fe80::1%25eth0",
		"": "", ":443": "", "[]": "[]", "a:b:c": "a:b:c",
	} {
		if got := hostOf(authority); got != want {
			t.Errorf("hostOf(%q) = %q, want %q", authority, got, want)
		}
	}
}
