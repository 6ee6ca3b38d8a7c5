package clientchannel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/strata-grpc/strata/internal/userpanic"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/backoff"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/balancer"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/proxy"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/subchannel"
)

const (
	// defaultScheme is that of targets without a known one.
	defaultScheme = "dns"
	// minConnectTimeout is the least that an attempt gets for all addresses,
	// by the gRPC connection backoff protocol.
	minConnectTimeout = 20 * time.Second
)

// A ConnectFunc returns a transport that is ready to carry calls. It ends when
// ctx does.
type ConnectFunc = subchannel.ConnectFunc

// A NewStackFunc returns the CLIENT_SUBCHANNEL stack above a transport.
type NewStackFunc = subchannel.NewStackFunc

// A DialFunc opens a connection. network and address are package net's.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Config is what a channel is made from. Target, Credentials and NewStack must
// be set.
type Config struct {
	// Target is what to connect to, such as "dns:///greeter:50051".
	Target string

	// DefaultScheme is the scheme of targets that name none. Empty means "dns".
	DefaultScheme string

	// Resolvers are looked through before those of [resolver.Defaults].
	Resolvers []resolver.Builder

	// Balancer is the policy. Nil means [balancer.PickFirst].
	Balancer balancer.Builder

	// Credentials secure the connections.
	Credentials credentials.TransportCredentials

	// Dialer opens connections for the default Connect. Nil means package
	// net's, through the proxy that HTTPS_PROXY and NO_PROXY say when the
	// channel is made.
	Dialer DialFunc

	// Proxy is the URL of an HTTP proxy, http://user:password@host:port, through
	// which all servers that TCP leads to are reached, whatever the environment
	// says; Dialer, if set, connects to the proxy. Empty means none of the
	// channel's own.
	Proxy string

	// NoProxy leaves the proxies of the environment out.
	NoProxy bool

	// HTTP2 tunes the connections of the default Connect. Its Trace and Logger
	// are not used.
	HTTP2 http2.Config

	// Authority is the :authority of calls and the name that the server's
	// certificate is checked against. Empty means the name in Credentials,
	// else what the target says.
	Authority string

	// Backoff is the wait between attempts. Zero means gRPC's values.
	Backoff backoff.Config

	// MinConnectTimeout is how long an attempt on all addresses may take, at
	// least; a longer backoff prolongs it. Zero means 20 s.
	MinConnectTimeout time.Duration

	// Connect makes a transport from an address. Nil means: dial, handshake,
	// HTTP/2 ([NewConnector]). One that is set decides about proxies itself.
	Connect ConnectFunc

	// NewStack makes the stack above a transport.
	NewStack NewStackFunc

	// Logger takes warnings and debug lines. Nil means slog.Default().
	Logger *slog.Logger

	// Trace takes events. Nil means none.
	Trace trace.Sink
}

// withDefaults checks c and returns a copy with the zero fields filled in.
func (c Config) withDefaults() (Config, error) {
	if c.Credentials == nil {
		return c, errors.New("clientchannel: no credentials are set; use credentials.NewTLS for TLS, or credentials.NewInsecure for plaintext")
	}
	if c.NewStack == nil {
		return c, errors.New("clientchannel: no NewStack is set")
	}
	if c.MinConnectTimeout < 0 {
		return c, fmt.Errorf("clientchannel: MinConnectTimeout is %v, less than 0", c.MinConnectTimeout)
	}
	if err := c.Backoff.Validate(); err != nil {
		return c, fmt.Errorf("clientchannel: %w", err)
	}
	if c.Proxy != "" {
		if _, err := proxy.Fixed(c.Proxy); err != nil {
			return c, fmt.Errorf("clientchannel: %w", err)
		}
	}
	for i, b := range c.Resolvers {
		if b == nil {
			return c, fmt.Errorf("clientchannel: Resolvers[%d] is nil", i)
		}
		if err := userpanic.Catch(b, "Scheme", func() error {
			b.Scheme()
			return nil
		}); err != nil {
			return c, fmt.Errorf("clientchannel: Resolvers[%d] cannot be used: %w", i, err)
		}
	}
	if c.DefaultScheme == "" {
		c.DefaultScheme = defaultScheme
	}
	if c.MinConnectTimeout == 0 {
		c.MinConnectTimeout = minConnectTimeout
	}
	if c.Balancer == nil {
		c.Balancer = balancer.PickFirst{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}

// resolveTarget finds the builder for the target and has it checked.
func (c *Config) resolveTarget() (resolver.Target, resolver.Builder, error) {
	builders := append(append([]resolver.Builder(nil), c.Resolvers...), resolver.Defaults()...)
	known := func(scheme string) bool { return resolver.Find(builders, scheme) != nil }
	target, err := resolver.Parse(c.Target, c.DefaultScheme, known)
	if err != nil {
		return target, nil, fmt.Errorf("clientchannel: %w", err)
	}
	b := resolver.Find(builders, target.Scheme)
	if v, ok := b.(resolver.Validator); ok {
		if err := userpanic.Catch(b, "Validate", func() error { return v.Validate(target) }); err != nil {
			return target, nil, fmt.Errorf("clientchannel: %w", err)
		}
	}
	if _, ok := b.(resolver.Passthrough); ok && target.Endpoint() == "" && c.Dialer == nil && c.Connect == nil {
		return target, nil, fmt.Errorf("clientchannel: target %q has no address, and no Dialer is set that needs none", c.Target)
	}
	return target, b, nil
}

// authority is what the server is called: the option, the name in the
// credentials, what the resolver says, or the endpoint.
func (c *Config) authority(target resolver.Target, b resolver.Builder) (string, error) {
	fromCreds := c.Credentials.Info().ServerName
	if c.Authority != "" && fromCreds != "" && c.Authority != fromCreds {
		return "", fmt.Errorf("clientchannel: Authority is %q but the credentials are for the server name %q", c.Authority, fromCreds)
	}
	if c.Authority != "" {
		return c.Authority, nil
	}
	if fromCreds != "" {
		return fromCreds, nil
	}
	if o, ok := b.(resolver.AuthorityOverrider); ok {
		var name string
		err := userpanic.Catch(b, "Authority", func() error {
			name = o.Authority(target)
			return nil
		})
		if err != nil {
			err = fmt.Errorf("clientchannel: %w", err)
		}
		return name, err
	}
	endpoint := target.Endpoint()
	if endpoint == "" || strings.HasPrefix(endpoint, ":") {
		endpoint = "localhost" + endpoint
	}
	return escapeAuthority(endpoint), nil
}

// escapeAuthority escapes what may not stand in an authority. RFC 3986 §3.2.
func escapeAuthority(s string) string {
	const allowed = "-._~!$&'()*+,;=:[]@"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(allowed, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
