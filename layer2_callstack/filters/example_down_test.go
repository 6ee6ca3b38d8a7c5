package filters_test

import (
	"fmt"
	"strconv"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// numbering returns a filter that numbers the requests of a client.
func numbering() callstack.Filter {
	n := new(atomic.Int64) // of all connections
	return callstack.NewFilter("numbering", func(next callstack.CallElem) callstack.CallElem {
		return &numberingCall{callstack.CallBase{Next: next}, n}
	})
}

type numberingCall struct {
	callstack.CallBase
	n *atomic.Int64
}

func (c *numberingCall) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpSendInitialMetadata) {
		b.SendInitialMetadata.MD.Append("x-number", strconv.FormatInt(c.n.Add(1), 10))
	}
	c.Next.StartBatch(b)
}

// The first shape looks at what goes down: everything that a batch sends is in it,
// to be read, changed or counted before the batch is passed on.
func Example_down() {
	tr := &callstacktest.Transport{OnBatch: callstacktest.AnswerUnary}
	c := callstacktest.NewCall(stackOf(numbering(), tr))
	for range 2 {
		begin(c, callstacktest.Client)
		c.Do(whole)
		fmt.Println(tr.Streams()[0].SentHeaders().Get("x-number"))
		c.Unref()
	}
	// Output:
	// 1 true
	// 2 true
}
