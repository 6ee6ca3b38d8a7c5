package surfacetest

import (
	"context"
	"log/slog"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/filters/messagesize"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// filterCases are calls through a filter more than there usually is.
func filterCases() []testCase {
	named := []Capability{ClientChannel}
	denied := func() *hook {
		return &hook{init: func() error { return status.Error(status.PermissionDenied, "access denied") }}
	}
	return []testCase{
		{file: "filter_causes_close", name: "FilterCausesClose", bare: true, test: filterCausesClose},
		{file: "filter_init_fails", name: "ServerFilterCallInitFails",
			server: []surface.ServerOption{surface.WithFilter(denied().below())}, test: filterInitFails},
		{file: "filter_init_fails", name: "ClientFilterCallInitFails",
			channel: []surface.ChannelOption{surface.WithChannelFilter(denied().anywhere())}, test: filterInitFails},
		{file: "filter_init_fails", name: "SubchannelFilterCallInitFails", needs: named,
			channel: []surface.ChannelOption{surface.WithFilter(denied().below())}, test: filterInitFails},
		{file: "no_logging", name: "NoLoggingTest", bare: true, test: noLogging},
		{file: "ours/filter", name: "FailedMessageEndsTheCall", bare: true, test: failedMessage},
		{file: "ours/filter", name: "SpoiltPayloadEndsTheCall", bare: true, test: spoiltPayload},
		{file: "ours/filter_status_code", name: "FilterSeesTheStatus", bare: true, test: filterSeesStatus},
	}
}

// A hook is a filter that does what a case wants, and passes on the rest.
type hook struct {
	name string // where a stack has two
	// init, if not nil, is what the filter makes of the beginning of a call.
	init func() error
	// batch, if not nil, sees a batch before it is passed on to next.
	batch func(next callstack.CallElem, b *transport.StreamOpBatch)
	// instead, if not nil, may end a batch itself, and reports that it has.
	instead func(b *transport.StreamOpBatch) bool
}

// below places the filter where every stack of a connection has room for it.
func (h *hook) below() stacks.Extra {
	return stacks.Extra{Filter: h, After: []string{messagesize.Name}}
}

// anywhere says nothing about the place.
func (h *hook) anywhere() stacks.Extra { return stacks.Extra{Filter: h} }

func (h *hook) Name() string { return "hook" + h.name }

func (h *hook) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &hookChannel{callstack.ChannelBase{Next: next}, h}, nil
}

type hookChannel struct {
	callstack.ChannelBase
	hook *hook
}

func (ch *hookChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &hookCall{callstack.CallBase{Next: next}, ch.hook}
}

type hookCall struct {
	callstack.CallBase
	hook *hook
}

func (c *hookCall) Init(*callstack.CallArgs) error {
	if c.hook.init == nil {
		return nil
	}
	return c.hook.init()
}

func (c *hookCall) StartBatch(b *transport.StreamOpBatch) {
	if c.hook.batch != nil {
		c.hook.batch(c.Next, b)
	}
	if c.hook.instead != nil && c.hook.instead(b) {
		return
	}
	c.Next.StartBatch(b)
}

// A doneFunc is a callback that a hook puts in the place of another.
type doneFunc func(err error)

func (f doneFunc) Run(err error) { f(err) }

// filterCausesClose: a filter of the server ends a call when its headers come,
// and the client is told what the filter says.
func filterCausesClose(r *rig) {
	const text = "Failure that's not preventable."
	h := &hook{batch: func(next callstack.CallElem, b *transport.StreamOpBatch) {
		if b.Ops.Has(transport.OpRecvInitialMetadata) {
			ready := b.RecvInitialMetadata.Ready
			b.RecvInitialMetadata.Ready = doneFunc(func(error) {
				err := status.Error(status.PermissionDenied, text)
				callstack.Cancel(next, err)
				ready.Run(err)
			})
		}
	}}
	r.startServer(surface.WithFilter(h.below()))
	r.openChannel()
	c := r.call()
	r.request(101)
	c.start(1, sendHeaders(), sendMessage("foo"), sendClose(), c.recvHeaders(), c.recvStatus())
	r.verify(ok(1))
	c.wantStatus(status.PermissionDenied, text)
	r.quiet() // the server's application has not heard of the call
}

