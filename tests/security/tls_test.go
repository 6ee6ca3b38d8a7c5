package security

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// An issuer makes certificates for one test.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	a := &issuer{key: newKey(t), pool: x509.NewCertPool()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert = sign(t, template, template, a.key, a.key)
	a.pool.AddCert(a.cert)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
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

// issue returns a certificate for names, valid for an hour around from.
func (a *issuer) issue(t *testing.T, from time.Time, names ...string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: from, NotAfter: from.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	cert := sign(t, template, a.cert, key, a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func lately() time.Time { return time.Now().Add(-time.Minute) }

func (a *issuer) server(t *testing.T, names ...string) credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{a.issue(t, lately(), names...)}})
}

func (a *issuer) client() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{RootCAs: a.pool})
}

// TestRefusedPeers: a peer that cannot prove who it is gets no call, the caller
// learns why, and nothing falls back to plain text.
func TestRefusedPeers(t *testing.T) {
	ca, other := newIssuer(t), newIssuer(t)
	demanding := func(pool *x509.CertPool) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{ca.issue(t, lately(), "server.test")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	}
	with := func(certs ...tls.Certificate) *tls.Config { return &tls.Config{RootCAs: ca.pool, Certificates: certs} }
	old := time.Now().Add(-2 * time.Hour)
	for _, tc := range []struct {
		name           string
		server, client *tls.Config
		says           []string // empty: the call succeeds
	}{
		{"a client with its certificate", demanding(ca.pool), with(ca.issue(t, lately(), "client.test")), nil},
		{"a client without a certificate", demanding(ca.pool), with(), []string{"certificate required"}},
		{"a client of another authority", demanding(ca.pool), with(other.issue(t, lately(), "client.test")), []string{"certificate"}},
		{"a client whose certificate has expired", demanding(ca.pool), with(ca.issue(t, old, "client.test")), []string{"certificate"}},
		{"a server of another authority", &tls.Config{Certificates: []tls.Certificate{other.issue(t, lately(), "server.test")}}, with(), []string{"tls: handshake with", "unknown authority"}},
		{"a server with another name", &tls.Config{Certificates: []tls.Certificate{ca.issue(t, lately(), "else.test")}}, with(), []string{"tls: handshake with", "not server.test"}},
		{"a server whose certificate has expired", &tls.Config{Certificates: []tls.Certificate{ca.issue(t, old, "server.test")}}, with(), []string{"tls: handshake with", "expired"}},
	} {
		t.Run(strings.ReplaceAll(tc.name, " ", "_"), func(t *testing.T) {
			lis, sent := listenTCP(t), new(tap)
			served := make(chan struct{}, 10)
			serve(t, lis, func(context.Context) error { served <- struct{}{}; return nil }, stubs.Creds(credentials.NewTLS(tc.server)))
			cc := dial(t, lis.Addr().String(), stubs.WithAuthority("server.test"), stubs.WithTransportCredentials(credentials.NewTLS(tc.client)), tapDialer(sent))
			err := call(within(t), cc)
			if tc.says == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantUnavailable(t, err, "", append(tc.says, lis.Addr().String())...)
			if again := call(within(t), cc); again == nil {
				t.Error("the next call succeeds")
			}
			if got := sent.bytes(); len(got) == 0 || got[0] != 0x16 { // RFC 8446 §5.1
				t.Errorf("the client begins with %x, which is no TLS", got[:min(len(got), 8)])
			}
			select {
			case <-served:
				t.Error("the server has seen a call")
			default:
			}
		})
	}
}

