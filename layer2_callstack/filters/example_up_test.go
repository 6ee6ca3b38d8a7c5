package filters_test

import (
	"fmt"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// reporting returns a filter that prints which server answered, as its trailers say.
func reporting() callstack.Filter {
	return callstack.NewFilter("reporting", func(next callstack.CallElem) callstack.CallElem {
		return &reportingCall{CallBase: callstack.CallBase{Next: next}}
	})
}

type reportingCall struct {
	callstack.CallBase

	trailers *metadata.List
	done     transport.Done // of the application, or of the filter above
}

func (c *reportingCall) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		c.trailers, c.done = b.RecvTrailingMetadata.MD, b.RecvTrailingMetadata.Ready
		b.RecvTrailingMetadata.Ready = (*reportingEnd)(c)
	}
	c.Next.StartBatch(b)
}

// reportingEnd is a call as the callback of recv_trailing_metadata.
type reportingEnd reportingCall

func (c *reportingEnd) Run(err error) {
	if server, ok := c.trailers.Get("x-server"); ok {
		fmt.Println("answered by", server)
	}
	c.done.Run(err)
}

func (c *reportingCall) Reset() { c.trailers, c.done = nil, nil }

// The second shape looks at what comes up. When a batch goes down nothing is
// received yet: the filter puts a callback of its own in the place of the one that
// is there, and runs that one at its end.
func Example_up() {
	tr := &callstacktest.Transport{}
	c := callstacktest.NewCall(stackOf(reporting(), tr))
	begin(c, callstacktest.Client)
	c.Do(whole)
	tr.Streams()[0].Trailers(func(md *metadata.List) { md.Append("x-server", "b7") }, nil)
	c.Unref()
	// Output: answered by b7
}
