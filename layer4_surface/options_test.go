package surface

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/backoff"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
	"github.com/strata-grpc/strata/layer2_callstack/filters/limit"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// named resolves its only target to one address.
type named struct{}

func (named) Scheme() string { return "named" }
func (named) Build(_ resolver.Target, sink resolver.Sink, o resolver.Options) (resolver.Resolver, error) {
	return resolver.Passthrough{}.Build(resolver.Target{Scheme: "passthrough", Path: "/the-address", Raw: "the-address"}, sink, o)
}

// A placed is a filter that passes everything on.
type placed struct{}

func (placed) Name() string { return "placed" }

func (placed) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &placedChannel{callstack.ChannelBase{Next: next}}, nil
}

type placedChannel struct{ callstack.ChannelBase }

func (*placedChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &callstack.CallBase{Next: next}
}

// TestChannelFilter: a filter of the channel stands above the client_channel,
// once; one that names a neighbour which is not there is an error that names both.
func TestChannelFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		with := func(e stacks.Extra) (*Channel, error) {
			return NewChannel("passthrough:///x", WithCredentials(credentials.NewInsecure()), WithChannelFilter(e))
		}
		ch, err := with(stacks.Extra{Filter: placed{}})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := ch.String(), "passthrough:///x CLIENT_CHANNEL client_idle placed client_channel"; got != want {
			t.Errorf("the channel is %q, want %q", got, want)
		}
		ch.Close()
		if _, err := with(stacks.Extra{Filter: placed{}, After: []string{"nobody"}}); err == nil ||
			!strings.Contains(err.Error(), "CLIENT_CHANNEL") ||
			!strings.Contains(err.Error(), "placed") || !strings.Contains(err.Error(), "nobody") {
			t.Errorf("error %v, want one with both names", err)
		}
		client, server := inproc.Pair(inproc.Config{})
		defer server.Close()
		above := WithChannelFilter(stacks.Extra{Filter: placed{}, Before: []string{"client_channel"}})
		if ch, err = NewDirectChannel(client, above); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(ch.String(), "CLIENT_DIRECT placed authority client_auth message_size deadline connected") {
			t.Errorf("the channel is %q, want one with the filter at the top", ch)
		}
		ch.Close()
	})
}

// picky is a filter that can tell what is wrong with it.
type picky struct {
	placed
	fault error
}

func (f picky) Validate() error { return f.fault }

// TestFaultsOfFilters: what would fail every connection is said before there is
// one: by NewChannel and NewDirectChannel as an error, by NewServer as a panic.
func TestFaultsOfFilters(t *testing.T) {
	for _, tc := range []struct {
		name  string
		extra []stacks.Extra
		want  string
	}{
		{"a neighbour that is not there", []stacks.Extra{{Filter: placed{}, After: []string{"no_such_filter"}}},
			`filter "placed" is to stand after "no_such_filter", which is not registered; known here are "`},
		{"no filter", []stacks.Extra{{}}, "a nil filter was added, behind "},
		{"a name that is taken", []stacks.Extra{{Filter: placed{}}, {Filter: placed{}}}, `filter "placed" is registered twice`},
		{"a place that is in no order", []stacks.Extra{{Filter: placed{}, Before: []string{"message_size"}, After: []string{"compression"}}}, "cycle "},
		{"options that cannot be", []stacks.Extra{{Filter: picky{fault: errors.New("option Level is 11, want 0 to 9")}}},
			`filter "placed": option Level is 11, want 0 to 9`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			extra := func(*endConfig) {}
			for _, e := range tc.extra {
				before := extra
				extra = func(c *endConfig) { before(c); WithFilter(e).(endOption)(c) }
			}
			bad := endOption(extra)
			wantFault := func(maker, stack, got string) {
				t.Helper()
				if !strings.Contains(got, "callstack: "+stack+": ") || !strings.Contains(got, tc.want) {
					t.Errorf("%s says\n%s\nwant %s and\n%s", maker, got, stack, tc.want)
				}
			}
			_, err := NewChannel("passthrough:///x", WithCredentials(credentials.NewInsecure()), bad)
			wantFault("NewChannel", "CLIENT_SUBCHANNEL", fmt.Sprint(err))
			client, server := inproc.Pair(inproc.Config{})
			defer client.Close()
			defer server.Close()
			_, err = NewDirectChannel(client, bad)
			wantFault("NewDirectChannel", "CLIENT_DIRECT", fmt.Sprint(err))
			func() {
				defer func() { wantFault("NewServer", "SERVER", fmt.Sprint(recover())) }()
				NewServer(bad)
			}()
		})
	}
}

