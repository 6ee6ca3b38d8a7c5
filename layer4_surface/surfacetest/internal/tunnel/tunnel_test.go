package tunnel

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// TestProxy: who gets a tunnel, and what becomes of it.
func TestProxy(t *testing.T) {
	const request, allowed = "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n", "Proxy-Authorization: Basic dTpw\r\n"
	for _, tc := range []struct{ name, send, want string }{
		{"the right credentials", request + allowed + "\r\nhello", "HTTP/1.1 200 OK\r\n\r\nHELLO"},
		{"other credentials", request + "Proxy-Authorization: Basic eDp5\r\n\r\n", "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"},
		{"no credentials", request + "\r\n", "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"},
		{"a server that is not there", request + allowed + "\r\n", "HTTP/1.1 502 Bad Gateway\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lis, servers := memconn.Listen(), memconn.Listen()
				p := &Proxy{User: "u:p", Dial: func() (net.Conn, error) {
					if strings.Contains(tc.want, "502") {
						return nil, errors.New("refused")
					}
					return servers.Dial(t.Context())
				}}
				p.Serve(lis)
				defer p.Close()
				c, err := lis.Dial(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				io.WriteString(c, tc.send)
				if strings.HasSuffix(tc.send, "hello") {
					s, err := servers.Accept()
					if err != nil {
						t.Fatal(err)
					}
					b := make([]byte, 5)
					io.ReadFull(s, b)
					io.WriteString(s, strings.ToUpper(string(b)))
					s.Close()
				}
				got, err := io.ReadAll(c)
				if string(got) != tc.want || err != nil {
					t.Errorf("%q, %v; want %q", got, err, tc.want)
				}
				c.Close()
				if asked := p.Asked(); len(asked) != 1 || asked[0] != "CONNECT x:1 HTTP/1.1" {
					t.Errorf("asked %q", asked)
				}
			})
		})
	}
}
