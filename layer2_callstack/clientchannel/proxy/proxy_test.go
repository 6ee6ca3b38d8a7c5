package proxy

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// environment sets what a test's rules come from.
func environment(t *testing.T, proxy, noProxy string) {
	for _, name := range []string{"https_proxy", "no_proxy", "http_proxy", "HTTP_PROXY", "all_proxy"} {
		t.Setenv(name, "")
	}
	t.Setenv("HTTPS_PROXY", proxy)
	t.Setenv("NO_PROXY", noProxy)
}

func TestRules(t *testing.T) {
	for _, tc := range []struct {
		name, proxy, noProxy, address string
		want                          bool
	}{
		{"no proxy", "", "", "greeter:443", false},
		{"a proxy", "http://proxy:3128", "", "greeter:443", true},
		{"a proxy without a scheme", "proxy:3128", "", "greeter:443", true},
		{"an address", "http://proxy", "", "10.0.0.1:50051", true},
		{"an excluded name", "http://proxy", "greeter", "greeter:443", false},
		{"a name below an excluded one", "http://proxy", "example.com", "a.example.com:443", false},
		{"an excluded port", "http://proxy", "greeter:443", "greeter:443", false},
		{"another port than the excluded one", "http://proxy", "greeter:443", "greeter:444", true},
		{"an excluded network", "http://proxy", "10.0.0.0/8", "10.1.2.3:443", false},
		{"everything excluded", "http://proxy", "*", "greeter:443", false},
		{"localhost", "http://proxy", "", "localhost:50051", false},
		{"a loopback address", "http://proxy", "", "127.0.0.1:50051", false},
		{"the IPv6 loopback address", "http://proxy", "", "[::1]:50051", false},
		{"a broken proxy", "http://a b%zz", "", "greeter:443", true},
		{"a broken proxy and an excluded name", "http://a b%zz", "greeter", "greeter:443", false},
		{"a zone that looks like an excluded name", "http://proxy", ".corp", "[fe80::1%25x.corp]:443", true},
		{"no address", "http://proxy", "", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			environment(t, tc.proxy, tc.noProxy)
			if got := FromEnvironment().Apply(tc.address); got != tc.want {
				t.Errorf("a proxy stands before %q: %v, want %v", tc.address, got, tc.want)
			}
		})
	}
}

// TestFixed: a fixed proxy stands before everything, and what is none is refused
// without its password.
func TestFixed(t *testing.T) {
	environment(t, "", "*")
	r, err := Fixed("http://user:word@proxy:3128")
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"greeter:443", "localhost:443", "127.0.0.1:1"} {
		if u := r.proxyFor(address); u == nil || u.Host != "proxy:3128" || u.User.String() != "user:word" {
			t.Errorf("before %q stands %v", address, u)
		}
	}
	for _, bad := range []string{"", "proxy:3128", "https://user:SECRET@proxy", "http://", "http://user:SECRET@a b", "http://:3128"} {
		if _, err := Fixed(bad); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("Fixed(%q): %v", bad, err)
		}
	}
}

// TestHTTPProxyIsNotForUs: HTTP_PROXY is about the scheme http.
func TestHTTPProxyIsNotForUs(t *testing.T) {
	environment(t, "", "")
	t.Setenv("HTTP_PROXY", "http://proxy")
	if r := FromEnvironment(); r != nil || r.Apply("greeter:443") {
		t.Error("HTTP_PROXY is used")
	}
}

// A scripted proxy reads a request and says something.
type scripted struct {
	t       *testing.T
	answer  string
	keep    bool // the connection stays open afterwards
	dialled []string
	asked   chan string
}

func newScripted(t *testing.T, answer string, keep bool) *scripted {
	return &scripted{t: t, answer: answer, keep: keep, asked: make(chan string, 1)}
}

func (s *scripted) dial(_ context.Context, network, address string) (net.Conn, error) {
	s.dialled = append(s.dialled, network+" "+address)
	client, server := memconn.Pipe()
	s.t.Cleanup(func() { client.Close(); server.Close() })
	go s.serve(server)
	return client, nil
}

// serve ends when the request is read and answered.
func (s *scripted) serve(conn net.Conn) {
	var head []byte
	b := make([]byte, 1)
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		if _, err := conn.Read(b); err != nil {
			break
		}
		head = append(head, b...)
	}
	s.asked <- string(head)
	_, _ = io.WriteString(conn, s.answer) // the client may have gone
	if !s.keep {
		conn.Close()
	}
}

