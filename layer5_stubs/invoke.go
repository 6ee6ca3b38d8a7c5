package stubs

import (
	"context"
	"errors"
	"fmt"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	cq "github.com/strata-grpc/strata/layer3_cq"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// A unaryCall is what one unary call needs beside the call of layer 4. It is
// used for one call after another, so that a call allocates nothing of its own
// (TestAllocsInvoke).
type unaryCall struct {
	callConfig

	// ops point into this struct. Their metadata and results are always the
	// same places; only flags and message change from call to call.
	ops      [6]surface.Op
	initial  metadata.List // to be sent
	headers  metadata.List
	trailers metadata.List
	message  *transport.Buffer // received
	end      surface.CallStatus

	event trace.EventID // the last one, with a trace
}

// The places of those ops that change.
const (
	opSendHeaders = 0
	opSendMessage = 1
	opRecvMessage = 4
)

// getUnary returns a unaryCall that is empty.
func (cc *ClientConn) getUnary() *unaryCall {
	if u, ok := cc.scratch.Get().(*unaryCall); ok {
		return u
	}
	u := new(unaryCall)
	u.ops = [6]surface.Op{
		opSendHeaders: {Type: surface.SendInitialMetadata, SendMetadata: &u.initial},
		opSendMessage: {Type: surface.SendMessage},
		2:             {Type: surface.SendCloseFromClient},
		3:             {Type: surface.RecvInitialMetadata, RecvMetadata: &u.headers},
		opRecvMessage: {Type: surface.RecvMessage, RecvMessage: &u.message, Flags: onlyMessage},
		5:             {Type: surface.RecvStatusOnClient, RecvMetadata: &u.trailers, StatusResult: &u.end},
	}
	return u
}

// putUnary empties u and keeps it.
func (cc *ClientConn) putUnary(u *unaryCall) {
	u.callConfig = callConfig{}
	u.initial.Reset()
	u.headers.Reset()
	u.trailers.Reset()
	u.message, u.end, u.event = nil, surface.CallStatus{}, 0
	cc.scratch.Put(u)
}

// Invoke makes a unary call, through the interceptors if there are any. method
// is "/package.Service/Method". args and reply are messages of protocol
// buffers; reply is filled if the error is nil.
//
// An error is a status: [status.FromError] tells code, message and details. If
// ctx was the reason, it also matches the error of ctx and its cause under
// errors.Is. The deadline and the end of ctx travel to the server, and so does
// its outgoing metadata; nothing else of it does.
func (cc *ClientConn) Invoke(ctx context.Context, method string, args, reply any, opts ...CallOption) error {
	opts = cc.combine(opts)
	if cc.unary != nil {
		return cc.unary(ctx, method, args, reply, cc, opts...)
	}
	return invoke(ctx, method, args, reply, cc, opts...)
}

// invoke is the end of the chain of interceptors: it makes the call.
func invoke(ctx context.Context, method string, args, reply any, cc *ClientConn, opts ...CallOption) error {
	u := cc.getUnary()
	if err := u.apply(opts); err != nil {
		u.finish(err)
		cc.putUnary(u)
		return err
	}
	if cc.trace.on() {
		u.event = cc.trace.stub(0, "stub.invoke", method, trace.DirDown, nil)
	}
	err := cc.run(ctx, u, method, args, reply)
	if cc.trace.on() {
		cc.trace.stub(u.event, "return", method, trace.DirUp, err)
	}
	if len(u.onFinish) > 0 {
		u.finish(err)
	}
	cc.putUnary(u)
	return err
}

// run makes the call with u: one batch of six operations on a queue of the
// call's own, in which the caller's goroutine waits itself.
func (cc *ClientConn) run(ctx context.Context, u *unaryCall, method string, args, reply any) error {
	if err := contextOver(ctx); err != nil {
		return err
	}
	buf, err := marshal("client", args)
	if err != nil {
		return err
	}
	if cc.trace.on() {
		u.event = cc.trace.stub(u.event, "marshal", typeText(args), trace.DirDown, nil)
	}
	if err := u.maxSend.check("client", "send", buf.Len()); err != nil {
		buf.Release()
		return err
	}
	call, err := cc.createCall(ctx, method, &u.callConfig, u.event)
	if err != nil {
		buf.Release()
		return err
	}
	appendMD(&u.initial, metadata.Outgoing(ctx))
	u.initial.Encoding = u.compressor
	u.ops[opSendHeaders].Flags = u.flags
	u.ops[opSendMessage].Message, u.ops[opSendMessage].Flags = buf, messageFlags(args)
	u.ops[opRecvMessage].Limit = u.maxRecv
	if fault := call.StartBatch(u.ops[:], u); fault != surface.CallOK {
		u.ops[opSendMessage].Message = nil
		buf.Release()
		call.Release()
		return refused("client", fault, &u.initial)
	}
	u.ops[opSendMessage].Message = nil
	if ev := call.Pluck(u, ctx.Done()); ev.Type == cq.QueueTimeout {
		cancelFor(ctx, call)
		call.Pluck(u, nil)
	}
	u.store(call, &u.headers, &u.trailers)
	call.Release()
	return cc.result(ctx, u, method, reply)
}

// result turns what the batch has brought into the caller's results.
func (cc *ClientConn) result(ctx context.Context, u *unaryCall, method string, reply any) error {
	defer u.message.Release()
	switch {
	case u.end.Code != status.OK:
		return endError(ctx, &u.end, &u.trailers)
	case u.message == nil:
		return noResponse(method)
	}
	if cc.trace.on() {
		u.event = cc.trace.stub(u.event, "unmarshal", typeText(reply), trace.DirUp, nil)
	}
	u.note(u.message)
	return unmarshal("client", u.message, reply)
}

// appendMD adds md without the pseudo-header field that handlers find in what
// they received, so that a proxy may pass that on as it is.
func appendMD(l *metadata.List, md metadata.MD) {
	l.AppendMD(md)
	l.Delete(":authority")
}

// createCall returns a call of layer 4. Whoever uses it watches ctx.
func (cc *ClientConn) createCall(ctx context.Context, method string, cfg *callConfig, cause trace.EventID) (surface.Call, error) {
	deadline, _ := ctx.Deadline()
	call, err := cc.channel.CreateCall(surface.CallParams{
		Method: method, Host: cfg.authority, Deadline: deadline, DeadlineWatched: ctx.Done() != nil, Cause: cause,
		Credentials: cfg.credentials,
	})
	if err != nil {
		if _, ok := status.FromError(err); !ok {
			err = status.New(status.Internal, err.Error()).WithCause(err)
		}
		return call, err
	}
	return call, nil
}

// contextOver returns the status of a call whose context is over before it has
// begun, nil if it is not.
func contextOver(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	return status.Newf(status.FromContextError(err).Code(), "stubs: the call did not begin: %s", contextText(ctx)).
		WithCause(contextCause(ctx))
}

// contextText says why ctx ended, in the words that users look for, and why it
// was cancelled if somebody said.
func contextText(ctx context.Context) string {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || cause == err {
		return err.Error()
	}
	return fmt.Sprintf("%v: %v", err, cause)
}

// contextCause returns an error that matches both the error of ctx and its
// cause.
func contextCause(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || cause == err {
		return err
	}
	return errors.Join(err, cause)
}

// cancelFor ends a call whose context has ended.
func cancelFor(ctx context.Context, call surface.Call) {
	call.CancelWithStatus(status.FromContextError(ctx.Err()).Code(), contextText(ctx))
}

// endError returns the error of a call that has not ended with OK. A status
// that was made here, because ctx ended, gets the cause of that.
func endError(ctx context.Context, end *surface.CallStatus, trailers *metadata.List) error {
	local := end.Err != nil && (end.Code == status.Canceled || end.Code == status.DeadlineExceeded)
	if local && ctx.Err() != nil {
		end.Err = errors.Join(end.Err, contextCause(ctx))
	}
	return end.AsError(trailers)
}

// noResponse is a violation by the server of a method's cardinality, for which
// the gRPC status code document has UNIMPLEMENTED.
func noResponse(method string) error {
	return status.Errorf(status.Unimplemented, "stubs: client: the server ended %s with OK and without a response", method)
}

// refused words why layer 4 did not start a batch. md is what the batch was to
// send. Metadata that cannot travel is a mistake of the program and so INTERNAL.
func refused(side string, fault surface.CallError, md *metadata.List) error {
	if fault == surface.CallErrorInvalidMetadata {
		if err := surface.CheckMetadata(md); err != nil {
			return status.New(status.Internal, err.Error()).WithCause(err)
		}
	}
	return status.Newf(status.Internal, "stubs: %s: the operation was refused: %v", side, fault).WithCause(fault)
}