// filterInitFails: where a filter refuses to begin a call, the call ends with
// the filter's error, which is no matter for the application of the server.
func filterInitFails(r *rig) {
	c := r.call()
	r.request(101)
	c.start(1, sendHeaders(), sendMessage("hello world"), sendClose(), c.recvHeaders(), c.recvStatus())
	r.verify(ok(1))
	c.wantStatus(status.PermissionDenied, "access denied")
	r.quiet()
}

// failedMessage: a filter fails a message and does no more. The call cannot go on
// without it, so it ends with the filter's error, for the server too.
func failedMessage(r *rig) {
	failure := status.Error(status.DataLoss, "the message is spoilt")
	h := &hook{instead: func(b *transport.StreamOpBatch) bool {
		if !b.Ops.Has(transport.OpSendMessage) {
			return false
		}
		b.SendMessage.Buf.Release()
		b.OnComplete.Run(failure)
		return true
	}}
	r.startServer()
	r.openChannel(surface.WithFilter(h.below()))
	c := r.call()
	c.start(1, sendHeaders(), c.recvHeaders())
	c.start(2, c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, s.recvClose(), sendHeaders())
	r.verify(ok(1))
	c.start(3, sendMessage("hello world"))
	r.verify(fails(3), ok(2), ok(102))
	c.wantStatus(status.DataLoss, "the message is spoilt")
	s.wantCancelled(true)
}

// spoiltPayload: a filter of the server fails the message with which a registered
// call would be published. Nobody is told of the call, and it does not hang.
func spoiltPayload(r *rig) {
	h := &hook{batch: func(_ callstack.CallElem, b *transport.StreamOpBatch) {
		if b.Ops.Has(transport.OpRecvMessage) {
			ready := b.RecvMessage.Ready
			b.RecvMessage.Ready = doneFunc(func(error) {
				b.RecvMessage.Message.Release()
				b.RecvMessage.Message = nil
				ready.Run(status.Error(status.DataLoss, "the message is spoilt"))
			})
		}
	}}
	r.server = r.newServer(surface.WithFilter(h.below()))
	m, err := r.server.RegisterMethod(method, "", surface.PayloadReadInitial)
	if err != nil {
		r.Fatal(err)
	}
	r.serve()
	r.openChannel()
	c := r.call()
	r.requestRegistered(101, m, true)
	c.start(1, sendHeaders(), sendMessage("hello world"), sendClose(), c.recvHeaders(), c.recvStatus())
	r.verify(ok(1))
	c.wantStatus(status.DataLoss, "the message is spoilt")
	r.quiet()
}

// filterSeesStatus: filters on both sides see the status that the server sends,
// the client's before the application does.
func filterSeesStatus(r *rig) {
	var sent, received atomic.Int64
	r.startServer(surface.WithFilter((&hook{batch: func(_ callstack.CallElem, b *transport.StreamOpBatch) {
		if b.Ops.Has(transport.OpSendTrailingMetadata) {
			sent.Store(int64(b.SendTrailingMetadata.MD.Status))
		}
	}}).below()))
	r.openChannel(surface.WithFilter((&hook{batch: func(_ callstack.CallElem, b *transport.StreamOpBatch) {
		if b.Ops.Has(transport.OpRecvTrailingMetadata) {
			md, ready := b.RecvTrailingMetadata.MD, b.RecvTrailingMetadata.Ready
			b.RecvTrailingMetadata.Ready = doneFunc(func(err error) {
				received.Store(int64(md.Status))
				ready.Run(err)
			})
		}
	}}).below()))
	simpleRequest(r)
	if want := int64(status.Unimplemented); sent.Load() != want || received.Load() != want {
		r.Errorf("the filters saw status %d and %d, want %d", sent.Load(), received.Load(), want)
	}
}

// A logCount counts what is logged for people to read.
type logCount struct{ atomic.Int64 }

func (c *logCount) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (c *logCount) Handle(context.Context, slog.Record) error {
	c.Add(1)
	return nil
}

func (c *logCount) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c *logCount) WithGroup(string) slog.Handler      { return c }

// noLogging: calls that go well write nothing to the log.
func noLogging(r *rig) {
	var lines logCount
	r.startServer(surface.WithLogger(slog.New(&lines)))
	r.openChannel(surface.WithLogger(slog.New(&lines)))
	for range 10 {
		simpleRequest(r)
	}
	if n := lines.Load(); n > 0 {
		r.Errorf("%d lines were logged, want none", n)
	}
}
