package surface

import (
	"fmt"
	"strings"

	"github.com/strata-grpc/strata/layer1_transport/http2/coding"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// CheckMetadata reports why the pairs of l may not be sent, naming the key and
// never the value. It is the check behind [CallErrorInvalidMetadata], that of
// gRPC-HTTP2 Custom-Metadata:
//
//   - a key is one or more of 0-9 a-z _ - . and so does not begin with a colon;
//   - a value is printable ASCII, or any bytes if the key ends in "-bin".
func CheckMetadata(l *metadata.List) error {
	if l == nil {
		return nil
	}
	for _, p := range l.Pairs() {
		if !coding.ValidMetadataKey(p.Key) {
			return fmt.Errorf("surface: metadata key %q is not one or more of 0-9 a-z _ - .", p.Key)
		}
		if !validValue(p) {
			return fmt.Errorf("surface: the value of metadata key %q is not printable ASCII, and the key does not end in \"-bin\"", p.Key)
		}
	}
	return nil
}

// legal reports whether CheckMetadata finds no fault, without building an error.
func legal(l *metadata.List) bool {
	for _, p := range l.Pairs() {
		if !coding.ValidMetadataKey(p.Key) || !validValue(p) {
			return false
		}
	}
	return true
}

// validValue reports whether the value of p may be sent. gRPC-HTTP2 ASCII-Value.
func validValue(p metadata.Pair) bool {
	return coding.ValidMetadataValue(p.Value) || strings.HasSuffix(p.Key, "-bin")
}

// appendPairs copies the application's pairs into the list that travels.
// Those that the layers below write themselves are left out: an application
// has them when it passes on all the headers that it was sent.
func appendPairs(to, from *metadata.List) {
	if from == nil {
		return
	}
	for _, p := range from.Pairs() {
		if !coding.IsReserved(p.Key) && p.Key != "grpclb-client-stats" {
			to.Append(p.Key, p.Value)
		}
	}
}
