package resolver

import (
	"strings"
	"testing"
)

// known are the schemes of Defaults.
func known(scheme string) bool { return Find(Defaults(), scheme) != nil }

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		target, scheme, authority, endpoint string
	}{
		{"dns:///host:50051", "dns", "", "host:50051"},
		{"dns:host:50051", "dns", "", "host:50051"},
		{"DNS:///host", "dns", "", "host"},
		{"dns://10.0.0.53/host", "dns", "10.0.0.53", "host"},
		{"passthrough:///x", "passthrough", "", "x"},
		{"passthrough:///a/b", "passthrough", "", "a/b"},
		{"passthrough://bufnet", "passthrough", "bufnet", ""},
		{"host:50051", "dns", "", "host:50051"},
		{"localhost", "dns", "", "localhost"},
		{"127.0.0.1:50051", "dns", "", "127.0.0.1:50051"},
		{"[::1]:50051", "dns", "", "[::1]:50051"},
		{"::1", "dns", "", "::1"},
		{":50051", "dns", "", ":50051"},
		{"zk://a/b", "dns", "", "zk://a/b"},
		{"/path", "dns", "", "/path"},
		{"%zz", "dns", "", "%zz"},
		{"unix:relative/path", "unix", "", "relative/path"},
		{"unix:///abs/path", "unix", "", "abs/path"},
		{"unix:/abs", "unix", "", "abs"},
		{"unix-abstract:name", "unix-abstract", "", "name"},
		{"ipv4:10.0.0.1:80,10.0.0.2", "ipv4", "", "10.0.0.1:80,10.0.0.2"},
		{"ipv6:[::1]:80", "ipv6", "", "[::1]:80"},
		{"ipv6:%5B::1%5D:80", "ipv6", "", "[::1]:80"},
	} {
		got, err := Parse(tc.target, "dns", known)
		if err != nil {
			t.Errorf("Parse(%q): %v", tc.target, err)
			continue
		}
		if got.Scheme != tc.scheme || got.Authority != tc.authority || got.Endpoint() != tc.endpoint {
			t.Errorf("Parse(%q) = %q %q %q, want %q %q %q", tc.target, got.Scheme, got.Authority, got.Endpoint(), tc.scheme, tc.authority, tc.endpoint)
		}
		if got.String() != tc.target {
			t.Errorf("Parse(%q).String() = %q", tc.target, got.String())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	if _, err := Parse("", "dns", known); err == nil {
		t.Error("an empty target was accepted")
	}
	if _, err := Parse("host", "zk", known); err == nil || !strings.Contains(err.Error(), `"zk"`) {
		t.Errorf("error %v does not name the default scheme", err)
	}
}

// FuzzParse checks that a target is either split into its own characters or
// taken whole, and that what follows does not panic.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"dns:///host:1", "host", "unix:a", "ipv6:[::1]:80,::2", "%", "dns://[::1/x", ":", "a:b:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := Parse(s, "dns", known)
		if (err != nil) != (s == "") {
			t.Fatalf("Parse(%q): %v", s, err)
		}
		if err != nil {
			return
		}
		b := Find(Defaults(), target.Scheme)
		if b == nil {
			t.Fatalf("Parse(%q) chose the unknown scheme %q", s, target.Scheme)
		}
		if v, ok := b.(Validator); ok {
			if err := v.Validate(target); err != nil && !strings.Contains(err.Error(), "target") {
				t.Fatalf("error %q does not say that the target is wrong", err)
			}
		}
		if o, ok := b.(AuthorityOverrider); ok {
			_ = o.Authority(target)
		}
	})
}

func TestSplitHostPort(t *testing.T) {
	for _, tc := range []struct{ in, host, port string }{
		{"host", "host", "443"},
		{"host:80", "host", "80"},
		{"host:http", "host", "http"},
		{":80", "localhost", "80"},
		{"10.0.0.1", "10.0.0.1", "443"},
		{"10.0.0.1:80", "10.0.0.1", "80"},
		{"::1", "::1", "443"},
		{"[::1]", "::1", "443"},
		{"[::1]:80", "::1", "80"},
		{"[fe80::1%eth0]:80", "fe80::1%eth0", "80"},
		{"", "", ""},
		{"host:", "", ""},
		{"[::1", "", ""},
		{"a:b:c", "", ""},
	} {
		host, port, err := splitHostPort(tc.in)
		if (err != nil) != (tc.host == "") || err == nil && (host != tc.host || port != tc.port) {
			t.Errorf("splitHostPort(%q) = %q, %q, %v; want %q, %q", tc.in, host, port, err, tc.host, tc.port)
		}
	}
}
