package endpoints

import (
	"net"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

var insecure = credentials.NewInsecure()

// TestDualstack is gRPC core's dualstack_socket_test: which addresses reach a
// server that listens on which, and what it is called then.
func TestDualstack(t *testing.T) {
	if lis, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("no IPv6 here: ", err)
	} else {
		lis.Close()
	}
	for _, row := range []struct {
		network, server, client string
		reached                 bool
	}{
		{"tcp", "[::]", "127.0.0.1", true},
		{"tcp", "[::]", "[::1]", true},
		{"tcp", "[::]", "[::ffff:127.0.0.1]", true},
		{"tcp", "[::]", "localhost", true},
		{"tcp", "", "127.0.0.1", true},
		{"tcp", "", "[::1]", true},
		{"tcp4", "0.0.0.0", "127.0.0.1", true},
		{"tcp4", "0.0.0.0", "[::ffff:127.0.0.1]", true},
		{"tcp4", "0.0.0.0", "localhost", true},
		{"tcp4", "0.0.0.0", "[::1]", false},
		{"tcp6", "[::]", "[::1]", true},
		{"tcp", "127.0.0.1", "127.0.0.1", true},
		{"tcp", "127.0.0.1", "[::1]", false},
		{"tcp", "[::1]", "[::1]", true},
		{"tcp", "[::1]", "127.0.0.1", false},
		{"tcp", "[::1]", "[::ffff:127.0.0.1]", false},
	} {
		for _, scheme := range []string{"", "dns:///", "passthrough:///"} {
			t.Run(row.network+" "+row.server+" by "+scheme+row.client, func(t *testing.T) {
				s := newServer(t)
				lis := listen(t, row.network, row.server+":0")
				s.serve(lis)
				host := row.client + ":" + port(lis)
				end := call(t, scheme+host, nil)
				if !row.reached {
					if end.Code != status.Unavailable {
						t.Errorf("status = %v %q, want UNAVAILABLE", end.Code, end.Message)
					}
					return
				}
				if got := wantOK(t, s, end); got.host != host {
					t.Errorf("the call came for host %q, want %q", got.host, host)
				}
			})
		}
	}
}
