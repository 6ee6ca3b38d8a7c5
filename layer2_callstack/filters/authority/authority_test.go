package authority_test

import (
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/authority"
)

func TestContract(t *testing.T) {
	callstacktest.Run(t, callstacktest.Client, authority.New("fallback"))
}

func TestAuthority(t *testing.T) {
	for _, tc := range []struct {
		name                      string
		fallback, asked, set, was string
	}{
		{"the headers' own authority stays", "fallback", "asked", "set", "set"},
		{"a call asks for a host", "fallback", "asked", "", "asked"},
		{"the channel has a default", "fallback", "", "", "fallback"},
		{"nobody knows an authority", "", "", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := &callstacktest.Transport{}
			c := callstacktest.NewCall(callstacktest.Build(t, tr, authority.New(tc.fallback)))
			if err := c.Begin(callstack.CallArgs{Authority: tc.asked}); err != nil {
				t.Fatal(err)
			}
			defer c.Unref()
			c.Do(transport.OpSendInitialMetadata, func(b *callstacktest.Batch) { b.SendHeaders.Authority = tc.set })
			if got := tr.Streams()[0].SentHeaders().Authority; got != tc.was {
				t.Errorf("sent :authority %q, want %q", got, tc.was)
			}
		})
	}
}

func TestResetForgetsTheHost(t *testing.T) {
	tr := &callstacktest.Transport{}
	c := callstacktest.NewCall(callstacktest.Build(t, tr, authority.New("fallback")))
	for _, tc := range []struct{ asked, want string }{{"first", "first"}, {"", "fallback"}} {
		if err := c.Begin(callstack.CallArgs{Authority: tc.asked}); err != nil {
			t.Fatal(err)
		}
		c.Do(transport.OpSendInitialMetadata)
		if got := tr.Streams()[0].SentHeaders().Authority; got != tc.want {
			t.Errorf("sent :authority %q, want %q", got, tc.want)
		}
		c.Unref()
	}
}
