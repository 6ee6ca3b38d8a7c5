package clientchannel

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

// listen serves HTTP/2 without calls until the test ends.
func listen(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	lis, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := lis.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				tr, err := http2.Accept(ctx, nc, nil, http2.Config{})
				if err != nil {
					return // some clients of these tests do not speak it
				}
				closed := make(stateChan, 10)
				tr.PerformOp(&transport.Op{Accept: refuseStreams{}, StartWatch: closed})
				for s := range closed {
					if s == connectivity.Shutdown {
						break
					}
				}
				tr.Close()
			})
		}
	})
	t.Cleanup(func() { lis.Close(); wg.Wait() })
	return lis
}

type refuseStreams struct{}

func (refuseStreams) AcceptStream(transport.Transport, transport.Accepted) {}

// stateChan is a watcher; its buffer holds more than a test makes.
type stateChan chan connectivity.State

func (c stateChan) OnState(s connectivity.State, _ error) { c <- s }

// await returns when the state is want.
func (c stateChan) await(t *testing.T, ch *ClientChannel, want connectivity.State) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case s := <-c:
			if s == want {
				return
			}
		case <-timeout:
			t.Fatalf("the state is %v, want %v; last error %v", ch.State(false), want, ch.LastError())
		}
	}
}

func TestDefaultConnector(t *testing.T) {
	tcp := listen(t, "tcp", "127.0.0.1:0").Addr().String()
	socket := filepath.Join(t.TempDir(), "s")
	listen(t, "unix", socket)
	dialed := make(chan string, 10)
	for _, tc := range []struct {
		name   string
		target string
		edit   func(*Config)
		dialed string
	}{
		{"an IP address", tcp, func(*Config) {}, ""},
		{"a socket", "unix://" + socket, func(*Config) {}, ""},
		{"a dialer of the user's", "passthrough:///somewhere", func(c *Config) {
			c.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
				dialed <- network + " " + address
				return new(net.Dialer).DialContext(ctx, "tcp", tcp)
			}
		}, "tcp somewhere"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig(tc.target)
			cfg.Connect = nil
			tc.edit(&cfg)
			ch, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			states := make(stateChan, 10)
			ch.StartTransportOp(&transport.Op{StartWatch: states})
			ch.State(true)
			states.await(t, ch, connectivity.Ready)
			if tc.dialed != "" {
				if got := <-dialed; got != tc.dialed {
					t.Errorf("dialed %q, want %q", got, tc.dialed)
				}
			}
			ch.EnterIdle() // drains the connection
			states.await(t, ch, connectivity.Idle)
			ch.State(true)
			states.await(t, ch, connectivity.Ready)
			ch.Destroy()
		})
	}
}

func TestConnectorFails(t *testing.T) {
	plain := listen(t, "tcp", "127.0.0.1:0").Addr().String()
	dialPlain := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", plain)
	}
	silent := func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		t.Cleanup(func() { far.Close() })
		return near, nil
	}
	for _, tc := range []struct {
		name  string
		creds credentials.TransportCredentials
		dial  DialFunc
		part  string
	}{
		{"the peer speaks plain text", credentials.NewTLS(&tls.Config{}), dialPlain, "tls: handshake"},
		{"the peer says nothing", credentials.NewInsecure(), silent, "no SETTINGS"},
		{"the dialer returns nothing", credentials.NewInsecure(),
			func(context.Context, string, string) (net.Conn, error) { return nil, nil }, "neither a connection nor an error"},
		{"the dialer fails", credentials.NewInsecure(),
			func(context.Context, string, string) (net.Conn, error) { return nil, errRefused }, "connection refused"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			defer cancel()
			connect := NewConnector(tc.creds, tc.dial, http2.Config{})
			tr, err := connect(ctx, resolver.Address{Addr: "x:1"}, "localhost")
			if err == nil || !strings.Contains(err.Error(), tc.part) {
				t.Errorf("connect = %v, %v; want an error with %q", tr, err, tc.part)
			}
		})
	}
}

