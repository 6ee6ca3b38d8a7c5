package credentials

import (
	"fmt"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// TestInsecure: nothing is sent, and the connection is the one that was given.
func TestInsecure(t *testing.T) {
	client, server := memconn.Pipe()
	creds := NewInsecure()
	for _, end := range []struct {
		name string
		got  outcome
	}{
		{"client", asClient(creds, "server.test")(t.Context(), client)},
		{"server", asServer(creds)(t.Context(), server)},
	} {
		if end.got.err != nil || end.got.info.AuthType() != "insecure" {
			t.Errorf("%s: %+v", end.name, end.got)
		}
		if want := map[string]any{"client": client, "server": server}[end.name]; end.got.conn != want {
			t.Errorf("%s: another connection", end.name)
		}
	}
	talk(t, client, server)
	if got, want := creds.Info(), (ProtocolInfo{SecurityProtocol: "insecure"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	client.Close()
	server.Close()
}

func ExampleNewInsecure() {
	fmt.Println(NewInsecure().Info().SecurityProtocol)
	// Output: insecure
}

// Trust is that of the operating system unless the configuration says other.
func ExampleNewTLS() {
	fmt.Println(NewTLS(nil).Info().SecurityProtocol)
	// Output: tls
}

// Certificates that are renewed on the disk are in use a few seconds later.
func ExampleNewReloadingTLS() {
	creds, err := NewReloadingTLS(TLSFiles{CertFile: "testdata/missing.pem", KeyFile: "testdata/missing.key"})
	fmt.Println(creds, err)
	// Output: <nil> credentials: loading the certificate: open testdata/missing.pem: no such file or directory
}
