// Package proxy opens connections through HTTP proxies: it has the proxy that a
// channel is given, or that the environment names, make a tunnel, by CONNECT.
//
//	channel ──TCP──▶ proxy ──TCP──▶ server
//	        CONNECT greeter:443 ▶
//	        ◀ HTTP/1.1 200 OK
//	        TLS and HTTP/2, end to end
//
// # Contract
//
//   - The rules of the environment are those of package httpproxy: HTTPS_PROXY
//     names the proxy, NO_PROXY what goes without one, and local addresses always
//     do. A fixed proxy has no exceptions.
//   - The name of the server goes to the proxy as it is: it may be one that only
//     the proxy can look up. gRFC A1.
//   - An error names the proxy and the server and quotes the status line; user
//     and password are in none, nor in any log.
//   - Not here: proxies of other kinds, such as https and socks5, which are
//     refused; schemes of authentication but Basic.
//
// # Reading order
//
// proxy.go, connect.go.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"github.com/strata-grpc/strata/internal/quote"
)

// Rules say which proxy stands before which server.
type Rules struct {
	find   func(server *url.URL) (*url.URL, error)
	broken bool // the proxy cannot be told from its URL
}

// FromEnvironment returns the rules of the environment as it is now, nil if it
// names no proxy. gRPC's servers are reached as those of https are.
func FromEnvironment() *Rules {
	cfg := httpproxy.FromEnvironment()
	if cfg.HTTPSProxy == "" {
		return nil
	}
	r := &Rules{}
	if _, err := url.Parse(cfg.HTTPSProxy); err != nil {
		if _, err := url.Parse("http://" + cfg.HTTPSProxy); err != nil {
			// Package httpproxy would go without a proxy, which whoever set
			// one does not expect.
			r.broken, cfg.HTTPSProxy = true, "http://broken.invalid"
		}
	}
	r.find = cfg.ProxyFunc()
	return r
}

// Fixed returns rules by which the proxy at rawURL stands before every server:
// http://host:port, with user:password@ in front of the host if it wants them.
func Fixed(rawURL string) (*Rules, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" {
		return nil, errors.New("proxy: the URL is not of the form http://user:password@host:port (it is not shown, since it may hold a password)")
	}
	return &Rules{find: func(*url.URL) (*url.URL, error) { return u, nil }}, nil
}

// Apply reports whether a proxy stands before address, which is "host:port".
func (r *Rules) Apply(address string) bool { return r.proxyFor(address) != nil }

// proxyFor returns the proxy before address, nil for none.
func (r *Rules) proxyFor(address string) *url.URL {
	if r == nil {
		return nil
	}
	// The only error is about HTTP_PROXY, which nobody asks for here.
	u, _ := r.find(&url.URL{Scheme: "https", Host: address})
	return u
}

// A DialFunc opens a connection. network and address are package net's.
type DialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// Dial returns a dialer that opens TCP connections through the proxy that the
// rules have for their address, and all others by dial.
func (r *Rules) Dial(dial DialFunc) DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		var u *url.URL
		if strings.HasPrefix(network, "tcp") {
			u = r.proxyFor(address)
		}
		switch {
		case u == nil:
			return dial(ctx, network, address)
		case r.broken:
			return nil, errors.New("proxy: HTTPS_PROXY is no URL (it is not shown, since it may hold a password)")
		}
		conn, err := through(ctx, dial, network, u, address)
		if err != nil {
			// The host alone: the URL may hold a password.
			return nil, fmt.Errorf("proxy %s: tunnel to %s: %w", quote.Text(u.Host), quote.Text(address), err)
		}
		return conn, nil
	}
}

// through opens a connection to the proxy u and has it make a tunnel.
func through(ctx context.Context, dial DialFunc, network string, u *url.URL, address string) (net.Conn, error) {
	if u.Scheme != "http" {
		return nil, fmt.Errorf("the scheme %s is not supported, only http is", quote.Text(u.Scheme))
	}
	if err := checkAddress(address); err != nil {
		return nil, err
	}
	conn, err := dial(ctx, network, withPort(u))
	if err != nil {
		return nil, err
	}
	if err := connect(ctx, conn, address, u.User); err != nil {
		_ = conn.Close() // the first error is the one that matters
		return nil, err
	}
	return conn, nil
}

// withPort returns the address of the proxy, whose port is that of HTTP where
// it has none.
func withPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// checkAddress refuses what cannot stand in a request line.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" {
		return errors.New("a proxy needs host and port of the server")
	}
	for i := range len(address) {
		if address[i] <= ' ' || address[i] >= 0x7f {
			return fmt.Errorf("byte %d of the address is neither printable nor ASCII", i)
		}
	}
	return nil
}