func TestTunnel(t *testing.T) {
	secret := base64.StdEncoding.EncodeToString([]byte("user:pass word"))
	for _, tc := range []struct {
		name, proxy, address, dials, asks string
	}{
		{"a proxy without credentials", "http://proxy:3128", "greeter:50051", "tcp proxy:3128", "CONNECT greeter:50051 HTTP/1.1\r\nHost: greeter:50051\r\n\r\n"},
		{"a proxy without a port", "http://proxy", "greeter:50051", "tcp proxy:80", "CONNECT greeter:50051 HTTP/1.1\r\nHost: greeter:50051\r\n\r\n"},
		{"a proxy with credentials", "http://user:pass%20word@[::1]:3128/path", "[2001:db8::1]:443", "tcp [::1]:3128",
			"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\nProxy-Authorization: Basic " + secret + "\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			environment(t, tc.proxy, "")
			p := newScripted(t, "HTTP/1.1 200 Connection established\r\nX: y\r\n\r\nthe server's bytes", true)
			conn, err := FromEnvironment().Dial(p.dial)(t.Context(), "tcp", tc.address)
			if err != nil {
				t.Fatal(err)
			}
			if got := <-p.asked; got != tc.asks || p.dialled[0] != tc.dials {
				t.Errorf("dialled %q and asked %q, want %q and %q", p.dialled, got, tc.dials, tc.asks)
			}
			rest := make([]byte, len("the server's bytes"))
			if _, err := io.ReadFull(conn, rest); err != nil || string(rest) != "the server's bytes" {
				t.Errorf("behind the answer comes %q, %v", rest, err)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	long := strings.Repeat("x", 2*maxHead)
	for _, tc := range []struct {
		name, answer, says string // says is empty for a tunnel
	}{
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n", ""},
		{"no reason", "HTTP/1.1 200\r\n\r\n", ""},
		{"another success", "HTTP/1.1 204 No Content\r\n\r\n", ""},
		{"bare line feeds", "HTTP/1.1 200 OK\nA: b\n\n", ""},
		{"an interim answer first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", ""},
		{"credentials wanted", "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", `wants other credentials, as in HTTPS_PROXY=http://user:password@host: it answered "HTTP/1.1 407 Proxy Authentication Required"`},
		{"no backend", "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\nbody", `the proxy answered "HTTP/1.1 503 Service Unavailable"`},
		{"a redirection", "HTTP/1.1 302 Found\r\nLocation: http://login\r\n\r\n", `the proxy answered "HTTP/1.1 302 Found"`},
		{"not HTTP", "\x00\x00\x12\x04", `is not HTTP: it begins with "\x00"`},
		{"SSH", "SSH-2.0-x\r\n\r\n", `is not HTTP: it begins with "S"`},
		{"HTTP/2", "HTTP/2 200\r\n\r\n", `is not HTTP: it begins with "HTTP/2"`},
		{"a code that is no number", "HTTP/1.1 2x0 OK\r\n\r\n", `malformed status line "HTTP/1.1 2x0 OK"`},
		{"a code of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "malformed status line"},
		{"a code below 100", "HTTP/1.1 099 x\r\n\r\n", "malformed status line"},
		{"no code", "HTTP/1.1\r\n\r\n", "malformed status line"},
		{"nothing", "", "closed the connection instead of an answer"},
		{"half an answer", "HTTP/1.1 200 OK\r\nA", `within its answer to CONNECT, "HTTP/1.1 200 OK\r\nA"`},
		{"a long answer", "HTTP/1.1 200 " + long, "has no end after 8192 bytes"},
		{"interim answers without an end", strings.Repeat("HTTP/1.1 100 x\r\n\r\n", 1000), "has no end after 8192 bytes"},
		{"control characters", "HTTP/1.1 500 \x1b[31m\r\n\r\n", `\x1b[31m`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			environment(t, "http://user:SECRET@proxy:3128", "")
			p := newScripted(t, tc.answer, false)
			conn, err := FromEnvironment().Dial(p.dial)(t.Context(), "tcp", "greeter:443")
			if tc.says == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil || conn != nil {
				t.Fatal("accepted")
			}
			for _, part := range []string{`proxy "proxy:3128": tunnel to "greeter:443": `, tc.says} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not say %q: %v", part, err)
				}
			}
			if strings.Contains(err.Error(), "SECRET") || len(err.Error()) > 300 {
				t.Errorf("the error says too much: %v", err)
			}
		})
	}
}

// TestRefusals: what cannot be asked for is not asked for.
func TestRefusals(t *testing.T) {
	for _, tc := range []struct{ name, proxy, address, says string }{
		{"an https proxy", "https://user:SECRET@proxy", "greeter:443", `the scheme "https" is not supported`},
		{"a SOCKS proxy", "socks5://user:SECRET@proxy", "greeter:443", `the scheme "socks5" is not supported`},
		{"a broken proxy", "http://user:SECRET@a b%zz", "greeter:443", "HTTPS_PROXY is no URL"},
		{"an address without a port", "http://proxy", "greeter", "needs host and port"},
		{"an address without a host", "http://proxy", ":443", "needs host and port"},
		{"a line break in the name", "http://proxy", "a\r\nX:443", "neither printable nor ASCII"},
		{"a blank in the name", "http://proxy", "a b:443", "neither printable nor ASCII"},
		{"a name that is not ASCII", "http://proxy", "é:443", "neither printable nor ASCII"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &Rules{find: func(*url.URL) (*url.URL, error) { return url.Parse(tc.proxy) }}
			if strings.Contains(tc.proxy, "%zz") {
				environment(t, tc.proxy, "")
				r = FromEnvironment()
			}
			dial := func(context.Context, string, string) (net.Conn, error) {
				t.Error("a connection is opened")
				return nil, errors.New("no")
			}
			if _, err := r.Dial(dial)(t.Context(), "tcp", tc.address); err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the error is %v, want %q", err, tc.says)
			}
		})
	}
}

