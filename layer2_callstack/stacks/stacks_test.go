package stacks_test

import (
	"context"
	"strings"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel"
	"github.com/strata-grpc/strata/layer2_callstack/filters/authority"
	"github.com/strata-grpc/strata/layer2_callstack/filters/clientauth"
	"github.com/strata-grpc/strata/layer2_callstack/filters/clientidle"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/faultinjection"
	"github.com/strata-grpc/strata/layer2_callstack/filters/limit"
	"github.com/strata-grpc/strata/layer2_callstack/filters/maxage"
	"github.com/strata-grpc/strata/layer2_callstack/filters/serverauth"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// A pass filter has a name and passes everything on.
type pass string

func (f pass) Name() string { return string(f) }

func (f pass) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &passChannel{callstack.ChannelBase{Next: next}}, nil
}

type passChannel struct{ callstack.ChannelBase }

func (*passChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &callstack.CallBase{Next: next}
}

const top = pass("server")

// allServer has every optional filter of a server.
var allServer = stacks.Options{
	ServerAuth: &serverauth.Config{Process: letIn, Inline: true},
	Limit:      limit.Config{MaxConcurrent: 100, Rate: 1e9},
	MaxAge:     maxage.Config{MaxConnectionAge: time.Hour},
}

func letIn(context.Context, *serverauth.Request) error { return nil }

// A bottom filter is the last one and has nothing to pass on to.
type bottom struct{ pass }

func (bottom) NewChannel(*callstack.ChannelArgs, callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &bottomChannel{}, nil
}

type bottomChannel struct{ passChannel }

func (*bottomChannel) StartTransportOp(*transport.Op) {}

// channelBottom stands for the client_channel.
const channelBottom = pass(clientchannel.Name)

