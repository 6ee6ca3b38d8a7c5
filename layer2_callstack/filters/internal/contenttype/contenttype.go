// Package contenttype reads the content-type of gRPC: "application/grpc",
// optionally with a subtype ("+proto") or parameters (";charset=utf-8").
package contenttype

import "strings"

// GRPC is the content-type without a subtype. gRPC-HTTP2 Content-Type
const GRPC = "application/grpc"

// Valid reports whether s says that the messages are gRPC's. Media types are
// compared without regard to case, RFC 9110 §8.3.1. "application/grpc-web"
// is another protocol and not valid.
func Valid(s string) bool {
	if s == GRPC {
		return true // what nearly everybody sends
	}
	if len(s) < len(GRPC) || !strings.EqualFold(s[:len(GRPC)], GRPC) {
		return false
	}
	return len(s) == len(GRPC) || s[len(GRPC)] == '+' || s[len(GRPC)] == ';' || s[len(GRPC)] == ' '
}

// Media returns s without its parameters, which is what a response to a valid
// request says of itself: the subtype is the same, the parameters were the
// peer's own.
func Media(s string) string {
	media, _, _ := strings.Cut(s, ";")
	return strings.TrimRight(media, " ")
}
