package security

import (
	"bufio"
	"context"
	"encoding/base64"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// A proxyServer is a small HTTP proxy that makes tunnels.
type proxyServer struct {
	t      *testing.T
	lis    net.Listener
	routes map[string]string // where the names lead that only it knows
	secret string            // the user and password that it wants
	answer string            // instead of a tunnel, if not empty
	stall  bool              // no answer at all

	mu sync.Mutex
	// Guarded by mu.
	asked []string
}

// newProxy starts a proxy, and sets the environment to it.
func newProxy(t *testing.T, change func(*proxyServer)) *proxyServer {
	p := &proxyServer{t: t, lis: listenTCP(t), routes: map[string]string{}}
	if change != nil {
		change(p)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := p.lis.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() { p.lis.Close(); wg.Wait() })
	t.Setenv("HTTPS_PROXY", "http://"+p.lis.Addr().String())
	return p
}

// serve answers one client, and moves bytes until either side ends.
func (p *proxyServer) serve(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience)) // a connection has deadlines
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if err != nil {
		return
	}
	authorized := p.secret == ""
	for {
		field, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if field == "\r\n" {
			break
		}
		authorized = authorized || field == "Proxy-Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(p.secret))+"\r\n"
	}
	p.mu.Lock()
	p.asked = append(p.asked, strings.TrimSpace(line))
	p.mu.Unlock()
	switch {
	case p.stall:
		_, _ = io.Copy(io.Discard, r) // until the client gives up
		return
	case !authorized:
		_, _ = io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
		return
	case p.answer != "":
		_, _ = io.WriteString(c, p.answer)
		return
	}
	_, address, _ := strings.Cut(strings.TrimSuffix(line, " HTTP/1.1\r\n"), " ")
	server, err := net.Dial("tcp", p.routes[address])
	if err != nil {
		_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer server.Close()
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(server, r); server.Close() })
	_, _ = io.Copy(c, server)
	c.Close()
	wg.Wait()
}

func (p *proxyServer) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// TestProxy: calls go through a tunnel to a name that this machine cannot look
// up, in plain text and over TLS to the server behind it.
func TestProxy(t *testing.T) {
	id := newIssuer(t)
	for _, tc := range []struct {
		name   string
		secure bool
		target string
		asks   string
	}{
		{"plain text", false, "only.the.proxy.knows.invalid:50051", "CONNECT only.the.proxy.knows.invalid:50051 HTTP/1.1"},
		{"TLS", true, "only.the.proxy.knows.invalid", "CONNECT only.the.proxy.knows.invalid:443 HTTP/1.1"},
		{"an address", false, "ipv4:192.0.2.1:50051", "CONNECT 192.0.2.1:50051 HTTP/1.1"},
	} {
		t.Run(strings.ReplaceAll(tc.name, " ", "_"), func(t *testing.T) {
			lis := listenTCP(t)
			server, client := []stubs.ServerOption{}, []stubs.DialOption{}
			if tc.secure {
				server = append(server, stubs.Creds(id.server(t, "only.the.proxy.knows.invalid")))
				client = append(client, stubs.WithTransportCredentials(id.client()))
			}
			serve(t, lis, nil, server...)
			address := strings.Fields(tc.asks)[1]
			p := newProxy(t, func(p *proxyServer) { p.routes[address] = lis.Addr().String() })
			cc := dial(t, tc.target, client...)
			for range 3 {
				if err := call(within(t), cc); err != nil {
					t.Fatal(err)
				}
			}
			if got := p.requests(); len(got) != 1 || got[0] != tc.asks {
				t.Errorf("the proxy was asked %q, want %q", got, tc.asks)
			}
		})
	}
}

