package serverauth

import (
	"context"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// A call is the filter's part of one call. All but async is touched by callbacks,
// which run one after another, and by the hook.
type call struct {
	callstack.CallBase
	ch   *channel
	args *callstack.CallArgs

	accept       *transport.StreamOpBatch // has recv_initial_metadata
	headersDone  transport.Done
	trailersDone transport.Done

	request Request
	asking  bool // the hook was asked and the headers are not given up

	async *async // nil with an Inline hook
}

func (c *call) Init(args *callstack.CallArgs) error {
	c.args = args
	if c.async != nil {
		c.async.combiner.Bind(args)
	}
	return nil
}

func (c *call) Reset() {
	c.args, c.accept, c.headersDone, c.trailersDone = nil, nil, nil, nil
	c.request, c.asking = Request{}, false
	if c.async != nil {
		c.async.reset()
	}
}

func (c *call) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvInitialMetadata) {
		c.accept, c.headersDone = b, b.RecvInitialMetadata.Ready
		b.RecvInitialMetadata.Ready = (*onHeaders)(c)
	}
	if c.async != nil {
		c.startAsync(b)
		return
	}
	c.Next.StartBatch(b)
}

// onHeaders is a call as the callback of recv_initial_metadata.
type onHeaders call

func (c *onHeaders) Run(err error) { (*call)(c).gotHeaders(err) }

func (c *call) gotHeaders(err error) {
	if err != nil {
		c.headersDone.Run(err)
		return
	}
	md := c.accept.RecvInitialMetadata.MD
	c.request = Request{Path: md.Path, Authority: md.Authority, Peer: c.ch.peer, Metadata: md}
	if sink := c.ch.sink; sink != nil {
		c.accept.Cause = c.trace(sink, "auth.ask", md.Path, nil)
	}
	if c.async == nil {
		c.decide(c.verdict(context.Background()))
		return
	}
	c.asking = true
	c.begin()
}

// verdict asks the hook, and returns what the call is refused with or nil.
func (c *call) verdict(ctx context.Context) error {
	err := c.process(ctx)
	if err == nil {
		return nil
	}
	if over := ctx.Err(); over != nil {
		return ended(over) // whatever the hook made of it
	}
	c.logRefusal(err)
	return refuse(err)
}

// process calls the hook, which may panic.
func (c *call) process(ctx context.Context) (err error) {
	returned := false
	defer func() {
		if !returned {
			err = c.interrupted(recover())
		}
	}()
	err = c.ch.cfg.Process(ctx, &c.request)
	returned = true
	return err
}

// decide lets the call in, or ends it with refused if that is not nil. The end
// of the stream has that error then, unless it had one before.
func (c *call) decide(refused error) {
	if refused == nil {
		c.args.Principal = c.request.Principal
	} else {
		if sink := c.ch.sink; sink != nil {
			c.accept.Cause = c.trace(sink, "auth.refuse", "", refused)
		}
		callstack.Cancel(c.Next, refused)
	}
	c.headersDone.Run(refused)
}

// trace emits an event, kept out of line so that it costs nothing without a sink.
//
//go:noinline
func (c *call) trace(sink trace.Sink, op, text string, err error) trace.EventID {
	return sink.Emit(&trace.Event{Cause: c.accept.Cause, Layer: 2, Component: component, Op: op, Call: c.args.CallID, Text: text, Err: err})
}
