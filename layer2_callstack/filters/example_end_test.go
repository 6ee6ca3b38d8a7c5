package filters_test

import (
	"slices"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// refusing returns a filter of a server that refuses calls of some methods.
func refusing(methods ...string) callstack.Filter {
	return callstack.NewFilter("refusing", func(next callstack.CallElem) callstack.CallElem {
		return &refusingCall{CallBase: callstack.CallBase{Next: next}, methods: methods}
	})
}

type refusingCall struct {
	callstack.CallBase
	methods []string

	headers      *transport.RecvInitialMetadata
	headersDone  transport.Done
	trailersDone transport.Done

	refused error // why this filter ended the call, nil if it did not; for callbacks only
}

func (c *refusingCall) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvInitialMetadata) {
		c.headers, c.headersDone = &b.RecvInitialMetadata, b.RecvInitialMetadata.Ready
		b.RecvInitialMetadata.Ready = (*refusingHeaders)(c)
	}
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		c.trailersDone = b.RecvTrailingMetadata.Ready
		b.RecvTrailingMetadata.Ready = (*refusingEnd)(c)
	}
	c.Next.StartBatch(b)
}

type (
	refusingHeaders refusingCall
	refusingEnd     refusingCall
)

// Run looks at the request. A call that is refused fails here, so that nobody above
// works on it; at its end, which tells the reason again; and below, where the
// transport tells it to the client.
func (c *refusingHeaders) Run(err error) {
	if err == nil && slices.Contains(c.methods, c.headers.MD.Path) {
		err = &transport.Error{Code: status.PermissionDenied, Layer: "refusing", Reason: "this method is not for you"}
		c.refused = err
		callstack.Cancel(c.Next, err)
	}
	c.headersDone.Run(err)
}

func (c *refusingEnd) Run(err error) {
	if c.refused != nil {
		err = c.refused
	}
	c.trailersDone.Run(err)
}

func (c *refusingCall) Reset() {
	c.headers, c.headersDone, c.trailersDone, c.refused = nil, nil, nil, nil
}

// The third shape ends a call. On the way down that is one line, Cancel, before the
// batch is passed on as ever: the transport then fails it, in the order of the
// call's other callbacks. On the way up there is more to it.
func Example_end() {
	tr := &callstacktest.Transport{}
	c := callstacktest.NewCall(stackOf(refusing("/service/method"), tr))
	begin(c, callstacktest.Server)
	b := c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
	tr.Streams()[0].Headers(callstacktest.Server.FillHeaders, nil)
	ended(b)
	c.Unref()
	// Output: ended: refusing: this method is not for you PermissionDenied
}
