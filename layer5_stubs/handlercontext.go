package stubs

import (
	"context"
	"errors"
	"sync"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/filters/serverauth"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// The causes of a context's end that is nobody's fault.
var (
	errHandlerReturned = errors.New("stubs: the handler has returned")
	errCallEnded       = errors.New("stubs: the call has ended")
)

// A handlerContext is the context of one call on a server: the background, the
// deadline, what the client sent and who it is, in one allocation. What is
// rarely asked for is made when it is.
//
// It is not pooled, since a handler may keep it. It ends when the call does or
// when its handler returns, whatever comes first, and is cut off from the
// memory of the call then.
type handlerContext struct {
	// Set by newHandlerContext, read-only afterwards.
	method    *serverMethod
	peer      *peer.Peer
	principal any
	deadline  time.Time

	mu sync.Mutex // a leaf
	// Guarded by mu.
	call   *serverCall // nil once the handler has returned
	md     metadata.MD // made of the client's headers when asked for, nil before
	err    error       // not nil once the context has ended
	cause  error
	inner  context.Context // made for Done and for contexts that are derived
	cancel context.CancelCauseFunc
	timer  context.CancelFunc // frees the timer of inner, nil without one
}

var _ context.Context = (*handlerContext)(nil)

func newHandlerContext(c *serverCall) *handlerContext {
	d := &c.req.Details
	return &handlerContext{method: c.method, peer: c.req.Call.Peer(), principal: d.Principal, deadline: d.Deadline, call: c}
}

// Deadline returns until when the client waits.
func (c *handlerContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Done returns a channel that is closed when the context ends.
func (c *handlerContext) Done() <-chan struct{} { return c.std().Done() }

// Err returns context.DeadlineExceeded or context.Canceled when the context
// has ended.
func (c *handlerContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner != nil {
		return c.inner.Err()
	}
	return c.err
}

// handlerKey is the key of the handlerContext itself.
type handlerKey struct{}

// Value knows the keys of the library.
func (c *handlerContext) Value(key any) any {
	switch key {
	case handlerKey{}:
		return c
	case metadata.IncomingKey():
		return c.incoming()
	case peer.Key():
		if c.peer != nil {
			return c.peer
		}
		return nil
	case serverauth.Key():
		return c.principal
	}
	// Package context looks for a context of its own under a key of this type,
	// to derive from it and to read its cause. If it ever changes that, derived
	// contexts cost a goroutine and context.Cause becomes the plain error.
	if _, ok := key.(*int); ok {
		return c.std().Value(key)
	}
	return nil
}

// std returns the context of package context behind c. Only if it exists does a
// deadline cost a timer.
func (c *handlerContext) std() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner != nil {
		return c.inner
	}
	c.inner, c.cancel = context.WithCancelCause(context.Background())
	if c.err == nil || c.dueLocked() {
		if !c.deadline.IsZero() {
			c.inner, c.timer = context.WithDeadline(c.inner, c.deadline)
		}
	}
	if c.err != nil && !c.dueLocked() {
		c.cancel(c.cause)
	}
	return c.inner
}

// incoming returns the client's metadata. A context that outlives its handler
// has it only if it was asked for before.
func (c *handlerContext) incoming() metadata.MD {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.md == nil && c.call != nil {
		c.md = incomingMD(c.call.req.Metadata)
	}
	return c.md
}

// incomingMD returns the pairs of l with those fields of the request that
// grpc-go gives its handlers too.
func incomingMD(l *metadata.List) metadata.MD {
	md := l.MD()
	if md == nil {
		md = metadata.MD{}
	}
	for _, f := range [...]metadata.Pair{{Key: ":authority", Value: l.Authority}, {Key: "user-agent", Value: l.UserAgent}} {
		if f.Value != "" {
			md[f.Key] = []string{f.Value}
		}
	}
	return md
}

// callEnded ends the context because the call has. Once its deadline has passed
// a context ends by that, whatever it was that ended the call.
func (c *handlerContext) callEnded(end *surface.CallStatus) {
	err := context.Canceled
	if end.Code != status.OK && transport.Passed(c.deadline) || end.Code == status.DeadlineExceeded {
		err = context.DeadlineExceeded
	}
	c.end(err, endCause(end))
}

// endCause says why a call on a server has ended.
func endCause(end *surface.CallStatus) error {
	if end.Err != nil {
		return end.Err
	}
	return errCallEnded
}

// handlerReturned ends the context and cuts it off from the call.
func (c *handlerContext) handlerReturned() {
	c.mu.Lock()
	c.call = nil
	c.mu.Unlock()
	c.end(context.Canceled, errHandlerReturned)
}

// end ends the context; the first time counts.
func (c *handlerContext) end(err, cause error) {
	c.mu.Lock()
	if c.err == nil {
		c.err, c.cause = err, cause
	}
	cancel, cause, timer := c.cancel, c.cause, c.timer
	due := err == context.DeadlineExceeded && c.dueLocked()
	c.mu.Unlock()
	if cancel == nil || due {
		return
	}
	cancel(cause)
	if timer != nil {
		timer()
	}
}

// dueLocked reports whether the call has ended at the deadline of c: then the
// timer of inner, which makes the error that of a deadline, is about to fire.
// Caller holds c.mu.
func (c *handlerContext) dueLocked() bool {
	return c.err == context.DeadlineExceeded && !c.deadline.IsZero()
}

// handlerOf returns the context of the call that ctx belongs to.
func handlerOf(ctx context.Context) (*handlerContext, error) {
	c, ok := ctx.Value(handlerKey{}).(*handlerContext)
	if !ok {
		return nil, status.Error(status.Internal, "stubs: server: the context is not that of a handler")
	}
	return c, nil
}

// Method returns the method of the call that a handler's ctx belongs to, as
// "/package.Service/Method".
func Method(ctx context.Context) (method string, ok bool) {
	c, err := handlerOf(ctx)
	if err != nil {
		return "", false
	}
	return c.method.path, true
}

// Principal returns who calls: what the hook of [ServerAuth] has left in
// [AuthRequest]. It is nil if there is no hook, or if ctx is not a handler's; a
// test of a handler makes such a ctx with serverauth.NewContext.
func Principal(ctx context.Context) any { return serverauth.FromContext(ctx) }

// Draining returns a channel that is closed when the server begins to shut
// down. A handler without an end of its own then comes to one. It is nil if ctx
// is not a handler's.
func Draining(ctx context.Context) <-chan struct{} {
	c, err := handlerOf(ctx)
	if err != nil {
		return nil
	}
	return c.method.server.server.Draining()
}

// SetHeader adds to the headers of the call that a handler's ctx belongs to.
// They go out with SendHeader, the first message or the status. It fails once
// they have gone out.
func SetHeader(ctx context.Context, md metadata.MD) error {
	c, err := handlerOf(ctx)
	if err != nil {
		return err
	}
	return c.setHeader(md)
}

// SendHeader adds to the headers of the call that a handler's ctx belongs to
// and sends them. It is for once only.
func SendHeader(ctx context.Context, md metadata.MD) error {
	c, err := handlerOf(ctx)
	if err != nil {
		return err
	}
	return c.sendHeader(md)
}

// SetTrailer adds to the trailers of the call that a handler's ctx belongs to.
func SetTrailer(ctx context.Context, md metadata.MD) error {
	c, err := handlerOf(ctx)
	if err != nil {
		return err
	}
	return c.setTrailer(md)
}
