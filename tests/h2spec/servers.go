package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
	"github.com/strata-grpc/strata/tests/internal/selfsigned"
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
	certPEM, keyPEM, err := selfsigned.PEM("localhost")
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	return credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}}), nil
}
