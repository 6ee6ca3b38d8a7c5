package peers

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"github.com/strata-grpc/strata/tests/internal/selfsigned"
)

// certName is the name in the tests' certificates, the official one.
const certName = "foo.test.google.fr"

// An identity is a self-signed certificate, as values and as files.
type identity struct {
	cert              tls.Certificate
	roots             *x509.CertPool
	certFile, keyFile string
}

// newIdentity makes a certificate for certName.
func newIdentity(t *testing.T) *identity {
	t.Helper()
	certPEM, keyPEM, err := selfsigned.PEM(certName)
	if err != nil {
		t.Fatal(err)
	}
	id := &identity{roots: x509.NewCertPool()}
	if id.cert, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	if !id.roots.AppendCertsFromPEM(certPEM) {
		t.Fatal("the certificate is not PEM")
	}
	dir := t.TempDir()
	id.certFile, id.keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, data := range map[string][]byte{id.certFile: certPEM, id.keyFile: keyPEM} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return id
}
