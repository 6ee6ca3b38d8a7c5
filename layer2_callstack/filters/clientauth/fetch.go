package clientauth

import (
	"context"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// A request is what fetch asks for: copied, so that nothing of the batch is
// touched after the call was cancelled.
type request struct {
	ctx   context.Context
	uri   []string
	cause *trace.EventID // of the batch, until it is passed on
	event trace.EventID

	// fields are what the credentials have returned, and err why that is not
	// enough.
	fields []map[string]string
	err    error
}

// fetchFor closes the hold and has the credentials asked, unless the call was
// cancelled or its connection is lost.
func (c *call) fetchFor(b *transport.StreamOpBatch) {
	md := b.SendInitialMetadata.MD
	ctx, stop := c.context(md.Path)
	r := &request{ctx: ctx, uri: []string{credentials.RequestURI(md.Authority, md.Path)}, cause: &b.Cause, event: b.Cause}
	c.mu.Lock()
	held := !c.cancelled && c.hold.Close()
	if held {
		c.asking, c.stop = true, stop
	}
	c.mu.Unlock()
	if !held {
		stop()
		return
	}
	if err := c.ch.wait(c); err != nil {
		c.giveUp(err)
		return
	}
	c.args.Owner.Ref()
	go c.fetch(r)
}

// context returns what credentials of this call have to do their work in.
func (c *call) context(path string) (context.Context, context.CancelFunc) {
	ctx := credentials.NewRequestInfoContext(context.Background(), &credentials.RequestInfo{Method: path, AuthInfo: c.ch.auth})
	if deadline := c.args.Deadline; !deadline.IsZero() {
		return context.WithDeadline(ctx, deadline)
	}
	return context.WithCancel(ctx)
}

// fetch is the goroutine of a call that asks its credentials. It holds a
// reference of the call's owner.
func (c *call) fetch(r *request) {
	trace.Role(c.ch.sink, "credentials")
	defer c.fetched(r) // even if they end the goroutine
	r.err = c.ch.fault(status.Internal, nil, "credentials ended the goroutine that asked them")
	r.err = c.each(func(creds credentials.PerRPCCredentials) error {
		fields, err := c.ask(r.ctx, creds, r.uri, &r.event)
		r.fields = append(r.fields, fields)
		return err
	})
}

// fetched lets the call go on, or end, unless it has ended meanwhile.
func (c *call) fetched(r *request) {
	c.mu.Lock()
	decides := c.asking
	stop := c.settleLocked()
	if decides {
		*r.cause = r.event
		for _, fields := range r.fields { // of those that came, if not all: the call ends
			credentials.AppendRequestMetadata(c.list, fields)
		}
	}
	c.mu.Unlock()
	c.ch.waited(c)
	owner := c.args.Owner
	if decides {
		if r.err != nil {
			callstack.Cancel(c.Next, r.err)
		}
		c.hold.Open(c.Next, c.args)
		stop()
	}
	owner.Unref()
}
