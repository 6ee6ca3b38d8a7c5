package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
	"github.com/strata-grpc/strata/tests/interop/service"
)

// A serverKind is one of the servers that the suite is run against.
type serverKind struct {
	name string
	full bool // the whole gRPC server
	tls  bool
}

func kinds() []serverKind {
	return []serverKind{
		{name: "layer1"},
		{name: "layer1-tls", tls: true},
		{name: "grpc", full: true},
	}
}

// A running server can be stopped.
type running struct {
	addr *net.TCPAddr
	stop func()
}

// start starts a server of that kind.
func start(k serverKind, addr string) (running, error) {
	creds := credentials.NewInsecure()
	if k.tls {
		var err error
		if creds, err = selfSigned(); err != nil {
			return running{}, err
		}
	}
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		return running{}, err
	}
	r := running{addr: lis.Addr().(*net.TCPAddr)}
	if !k.full {
		r.stop = serveLayer1(lis, creds).Stop
		return r, nil
	}
	// A suite that breaks the protocol on purpose is no news.
	s := stubs.NewServer(stubs.Creds(creds), stubs.WithLogger(slog.New(slog.DiscardHandler)))
	grpctestingpb.RegisterTestServiceServer(s, service.New("h2spec"))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(lis) // ends with Shutdown, and else the suite finds nobody
	}()
	r.stop = func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(now) // cut off: the error is that it was
		<-ended
	}
	return r, nil
}

// selfSigned returns the credentials of a server whose certificate is made
// here and which nobody vouches for.
func selfSigned() (credentials.TransportCredentials, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		DNSNames:     []string{"localhost"},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}}), nil
}
