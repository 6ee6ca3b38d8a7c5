package endpoints

import (
	"errors"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	surface "github.com/strata-grpc/strata/layer4_surface"
)

// TestBindTwice: an address that is taken is refused when it is listened on,
// with its name, and whoever has it goes on. A server with a port of its own
// beside it is served too.
func TestBindTwice(t *testing.T) {
	first, second := newServer(t), newServer(t)
	lis := listen(t, "tcp", "127.0.0.1:0")
	first.serve(lis)
	addr := lis.Addr().String()
	if _, err := net.Listen("tcp", addr); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), addr) {
		t.Errorf("listening on %s once more: %v", addr, err)
	}
	other := listen(t, "tcp", "127.0.0.1:0")
	second.serve(other)
	wantOK(t, first, call(t, addr, nil))
	wantOK(t, second, call(t, other.Addr().String(), nil))
	first.Close()
	second.serve(listen(t, "tcp", addr)) // it is free again
	wantOK(t, second, call(t, addr, nil))
}

// TestSamePortTwice: where the system lets two listeners have one port, one
// server may serve both, and is reached by either.
func TestSamePortTwice(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SO_REUSEPORT is Linux's here")
	}
	const soReusePort = 0xf
	shared := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		ctlErr := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1) })
		return errors.Join(ctlErr, err)
	}}
	s := newServer(t)
	lis, err := shared.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.serve(lis)
	again, err := shared.Listen(t.Context(), "tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s.serve(again)
	for range 20 {
		wantOK(t, s, call(t, lis.Addr().String(), nil))
	}
}

// TestManyAddresses: one server behind addresses of every family.
func TestManyAddresses(t *testing.T) {
	s := newServer(t)
	path := filepath.Join(t.TempDir(), "s")
	v4, unix := listen(t, "tcp", "127.0.0.1:0"), listen(t, "unix", path)
	targets := map[string]string{"ipv4:127.0.0.1:" + port(v4): "127.0.0.1:" + port(v4), "unix:" + path: "localhost"}
	lists := []net.Listener{v4, unix}
	if v6, err := net.Listen("tcp", "[::1]:0"); err == nil {
		lists = append(lists, v6)
		targets["ipv6:[::1]:"+port(v6)] = "[::1]:" + port(v6)
	} else {
		t.Log("no IPv6 here: ", err)
	}
	if runtime.GOOS == "linux" {
		lists = append(lists, listen(t, "unix", "@strata-endpoints-"+port(v4)))
		targets["unix-abstract:strata-endpoints-"+port(v4)] = "localhost"
	}
	for _, lis := range lists {
		s.serve(lis)
	}
	for target, host := range targets {
		if got := wantOK(t, s, call(t, target, nil)); got.host != host || got.peer.Addr == nil {
			t.Errorf("a call to %s came for host %q from %v, want host %q", target, got.host, got.peer, host)
		}
	}
}

// TestUnparsableAddress: an address that makes no sense is refused where it is
// given, with its text: by net.Listen for a server, by NewChannel for a client.
func TestUnparsableAddress(t *testing.T) {
	for _, addr := range []string{"[", "127.0.0.1", "127.0.0.1:70000", "127.0.0.1:0:0", "[::1", "127.0.0.1:no-such-port"} {
		if lis, err := net.Listen("tcp", addr); err == nil {
			lis.Close()
			t.Errorf("net.Listen takes %q", addr)
		} else if !strings.Contains(err.Error(), strings.TrimPrefix(addr, "127.0.0.1:")) {
			t.Errorf("net.Listen(%q) = %v, which does not name what is wrong", addr, err)
		}
	}
	for _, target := range []string{"ipv4:1.2.3", "ipv6:[::1", "ipv4:127.0.0.1:70000", "unix:", "unix-abstract:"} {
		if ch, err := surface.NewChannel(target, surface.WithCredentials(insecure)); err == nil {
			ch.Close()
			t.Errorf("NewChannel takes %q", target)
		} else if !strings.Contains(err.Error(), target) {
			t.Errorf("NewChannel(%q) = %v, which does not name it", target, err)
		}
	}
}
