package end2end

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer4_surface/surfacetest"
	"github.com/strata-grpc/strata/tests/internal/selfsigned"
)

// Fixtures returns all of them, those in memory first.
func Fixtures() []surfacetest.Fixture {
	return append(surfacetest.Memory(),
		surfacetest.Fixture{Name: "tcp", Lacks: []surfacetest.Capability{surfacetest.Secure}, Open: openTCP},
		surfacetest.Fixture{Name: "tls", Lacks: []surfacetest.Capability{surfacetest.Insecure}, Open: openTLS},
		surfacetest.Fixture{Name: "unix", Lacks: []surfacetest.Capability{surfacetest.Secure}, Open: openUnix},
	)
}

// A socket is an address at which one listener after another can be.
type socket struct {
	network string

	mu      sync.Mutex // a leaf
	address string     // ends in ":0" until there was a listener
}

// listen opens a listener at the address of the one before.
func (s *socket) listen() (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lis, err := net.Listen(s.network, s.address)
	if err == nil {
		s.address = lis.Addr().String()
	}
	return lis, err
}

func (s *socket) dial(ctx context.Context) (net.Conn, error) {
	s.mu.Lock()
	address := s.address
	s.mu.Unlock()
	var d net.Dialer
	return d.DialContext(ctx, s.network, address)
}

// loopback returns a socket with a port that the system has chosen and that
// nobody listens at.
func loopback(t testing.TB) *socket {
	s := &socket{network: "tcp", address: "127.0.0.1:0"}
	lis, err := s.listen()
	if err != nil {
		t.Fatal(err)
	}
	lis.Close()
	return s
}

func openTCP(t testing.TB) surfacetest.Link {
	s := loopback(t)
	return surfacetest.NewNetworkLink(surfacetest.Network{
		Target: "ipv4:" + s.address, Listen: s.listen, Dial: s.dial, OwnDialer: true,
	})
}

func openTLS(t testing.TB) surfacetest.Link {
	certPEM, keyPEM, err := selfsigned.PEM(surfacetest.Authority)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(certPEM)
	s := loopback(t)
	return surfacetest.NewNetworkLink(surfacetest.Network{
		Target: "ipv4:" + s.address, Authority: surfacetest.Authority, Listen: s.listen, Dial: s.dial, OwnDialer: true,
		Client: credentials.NewTLS(&tls.Config{RootCAs: trusted}),
		Server: credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}}),
	})
}

func openUnix(t testing.TB) surfacetest.Link {
	s := &socket{network: "unix", address: filepath.Join(t.TempDir(), "s")}
	return surfacetest.NewNetworkLink(surfacetest.Network{
		Target: "unix:" + s.address, Listen: s.listen, Dial: s.dial, OwnDialer: true,
	})
}
