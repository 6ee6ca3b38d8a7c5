package authority_test

import (
	"errors"
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
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

// mute is what credentials know that cannot tell who the peer may speak for.
type mute struct{}

func (mute) AuthType() string { return "mute" }

// strict knows the one name of its peer.
type strict struct {
	mute
	name    string
	checked *int
}

func (s strict) ValidateAuthority(a string) error {
	*s.checked++
	if a != s.name {
		return errors.New("it is called " + s.name)
	}
	return nil
}

// TestOverride: only what a call asks for, and the channel does not, is checked.
func TestOverride(t *testing.T) {
	checked := 0
	server := strict{name: "known", checked: &checked}
	for _, tc := range []struct {
		name       string
		auth       credentials.AuthInfo
		asked, set string
		checks     int
		refuse     string
	}{
		{"the channel's authority is not checked", server, "", "", 0, ""},
		{"the channel's authority by name is not either", server, "fallback", "", 0, ""},
		{"a name of the server", server, "known", "", 1, ""},
		{"a name of the server in the headers", server, "", "known", 1, ""},
		{"another name", server, "other", "", 1, `authority: the server may not speak for "other", the authority of this call (peer 192.0.2.1:443): it is called known`},
		{"another name in the headers", server, "", "other", 1, `may not speak for "other"`},
		{"a name that is hard to read", server, "\x00\n" + strings.Repeat("x", 100), "", 1, `"\x00\nxxx`},
		{"credentials that cannot tell", mute{}, "other", "", 0, "the credentials cannot tell"},
		{"credentials that cannot tell and no override", mute{}, "", "", 0, ""},
		{"no credentials", nil, "other", "", 0, ""},
		{"plain text", insecureInfo(t), "other", "", 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			checked = 0
			tr := &callstacktest.Transport{Auth: tc.auth}
			c := callstacktest.NewCall(callstacktest.Build(t, tr, authority.New("fallback")))
			if err := c.Begin(callstack.CallArgs{Authority: tc.asked}); err != nil {
				t.Fatal(err)
			}
			defer c.Unref()
			c.Do(transport.OpSendInitialMetadata, func(b *callstacktest.Batch) { b.SendHeaders.Authority = tc.set })
			if checked != tc.checks {
				t.Errorf("%d checks, want %d", checked, tc.checks)
			}
			err := tr.Streams()[0].Canceled()
			switch {
			case tc.refuse == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.refuse != "" && (status.CodeOf(err) != status.Unavailable || !strings.Contains(err.Error(), tc.refuse)):
				t.Errorf("the call ended with %v, want %q", err, tc.refuse)
			}
		})
	}
}

func insecureInfo(t *testing.T) credentials.AuthInfo {
	_, info, err := credentials.NewInsecure().ClientHandshake(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
