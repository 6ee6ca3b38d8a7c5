package outbox

import (
	"math"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT, in milliseconds, which package syscall
// does not name.
const tcpUserTimeout = 18

func setUserTimeout(fd uintptr, timeout time.Duration) {
	ms := min(max(timeout.Milliseconds(), 1), math.MaxInt32)
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(ms)) // old kernels have none
}