// TestPastTheProxy: what no proxy stands before is dialled as it is.
func TestPastTheProxy(t *testing.T) {
	environment(t, "http://proxy", "direct")
	var dialled []string
	dial := FromEnvironment().Dial(func(_ context.Context, network, address string) (net.Conn, error) {
		dialled = append(dialled, network+" "+address)
		return nil, io.ErrClosedPipe
	})
	for _, a := range [][2]string{{"unix", "/path"}, {"tcp", "direct:1"}, {"tcp6", "[::1]:1"}, {"tcp", "greeter:1"}} {
		if _, err := dial(t.Context(), a[0], a[1]); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s %s: %v", a[0], a[1], err)
		}
	}
	if got, want := strings.Join(dialled, ", "), "unix /path, tcp direct:1, tcp6 [::1]:1, tcp proxy:80"; got != want {
		t.Errorf("dialled %s, want %s", got, want)
	}
}

// TestSlowProxy: a proxy that answers a byte a second, or not at all, holds the
// attempt until its context ends and no longer.
func TestSlowProxy(t *testing.T) {
	for name, bytesPerSecond := range map[string]int{"silence": 0, "a byte a second": 1} {
		t.Run(name, func(t *testing.T) {
			environment(t, "http://proxy", "")
			synctest.Test(t, func(t *testing.T) {
				client, server := memconn.Pipe()
				var wg sync.WaitGroup
				defer wg.Wait()
				defer server.Close()
				if bytesPerSecond > 0 {
					wg.Go(func() {
						for _, c := range []byte("HTTP/1.1 200 OK and much more") {
							time.Sleep(time.Second)
							if _, err := server.Write([]byte{c}); err != nil {
								return
							}
						}
					})
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				start := time.Now()
				_, err := FromEnvironment().Dial(func(context.Context, string, string) (net.Conn, error) { return client, nil })(ctx, "tcp", "greeter:1")
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
				if _, err := client.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
					t.Errorf("the connection is still open: %v", err)
				}
			})
		})
	}
}

// FuzzReadHead checks that an answer is read to its end and no further, within
// the budget, and that errors quote little of it.
func FuzzReadHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\nrest"))
	f.Add([]byte("HTTP/1.1 407\n\n"))
	f.Add([]byte("HTTP/1.1 2"))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		budget := maxHead
		code, line, err := readHead(r, &budget)
		read := data[:len(data)-r.Len()]
		if len(read) > maxHead || len(read) != maxHead-budget {
			t.Fatalf("%d bytes read, %d left of %d", len(read), budget, maxHead)
		}
		if err != nil {
			if len(err.Error()) > 500 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
				t.Fatalf("the error is %q", err)
			}
			return
		}
		if code < 100 || code > 999 || !bytes.HasPrefix(read, []byte(line)) || !bytes.HasSuffix(read, []byte("\n")) {
			t.Fatalf("code %d of line %q in %q", code, line, read)
		}
		if i := bytes.Index(data, []byte("\r\n\r\n")); i >= 0 && len(read) > i+4 {
			t.Fatalf("%d bytes read, and the head has %d", len(read), i+4)
		}
	})
}
