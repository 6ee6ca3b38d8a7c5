package filters_test

import (
	"errors"
	"fmt"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// ticketing returns a filter of a client that sends a ticket with each call. get
// calls done when it has one or cannot get it, on any goroutine.
func ticketing(get func(done func(ticket string, err error))) callstack.Filter {
	return callstack.NewFilter("ticketing", func(next callstack.CallElem) callstack.CallElem {
		return &ticketingCall{CallBase: callstack.CallBase{Next: next}, get: get}
	})
}

type ticketingCall struct {
	callstack.CallBase
	get func(done func(ticket string, err error))

	args   *callstack.CallArgs
	hold   callstack.Hold
	ticket atomic.Pointer[string] // the ticket may come while a cancel goes down
}

func (c *ticketingCall) Init(args *callstack.CallArgs) error {
	c.args = args
	return nil
}

// StartBatch keeps what comes from the headers on. The reference keeps the call in
// use until the ticket is there, as it could end before. The hold reports true for a
// cancel: a filter that can stop what it waits for does so then.
func (c *ticketingCall) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpSendInitialMetadata) && c.hold.Close() {
		c.args.Owner.Ref()
		c.get(c.got)
	}
	c.hold.StartBatch((*ticketed)(c), c.args, b)
}

// got goes on with the call. Whatever was kept goes down, also when it is to fail
// there.
func (c *ticketingCall) got(ticket string, err error) {
	owner := c.args.Owner
	if err == nil {
		c.ticket.Store(&ticket)
	} else {
		callstack.Cancel(c.Next, &transport.Error{Code: status.Unavailable, Layer: "ticketing", Reason: "no ticket", Cause: err})
	}
	c.hold.Open((*ticketed)(c), c.args)
	owner.Unref()
}

// ticketed is a call as what is below the hold. It has the other methods of CallBase.
type ticketed ticketingCall

func (c *ticketed) StartBatch(b *transport.StreamOpBatch) {
	if t := c.ticket.Load(); t != nil && b.Ops.Has(transport.OpSendInitialMetadata) {
		b.SendInitialMetadata.MD.Append("x-ticket", *t)
	}
	c.Next.StartBatch(b)
}

func (c *ticketingCall) Reset() {
	c.args = nil
	c.hold.Reset()
	c.ticket.Store(nil)
}

// The fourth shape keeps a call and goes on later. It never waits: StartBatch
// returns, and whoever has what was missing opens the hold. That must not take for
// ever: a transport knows nothing of a call that is held, and cannot end it. A cancel
// does, such as that of a channel which is closed.
func Example_hold() {
	var done func(string, error)
	tr := &callstacktest.Transport{}
	c := callstacktest.NewCall(stackOf(ticketing(func(f func(string, error)) { done = f }), tr))

	begin(c, callstacktest.Client)
	c.Do(whole)
	fmt.Println("sent:", tr.Streams()[0].Batches())
	done("a-12", nil)
	fmt.Println("sent:", tr.Streams()[0].Batches())
	fmt.Println(tr.Streams()[0].SentHeaders().Get("x-ticket"))
	tr.Streams()[0].Trailers(nil, nil)
	c.Unref()

	begin(c, callstacktest.Client)
	b := c.Do(whole)
	done("", errors.New("sold out"))
	ended(b)
	c.Unref()
	// Output:
	// sent: []
	// sent: [send_initial_metadata send_message send_trailing_metadata recv_initial_metadata recv_message recv_trailing_metadata]
	// a-12 true
	// ended: ticketing: no ticket: sold out Unavailable
}
