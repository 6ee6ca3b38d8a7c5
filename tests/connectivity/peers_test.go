package connectivity

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	credentials "github.com/strata-grpc/strata/layer1_transport/credentials"
	surface "github.com/strata-grpc/strata/layer4_surface"
	selfsigned "github.com/strata-grpc/strata/tests/internal/selfsigned"
)

// serverName is what the certificate of the secure server says.
const serverName = "connectivity.test"

func quiet() surface.Option { return surface.WithLogger(slog.New(slog.DiscardHandler)) }

func listen(t *testing.T) net.Listener {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return lis
}

// noServer returns an address where nobody listens.
func noServer(t *testing.T) string {
	lis := listen(t)
	defer lis.Close()
	return lis.Addr().String()
}

// realServer returns the address of a server that takes every connection.
func realServer(t *testing.T, opts ...surface.ServerOption) string {
	lis := listen(t)
	s := surface.NewServer(append(opts, quiet())...)
	served := make(chan error, 1)
	go func() { served <- s.Serve(lis) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return lis.Addr().String()
}

// bogusServer returns the address of one that closes every connection at once.
func bogusServer(t *testing.T) string {
	lis := listen(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := lis.Accept()
			if err != nil {
				return
			}
			_ = nc.Close()
		}
	}()
	t.Cleanup(func() {
		_ = lis.Close()
		<-done
	})
	return lis.Addr().String()
}

// secure returns the options of both sides of a connection with TLS.
func secure(t *testing.T) (client, server surface.Option) {
	t.Helper()
	certPEM, keyPEM, err := selfsigned.PEM(serverName)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return surface.WithCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: serverName})),
		surface.WithCredentials(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
}

// newChannel returns a channel to addr.
func newChannel(t *testing.T, addr string, opts ...surface.ChannelOption) *surface.Channel {
	t.Helper()
	ch, err := surface.NewChannel("passthrough:///"+addr, append(opts, quiet())...)
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// wantGoroutines waits until no more than want goroutines run: those of closed
// connections at the other end are a moment behind.
func wantGoroutines(t *testing.T, want int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d goroutines are left, want at most %d:\n%s", runtime.NumGoroutine(), want, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