// TestBadNumbers: an option of a server that cannot be that number is a panic that
// quotes it, and what it may be.
func TestBadNumbers(t *testing.T) {
	for _, tc := range []struct {
		opt  ServerOption
		want string
	}{
		{WithHandshakeTimeout(-time.Second), "option WithHandshakeTimeout is -1s, want more than 0, or 0 for the default"},
		{WithMaxHandshakes(-1), "option WithMaxHandshakes is -1, want more than 0, or 0 for the default"},
		{WithMaxConnections(-5), "option WithMaxConnections is -5, want more than 0, or 0 for the default"},
		{WithPendingLimits(PendingLimits{Soft: -1}), "option WithPendingLimits: Soft is -1, want more than 0, or 0 for the default"},
		{WithPendingLimits(PendingLimits{Hard: -2}), "option WithPendingLimits: Hard is -2, want more than 0, or 0 for the default"},
		{WithPendingLimits(PendingLimits{MaxWait: -time.Minute}), "option WithPendingLimits: MaxWait is -1m0s, want more than 0, or 0 for the default"},
		{WithPendingLimits(PendingLimits{Soft: 9, Hard: 8}), "option WithPendingLimits: Soft is 9 and Hard is 8, want Soft to be no more than Hard"},
		{WithMaxConnectionAge(0, time.Second), `callstack: SERVER: filter "max_age": option MaxConnectionAgeGrace is 1s and MaxConnectionAge is 0, want an age above 0`},
		{WithMaxConnectionAge(-1, 0), `callstack: SERVER: filter "max_age": option MaxConnectionAge is -1ns, want more than 0`},
		{WithMaxConnectionIdle(-1), `callstack: SERVER: filter "max_age": option MaxConnectionIdle is -1ns, want more than 0`},
		{WithLimit(limit.Config{Burst: 3}), `callstack: SERVER: filter "limit": option Burst is 3 and Rate is 0, want a Rate above 0 with it`},
		{WithLimit(limit.Config{Methods: map[string]limit.Config{"/s/m": {}}}), `callstack: SERVER: filter "limit": limits of "/s/m": options MaxConcurrent and Rate are 0`},
	} {
		if got := said(func() error { NewServer(tc.opt); return nil }); !strings.HasPrefix(got, "surface: NewServer: "+tc.want) {
			t.Errorf("NewServer panics with %q, want %q", got, tc.want)
		}
	}
	for _, opt := range []ServerOption{
		WithHandshakeTimeout(0), WithMaxHandshakes(0), WithMaxConnections(0), WithPendingLimits(PendingLimits{Soft: 8, Hard: 8}),
		WithPendingLimits(PendingLimits{Soft: 5000}), WithPendingLimits(PendingLimits{Hard: 5}), WithMaxConnectionAge(time.Hour, 0), WithMaxConnectionAge(0, 0),
	} {
		NewServer(opt).Close()
	}
}

// TestOptions sets every option that shows in a call.
func TestOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lis := memconn.Listen()
		q := cq.New(cq.Next, cq.Config{})
		s := NewServer(WithLogger(quietLogger()), WithHandshakeTimeout(time.Second), WithHTTP2(http2.Config{MaxStreams: 7}), WithCredentials(credentials.NewInsecure()))
		if err := s.RegisterCompletionQueue(q); err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(lis) }()
		s.Start()
		var dialled string
		ch, err := NewChannel("target", WithLogger(quietLogger()), WithCredentials(credentials.NewInsecure()),
			WithDefaultScheme("named"), WithResolvers(named{}), WithAuthority("authority.example"),
			WithMaxSendMessageSize(3), WithBackoff(backoff.Config{BaseDelay: time.Second}), WithMinConnectTimeout(time.Second),
			WithHTTP2(http2.Config{StreamWindow: 1 << 17}),
			WithDialer(func(ctx context.Context, _, address string) (net.Conn, error) {
				dialled = address
				return lis.Dial(ctx)
			}))
		if err != nil {
			t.Fatal(err)
		}
		ch.ResetBackoff()
		var req RequestedCall
		s.RequestCall(&req, nil, q, "request")
		if st, _ := echo(t, ch, CallParams{}, "too long"); st.Code != status.ResourceExhausted {
			t.Errorf("status of a long message = %v %q", st.Code, st.Message)
		}
		c, err := ch.CreateCall(CallParams{Method: "/a/b"})
		if err != nil {
			t.Fatal(err)
		}
		c.StartBatch([]Op{opSendHeaders(), opSend("abc")}, "begin")
		next := func() {
			if ev := q.Next(time.Now().Add(testTimeout)); !ev.Success {
				t.Fatal(ev)
			}
		}
		next()
		if req.Details.Method != "/a/b" { // the call that was refused had begun
			req.Call.Release()
			s.RequestCall(&req, nil, q, "request")
			next()
		}
		if req.Details.Host != "authority.example" || dialled != "the-address" {
			t.Errorf("host = %q, dialled = %q", req.Details.Host, dialled)
		}
		c.Release()
		req.Call.Release()
		ch.Close()
		s.Close()
		<-served
	})
}

// refuses are credentials that refuse everybody.
type refuses struct {
	credentials.TransportCredentials
}

func (refuses) ServerHandshake(context.Context, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("nobody gets in")
}

// TestServerRefusesHandshake: the client's calls fail, the server goes on.
func TestServerRefusesHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lis := memconn.Listen()
		s := NewServer(WithLogger(quietLogger()), WithCredentials(refuses{credentials.NewInsecure()}))
		served := make(chan error, 1)
		go func() { served <- s.Serve(lis) }()
		ch := newMemChannel(t, func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.Dial(ctx) })
		if st, _ := echo(t, ch, CallParams{}, "x"); st.Code != status.Unavailable || strings.Contains(st.Message, "nobody gets in") {
			t.Errorf("status = %v %q", st.Code, st.Message)
		}
		ch.Close()
		s.Close()
		<-served
	})
}
