package stacks_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
	"github.com/strata-grpc/strata/layer2_callstack/filters/authority"
	"github.com/strata-grpc/strata/layer2_callstack/filters/calllog"
	"github.com/strata-grpc/strata/layer2_callstack/filters/clientauth"
	"github.com/strata-grpc/strata/layer2_callstack/filters/clientidle"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
	"github.com/strata-grpc/strata/layer2_callstack/filters/deadline"
	"github.com/strata-grpc/strata/layer2_callstack/filters/faultinjection"
	"github.com/strata-grpc/strata/layer2_callstack/filters/httpclient"
	"github.com/strata-grpc/strata/layer2_callstack/filters/httpserver"
	"github.com/strata-grpc/strata/layer2_callstack/filters/limit"
	"github.com/strata-grpc/strata/layer2_callstack/filters/maxage"
	"github.com/strata-grpc/strata/layer2_callstack/filters/messagesize"
	"github.com/strata-grpc/strata/layer2_callstack/filters/serverauth"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// A row is unary calls through something of this layer: a benchmark, a case of
// TestAllocsUnary and a figure of make cost.
type row struct {
	name     string // with the side, and for a second row of it what it is about
	side     callstacktest.Side
	deadline time.Time // of each call, zero for none
	build    buildFunc
}

// A buildFunc returns a stack over tr.
type buildFunc func(tb testing.TB, tr *callstacktest.Transport) *callstack.ChannelStack

// noFault is a configuration that draws, and never gets, a fault.
var noFault = faultinjection.Config{
	Delay: time.Second, DelayPercent: 1, AbortCode: status.Internal, AbortPercent: 1, Headers: true, MaxActive: 1,
	Rand: func() float64 { return 0.5 },
}

// filterRows are single filters. The first one of a side is the fake transport
// and the test's own batches, which every other row has too.
func filterRows() (rows []row) {
	never, hour := time.Time{}, time.Now().Add(time.Hour)
	log := calllog.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	quiet := calllog.Config{Logger: slog.New(slog.DiscardHandler)}
	for _, r := range []struct {
		name     string
		side     callstacktest.Side
		deadline time.Time
		filters  []callstack.Filter
	}{
		{"none/side=client", callstacktest.Client, never, nil},
		{"authority/side=client", callstacktest.Client, never, []callstack.Filter{authority.New("x")}},
		{"client_auth/side=client", callstacktest.Client, never, []callstack.Filter{clientauth.New(clientauth.Config{})}},
		{"message_size/side=client", callstacktest.Client, never, []callstack.Filter{messagesize.New(messagesize.Config{})}},
		{"deadline/side=client", callstacktest.Client, never, []callstack.Filter{deadline.New()}},
		{"deadline/side=client/armed", callstacktest.Client, hour, []callstack.Filter{deadline.New()}},
		{"http_client/side=client", callstacktest.Client, never, []callstack.Filter{httpclient.New(httpclient.Config{})}},
		{"compression/side=client", callstacktest.Client, never, []callstack.Filter{compression.New(compression.Config{})}},
		{"call_log/side=client", callstacktest.Client, never, []callstack.Filter{calllog.New(log)}},
		{"call_log/side=client/off", callstacktest.Client, never, []callstack.Filter{calllog.New(quiet)}},
		{"client_idle/side=client", callstacktest.Client, never, []callstack.Filter{clientidle.New(clientidle.Config{})}},
		{"fault_injection/side=client", callstacktest.Client, never, []callstack.Filter{faultinjection.New(noFault)}},
		{"user's, contained/side=client", callstacktest.Client, never, []callstack.Filter{callstacktest.Contained(pass("user"))}},
		{"none/side=server", callstacktest.Server, never, nil},
		{"user's, contained/side=server", callstacktest.Server, never, []callstack.Filter{callstacktest.Contained(pass("user"))}},
		{"max_age/side=server", callstacktest.Server, never, []callstack.Filter{maxage.New(maxage.Config{MaxConnectionAge: time.Hour, MaxConnectionIdle: time.Hour})}},
		{"message_size/side=server", callstacktest.Server, never, []callstack.Filter{messagesize.New(messagesize.Config{})}},
		{"deadline/side=server", callstacktest.Server, never, []callstack.Filter{deadline.New()}},
		{"deadline/side=server/armed", callstacktest.Server, hour, []callstack.Filter{deadline.New()}},
		{"http_server/side=server", callstacktest.Server, never, []callstack.Filter{httpserver.New()}},
		{"limit/side=server", callstacktest.Server, never, []callstack.Filter{limit.New(limit.Config{MaxConcurrent: 100})}},
		{"limit/side=server/rated", callstacktest.Server, never, []callstack.Filter{limit.New(allServer.Limit)}},
		{"server_auth/side=server", callstacktest.Server, never, []callstack.Filter{serverauth.New(*allServer.ServerAuth)}},
		{"compression/side=server", callstacktest.Server, never, []callstack.Filter{compression.New(compression.Config{})}},
		{"call_log/side=server", callstacktest.Server, never, []callstack.Filter{calllog.New(log)}},
		{"call_log/side=server/off", callstacktest.Server, never, []callstack.Filter{calllog.New(quiet)}},
	} {
		rows = append(rows, row{r.name, r.side, r.deadline, func(tb testing.TB, tr *callstacktest.Transport) *callstack.ChannelStack {
			return callstacktest.Build(tb, tr, r.filters...)
		}})
	}
	token := clientauth.Config{Credentials: []credentials.PerRPCCredentials{credentials.NewBearerToken("token")}}
	return append(rows, row{"client_auth/side=client/token", callstacktest.Client, never, func(tb testing.TB, tr *callstacktest.Transport) *callstack.ChannelStack {
		tr.Auth = credentials.TLSInfo{} // which the token has to have
		return callstacktest.Build(tb, tr, clientauth.New(token))
	}})
}

