package http2

import (
	"net"
	"syscall"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
)

// TestUserTimeout: TCP waits no longer for an acknowledgement than keepalive
// does for an answer, gRFC A18; without keepalive that is the system's.
func TestUserTimeout(t *testing.T) {
	for _, tc := range []struct {
		name           string
		client, server keepalive.Params
		want           [2]int // ms
	}{
		{"the defaults", keepalive.Params{}, keepalive.Params{}, [2]int{0, 20000}},
		{"set", keepalive.Params{Time: time.Minute, Timeout: 7 * time.Second}, keepalive.Params{Timeout: time.Second}, [2]int{7000, 1000}},
		{"off", keepalive.Params{Timeout: time.Second}, keepalive.Params{Time: keepalive.Never}, [2]int{0, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lis, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer lis.Close()
			ours, err := net.Dial("tcp", lis.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := lis.Accept()
			if err != nil {
				t.Fatal(err)
			}
			accepted := make(chan transport.Transport, 1)
			go func() {
				tr, err := Accept(t.Context(), theirs, nil, Config{Keepalive: tc.server})
				if err != nil {
					t.Error(err)
				}
				accepted <- tr
			}()
			client, err := Connect(t.Context(), ours, nil, Config{Keepalive: tc.client})
			if err != nil {
				t.Fatal(err)
			}
			server := <-accepted
			for i, nc := range []net.Conn{ours, theirs} {
				const tcpUserTimeout = 18
				raw, err := nc.(*net.TCPConn).SyscallConn()
				if err != nil {
					t.Fatal(err)
				}
				var got int
				_ = raw.Control(func(fd uintptr) { got, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout) }) // err of the call inside counts
				if err != nil || got != tc.want[i] {
					t.Errorf("end %d has TCP_USER_TIMEOUT %d (%v), want %d", i, got, err, tc.want[i])
				}
			}
			client.Close()
			server.Close()
		})
	}
}
