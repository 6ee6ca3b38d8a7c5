package resolver

import (
	"slices"
	"testing"
)

type results []Result

func (r *results) Update(x Result) { *r = append(*r, x) }

func TestUnresolved(t *testing.T) {
	for endpoint, want := range map[string]string{
		"greeter":           "greeter:443",
		"greeter:50051":     "greeter:50051",
		"[2001:db8::1]:443": "[2001:db8::1]:443",
		"2001:db8::1":       "[2001:db8::1]:443",
		":50051":            "localhost:50051",
	} {
		var got results
		r, err := Unresolved{}.Build(Target{Scheme: "dns", Path: "/" + endpoint}, &got, Options{})
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		if len(got) != 1 || !slices.Equal(got[0].Addresses, []Address{{Addr: want}}) {
			t.Errorf("%q: %v, want %s", endpoint, got, want)
		}
	}
	if _, err := (Unresolved{}).Build(Target{Path: "/a:b:c"}, new(results), Options{}); err == nil {
		t.Error("a malformed endpoint is taken")
	}
	if got := HostPort(Target{Path: "/a:b:c"}); got != "" {
		t.Errorf("HostPort = %q", got)
	}
}
