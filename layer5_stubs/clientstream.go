package stubs

import (
	"context"
	"io"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// A clientStream is a call with a stream. The headers, and the end, are asked
// for at once and answered by closures; each message is a batch that its caller
// plucks. It is not pooled, since a program may keep it.
//
// Invariant: the handle is released once, when uses becomes 0: the call has
// ended and nobody is inside a method that uses the handle.
type clientStream struct {
	// Set by newStream, read-only afterwards.
	ctx     context.Context
	cc      *ClientConn
	desc    *StreamDesc
	method  string
	call    surface.Call
	cfg     callConfig
	event   trace.EventID
	stopCtx func() bool // takes the stream off ctx

	uses atomic.Int32 // 1 until the call has ended, and 1 for each method inside

	headers      metadata.List // these three are written before hasHeaders is closed
	noHeaders    bool          // none came: the call has ended
	trailersOnly bool
	hasHeaders   chan struct{}

	trailers metadata.List // this and err are written before ended is closed
	status   surface.CallStatus
	err      error // why the call ended, nil for OK
	ended    chan struct{}

	send sendHalf
	recv recvHalf
}

// A sendHalf belongs to the goroutine that sends.
type sendHalf struct {
	ops    [2]surface.Op
	closed bool
}

// A recvHalf belongs to the goroutine that receives.
type recvHalf struct {
	ops     [1]surface.Op
	message *transport.Buffer
	done    bool // the only message of a call that has one was received
}

// NewStream begins a call with a stream, through the interceptors if there are
// any. Generated code calls it. The stream ends with ctx at the latest; see
// [ClientStream].
func (cc *ClientConn) NewStream(ctx context.Context, desc *StreamDesc, method string, opts ...CallOption) (ClientStream, error) {
	opts = cc.combine(opts)
	if cc.stream != nil {
		return cc.stream(ctx, desc, cc, method, opts...)
	}
	return newStream(ctx, desc, cc, method, opts...)
}

// newStream is the end of the chain of interceptors: it begins the call.
func newStream(ctx context.Context, desc *StreamDesc, cc *ClientConn, method string, opts ...CallOption) (ClientStream, error) {
	if err := contextOver(ctx); err != nil {
		return nil, err
	}
	s := &clientStream{
		ctx: ctx, cc: cc, desc: desc, method: method,
		hasHeaders: make(chan struct{}), ended: make(chan struct{}),
	}
	if err := s.cfg.apply(opts); err != nil {
		return nil, err
	}
	if cc.trace.on() {
		s.event = cc.trace.stub(0, "stub.stream", method, trace.DirDown, nil)
	}
	call, err := cc.createCall(ctx, method, &s.cfg, s.event)
	if err != nil {
		return nil, err
	}
	s.call = call
	s.uses.Store(2) // until the end, and until begin returns
	if err := s.begin(); err != nil {
		call.Release()
		return nil, err
	}
	s.unuse()
	return s, nil
}

// begin starts the batches that last as long as the call.
func (s *clientStream) begin() error {
	var initial metadata.List
	appendMD(&initial, metadata.Outgoing(s.ctx))
	initial.Encoding = s.cfg.compressor
	flags := s.cfg.flags
	if !s.desc.ClientStreams {
		flags |= transport.FlagCorked // the only message follows at once
	}
	// Set before anything can end the call: the end reads it.
	s.stopCtx = func() bool { return true }
	if s.ctx.Done() != nil {
		s.stopCtx = context.AfterFunc(s.ctx, func() { cancelFor(s.ctx, s.call) })
	}
	fault := s.call.StartBatchAndExecute([]surface.Op{
		{Type: surface.SendInitialMetadata, SendMetadata: &initial, Flags: flags},
		{Type: surface.RecvStatusOnClient, RecvMetadata: &s.trailers, StatusResult: &s.status},
	}, (*streamEnded)(s))
	if fault != surface.CallOK {
		s.stopCtx()
		return refused("client", fault, &initial)
	}
	fault = s.call.StartBatchAndExecute([]surface.Op{
		{Type: surface.RecvInitialMetadata, RecvMetadata: &s.headers, TrailersOnly: &s.trailersOnly},
	}, (*streamHeaders)(s))
	if fault != surface.CallOK {
		close(s.hasHeaders) // so that nobody waits for what was not asked for
	}
	return nil
}

// The closures of a clientStream.
type (
	streamHeaders clientStream
	streamEnded   clientStream
)

// Run is the arrival of the headers, or that none will come.
func (d *streamHeaders) Run(ok bool) {
	d.noHeaders = !ok || d.trailersOnly
	close(d.hasHeaders)
}

// Run is the end of the call. Everything was received before.
func (d *streamEnded) Run(bool) {
	s := (*clientStream)(d)
	s.stopCtx()
	if s.status.Code != status.OK {
		s.err = endError(s.ctx, &s.status, &s.trailers)
	}
	s.cfg.store(s.call, &s.headers, &s.trailers)
	if s.cc.trace.on() {
		s.cc.trace.stub(s.event, "return", s.method, trace.DirUp, s.err)
	}
	close(s.ended)
	if len(s.cfg.onFinish) > 0 {
		go s.finish() // a program's code, which may not hold up the reader
	}
	s.unuse()
}

// finish tells whoever asked that the call has ended.
func (s *clientStream) finish() { s.cfg.finish(s.err) }

// use keeps the handle from being released. It reports false if it was.
func (s *clientStream) use() bool {
	for {
		n := s.uses.Load()
		if n == 0 {
			return false
		}
		if s.uses.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// unuse is the end of use. The last one releases the handle.
func (s *clientStream) unuse() {
	if s.uses.Add(-1) == 0 {
		s.call.Release()
	}
}

// Context returns the context that the call was begun with.
func (s *clientStream) Context() context.Context { return s.ctx }

// Header waits for the server's headers.
func (s *clientStream) Header() (metadata.MD, error) {
	<-s.hasHeaders
	if !s.noHeaders {
		return s.headers.MD(), nil
	}
	<-s.ended // which follows at once, unless a message that was not received stands before it
	return nil, s.err
}

// Trailer returns the server's trailers.
func (s *clientStream) Trailer() metadata.MD {
	select {
	case <-s.ended:
		return s.trailers.MD()
	default:
		return nil
	}
}

// Close ends the call if it has not ended. It does not wait.
func (s *clientStream) Close() error {
	s.call.CancelWithStatus(status.Canceled, "stubs: the stream was closed before the call ended")
	return nil
}

// SendMsg sends a message. With a client that sends one message the half-close
// goes with it.
func (s *clientStream) SendMsg(m any) error {
	if s.send.closed {
		return s.abort(status.Errorf(status.Internal, "stubs: client: SendMsg on %s after the last message", s.method))
	}
	buf, err := marshal("client", m)
	if err != nil {
		return s.abort(err)
	}
	if err := s.cfg.maxSend.check("client", "send", buf.Len()); err != nil {
		buf.Release()
		return s.abort(err)
	}
	if s.cc.trace.on() {
		s.cc.trace.stub(s.event, "marshal", typeText(m), trace.DirDown, nil)
	}
	s.send.ops[0] = surface.Op{Type: surface.SendMessage, Message: buf, Flags: messageFlags(m)}
	ops := s.send.ops[:1]
	if !s.desc.ClientStreams {
		s.send.closed = true
		s.send.ops[1] = surface.Op{Type: surface.SendCloseFromClient}
		ops = s.send.ops[:2]
	}
	ok, fault := s.perform(ops, &s.send)
	s.send.ops[0].Message = nil
	switch {
	case ok:
		return nil
	case fault == surface.CallErrorReleased:
		buf.Release()
		return s.sendEnded()
	case fault != surface.CallOK:
		buf.Release()
		return s.abort(refused("client", fault, nil))
	}
	return s.sendEnded()
}

// CloseSend says that no more messages come. An end of the call is left to
// RecvMsg.
func (s *clientStream) CloseSend() error {
	if s.send.closed {
		return nil
	}
	s.send.closed = true
	s.send.ops[0] = surface.Op{Type: surface.SendCloseFromClient}
	if _, fault := s.perform(s.send.ops[:1], &s.send); fault != surface.CallOK && fault != surface.CallErrorReleased {
		return s.abort(refused("client", fault, nil))
	}
	return nil
}

// sendEnded is the result of SendMsg when the call has ended. A call on which
// the client sends one message may have messages to be read before its status:
// then RecvMsg has it.
func (s *clientStream) sendEnded() error {
	if s.desc.ClientStreams {
		return io.EOF
	}
	select {
	case <-s.ended:
		return s.err
	default:
		return nil
	}
}

// perform starts ops, waits for them and reports whether all of them worked.
// Nothing was started if fault is not CallOK.
func (s *clientStream) perform(ops []surface.Op, tag any) (ok bool, fault surface.CallError) {
	if !s.use() {
		return false, surface.CallErrorReleased
	}
	defer s.unuse()
	if s.ctx.Err() != nil {
		cancelFor(s.ctx, s.call) // the goroutine that does it may not have run yet
	}
	if fault = s.call.StartBatch(ops, tag); fault != surface.CallOK {
		return false, fault
	}
	// The end of the context completes the batch, so there is nothing else to
	// wait for.
	return s.call.Pluck(tag, nil).Success, surface.CallOK
}

// abort ends the call because of a mistake on this side, which err describes.
func (s *clientStream) abort(err error) error {
	st := status.Convert(err)
	s.call.CancelWithStatus(st.Code(), st.Message())
	return err
}

// RecvMsg receives a message. From a server that sends one message its status
// is awaited too, so that the message is only returned if the call has
// succeeded.
func (s *clientStream) RecvMsg(m any) error {
	if s.recv.done {
		return s.finalStatus()
	}
	op := surface.Op{Type: surface.RecvMessage, RecvMessage: &s.recv.message, Limit: s.cfg.maxRecv}
	if !s.desc.ServerStreams {
		op.Flags = onlyMessage
	}
	s.recv.ops[0] = op
	s.recv.message = nil
	_, fault := s.perform(s.recv.ops[:], &s.recv)
	if fault != surface.CallOK && fault != surface.CallErrorReleased {
		return s.abort(refused("client", fault, nil))
	}
	buf := s.recv.message
	s.recv.message = nil
	if buf == nil {
		return s.recvEnded()
	}
	defer buf.Release()
	s.cfg.note(buf)
	if err := s.decode(buf, m); err != nil {
		return s.abort(err)
	}
	if s.desc.ServerStreams {
		return nil
	}
	s.recv.done = true
	<-s.ended
	return s.err
}

// recvEnded is the result of RecvMsg when no message is left.
func (s *clientStream) recvEnded() error {
	err := s.finalStatus()
	if err == io.EOF && !s.desc.ServerStreams {
		s.recv.done = true
		return noResponse(s.method)
	}
	return err
}

// finalStatus waits for the end of the call: io.EOF for OK.
func (s *clientStream) finalStatus() error {
	<-s.ended
	if s.err == nil {
		return io.EOF
	}
	return s.err
}

func (s *clientStream) decode(buf *transport.Buffer, m any) error {
	if s.cc.trace.on() {
		s.cc.trace.stub(s.event, "unmarshal", typeText(m), trace.DirUp, nil)
	}
	return unmarshal("client", buf, m)
}
