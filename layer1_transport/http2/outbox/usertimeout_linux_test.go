package outbox

import (
	"crypto/tls"
	"math"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// userTimeout reads the option back.
func userTimeout(t *testing.T, nc net.Conn) (ms int) {
	t.Helper()
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { ms, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	return ms
}

// TestLimitUnacknowledged: the system has the timeout, also below TLS.
func TestLimitUnacknowledged(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	nc, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, tc := range []struct {
		timeout time.Duration
		want    int
	}{
		{20 * time.Second, 20000}, {1, 1}, {math.MaxInt64, math.MaxInt32},
	} {
		for name, c := range map[string]net.Conn{"TCP": nc, "TLS": tls.Client(nc, &tls.Config{})} {
			LimitUnacknowledged(nc, time.Minute)
			LimitUnacknowledged(c, tc.timeout)
			if got := userTimeout(t, nc); got != tc.want {
				t.Errorf("%s: %v became %d ms, want %d", name, tc.timeout, got, tc.want)
			}
		}
	}
}

// TestLimitUnacknowledgedElsewhere: other connections are left alone.
func TestLimitUnacknowledgedElsewhere(t *testing.T) {
	lis, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	nc, err := net.Dial("unix", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	LimitUnacknowledged(nc, time.Second)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	LimitUnacknowledged(a, time.Second)
}
