package stacks_test

import (
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// containedRows are two filters as they are, and contained: what a guard costs is
// the difference.
func containedRows() (rows []row) {
	for _, side := range []struct {
		name string
		side callstacktest.Side
	}{{"/side=client", callstacktest.Client}, {"/side=server", callstacktest.Server}} {
		for _, f := range []callstack.Filter{pass("pass"), watch{}} {
			for _, contained := range []bool{false, true} {
				name := f.Name() + side.name
				filter := f
				if contained {
					name, filter = name+"/contained", callstacktest.Contained(f)
				}
				rows = append(rows, row{name, side.side, time.Time{}, func(tb testing.TB, tr *callstacktest.Transport) *callstack.ChannelStack {
					return callstacktest.Build(tb, tr, filter)
				}})
			}
		}
	}
	return rows
}

// BenchmarkContained is a unary call through one filter, with a guard and without.
func BenchmarkContained(b *testing.B) {
	for _, r := range containedRows() {
		b.Run("filter="+r.name, r.bench)
	}
}

// watch is a filter that stands in for every callback.
type watch struct{}

func (watch) Name() string { return "watch" }

func (watch) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &watchChannel{callstack.ChannelBase{Next: next}}, nil
}

type watchChannel struct{ callstack.ChannelBase }

func (*watchChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &watchCall{CallBase: callstack.CallBase{Next: next}}
}

type watchCall struct {
	callstack.CallBase
	sent, headers, message, trailers watchDone
}

func (c *watchCall) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpsSend) {
		c.sent.orig, b.OnComplete = b.OnComplete, &c.sent
	}
	if b.Ops.Has(transport.OpRecvInitialMetadata) {
		c.headers.orig, b.RecvInitialMetadata.Ready = b.RecvInitialMetadata.Ready, &c.headers
	}
	if b.Ops.Has(transport.OpRecvMessage) {
		c.message.orig, b.RecvMessage.Ready = b.RecvMessage.Ready, &c.message
	}
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		c.trailers.orig, b.RecvTrailingMetadata.Ready = b.RecvTrailingMetadata.Ready, &c.trailers
	}
	c.Next.StartBatch(b)
}

type watchDone struct{ orig transport.Done }

func (d *watchDone) Run(err error) { d.orig.Run(err) }
