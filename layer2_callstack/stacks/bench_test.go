package stacks_test

import (
	"testing"
	"time"

	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/authority"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/deadline"
	"github.com/strata-grpc/strata/layer2_callstack/filters/httpclient"
	"github.com/strata-grpc/strata/layer2_callstack/filters/httpserver"
	"github.com/strata-grpc/strata/layer2_callstack/filters/messagesize"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// bench makes unary calls through a stack, on a warm block.
func bench(b *testing.B, s *callstack.ChannelStack, tr *callstacktest.Transport, side callstacktest.Side, until time.Time) {
	tr.OnBatch = callstacktest.AnswerUnary
	if side == callstacktest.Server {
		tr.OnBatch = callstacktest.AskUnary
	}
	u := callstacktest.NewUnary(callstacktest.NewCall(s), side)
	u.Args.Deadline = until
	b.ReportAllocs()
	for b.Loop() {
		if err := u.Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStack is a unary call through each standard stack. What a stack
// costs is the difference to filter=none of BenchmarkFilter on the same side,
// which is the fake transport and the test's own batches.
func BenchmarkStack(b *testing.B) {
	for _, bc := range []struct {
		name    string
		builder *callstack.Builder
		side    callstacktest.Side
	}{
		{"CLIENT_SUBCHANNEL", stacks.ClientSubchannel(stacks.Options{}), callstacktest.Client},
		{"CLIENT_DIRECT", stacks.ClientDirect(stacks.Options{}, true), callstacktest.Client},
		{"SERVER", stacks.Server(top, stacks.Options{}), callstacktest.Server},
	} {
		b.Run("stack="+bc.name, func(b *testing.B) {
			tr := &callstacktest.Transport{}
			s, err := bc.builder.Build(callstack.ChannelArgs{Transport: tr})
			if err != nil {
				b.Fatal(err)
			}
			bench(b, s, tr, bc.side, time.Time{})
		})
	}
}

// BenchmarkFilter is a unary call through a single filter.
func BenchmarkFilter(b *testing.B) {
	never, hour := time.Time{}, time.Now().Add(time.Hour)
	for _, bc := range []struct {
		name     string
		side     callstacktest.Side
		deadline time.Time
		filters  []callstack.Filter
	}{
		{"none/side=client", callstacktest.Client, never, nil},
		{"authority/side=client", callstacktest.Client, never, []callstack.Filter{authority.New("x")}},
		{"message_size/side=client", callstacktest.Client, never, []callstack.Filter{messagesize.New(messagesize.Config{})}},
		{"deadline/side=client", callstacktest.Client, never, []callstack.Filter{deadline.New()}},
		{"deadline/side=client/armed", callstacktest.Client, hour, []callstack.Filter{deadline.New()}},
		{"http_client/side=client", callstacktest.Client, never, []callstack.Filter{httpclient.New(httpclient.Config{})}},
		{"compression/side=client", callstacktest.Client, never, []callstack.Filter{compression.New(compression.Config{})}},
		{"none/side=server", callstacktest.Server, never, nil},
		{"message_size/side=server", callstacktest.Server, never, []callstack.Filter{messagesize.New(messagesize.Config{})}},
		{"deadline/side=server", callstacktest.Server, never, []callstack.Filter{deadline.New()}},
		{"http_server/side=server", callstacktest.Server, never, []callstack.Filter{httpserver.New()}},
		{"compression/side=server", callstacktest.Server, never, []callstack.Filter{compression.New(compression.Config{})}},
	} {
		b.Run("filter="+bc.name, func(b *testing.B) {
			tr := &callstacktest.Transport{}
			bench(b, callstacktest.Build(b, tr, bc.filters...), tr, bc.side, bc.deadline)
		})
	}
}
