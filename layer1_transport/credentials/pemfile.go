package credentials

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// loadPair reads a certificate, with those that lead from it to an authority
// behind it, and its key.
func loadPair(certFile, keyFile string) (*tls.Certificate, error) {
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("loading the certificate: %w", err)
	}
	if err := checkWhole(certPEM); err != nil {
		return nil, fmt.Errorf("loading the certificate: %s: %w", certFile, err)
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("loading the key of %s: %w", certFile, withoutPath(err))
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("loading %s and its key: %w", certFile, err)
	}
	return &pair, nil
}

// loadPool reads the certificates of authorities.
func loadPool(caFile string) (*x509.CertPool, error) {
	data, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("loading certificate authorities: %w", err)
	}
	if err := checkWhole(data); err != nil {
		return nil, fmt.Errorf("loading certificate authorities: %s: %w", caFile, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("loading certificate authorities: %s: no certificate in the file can be read", caFile)
	}
	return pool, nil
}

// checkWhole refuses a PEM file that ends within a block or has no certificate.
// Packages tls and x509 go without what is missing, and a file that is being
// written would pass for a whole one.
func checkWhole(data []byte) error {
	certs := 0
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			break
		}
		if block.Type == "CERTIFICATE" { // there may be a key in the same file
			certs++
		}
	}
	switch {
	case bytes.Contains(data, []byte("-----BEGIN")):
		return fmt.Errorf("the file ends within the PEM block behind certificate %d", certs)
	case certs == 0:
		return errors.New("the file holds no certificate in PEM")
	}
	return nil
}

// withoutPath returns err without the name of the file: where keys are is
// nobody's business who reads logs.
func withoutPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
