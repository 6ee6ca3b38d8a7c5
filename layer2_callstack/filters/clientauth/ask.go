package clientauth

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/strata-grpc/strata/internal/userpanic"
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// authorize adds the fields of all credentials to send_initial_metadata of b, or
// closes the hold until they are there. Where that cannot be, it cancels the call:
// the caller passes b on, and it fails there.
func (c *call) authorize(b *transport.StreamOpBatch) {
	err := c.each(c.check)
	blocking := c.ch.blocking
	if own := c.args.Credentials; err == nil && !blocking && own != nil {
		blocking, err = c.mayBlock(own)
	}
	if err != nil {
		callstack.Cancel(c.Next, err)
		return
	}
	md := b.SendInitialMetadata.MD
	c.list, c.own = md, md.Len()
	c.sent, b.OnComplete = b.OnComplete, (*onSent)(c)
	if blocking {
		c.fetchFor(b)
		return
	}
	ctx, uri := c.place.of(c, md.Authority, md.Path)
	err = c.each(func(creds credentials.PerRPCCredentials) error {
		fields, err := c.ask(ctx, creds, uri, &b.Cause)
		credentials.AppendRequestMetadata(md, fields)
		return err
	})
	if err != nil {
		callstack.Cancel(c.Next, err)
	}
}

// A place is what credentials are told that answer at once. It is made by the
// first call that needs it and kept: saves 4 allocations a call, BenchmarkFilter.
type place struct {
	ctx  context.Context
	info credentials.RequestInfo
	// uri is that of authority and info.Method.
	uri       [1]string
	authority string
}

// of returns what is told of a call to path at authority.
func (p *place) of(c *call, authority, path string) (context.Context, []string) {
	if p.ctx == nil {
		p.info.AuthInfo = c.ch.auth
		p.ctx = credentials.NewRequestInfoContext(context.Background(), &p.info)
	}
	if p.uri[0] == "" || p.authority != authority || p.info.Method != path {
		p.authority, p.info.Method = authority, path
		p.uri[0] = credentials.RequestURI(authority, path)
	}
	return p.ctx, p.uri[:]
}

// check reports whether creds may be used on this connection.
func (c *call) check(creds credentials.PerRPCCredentials) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = c.panicked(creds, p)
		}
	}()
	if err = credentials.CheckPerRPC(creds, c.ch.auth); err != nil {
		return c.ch.refused(creds, err)
	}
	return nil
}

// mayBlock reports whether creds, which are those of the call, may.
func (c *call) mayBlock(creds credentials.PerRPCCredentials) (blocking bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = c.panicked(creds, p)
		}
	}()
	return mayBlock(creds), nil
}

// ask asks creds for their fields. cause is the trace event that it comes of.
func (c *call) ask(ctx context.Context, creds credentials.PerRPCCredentials, uri []string, cause *trace.EventID) (fields map[string]string, err error) {
	defer func() {
		if p := recover(); p != nil {
			fields, err = nil, c.panicked(creds, p)
		}
		if c.ch.sink != nil {
			c.trace("credentials.got", fmt.Sprintf("%T: %d fields", creds, len(fields)), err, cause)
		}
	}()
	if c.ch.sink != nil {
		c.trace("credentials.ask", fmt.Sprintf("%T", creds), nil, cause)
	}
	fields, err = creds.GetRequestMetadata(ctx, uri...)
	if err != nil {
		return nil, c.failed(creds, err)
	}
	return fields, nil
}

// panicked logs where credentials have panicked and returns how the call ends.
// What they have panicked with may be a secret.
func (c *call) panicked(creds credentials.PerRPCCredentials, p any) error {
	c.ch.logger.Error("client_auth: credentials panicked", "credentials", fmt.Sprintf("%T", creds), "panic", userpanic.Text(p),
		"stack", string(debug.Stack()))
	return c.ch.fault(status.Internal, nil, "credentials %T panicked: %s", creds, userpanic.Text(p))
}

// trace emits an event of this call, which is the cause of the next.
func (c *call) trace(op, text string, err error, cause *trace.EventID) {
	*cause = c.ch.sink.Emit(&trace.Event{Cause: *cause, Layer: 2, Component: component, Op: op, Call: c.args.CallID, Text: text, Err: err})
}
