package coding

import "strings"

// A class is a set of octets as a bit each.
type class uint8

const (
	nameByte class = 1 << iota // field names
	keyByte                    // metadata keys
)

// classes tells for each octet in which sets it is.
var classes = makeClasses()

func makeClasses() (t [256]class) {
	for c := range 256 {
		b := byte(c)
		switch {
		case 'a' <= b && b <= 'z', '0' <= b && b <= '9', b == '-', b == '_', b == '.':
			t[c] = nameByte | keyByte
		case strings.IndexByte("!#$%&'*+^`|~", b) >= 0:
			t[c] = nameByte
		}
	}
	return t
}

// all reports whether s is not empty and all of its octets are in set.
func all(s string, set class) bool {
	for i := range len(s) {
		if classes[s[i]]&set == 0 {
			return false
		}
	}
	return s != ""
}

// ValidName reports whether a peer may use this field name: a token without
// capital letters. Pseudo-header fields, which begin with a colon, are the
// caller's to tell apart before. RFC 9113 §8.2.1, RFC 9110 §5.6.2.
func ValidName(name string) bool { return all(name, nameByte) }

// ValidValue reports whether a peer may send this field value: no NUL, CR or
// LF, and no space or tab at either end. RFC 9113 §8.2.1. Other octets are let
// through, because gRPC-HTTP2 ASCII-Value has invalid values accepted.
func ValidValue(v string) bool {
	for i := range len(v) {
		if c := v[i]; c == 0 || c == '\r' || c == '\n' {
			return false
		}
	}
	return v == "" || !isBlank(v[0]) && !isBlank(v[len(v)-1])
}

// ValidMetadataKey reports whether the application may use this key.
// gRPC-HTTP2 Header-Name.
func ValidMetadataKey(key string) bool { return all(key, keyByte) }

// ValidMetadataValue reports whether the application may send this value under
// a key that does not end in "-bin". gRPC-HTTP2 ASCII-Value; the empty value,
// which the grammar leaves out, is sent by every implementation.
func ValidMetadataValue(v string) bool {
	for i := range len(v) {
		if v[i] < 0x20 || v[i] > 0x7e {
			return false
		}
	}
	return true
}

// TrimValue removes spaces and tabs from both ends. A value of metadata may
// have them; a field value may not, RFC 9113 §8.2.1, so that they are removed
// before it is sent. gRPC-HTTP2 ASCII-Value allows that.
func TrimValue(v string) string {
	for v != "" && isBlank(v[0]) {
		v = v[1:]
	}
	for v != "" && isBlank(v[len(v)-1]) {
		v = v[:len(v)-1]
	}
	return v
}

// isBlank reports whether c is a space or a tab.
func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// IsReserved reports whether the field belongs to HTTP/2 or gRPC, so that it
// is neither taken from the application's metadata nor shown in it. The key
// is in lower case. Some names that begin with "grpc-" are metadata to the
// transport on purpose: grpc-previous-rpc-attempts, grpc-retry-pushback-ms,
// grpc-status-details-bin.
func IsReserved(key string) bool {
	switch key {
	case "content-type", "user-agent", "te", "host", "content-length",
		"grpc-timeout", "grpc-encoding", "grpc-accept-encoding",
		"grpc-status", "grpc-message", "grpc-message-type":
		return true
	}
	return strings.HasPrefix(key, ":") || IsConnectionSpecific(key)
}

// IsConnectionSpecific reports whether the field is about one HTTP/1.1
// connection. A message with such a field is malformed. RFC 9113 §8.2.2.
func IsConnectionSpecific(name string) bool {
	switch name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return true
	}
	return false
}
