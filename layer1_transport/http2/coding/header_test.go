package coding

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for _, tc := range []struct {
		s         string
		name, key bool
	}{
		{"", false, false},
		{"a", true, true},
		{"grpc-timeout", true, true},
		{"x_y.z-0123456789", true, true},
		{"x!#$%&'*+^`|~", true, false},
		{":path", false, false},
		{"a:b", false, false},
		{"Content-Type", false, false},
		{"content-typE", false, false},
		{"a b", false, false},
		{" a", false, false},
		{"a\x00", false, false},
		{"a\r\n", false, false},
		{"a\x7f", false, false},
		{"é", false, false},
		{"a(b)", false, false},
		{"a,b", false, false},
		{"a/b", false, false},
	} {
		if got := ValidName(tc.s); got != tc.name {
			t.Errorf("ValidName(%q) = %v", tc.s, got)
		}
		if got := ValidMetadataKey(tc.s); got != tc.key {
			t.Errorf("ValidMetadataKey(%q) = %v", tc.s, got)
		}
	}
}

func TestRFC9113_8_2_1_FieldValues(t *testing.T) {
	for _, tc := range []struct {
		v           string
		value, send bool
		trimmed     string
	}{
		{"", true, true, ""},
		{"trailers", true, true, "trailers"},
		{"a b", true, true, "a b"},
		{" ~", false, true, "~"},
		{"a ", false, true, "a"},
		{" ", false, true, ""},
		{"\ta", false, false, "a"},
		{"a\tb", true, false, "a\tb"},
		{" \t a \t ", false, false, "a"},
		{"a\x00b", false, false, "a\x00b"},
		{"a\rb", false, false, "a\rb"},
		{"a\nb", false, false, "a\nb"},
		{"\x1b", true, false, "\x1b"}, // the gRPC document wants these accepted
		{"\x7f", true, false, "\x7f"},
		{"é", true, false, "é"},
	} {
		if got := ValidValue(tc.v); got != tc.value {
			t.Errorf("ValidValue(%q) = %v", tc.v, got)
		}
		if got := ValidMetadataValue(tc.v); got != tc.send {
			t.Errorf("ValidMetadataValue(%q) = %v", tc.v, got)
		}
		if got := TrimValue(tc.v); got != tc.trimmed {
			t.Errorf("TrimValue(%q) = %q, want %q", tc.v, got, tc.trimmed)
		}
	}
}

func TestReserved(t *testing.T) {
	for key, want := range map[string]bool{
		":path": true, ":authority": true, ":": true,
		"content-type": true, "user-agent": true, "te": true, "host": true, "content-length": true,
		"grpc-timeout": true, "grpc-encoding": true, "grpc-accept-encoding": true,
		"grpc-status": true, "grpc-message": true, "grpc-message-type": true,
		"connection": true, "proxy-connection": true, "keep-alive": true, "transfer-encoding": true, "upgrade": true,
		"grpc-previous-rpc-attempts": false, "grpc-retry-pushback-ms": false, "grpc-status-details-bin": false,
		"authorization": false, "cookie": false, "x": false, "": false, "grpc-trace-bin": false, "te-": false,
	} {
		if got := IsReserved(key); got != want {
			t.Errorf("IsReserved(%q) = %v", key, got)
		}
	}
	for name, want := range map[string]bool{
		"connection": true, "proxy-connection": true, "keep-alive": true, "transfer-encoding": true, "upgrade": true,
		"te": false, "host": false, "content-length": false,
	} {
		if got := IsConnectionSpecific(name); got != want {
			t.Errorf("IsConnectionSpecific(%q) = %v", name, got)
		}
	}
	for name, want := range map[string]bool{"x-bin": true, "-bin": true, "bin": false, "x-bin-": false, "x-BIN": false, "": false} {
		if got := IsBin(name); got != want {
			t.Errorf("IsBin(%q) = %v", name, got)
		}
	}
}

// FuzzField takes a string as each thing that a peer can send in a field: a
// name, a value, a grpc-message, base64.
func FuzzField(f *testing.F) {
	for _, s := range []string{"", "te", "Te", ":a", "a\x00", " a", "a\t", "é", "~", "x-bin"} {
		f.Add(s)
	}
	for _, s := range []string{"plain", "100%", "%zz", "é世", " a ", "\xff", "%E4%B8", strings.Repeat("%", 1000)} {
		f.Add(s)
	}
	for _, s := range []string{"AA", "AA==", "AA,AQ", "!!!", "A\nA", ",,", strings.Repeat("A", 600)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkPredicates(t, s)
		checkMessage(t, s)
		checkBin(t, s)
	})
}

// checkPredicates holds the predicates against the same rules stated by octet
// ranges.
func checkPredicates(t *testing.T, s string) {
	outside := func(allowed string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(allowed, r) })
	}
	const key = "0123456789abcdefghijklmnopqrstuvwxyz_-."
	if got, want := ValidMetadataKey(s), s != "" && !outside(key); got != want {
		t.Errorf("ValidMetadataKey(%q) = %v", s, got)
	}
	if got, want := ValidName(s), s != "" && !outside(key+"!#$%&'*+^`|~"); got != want {
		t.Errorf("ValidName(%q) = %v", s, got)
	}
	if got, want := TrimValue(s), strings.Trim(s, " \t"); got != want {
		t.Errorf("TrimValue(%q) = %q", s, got)
	}
	if got, want := ValidValue(s), !strings.ContainsAny(s, "\x00\r\n") && s == TrimValue(s); got != want {
		t.Errorf("ValidValue(%q) = %v", s, got)
	}
	if ValidMetadataValue(s) && !ValidValue(TrimValue(s)) {
		t.Errorf("%q may be sent and may not be received", s)
	}
	if ValidMetadataKey(s) && !ValidName(s) || IsConnectionSpecific(s) && !IsReserved(s) {
		t.Errorf("%q: predicates contradict each other", s)
	}
}