// stackRows are the standard stacks, and those of a channel with a name as a call
// passes them.
func stackRows() []row {
	never, hour := time.Time{}, time.Now().Add(time.Hour)
	below := stacks.ClientSubchannel(stacks.Options{})
	direct, server := stacks.ClientDirect(stacks.Options{}, true), stacks.Server(top, stacks.Options{})
	return []row{
		{"CLIENT_CHANNEL/side=client", callstacktest.Client, never, channel(bare())},
		{"CLIENT_SUBCHANNEL/side=client", callstacktest.Client, never, standard(below)},
		{"CHANNEL and SUBCHANNEL/side=client", callstacktest.Client, never, channel(below)},
		{"CHANNEL and SUBCHANNEL/side=client/armed", callstacktest.Client, hour, channel(below)},
		{"CLIENT_DIRECT/side=client", callstacktest.Client, never, standard(direct)},
		{"CLIENT_DIRECT/side=client/armed", callstacktest.Client, hour, standard(direct)},
		{"SERVER/side=server", callstacktest.Server, never, standard(server)},
		{"SERVER/side=server/armed", callstacktest.Server, hour, standard(server)},
	}
}

// bare returns a stack of no filter.
func bare() *callstack.Builder {
	b := callstack.NewBuilder("BARE")
	b.Add(connected.New()).Terminal()
	return b
}

func standard(b *callstack.Builder) buildFunc {
	return func(tb testing.TB, tr *callstacktest.Transport) *callstack.ChannelStack {
		s, err := b.Build(callstack.ChannelArgs{Transport: tr})
		if err != nil {
			tb.Fatal(err)
		}
		return s
	}
}

// channel returns the CLIENT_CHANNEL of a channel that is connected, with below
// above tr.
func channel(below *callstack.Builder) buildFunc {
	return func(tb testing.TB, tr *callstacktest.Transport) *callstack.ChannelStack {
		cc, s := newChannel(tb, nil, below, func(context.Context) (transport.Transport, error) { return tr, nil })
		tb.Cleanup(s.Destroy)
		ready := make(onReady)
		s.StartTransportOp(&transport.Op{StartWatch: ready})
		cc.State(true)
		<-ready
		return s
	}
}

// newChannel returns a channel that connects with connect, and its CLIENT_CHANNEL.
func newChannel(tb testing.TB, sink trace.Sink, below *callstack.Builder, connect func(context.Context) (transport.Transport, error),
) (*clientchannel.ClientChannel, *callstack.ChannelStack) {
	tb.Helper()
	cc, err := clientchannel.New(clientchannel.Config{
		Target: "passthrough:///server", Credentials: credentials.NewInsecure(), Logger: slog.New(slog.DiscardHandler), Trace: sink,
		Connect: func(ctx context.Context, _ resolver.Address, _ string) (transport.Transport, error) {
			return connect(ctx)
		},
		NewStack: func(tr transport.Transport, _ string) (*callstack.ChannelStack, error) {
			return below.Build(callstack.ChannelArgs{Transport: tr, Trace: sink})
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	s, err := stacks.ClientChannel(cc, stacks.Options{}).Build(callstack.ChannelArgs{Trace: sink})
	if err != nil {
		tb.Fatal(err)
	}
	return cc, s
}

// onReady is closed in state READY.
type onReady chan struct{}

func (c onReady) OnState(s connectivity.State, _ error) {
	if s == connectivity.Ready {
		close(c)
	}
}

// unary returns the calls of r, in a block of their own that is warm.
func (r *row) unary(tb testing.TB) *callstacktest.Unary {
	tb.Helper()
	tr := &callstacktest.Transport{}
	u := callstacktest.NewUnary(tr, r.build(tb, tr), r.side)
	u.Args.Start, u.Args.Deadline = time.Now(), r.deadline
	for range 3 {
		if err := u.Run(); err != nil {
			tb.Fatal(err)
		}
	}
	return u
}

func (r *row) bench(b *testing.B) {
	u := r.unary(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := u.Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStack is a unary call through each standard stack. What a stack
// costs is the difference to filter=none of BenchmarkFilter on the same side.
// make cost measures them in turn.
func BenchmarkStack(b *testing.B) {
	for _, r := range stackRows() {
		b.Run("stack="+r.name, r.bench)
	}
}

// BenchmarkFilter is a unary call through a single filter.
func BenchmarkFilter(b *testing.B) {
	for _, r := range filterRows() {
		b.Run("filter="+r.name, r.bench)
	}
}
