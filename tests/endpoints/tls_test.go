package endpoints

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
	surface "github.com/strata-grpc/strata/layer4_surface"
	"github.com/strata-grpc/strata/tests/internal/selfsigned"
)

// An identity is a certificate with its key, and whoever signed it.
type identity struct {
	tls.Certificate
	pool *x509.CertPool
}

// newIdentity returns a certificate that signer has signed, itself if nil.
func newIdentity(t *testing.T, name string, signer *identity) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IsCA: signer == nil, BasicConstraintsValid: true}
	parent, parentKey := template, key
	if signer != nil {
		parent, parentKey = signer.Leaf, signer.PrivateKey.(*ecdsa.PrivateKey)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	id := &identity{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, x509.NewCertPool()}
	id.pool.AddCert(leaf)
	return id
}

// TestClientCertificates is gRPC core's h2_ssl_cert_test: what a client may show
// to a server that does not ask, asks, or demands, with and without a look.
func TestClientCertificates(t *testing.T) {
	ca := newIdentity(t, "authority.test", nil)
	signed := newIdentity(t, "client.test", ca).Certificate
	selfSigned := newIdentity(t, "client.test", nil).Certificate
	serverCert := newIdentity(t, "server.test", ca).Certificate
	shown := []struct {
		name  string
		certs []tls.Certificate
	}{{"none", nil}, {"self-signed", []tls.Certificate{selfSigned}}, {"signed", []tls.Certificate{signed}}}
	for _, row := range []struct {
		asks tls.ClientAuthType
		ok   [3]bool // as in shown
	}{
		{tls.NoClientCert, [3]bool{true, true, true}},
		{tls.RequestClientCert, [3]bool{true, true, true}},
		{tls.VerifyClientCertIfGiven, [3]bool{true, false, true}},
		{tls.RequireAnyClientCert, [3]bool{false, true, true}},
		{tls.RequireAndVerifyClientCert, [3]bool{false, false, true}},
	} {
		s := newServer(t, surface.WithCredentials(credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{serverCert}, ClientAuth: row.asks, ClientCAs: ca.pool})))
		lis := listen(t, "tcp", "127.0.0.1:0")
		s.serve(lis)
		for i, show := range shown {
			t.Run(row.asks.String()+" "+show.name, func(t *testing.T) {
				// A client without a certificate that was asked for sends none: left
				// alone, package tls keeps back one of an authority that the server
				// does not name.
				certs := show.certs
				client := credentials.NewTLS(&tls.Config{RootCAs: ca.pool, ServerName: "server.test",
					GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
						if len(certs) == 0 {
							return new(tls.Certificate), nil
						}
						return &certs[0], nil
					}})
				end := call(t, lis.Addr().String(), client)
				if !row.ok[i] {
					if end.Code != status.Unavailable || !strings.Contains(end.Message, "tls") {
						t.Errorf("status = %v %q, want UNAVAILABLE that names TLS", end.Code, end.Message)
					}
					return
				}
				got := wantOK(t, s, end)
				info, _ := got.peer.AuthInfo.(credentials.TLSInfo)
				if n := len(info.State.PeerCertificates); (n > 0) != (len(certs) > 0 && row.asks != tls.NoClientCert) {
					t.Errorf("the server sees %d certificates", n)
				}
			})
		}
	}
}

// TestCertificateOfAnotherKey is the BAD_CERT_PAIR of h2_ssl_cert_test: it is
// refused when it is loaded, before there is a connection.
func TestCertificateOfAnotherKey(t *testing.T) {
	dir := t.TempDir()
	cert, _, err := selfsigned.PEM("client.test")
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := selfsigned.PEM("client.test")
	if err != nil {
		t.Fatal(err)
	}
	files := credentials.TLSFiles{CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key")}
	for name, text := range map[string][]byte{files.CertFile: cert, files.KeyFile: key} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := credentials.NewReloadingTLS(files); err == nil || !strings.Contains(err.Error(), "private key does not match public key") {
		t.Errorf("NewReloadingTLS = %v", err)
	}
}

// TestSessionReuse is gRPC core's h2_ssl_session_reuse_test: with a cache a
// client's connections after the first resume its session, also where both ends
// show certificates; the server's calls still say who the client is.
func TestSessionReuse(t *testing.T) {
	ca := newIdentity(t, "authority.test", nil)
	s := newServer(t, surface.WithCredentials(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{newIdentity(t, "server.test", ca).Certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: ca.pool})))
	lis := listen(t, "tcp", "127.0.0.1:0")
	s.serve(lis)
	client := func(cache tls.ClientSessionCache) credentials.TransportCredentials {
		return credentials.NewTLS(&tls.Config{RootCAs: ca.pool, ServerName: "server.test", ClientSessionCache: cache,
			Certificates: []tls.Certificate{newIdentity(t, "client.test", ca).Certificate}})
	}
	cached, plain := client(tls.NewLRUClientSessionCache(8)), client(nil)
	for i := range 10 {
		for _, creds := range []credentials.TransportCredentials{cached, plain} {
			got := wantOK(t, s, call(t, lis.Addr().String(), creds))
			info := got.peer.AuthInfo.(credentials.TLSInfo)
			if want := creds == cached && i > 0; info.State.DidResume != want {
				t.Errorf("connection %d with a cache %t: resumed %t", i, creds == cached, info.State.DidResume)
			}
			if certs := info.State.PeerCertificates; len(certs) == 0 || certs[0].Subject.CommonName != "client.test" {
				t.Errorf("connection %d: the server does not know the client", i)
			}
		}
	}
}