// TestProxyCredentials: user and password of the URL open the proxy, and are in
// no error.
func TestProxyCredentials(t *testing.T) {
	lis := listenTCP(t)
	serve(t, lis, nil)
	p := newProxy(t, func(p *proxyServer) {
		p.secret = "user:pass:word @"
		p.routes["behind.invalid:1"] = lis.Addr().String()
	})
	t.Setenv("HTTPS_PROXY", "http://user:pass%3Aword%20%40@"+p.lis.Addr().String())
	if err := call(within(t), dial(t, "behind.invalid:1")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTPS_PROXY", "http://another.invalid")
	own := stubs.WithProxy("http://user:pass%3Aword%20%40@" + p.lis.Addr().String())
	if err := call(within(t), dial(t, "behind.invalid:1", own)); err != nil {
		t.Errorf("with a proxy of its own: %v", err)
	}
	t.Setenv("HTTPS_PROXY", "http://user:SECRET@"+p.lis.Addr().String())
	wantUnavailable(t, call(within(t), dial(t, "behind.invalid:1")), "SECRET", p.lis.Addr().String(), "behind.invalid:1", "407 Proxy Authentication Required")
}

// wantUnavailable checks that err names all of says, and not the secret.
func wantUnavailable(t *testing.T, err error, secret string, says ...string) {
	t.Helper()
	if status.CodeOf(err) != status.Unavailable {
		t.Fatalf("the call ended with %v, want UNAVAILABLE", err)
	}
	for _, part := range says {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
	if secret != "" && strings.Contains(err.Error(), secret) {
		t.Errorf("the error holds a secret: %v", err)
	}
}

// TestBadProxies: whatever a proxy does instead of a tunnel, the call ends with
// UNAVAILABLE and an error that names proxy and server.
func TestBadProxies(t *testing.T) {
	for _, tc := range []struct{ name, answer, says string }{
		{"no backend", "HTTP/1.1 503 Service Unavailable\r\n\r\n", `the proxy answered "HTTP/1.1 503 Service Unavailable"`},
		{"a page", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>this is no HTTP/2</html>", "http2"},
		{"garbage", strings.Repeat("\x00\xff", 100), "is not HTTP"},
		{"an answer without an end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("x: y\r\n", 5000), "no end after 8192 bytes"},
		{"half an answer", "HTTP/1.1 2", "closed the connection within its answer"},
	} {
		t.Run(strings.ReplaceAll(tc.name, " ", "_"), func(t *testing.T) {
			newProxy(t, func(p *proxyServer) { p.answer = tc.answer })
			wantUnavailable(t, call(within(t), dial(t, "behind.invalid:1")), "", "behind.invalid:1", tc.says)
		})
	}
	t.Run("nobody_listens", func(t *testing.T) {
		lis := listenTCP(t)
		lis.Close()
		t.Setenv("HTTPS_PROXY", "http://user:SECRET@"+lis.Addr().String())
		wantUnavailable(t, call(within(t), dial(t, "behind.invalid:1")), "SECRET", lis.Addr().String(), "behind.invalid:1", "connection refused")
	})
	t.Run("silence", func(t *testing.T) {
		newProxy(t, func(p *proxyServer) { p.stall = true })
		ctx, cancel := context.WithTimeout(within(t), 200*time.Millisecond)
		defer cancel()
		if err := call(ctx, dial(t, "behind.invalid:1")); status.CodeOf(err) != status.DeadlineExceeded {
			t.Errorf("the call ended with %v", err)
		}
	})
}

// TestNoProxy has the ways past a proxy.
func TestNoProxy(t *testing.T) {
	lis := listenTCP(t)
	serve(t, lis, nil)
	own := stubs.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", lis.Addr().String())
	})
	for _, tc := range []struct {
		name, target, noProxy string
		ok                    bool
		opts                  []stubs.DialOption
	}{
		{"a local address", lis.Addr().String(), "", true, nil},
		{"a dialer", "behind.invalid:1", "", true, []stubs.DialOption{own}},
		{"an excluded name", "behind.invalid:1", ".invalid", false, nil},
		{"proxies switched off", "behind.invalid:1", "", false, []stubs.DialOption{stubs.WithNoProxy()}},
	} {
		t.Run(strings.ReplaceAll(tc.name, " ", "_"), func(t *testing.T) {
			p := newProxy(t, nil)
			t.Setenv("NO_PROXY", tc.noProxy)
			err := call(within(t), dial(t, tc.target, tc.opts...))
			if (err == nil) != tc.ok {
				t.Errorf("the call ended with %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), "looking up") {
				t.Errorf("this machine has not looked up the name: %v", err)
			}
			if got := p.requests(); len(got) > 0 {
				t.Errorf("the proxy was asked %q", got)
			}
		})
	}
}
