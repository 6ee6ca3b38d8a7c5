package coding

import (
	"encoding/base64"
	"errors"
	"strings"
)

// errBin is every way in which base64 can be malformed. The value is a secret
// until proven otherwise and is not repeated.
var errBin = errors.New("malformed base64 in a -bin field")

// stackBin is the size of the values that are coded on the stack, so that the
// result is the one allocation. Trace contexts and tags, the usual values,
// have less than 100 octets.
const stackBin = 384

// IsBin reports whether a field of this name has a value in base64.
// gRPC-HTTP2 Binary-Header.
func IsBin(name string) bool { return strings.HasSuffix(name, "-bin") }

// EncodeBin returns v as the value of a field whose name ends in "-bin":
// base64 without padding. gRPC-HTTP2 Binary-Header.
func EncodeBin(v string) string {
	if v == "" {
		return ""
	}
	if len(v) > stackBin {
		return base64.RawStdEncoding.EncodeToString([]byte(v))
	}
	var in [stackBin]byte
	var out [(stackBin + 2) / 3 * 4]byte
	n := copy(in[:], v)
	base64.RawStdEncoding.Encode(out[:], in[:n])
	return string(out[:base64.RawStdEncoding.EncodedLen(n)])
}

// DecodeBin calls yield for each of the values that s, from a field whose name
// ends in "-bin", was joined from: whoever forwards a message may join values
// of one name with a comma, with spaces around it. Base64 is accepted with
// and without padding. On an error, which never contains s, some values may
// have been given to yield. gRPC-HTTP2 Binary-Header.
func DecodeBin(s string, yield func(v string)) error {
	for {
		i := strings.IndexByte(s, ',')
		if i < 0 {
			return decodeOne(s, yield)
		}
		if err := decodeOne(s[:i], yield); err != nil {
			return err
		}
		s = s[i+1:]
	}
}

// decodeOne is DecodeBin for a value that is not joined.
func decodeOne(s string, yield func(v string)) error {
	s = TrimValue(s)
	if strings.ContainsAny(s, "\r\n") {
		return errBin // package base64 would skip them
	}
	if len(s)%4 == 0 { // only then can it be padded
		s = strings.TrimSuffix(strings.TrimSuffix(s, "="), "=")
	}
	if len(s) > stackBin {
		v, err := base64.RawStdEncoding.DecodeString(s)
		if err != nil {
			return errBin
		}
		yield(string(v))
		return nil
	}
	var in, out [stackBin]byte
	n, err := base64.RawStdEncoding.Decode(out[:], in[:copy(in[:], s)])
	if err != nil {
		return errBin
	}
	yield(string(out[:n]))
	return nil
}
