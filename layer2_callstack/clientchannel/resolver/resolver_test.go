package resolver

import (
	"fmt"
	"sync"
	"testing"
)

// A log is a sink that takes note.
type log struct {
	mu      sync.Mutex
	results []Result // guarded by mu
}

func (l *log) Update(r Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.results = append(l.results, r)
}

func (l *log) all() []Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Result(nil), l.results...)
}

// build builds the resolver that a target chooses.
func build(target string, sink Sink, more ...Builder) (Resolver, error) {
	builders := append(more, Defaults()...)
	parsed, err := Parse(target, "dns", func(s string) bool { return Find(builders, s) != nil })
	if err != nil {
		return nil, err
	}
	return Find(builders, parsed.Scheme).Build(parsed, sink, Options{})
}

func TestTargetsThatNeedNoLookup(t *testing.T) {
	for _, tc := range []struct{ target, want string }{
		{"passthrough:///x:1", "[x:1]"},
		{"unix:relative", "[unix:relative]"},
		{"unix:///abs/path", "[unix:/abs/path]"},
		{"unix-abstract:name", "[unix:@name]"},
		{"ipv4:10.0.0.1:80,10.0.0.2", "[10.0.0.1:80 10.0.0.2:443]"},
		{"ipv6:[::1]:80,::2", "[[::1]:80 [::2]:443]"},
		{"10.0.0.1:80", "[10.0.0.1:80]"},
		{"dns:///10.0.0.1", "[10.0.0.1:443]"},
		{"[::1]:80", "[[::1]:80]"},
		{"::1", "[[::1]:443]"},
	} {
		var sink log
		r, err := build(tc.target, &sink)
		if err != nil {
			t.Errorf("%q: %v", tc.target, err)
			continue
		}
		r.ResolveNow()
		r.ResetBackoff()
		r.Close()
		got := sink.all()
		if len(got) != 1 || fmt.Sprint(got[0].Addresses) != tc.want || got[0].Err != nil {
			t.Errorf("%q: results %v, want one with %s", tc.target, got, tc.want)
		}
	}
}

func TestTargetsThatAreRefused(t *testing.T) {
	for _, target := range []string{
		"unix://authority/path", "unix:", "unix-abstract:",
		"ipv4:host:80", "ipv4:10.0.0.1:65536", "ipv4:[::1]:80", "ipv6:10.0.0.1:80", "ipv4:10.0.0.1:80,", "ipv4://a/10.0.0.1:80", "ipv4:",
		"dns:///", "dns:///host:", "dns:///a:b:c",
	} {
		var sink log
		if r, err := build(target, &sink); err == nil {
			r.Close()
			t.Errorf("%q was accepted: %v", target, sink.all())
		}
	}
}

func TestAddressNetwork(t *testing.T) {
	if got := (Address{Addr: "a:1"}).NetworkOrTCP(); got != "tcp" {
		t.Errorf("network %q, want tcp", got)
	}
	if got := (Address{Network: "unix", Addr: "p"}).NetworkOrTCP(); got != "unix" {
		t.Errorf("network %q, want unix", got)
	}
}
