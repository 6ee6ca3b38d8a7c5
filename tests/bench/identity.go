package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/strata-grpc/strata/tests/internal/selfsigned"
)

// serverName is the name in the servers' certificate.
const serverName = "bench.test"

// newIdentity makes a certificate for serverName and returns it with its key
// as PEM. It is good for a day.
func newIdentity() (string, error) {
	cert, key, err := selfsigned.PEM(serverName)
	return string(cert) + string(key), err
}

// tlsConfig is what both ends use: the identity is the server's, and the
// authority that clients trust.
func tlsConfig(identity string) (*tls.Config, error) {
	cert, err := tls.X509KeyPair([]byte(identity), []byte(identity))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(identity)) {
		return nil, errors.New("no certificate")
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, ServerName: serverName}, nil
}
