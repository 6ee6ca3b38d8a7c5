package http2_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/faultconn"
)

// certificate returns the configurations of a server and of a client that
// trusts it.
func certificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"faults.test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), // the clock of a bubble is in the year 2000
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"h2"}}
	return server, &tls.Config{RootCAs: roots, ServerName: "faults.test", NextProtos: []string{"h2"}}
}

// TestFaultsUnderTLS: where there is a checksum, nothing wrong is ever believed,
// whatever octet was changed, and a call ends well or as UNAVAILABLE.
//
// There are no waits in these plans: crypto/tls writes under a mutex, and in a
// bubble the clock does not go on for who waits for that.
func TestFaultsUnderTLS(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	began := 0
	for seed := range schedules(160) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var plans [2]faultconn.Plan
				for i := range plans {
					plans[i] = faultconn.Hostile(seed+uint64(i)<<32, 2*faultSpan, faultconn.Corrupt, faultconn.Reset, faultconn.Close, faultconn.Fail)
					plans[i].Read.Delay, plans[i].Write.Delay = 0, 0
				}
				c, s := faultconn.Pipe(plans[0], plans[1])
				clientConn, serverConn := tls.Client(c, clientTLS), tls.Server(s, serverTLS)
				shaken := make(chan error)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				go func() {
					err := serverConn.HandshakeContext(ctx)
					if err != nil {
						s.Close()
					}
					shaken <- err
				}()
				err := clientConn.HandshakeContext(ctx)
				if err != nil {
					c.Close()
				}
				if serverErr := <-shaken; err != nil || serverErr != nil {
					c.Close()
					s.Close()
					return // a fault struck the handshake
				}
				began++
				x := &chaos{t: t, seed: seed}
				x.run(clientConn, serverConn)
				for _, w := range slices.Concat(x.wrong, x.short) {
					t.Error(w)
				}
				for code, n := range x.codes {
					if code != status.OK && (code != status.Unavailable || struck(c, s) == 0) {
						t.Errorf("%d calls ended with %v", n, code)
					}
				}
				if t.Failed() {
					t.Logf("client: %v\nserver: %v\nended: %v", plans[0], plans[1], x.codes)
				}
			})
		})
	}
	if began == 0 {
		t.Error("no handshake of any seed succeeded")
	}
}
