package coding

import (
	"errors"
	"math"
	"strconv"
	"time"
)

// maxTimeoutDigits is how many digits a TimeoutValue has at most.
// gRPC-HTTP2 TimeoutValue.
const maxTimeoutDigits = 8

// maxTimeoutValue is the largest number of so many digits.
const maxTimeoutValue = 99_999_999

// timeoutUnits are the units from the smallest. gRPC-HTTP2 TimeoutUnit.
var timeoutUnits = [...]struct {
	letter byte
	size   time.Duration
}{
	{'n', time.Nanosecond},
	{'u', time.Microsecond},
	{'m', time.Millisecond},
	{'S', time.Second},
	{'M', time.Minute},
	{'H', time.Hour},
}

// errTimeout is every way in which a timeout can be malformed. The value is
// the peer's and is not repeated.
var errTimeout = errors.New("malformed grpc-timeout: want 1 to 8 digits and one of H M S m u n")

// AppendTimeout appends d as the value of grpc-timeout, in the smallest unit
// that fits eight digits. It rounds up, so that a peer never gives up before
// we do; a timeout that has passed is "0n". gRPC-HTTP2 Timeout.
func AppendTimeout(dst []byte, d time.Duration) []byte {
	u, n := timeoutUnits[0], max(int64(d), 0)
	// Ends at the hours: the longest Duration has 2,562,048 of them.
	for i := 1; n > maxTimeoutValue; i++ {
		u = timeoutUnits[i]
		n = int64(d / u.size)
		if d%u.size != 0 {
			n++
		}
	}
	return append(strconv.AppendInt(dst, n, 10), u.letter)
}

// ParseTimeout reads the value of grpc-timeout. What is longer than a Duration
// can say, some 292 years, becomes the longest Duration.
// gRPC-HTTP2 Timeout.
func ParseTimeout(s string) (time.Duration, error) {
	digits := len(s) - 1
	if digits < 1 || digits > maxTimeoutDigits {
		return 0, errTimeout
	}
	n := int64(0)
	for i := range digits {
		c := s[i] - '0'
		if c > 9 {
			return 0, errTimeout
		}
		n = n*10 + int64(c)
	}
	for _, u := range timeoutUnits {
		if u.letter != s[digits] {
			continue
		}
		if n > math.MaxInt64/int64(u.size) {
			return math.MaxInt64, nil
		}
		return time.Duration(n) * u.size, nil
	}
	return 0, errTimeout
}
