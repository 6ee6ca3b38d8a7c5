package inproc

import (
	"fmt"
	"strings"

	"github.com/strata-grpc/strata/layer1_transport/http2/coding"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// checkMetadata reports the first pair of l that HTTP/2 could not carry: a
// mistake that is found here as it would be found on the wire. The error names
// the key only, since values may be secrets.
func checkMetadata(l *metadata.List) error {
	for _, p := range l.Pairs() {
		if coding.IsReserved(p.Key) {
			return fmt.Errorf("metadata key %q may not be sent: it is one of HTTP/2 or gRPC", p.Key)
		}
		if !validKey(p.Key) {
			return fmt.Errorf("metadata key %q holds something other than 0-9, a-z, hyphen, underscore and dot", p.Key)
		}
		// gRPC-HTTP2 Binary-Header: the wire codes these, so any byte goes.
		if !strings.HasSuffix(p.Key, "-bin") && !validValue(p.Value) {
			return fmt.Errorf("a value of metadata key %q is not printable ASCII", p.Key)
		}
	}
	return nil
}

// validKey is gRPC-HTTP2 Header-Name.
func validKey(key string) bool {
	for i := range len(key) {
		switch c := key[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '-', c == '.':
		default:
			return false
		}
	}
	return key != ""
}

// validValue is gRPC-HTTP2 ASCII-Value.
func validValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}