// TestAuthorityOfACall: a call may speak to another name of the server, and
// nothing of it is sent if the server cannot prove that the name is its own.
func TestAuthorityOfACall(t *testing.T) {
	ca := newIssuer(t)
	for _, tc := range []struct {
		name      string
		secure    bool
		authority string
		ok        bool
	}{
		{"the channel's", true, "", true},
		{"another name in the certificate", true, "second.test:443", true},
		{"a name that is not in the certificate", true, "evil.test", false},
		{"a name that is none", true, "a b\r\n", false},
		{"any name in plain text", false, "evil.test", true},
	} {
		for kind, do := range kinds {
			t.Run(strings.ReplaceAll(tc.name, " ", "_")+"/"+kind, func(t *testing.T) {
				lis, wire := listenTCP(t), new(tap)
				server, client := []stubs.ServerOption{}, []stubs.DialOption{stubs.WithAuthority("first.test"), tapDialer(wire)}
				var opts []stubs.CallOption
				if tc.authority != "" {
					opts = append(opts, stubs.CallAuthority(tc.authority))
				}
				if tc.secure {
					server = append(server, stubs.Creds(ca.server(t, "first.test", "second.test")))
					client = append(client, stubs.WithTransportCredentials(ca.client()))
				}
				serve(t, lis, nil, server...)
				cc := dial(t, lis.Addr().String(), client...)
				if err := cc.Ready(within(t)); err != nil {
					t.Fatal(err)
				}
				before := len(wire.bytes())
				err := do(within(t), cc, opts...)
				if tc.ok {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				wantUnavailable(t, err, "", "authority", "first.test")
				// Whatever is written is shorter than a HEADERS frame: it is
				// the acknowledgement of SETTINGS at most.
				if n := len(wire.bytes()) - before; n > 60 {
					t.Errorf("%d bytes were sent", n)
				}
			})
		}
	}
}

// TestCertificatesThatChange: calls go on while the server's certificate is
// renewed on the disk, and new connections get the new one.
func TestCertificatesThatChange(t *testing.T) {
	ca := newIssuer(t)
	dir := t.TempDir()
	files := credentials.TLSFiles{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), Interval: time.Millisecond, Logger: quiet()}
	write := func(cert tls.Certificate) {
		key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		for path, block := range map[string]*pem.Block{
			files.CertFile: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, files.KeyFile: {Type: "PRIVATE KEY", Bytes: key},
		} {
			if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(ca.issue(t, lately(), "server.test"))
	creds, err := credentials.NewReloadingTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	lis := listenTCP(t)
	serve(t, lis, nil, stubs.Creds(creds))
	client := []stubs.DialOption{stubs.WithAuthority("server.test"), stubs.WithTransportCredentials(ca.client())}
	old := dial(t, lis.Addr().String(), client...)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := call(within(t), old); err != nil {
					t.Errorf("a call on the old connection: %v", err)
					return
				}
				fresh := dial(t, lis.Addr().String(), client...)
				if err := call(within(t), fresh); err != nil {
					t.Errorf("a call on a new connection: %v", err)
				}
				fresh.Close()
			}
		})
	}
	for range 20 {
		write(ca.issue(t, lately(), "server.test"))
		time.Sleep(10 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	last := ca.issue(t, lately(), "server.test", "last.test")
	write(last)
	time.Sleep(5 * time.Millisecond)
	cc := dial(t, lis.Addr().String(), stubs.WithAuthority("last.test"), stubs.WithTransportCredentials(ca.client()))
	if err := call(within(t), cc); err != nil {
		t.Errorf("the last certificate is not in use: %v", err)
	}
}

// TestNoProtocol: an end that does not agree on HTTP/2 is refused by name.
func TestNoProtocol(t *testing.T) {
	ca := newIssuer(t)
	for _, tc := range []struct {
		name      string
		protocols []string
		says      string // to a client
	}{
		{"none", nil, `the peer did not agree on "h2" by ALPN`},
		{"http/1.1", []string{"http/1.1"}, "no application protocol"},
	} {
		name, protocols := tc.name, tc.protocols
		t.Run("server_with_"+strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
			lis := tls.NewListener(listenTCP(t), &tls.Config{NextProtos: protocols, Certificates: []tls.Certificate{ca.issue(t, lately(), "server.test")}})
			serve(t, handshaking{lis}, nil)
			cc := dial(t, lis.Addr().String(), stubs.WithAuthority("server.test"), stubs.WithTransportCredentials(ca.client()))
			err := call(within(t), cc)
			wantUnavailable(t, err, "", "tls: handshake with "+lis.Addr().String(), tc.says)
		})
		t.Run("client_with_"+strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
			lis := listenTCP(t)
			serve(t, lis, nil, stubs.Creds(ca.server(t, "server.test")))
			c, err := tls.Dial("tcp", lis.Addr().String(), &tls.Config{NextProtos: protocols, RootCAs: ca.pool, ServerName: "server.test"})
			if err != nil {
				return // the server's alert came first
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience)) // a connection has deadlines
			if n, err := c.Read(make([]byte, 1)); err == nil {
				t.Errorf("the server sends %d bytes", n)
			}
		})
	}
}

// handshaking is a listener whose connections have shaken hands, or failed to.
type handshaking struct{ net.Listener }

func (l handshaking) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		_ = c.(*tls.Conn).Handshake() // the client decides
	}
	return c, err
}
