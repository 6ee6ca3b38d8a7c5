package outbox

import (
	"net"
	"time"
)

// LimitUnacknowledged bounds how long bytes that were written to nc may go
// without an acknowledgement of the peer's TCP, after which nc fails:
// TCP_USER_TIMEOUT of RFC 5482, for which gRFC A18 has the keepalive timeout.
// It looks through TLS. Where nc is not TCP, or the system has no such option,
// it does nothing: keepalive finds the same out, only later.
func LimitUnacknowledged(nc net.Conn, timeout time.Duration) {
	for {
		if tcp, ok := nc.(*net.TCPConn); ok {
			if raw, err := tcp.SyscallConn(); err == nil {
				_ = raw.Control(func(fd uintptr) { setUserTimeout(fd, timeout) }) // a closed connection fails by itself
			}
			return
		}
		inner, ok := nc.(interface{ NetConn() net.Conn }) // *tls.Conn
		if !ok {
			return
		}
		nc = inner.NetConn()
	}
}
