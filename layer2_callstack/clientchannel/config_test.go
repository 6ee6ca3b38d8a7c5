package clientchannel

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/backoff"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

func testConfig(target string) Config {
	return Config{
		Target: target, Credentials: credentials.NewInsecure(), NewStack: newTestStack,
		Connect: func(context.Context, resolver.Address, string) (transport.Transport, error) { return nil, errRefused },
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*Config)
		part string
	}{
		{"no credentials", func(c *Config) { c.Credentials = nil }, "credentials.NewInsecure for plaintext"},
		{"no stack", func(c *Config) { c.NewStack = nil }, "NewStack"},
		{"an empty target", func(c *Config) { c.Target = "" }, "the target is empty"},
		{"a target without a host", func(c *Config) { c.Target = "dns:///" }, `target "dns:///"`},
		{"a target without a port after the colon", func(c *Config) { c.Target = "dns:///host:" }, `endpoint "host:": the port is missing`},
		{"an unknown default scheme", func(c *Config) { c.DefaultScheme = "zk" }, `default scheme "zk"`},
		{"a negative timeout", func(c *Config) { c.MinConnectTimeout = -time.Second }, "MinConnectTimeout is -1s"},
		{"a shrinking backoff", func(c *Config) { c.Backoff = backoff.Config{Multiplier: 0.5} }, "Multiplier is 0.5"},
		{"a nil resolver", func(c *Config) { c.Resolvers = []resolver.Builder{nil} }, "Resolvers[0] is nil"},
		{"a resolver that is a nil pointer", func(c *Config) { c.Resolvers = []resolver.Builder{resolver.DNS{}, (*resolver.DNS)(nil)} },
			"Resolvers[1] cannot be used: a nil *resolver.DNS panicked in Scheme"},
		{"a proxy that is no URL", func(c *Config) { c.Proxy = "http://user:SECRET@a b" }, "not of the form http://user:password@host:port (it is not shown"},
		{"passthrough to nowhere", func(c *Config) { c.Target, c.Connect = "passthrough://bufnet", nil }, "no address"},
		{"two names for the server", func(c *Config) {
			c.Authority, c.Credentials = "a", credentials.NewTLS(&tls.Config{ServerName: "b"})
		}, `Authority is "a" but the credentials are for the server name "b"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig("host:1")
			tc.edit(&cfg)
			ch, err := New(cfg)
			if err == nil || !strings.Contains(err.Error(), tc.part) {
				t.Errorf("New = %v, %v; want an error with %q", ch, err, tc.part)
			}
		})
	}
}

func TestAuthority(t *testing.T) {
	named := credentials.NewTLS(&tls.Config{ServerName: "cert.example"})
	for _, tc := range []struct {
		target, option string
		creds          credentials.TransportCredentials
		want           string
	}{
		{"dns:///host:50051", "", nil, "host:50051"},
		{"host", "", nil, "host"},
		{":50051", "", nil, "localhost:50051"},
		{"unix:///run/x.sock", "", nil, "localhost"},
		{"unix-abstract:x", "", nil, "localhost"},
		{"ipv4:10.0.0.1:80,10.0.0.2:80", "", nil, "10.0.0.1:80"},
		{"passthrough:///a/b c", "", nil, "a%2Fb%20c"},
		{"[::1]:80", "", nil, "[::1]:80"},
		{"dns:///host:1", "other.example", nil, "other.example"},
		{"dns:///host:1", "", named, "cert.example"},
		{"dns:///host:1", "cert.example", named, "cert.example"},
	} {
		cfg := testConfig(tc.target)
		cfg.Authority = tc.option
		if tc.creds != nil {
			cfg.Credentials = tc.creds
		}
		ch, err := New(cfg)
		if err != nil {
			t.Errorf("New(%q): %v", tc.target, err)
			continue
		}
		if got := ch.Authority(); got != tc.want {
			t.Errorf("authority of %q with option %q is %q, want %q", tc.target, tc.option, got, tc.want)
		}
		if got := ch.Target(); got != tc.target {
			t.Errorf("Target() = %q, want %q", got, tc.target)
		}
		ch.Destroy()
	}
}

func TestPassthroughWithDialerNeedsNoAddress(t *testing.T) {
	cfg := testConfig("passthrough://bufnet")
	cfg.Connect = nil
	cfg.Dialer = func(context.Context, string, string) (net.Conn, error) { return nil, errRefused }
	ch, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ch.Destroy()
}

func TestOneStackPerChannel(t *testing.T) {
	ch, err := New(testConfig("host:1"))
	if err != nil {
		t.Fatal(err)
	}
	args := &callstack.ChannelArgs{Name: "CLIENT_CHANNEL"}
	if _, err := ch.NewChannel(args, ch); err == nil {
		t.Error("NewChannel above another element succeeded")
	}
	if elem, err := ch.NewChannel(args, nil); err != nil || elem != callstack.ChannelElem(ch) {
		t.Errorf("NewChannel = %v, %v; want the channel itself", elem, err)
	}
	if _, err := ch.NewChannel(args, nil); err == nil {
		t.Error("the second NewChannel succeeded")
	}
	ch.Destroy()
}

func TestHiddenContext(t *testing.T) {
	inner := &net.OpError{Op: "dial", Err: context.DeadlineExceeded}
	err := error(&transport.Error{Code: status.Unavailable, Cause: transport.HideContext(inner)})
	if errors.Is(err, context.DeadlineExceeded) {
		t.Error("the dialer's deadline shows")
	}
	var op *net.OpError
	if !errors.As(err, &op) || !errors.Is(err, inner) {
		t.Error("what else is in the chain is hidden too")
	}
}
