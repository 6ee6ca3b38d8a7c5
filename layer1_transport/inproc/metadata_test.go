package inproc

import (
	"strings"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// metadataTests are pairs and whether HTTP/2 can carry them.
var metadataTests = []struct {
	name, key, value string
	ok               bool
}{
	{"a plain pair", "x-key_1.a", "printable ~ value", true},
	{"an empty value", "x", "", true},
	{"an empty key", "", "x", false},
	{"an upper-case key", "X-Key", "x", false},
	{"a pseudo-header field", ":path", "/", false},
	{"a field of gRPC", "grpc-status", "0", false},
	{"a field of HTTP", "content-type", "x", false},
	{"a field of a connection", "te", "x", false},
	{"metadata that looks like a field of gRPC", "grpc-status-details-bin", "\x00", true},
	{"a space in a key", "x key", "x", false},
	{"a key outside ASCII", "caf\u00e9", "x", false},
	{"a line break in a value", "x", "a\r\nb: c", false},
	{"a tab in a value", "x", "a\tb", false},
	{"DEL in a value", "x", "\x7f", false},
	{"a value outside ASCII", "x", "\u00fc", false},
	{"any bytes in a binary value", "x-bin", "\x00\xff\n", true},
	{"a bad key of a binary value", "X-bin", "x", false},
}

func TestCheckMetadata(t *testing.T) {
	for _, tc := range metadataTests {
		t.Run(tc.name, func(t *testing.T) {
			var l metadata.List
			l.Append("first", "fine")
			l.Append(tc.key, tc.value)
			err := checkMetadata(&l)
			if (err == nil) != tc.ok {
				t.Errorf("checkMetadata(%q: %q) = %v, want ok %v", tc.key, tc.value, err, tc.ok)
			}
			if err != nil && len(tc.value) > 1 && strings.Contains(err.Error(), tc.value) {
				t.Errorf("the error %q shows the value", err)
			}
		})
	}
}

// FuzzCheckMetadata: what passes holds no byte that would end a field, begin
// another one or change its meaning on a wire.
func FuzzCheckMetadata(f *testing.F) {
	for _, tc := range metadataTests {
		f.Add(tc.key, tc.value)
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		var l metadata.List
		l.Append(key, value)
		if checkMetadata(&l) != nil {
			return
		}
		if key == "" || strings.ToLower(key) != key || strings.ContainsAny(key, ": \t\r\n\x00") {
			t.Errorf("key %q passed", key)
		}
		if !strings.HasSuffix(key, "-bin") && strings.ContainsAny(value, "\t\r\n\x00") {
			t.Errorf("value %q of key %q passed", value, key)
		}
	})
}
