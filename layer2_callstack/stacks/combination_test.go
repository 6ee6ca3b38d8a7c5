package stacks_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/clientidle"
	"github.com/strata-grpc/strata/layer2_callstack/filters/faultinjection"
	"github.com/strata-grpc/strata/layer2_callstack/filters/limit"
	"github.com/strata-grpc/strata/layer2_callstack/filters/maxage"
	"github.com/strata-grpc/strata/layer2_callstack/filters/serverauth"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// A maybe is a filter that stands in a stack only if something is configured for it,
// or is left out if that is.
type maybe struct {
	name      string
	configure func(o *stacks.Options)
}

// optional are all of them.
var optional = []maybe{
	{clientidle.Name, func(o *stacks.Options) { o.Idle = clientidle.Config{Timeout: time.Hour} }},
	{faultinjection.Name, func(o *stacks.Options) {
		o.FaultInjection = faultinjection.Config{Delay: time.Second, DelayPercent: 1}
	}},
	{serverauth.Name, func(o *stacks.Options) { o.ServerAuth = &serverauth.Config{Process: letIn} }},
	{limit.Name, func(o *stacks.Options) { o.Limit = limit.Config{MaxConcurrent: 1} }},
	{maxage.Name, func(o *stacks.Options) { o.MaxAge = maxage.Config{MaxConnectionAge: time.Hour} }},
}

// combinations calls f with every set of optional filters.
func combinations(f func(o stacks.Options, left []string)) {
	for set := range 1 << len(optional) {
		o := stacks.Options{Idle: clientidle.Config{Timeout: -1}}
		var left []string // out
		for i, m := range optional {
			if set&(1<<i) != 0 {
				m.configure(&o)
			} else {
				left = append(left, m.name)
			}
		}
		f(o, left)
	}
}

// without returns the words of a stack but those of left.
func without(stack string, left []string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(stack), func(name string) bool { return slices.Contains(left, name) }), " ")
}

// onlyHTTP are the filters that have no meaning in the process.
var onlyHTTP = []string{"http_client", "http_server", "compression"}

// TestCombinations builds the standard stacks with every set of optional filters,
// over HTTP/2 and in the process. Each is the whole stack without what is left out.
// A filter that is left out can still be named by one of a user's.
func TestCombinations(t *testing.T) {
	for _, tc := range []struct {
		whole string
		build func(o stacks.Options, http bool) *callstack.Builder
	}{
		{"CLIENT_CHANNEL client_idle fault_injection client_channel",
			func(o stacks.Options, _ bool) *callstack.Builder {
				return stacks.ClientChannel(bottom{channelBottom}, o)
			}},
		{"CLIENT_SUBCHANNEL authority client_auth message_size http_client compression connected",
			func(o stacks.Options, _ bool) *callstack.Builder { return stacks.ClientSubchannel(o) }},
		{"CLIENT_DIRECT fault_injection authority client_auth message_size deadline http_client compression connected",
			func(o stacks.Options, http bool) *callstack.Builder { return stacks.ClientDirect(o, http) }},
		{"SERVER server server_auth limit max_age message_size deadline http_server compression connected",
			func(o stacks.Options, _ bool) *callstack.Builder { return stacks.Server(top, o) }},
	} {
		name, filters, _ := strings.Cut(tc.whole, " ")
		t.Run(name, func(t *testing.T) {
			combinations(func(o stacks.Options, left []string) {
				for kind, out := range map[string][]string{"http2": nil, "inproc": onlyHTTP} {
					if kind == "inproc" && name == stacks.NameClientSubchannel {
						continue // a channel with a name has no connections in the process
					}
					b := tc.build(o, kind == "http2")
					want := without(tc.whole, slices.Concat(out, left))
					wantStack(t, b, kind, want)
					for _, neighbour := range strings.Fields(filters) {
						if neighbour == filters[strings.LastIndex(filters, " ")+1:] {
							continue // nothing stands below the last
						}
						b := tc.build(o, kind == "http2")
						b.Add(pass("extra")).After(neighbour)
						if err := b.Check(callstack.ChannelArgs{Transport: &callstacktest.Transport{Kind: kind}}); err != nil {
							t.Errorf("%s %s: a filter after %q: %v", want, kind, neighbour, err)
						}
					}
				}
			})
		})
	}
}

// wantStack checks what b builds above a transport of that kind.
func wantStack(t *testing.T, b *callstack.Builder, kind, want string) {
	t.Helper()
	s, err := b.Build(callstack.ChannelArgs{Transport: &callstacktest.Transport{Kind: kind}})
	if err != nil {
		t.Errorf("want %s, got %v", want, err)
		return
	}
	defer s.Destroy()
	if got := s.String(); got != want {
		t.Errorf("built %s, want %s", got, want)
	}
}