func TestStandardStacks(t *testing.T) {
	extra := stacks.Options{Extra: []stacks.Extra{
		{Filter: pass("own"), After: []string{"message_size"}, Before: []string{"compression"}},
		{Filter: pass("a_filter")},
	}}
	faults := stacks.Options{FaultInjection: faultinjection.Config{AbortPercent: 1, AbortCode: status.Unavailable}}
	for _, tc := range []struct {
		name string
		kind string // of the transport
		b    *callstack.Builder
		want string
	}{
		{"a connection of a channel", "http2", stacks.ClientSubchannel(stacks.Options{}),
			"CLIENT_SUBCHANNEL authority client_auth message_size http_client compression connected"},
		{"a channel on one HTTP/2 connection", "http2", stacks.ClientDirect(stacks.Options{}, true),
			"CLIENT_DIRECT authority client_auth message_size deadline http_client compression connected"},
		{"a channel in the process", "inproc", stacks.ClientDirect(stacks.Options{}, false),
			"CLIENT_DIRECT authority client_auth message_size deadline connected"},
		{"a connection of a server", "http2", stacks.Server(top, stacks.Options{}),
			"SERVER server message_size deadline http_server compression connected"},
		{"a server whose connections have an age", "http2", stacks.Server(top, stacks.Options{MaxAge: maxage.Config{MaxConnectionAge: time.Hour}}),
			"SERVER server max_age message_size deadline http_server compression connected"},
		{"a server in the process", "inproc", stacks.Server(top, stacks.Options{}),
			"SERVER server message_size deadline connected"},
		{"a server with everything", "http2", stacks.Server(top, allServer),
			"SERVER server server_auth limit max_age message_size deadline http_server compression connected"},
		{"a server in the process with everything", "inproc", stacks.Server(top, allServer),
			"SERVER server server_auth limit max_age message_size deadline connected"},
		{"a channel with a name", "", stacks.ClientChannel(bottom{channelBottom}, stacks.Options{}),
			"CLIENT_CHANNEL client_idle client_channel"},
		{"a channel that never goes idle", "", stacks.ClientChannel(bottom{channelBottom}, stacks.Options{Idle: clientidle.Config{Timeout: -1}}),
			"CLIENT_CHANNEL client_channel"},
		{"a channel with faults", "", stacks.ClientChannel(bottom{channelBottom}, faults),
			"CLIENT_CHANNEL client_idle fault_injection client_channel"},
		{"one connection with faults", "inproc", stacks.ClientDirect(faults, false),
			"CLIENT_DIRECT fault_injection authority client_auth message_size deadline connected"},
		{"a connection of a channel with faults", "http2", stacks.ClientSubchannel(faults),
			"CLIENT_SUBCHANNEL authority client_auth message_size http_client compression connected"},
		{"a lame channel", "", stacks.Lame(status.New(status.Unavailable, "no")), "LAME lame"},
		{"a channel with more filters", "http2", stacks.ClientSubchannel(extra),
			"CLIENT_SUBCHANNEL a_filter authority client_auth message_size http_client own compression connected"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := tc.b.Build(callstack.ChannelArgs{Transport: &callstacktest.Transport{Kind: tc.kind}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Destroy()
			if got := s.String(); got != tc.want {
				t.Errorf("built %q, want %q", got, tc.want)
			}
		})
	}
}

// TestChannelExtra: the same filters stand above client_channel, or above the
// connection of a channel that has no client_channel.
func TestChannelExtra(t *testing.T) {
	o := stacks.Options{ChannelExtra: []stacks.Extra{
		{Filter: pass("x"), Before: []string{clientchannel.Name}},
		{Filter: pass("w"), After: []string{"x"}},
	}}
	for want, b := range map[string]*callstack.Builder{
		"CLIENT_CHANNEL client_idle x w client_channel":                                          stacks.ClientChannel(bottom{channelBottom}, o),
		"CLIENT_DIRECT x w authority client_auth message_size deadline connected":                stacks.ClientDirect(o, false),
		"CLIENT_SUBCHANNEL authority client_auth message_size http_client compression connected": stacks.ClientSubchannel(o),
	} {
		s, err := b.Build(callstack.ChannelArgs{Transport: &callstacktest.Transport{}})
		if err != nil || s.String() != want {
			t.Errorf("built %v, %v, want %q", s, err, want)
		}
	}
	o.ChannelExtra = []stacks.Extra{{Filter: pass("x"), After: []string{authority.Name}}}
	if err := stacks.ClientChannel(bottom{channelBottom}, o).Check(callstack.ChannelArgs{}); err == nil {
		t.Error("CLIENT_CHANNEL has a filter below authority, which it has not")
	}
}

func TestBadOptions(t *testing.T) {
	for _, tc := range []struct {
		name string
		b    *callstack.Builder
		want string
	}{
		{"a scheme", stacks.ClientSubchannel(stacks.Options{Scheme: "ftp"}),
			`callstack: CLIENT_SUBCHANNEL: filter "http_client": option Scheme is "ftp", want "http" or "https"`},
		{"a scheme of a channel in the process", stacks.ClientDirect(stacks.Options{Scheme: "ftp"}, false),
			`callstack: CLIENT_DIRECT: filter "http_client": option Scheme is "ftp", want "http" or "https"`},
		{"a user agent", stacks.ClientDirect(stacks.Options{UserAgent: "a\n"}, true),
			`callstack: CLIENT_DIRECT: filter "http_client": option UserAgent is "a\n", where byte 1 is not printable ASCII`},
		{"a coding", stacks.Server(top, stacks.Options{Compression: compression.Config{Send: "br"}}),
			`callstack: SERVER: filter "compression": option Send: compressor "br" is not known, "gzip,deflate" and "identity" are`},
		{"an unknown neighbour", stacks.ClientSubchannel(stacks.Options{Extra: []stacks.Extra{{Filter: pass("x"), After: []string{"y"}}}}),
			`callstack: CLIENT_SUBCHANNEL: filter "x" is to stand after "y", which is not registered; ` +
				`known here are "authority", "client_auth", "compression", "connected", "http_client", "message_size"`},
		{"an age", stacks.Server(top, stacks.Options{MaxAge: maxage.Config{MaxConnectionAgeGrace: -1}}),
			`callstack: SERVER: filter "max_age": option MaxConnectionAgeGrace is -1ns, want more than 0, or 0 for no bound`},
		{"credentials", stacks.ClientDirect(stacks.Options{Auth: clientauth.Config{Credentials: []credentials.PerRPCCredentials{nil}}}, true),
			`callstack: CLIENT_DIRECT: filter "client_auth": option Credentials: number 1 of 1 is nil`},
		{"a limit", stacks.Server(top, stacks.Options{Limit: limit.Config{MaxConcurrent: -1}}),
			`callstack: SERVER: filter "limit": option MaxConcurrent is -1, want 0 for no limit, or more`},
		{"a hook that is nil", stacks.Server(top, stacks.Options{ServerAuth: &serverauth.Config{}}),
			`callstack: SERVER: filter "server_auth": option Process is nil, want a function that decides about calls`},
		{"no top", stacks.Server(nil, stacks.Options{}), `callstack: SERVER: a nil filter was added, as the first`},
		{"faults", stacks.ClientChannel(bottom{channelBottom}, stacks.Options{FaultInjection: faultinjection.Config{AbortPercent: 101}}),
			`callstack: CLIENT_CHANNEL: filter "fault_injection": option AbortPercent is 101, want 0 to 100`},
		{"a lame channel that works", stacks.Lame(nil), `callstack: LAME: filter "lame": the status of the calls is OK, want an error`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, args := range []callstack.ChannelArgs{{}, {Transport: &callstacktest.Transport{}}, {Transport: &callstacktest.Transport{Kind: "inproc"}}} {
				if err := tc.b.Check(args); err == nil || err.Error() != tc.want {
					t.Errorf("Check failed with\n%v, want\n%s", err, tc.want)
				}
			}
		})
	}
}