// TestRoute: who looks up the name, and who dials.
func TestRoute(t *testing.T) {
	own := resolver.DNS{Lookup: func(context.Context, string) ([]string, error) { return nil, errors.New("unused") }}
	dialer := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("the application's") }
	for _, tc := range []struct {
		name, target, proxy, noProxy string
		change                       func(*Config)
		resolver                     string // its type
		dials                        string // what dialling an address of 192.0.2.0/24 ends with
	}{
		{"no proxy", "greeter:50051", "", "", nil, "resolver.DNS", "direct"},
		{"a proxy looks names up", "greeter:50051", "ftp://proxy", "", nil, "resolver.Unresolved", "proxy"},
		{"a proxy looks names up that a name server is named for", "dns://10.0.0.53/greeter", "ftp://proxy", "", nil, "resolver.Unresolved", "proxy"},
		{"an excluded name goes directly, and so do its addresses", "greeter:50051", "ftp://proxy", "greeter", nil, "resolver.DNS", "direct"},
		{"a name that is local", "localhost:50051", "ftp://proxy", "", nil, "resolver.DNS", "direct"},
		{"a resolver of the application", "greeter", "ftp://proxy", "", func(c *Config) { c.Resolvers = []resolver.Builder{own} }, "resolver.DNS", "proxy"},
		{"another scheme", "ipv4:192.0.2.1:443", "ftp://proxy", "", nil, "resolver.ipBuilder", "proxy"},
		{"another scheme and an excluded network", "ipv4:192.0.2.1:443", "ftp://proxy", "192.0.2.0/24", nil, "resolver.ipBuilder", "direct"},
		{"proxies switched off", "greeter", "ftp://proxy", "", func(c *Config) { c.NoProxy = true }, "resolver.DNS", "direct"},
		{"a proxy of the channel", "localhost", "", "*", func(c *Config) { c.Proxy = "http://a.proxy" }, "resolver.Unresolved", "proxy"},
		{"a proxy of the channel, and proxies switched off", "greeter", "", "", func(c *Config) { c.Proxy, c.NoProxy = "http://a.proxy", true }, "resolver.Unresolved", "proxy"},
		{"a dialer of the application to a proxy of the channel", "greeter", "", "", func(c *Config) { c.Proxy, c.Dialer = "http://a.proxy", dialer }, "resolver.Unresolved", "the application's"},
		{"a dialer of the application", "greeter", "ftp://proxy", "", func(c *Config) { c.Dialer = dialer }, "resolver.DNS", "the application's"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, name := range []string{"https_proxy", "no_proxy"} {
				t.Setenv(name, "")
			}
			t.Setenv("HTTPS_PROXY", tc.proxy)
			t.Setenv("NO_PROXY", tc.noProxy)
			cfg := Config{Target: tc.target, DefaultScheme: "dns", Credentials: credentials.NewInsecure()}
			if tc.change != nil {
				tc.change(&cfg)
			}
			target, b, err := cfg.resolveTarget()
			if err != nil {
				t.Fatal(err)
			}
			b, dial := cfg.route(target, b)
			if got := reflect.TypeOf(b).String(); got != tc.resolver {
				t.Errorf("the resolver is a %s, want %s", got, tc.resolver)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // nothing is sent
			_, err = dial(ctx, "tcp", "192.0.2.1:443")
			got := "direct"
			for _, word := range []string{"proxy", "the application's"} {
				if strings.Contains(err.Error(), word) {
					got = word
				}
			}
			if errors.Is(err, context.Canceled) && tc.dials == "the application's" {
				got = tc.dials // abandoned at once, or not
			}
			if got != tc.dials {
				t.Errorf("dialling ends with %v, want %s", err, tc.dials)
			}
		})
	}
}

// TestCalmDown: of several connections with the same keepalive time the first
// that is reproached doubles it for all new ones, and others do not again.
func TestCalmDown(t *testing.T) {
	var log bytes.Buffer
	calm := newCalmDown(http2.Config{Keepalive: keepalive.Params{Time: time.Minute}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if calm.config().Logger != nil {
		t.Error("a connection gets the logger")
	}
	reproach := fmt.Errorf("goaway: %w", keepalive.ErrTooManyPings)
	watch := func(used time.Duration) *pingWatch {
		return &pingWatch{calm: calm, used: keepalive.Params{Time: used}, peer: "a:1"}
	}
	first, second, other := watch(time.Minute), watch(time.Minute), watch(time.Minute)
	for _, step := range []struct {
		what  string
		w     *pingWatch
		cause error
		time  time.Duration
		warns int
	}{
		{"a state without a cause", first, nil, time.Minute, 0},
		{"another cause", other, errors.New("reset"), time.Minute, 0},
		{"the reproach", first, reproach, 2 * time.Minute, 1},
		{"the same connection again", first, reproach, 2 * time.Minute, 1},
		{"another of the same time", second, reproach, 2 * time.Minute, 1},
		{"one that was made afterwards", watch(2 * time.Minute), reproach, 4 * time.Minute, 2},
		{"an old one", watch(time.Minute), reproach, 4 * time.Minute, 2},
	} {
		step.w.OnState(connectivity.Idle, step.cause)
		if got := calm.config().Keepalive.Time; got != step.time {
			t.Errorf("%s: the time is %v, want %v", step.what, got, step.time)
		}
		if got := strings.Count(log.String(), "level=WARN"); got != step.warns {
			t.Errorf("%s: %d warnings, want %d", step.what, got, step.warns)
		}
	}
}
