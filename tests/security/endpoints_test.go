package security

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// TestEndpoints makes calls over every way that leads to a server.
func TestEndpoints(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	memory := memconn.Listen()
	t.Cleanup(func() { memory.Close() })
	abstract := fmt.Sprintf("strata-test-%d", os.Getpid())
	port := func(lis net.Listener) string { return fmt.Sprint(lis.Addr().(*net.TCPAddr).Port) }
	for _, tc := range []struct {
		name   string
		listen func(t *testing.T) net.Listener
		target func(lis net.Listener) string
		opts   []stubs.DialOption
		// authority and peer are what both ends see of each other; %s is the port.
		authority, peer string
	}{
		{"an address", listenTCP, func(l net.Listener) string { return l.Addr().String() }, nil, "127.0.0.1:%s", "127.0.0.1:%s"},
		{"a name", listenTCP, func(l net.Listener) string { return "localhost:" + port(l) }, nil, "localhost:%s", "127.0.0.1:%s"},
		{"dns", listenTCP, func(l net.Listener) string { return "dns:///localhost:" + port(l) }, nil, "localhost:%s", "127.0.0.1:%s"},
		{"ipv4", listenTCP, func(l net.Listener) string { return "ipv4:127.0.0.1:" + port(l) }, nil, "127.0.0.1:%s", "127.0.0.1:%s"},
		{"passthrough", listenTCP, func(l net.Listener) string { return "passthrough:///localhost:" + port(l) }, nil, "localhost:%s", "127.0.0.1:%s"},
		{"ipv6", func(t *testing.T) net.Listener {
			lis, err := net.Listen("tcp", "[::1]:0")
			if err != nil {
				t.Skip("no IPv6 here: ", err)
			}
			return lis
		}, func(l net.Listener) string { return "ipv6:[::1]:" + port(l) }, nil, "[::1]:%s", "[::1]:%s"},
		{"unix with an absolute path", func(t *testing.T) net.Listener { return listenOn(t, "unix", filepath.Join(dir, "a.sock")) },
			func(net.Listener) string { return "unix://" + filepath.Join(dir, "a.sock") }, nil, "localhost", filepath.Join(dir, "a.sock")},
		{"unix with a relative path", func(t *testing.T) net.Listener { return listenOn(t, "unix", "r.sock") },
			func(net.Listener) string { return "unix:r.sock" }, nil, "localhost", "r.sock"},
		{"unix-abstract", func(t *testing.T) net.Listener {
			if runtime.GOOS != "linux" {
				t.Skip("abstract sockets are Linux's")
			}
			return listenOn(t, "unix", "@"+abstract)
		}, func(net.Listener) string { return "unix-abstract:" + abstract }, nil, "localhost", "@" + abstract},
		{"a listener and a dialer in memory", func(*testing.T) net.Listener { return memory },
			func(net.Listener) string { return "in-memory" },
			[]stubs.DialOption{stubs.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
				if addr != "in-memory" {
					return nil, fmt.Errorf("asked for %q", addr)
				}
				return memory.Dial(ctx)
			})}, "in-memory", "mem:server"},
		{"a dialer for a Unix socket", func(t *testing.T) net.Listener { return listenOn(t, "unix", "d.sock") },
			func(net.Listener) string { return "unix:d.sock" },
			[]stubs.DialOption{stubs.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
				path, ok := strings.CutPrefix(addr, "unix:")
				if !ok {
					return nil, fmt.Errorf("asked for %q", addr)
				}
				return new(net.Dialer).DialContext(ctx, "unix", path)
			})}, "localhost", "d.sock"},
	} {
		t.Run(strings.ReplaceAll(tc.name, " ", "_"), func(t *testing.T) {
			lis := tc.listen(t)
			want := func(s string) string {
				if tcp, ok := lis.Addr().(*net.TCPAddr); ok {
					return strings.ReplaceAll(s, "%s", fmt.Sprint(tcp.Port))
				}
				return s
			}
			seen := make(chan string, 10)
			serve(t, lis, func(ctx context.Context) error {
				md, _ := metadata.FromIncomingContext(ctx)
				seen <- strings.Join(md.Get(":authority"), "|")
				return nil
			})
			cc := dial(t, tc.target(lis), tc.opts...)
			var p peer.Peer
			if err := call(within(t), cc, stubs.Peer(&p)); err != nil {
				t.Fatal(err)
			}
			if err := stream(within(t), cc); err != nil {
				t.Fatal(err)
			}
			if got := <-seen; got != want(tc.authority) {
				t.Errorf("the authority is %q, want %q", got, want(tc.authority))
			}
			if got := p.String(); got != want(tc.peer) {
				t.Errorf("the peer is %q, want %q", got, want(tc.peer))
			}
		})
	}
}