// unary returns unary calls through a stack, and its transport.
func unary(t testing.TB, b *callstack.Builder, side callstacktest.Side) (*callstacktest.Unary, *callstacktest.Transport) {
	t.Helper()
	tr := &callstacktest.Transport{}
	s, err := b.Build(callstack.ChannelArgs{Transport: tr})
	if err != nil {
		t.Fatal(err)
	}
	return callstacktest.NewUnary(tr, s, side), tr
}

// TestUnary runs calls through whole stacks and looks at what the peer got.
func TestUnary(t *testing.T) {
	for _, tc := range []struct {
		name    string
		b       *callstack.Builder
		side    callstacktest.Side
		headers string
	}{
		{"client", stacks.ClientSubchannel(stacks.Options{UserAgent: "test/1", Scheme: "https"}), callstacktest.Client,
			"POST https example.com application/grpc test/1 grpc-go-strata/0.1.0 trailers"},
		{"server", stacks.Server(top, stacks.Options{}), callstacktest.Server, "200 application/grpc"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u, tr := unary(t, tc.b, tc.side)
			var sent string
			answer := tr.OnBatch
			tr.OnBatch = func(s *callstacktest.Stream, b *transport.StreamOpBatch) {
				if b.Ops.Has(transport.OpSendInitialMetadata) {
					md := s.SentHeaders()
					sent = strings.Join(strings.Fields(strings.Join([]string{
						md.HTTPStatus, md.Method, md.Scheme, md.Authority, md.ContentType, md.UserAgent, md.TE,
					}, " ")), " ")
				}
				answer(s, b)
			}
			for range 2 {
				if err := u.Run(); err != nil {
					t.Fatal(err)
				}
				if sent != tc.headers {
					t.Errorf("sent %q, want %q", sent, tc.headers)
				}
			}
		})
	}
}
