package stubs

import (
	"context"
	"io"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// setHeader adds to the headers.
func (c *handlerContext) setHeader(md metadata.MD) error {
	return c.addTo("SetHeader", md, func(r *response) (**metadata.List, error) {
		if r.headerSent {
			return nil, status.Errorf(status.Internal, "stubs: server: SetHeader on %s after the headers were sent", c.method.path)
		}
		return &r.header, nil
	})
}

// setTrailer adds to the trailers.
func (c *handlerContext) setTrailer(md metadata.MD) error {
	return c.addTo("SetTrailer", md, func(r *response) (**metadata.List, error) { return &r.trailer, nil })
}

// addTo adds md to one of the lists of the response. What cannot travel is
// refused here, so that it cannot keep the status from being sent.
func (c *handlerContext) addTo(what string, md metadata.MD, list func(*response) (**metadata.List, error)) error {
	if len(md) == 0 {
		return nil
	}
	var l metadata.List
	l.AppendMD(md)
	if err := surface.CheckMetadata(&l); err != nil {
		return status.Newf(status.Internal, "stubs: server: %s on %s: %v", what, c.method.path, err).WithCause(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.call == nil {
		return c.tooLate(what)
	}
	to, err := list(&c.call.response)
	if err != nil {
		return err
	}
	if *to == nil {
		*to = new(metadata.List)
	}
	for _, p := range l.Pairs() {
		(*to).Append(p.Key, p.Value)
	}
	return nil
}

// tooLate words the use of a call whose handler has returned.
func (c *handlerContext) tooLate(what string) error {
	return status.Newf(status.Canceled, "stubs: server: %s on %s after its handler has returned", what, c.method.path).
		WithCause(context.Canceled)
}

// takeHeader returns the headers, nil for none, for who is about to send them,
// and the call. It reports false if they went out before.
func (c *handlerContext) takeHeader(what string) (header *metadata.List, first bool, call surface.Call, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.call == nil {
		return nil, false, surface.Call{}, c.tooLate(what)
	}
	r := &c.call.response
	if r.headerSent {
		return nil, false, c.call.req.Call, nil
	}
	r.headerSent = true
	header, r.header = r.takeHeader(), nil
	return header, true, c.call.req.Call, nil
}

// sendHeader adds to the headers and sends them.
func (c *handlerContext) sendHeader(md metadata.MD) error {
	if err := c.setHeader(md); err != nil {
		return err
	}
	header, first, call, err := c.takeHeader("SendHeader")
	if err != nil {
		return err
	}
	if !first {
		return status.Errorf(status.Internal, "stubs: server: SendHeader on %s after the headers were sent", c.method.path)
	}
	ops := []surface.Op{{Type: surface.SendInitialMetadata, SendMetadata: header}}
	ok, fault := pluck(call, ops, &ops[0])
	return c.outcome("SendHeader", ok, fault)
}

// pluck starts ops and waits for them. No context is watched: the end of the
// call completes them, and nothing else ends the handler's context before.
func pluck(call surface.Call, ops []surface.Op, tag any) (ok bool, fault surface.CallError) {
	if fault = call.StartBatch(ops, tag); fault != surface.CallOK {
		return false, fault
	}
	return call.Pluck(tag, nil).Success, surface.CallOK
}

// outcome turns the result of pluck into that of the method named what.
func (c *handlerContext) outcome(what string, ok bool, fault surface.CallError) error {
	switch {
	case ok:
		return nil
	case fault == surface.CallErrorReleased:
		return c.tooLate(what)
	case fault != surface.CallOK:
		return refused("server", fault, nil)
	}
	return c.endStatus()
}

// endStatus waits for the end of the call, which an operation that failed shows
// to be near, and returns the status that describes it.
func (c *handlerContext) endStatus() error {
	<-c.Done()
	c.mu.Lock()
	err, cause := c.err, c.cause
	c.mu.Unlock()
	if err == nil { // the timer of inner was first
		err, cause = context.DeadlineExceeded, context.DeadlineExceeded
	}
	code := status.FromContextError(err).Code()
	if why := transport.OutcomeOf(cause, c.deadline).Code; code == status.Canceled && why != status.Unknown && why != status.Unavailable {
		code = why // a limit or a rule of the protocol, not the client or the network
	}
	return status.New(code, cause.Error()).WithCause(cause)
}

// A serverStream is the handler's end of a call with a stream. It is not
// pooled, since a handler may keep it.
type serverStream struct {
	// Set by stream, read-only afterwards.
	ctx  *handlerContext
	call surface.Call

	send serverSend
	recv serverRecv
}

// A serverSend belongs to the goroutine that sends.
type serverSend struct {
	ops  [2]surface.Op
	sent bool // a message was
}

// A serverRecv belongs to the goroutine that receives.
type serverRecv struct {
	ops     [1]surface.Op
	message *transport.Buffer
	got     bool // a message was received

	compressed bool // the last one came so
}

// stream runs the handler of a call with a stream.
func (c *serverCall) stream() error {
	m, s := c.method, c.method.server
	ss := &serverStream{ctx: c.ctx, call: c.req.Call}
	var err error
	if s.stream == nil {
		err = m.desc.Handler(m.impl, ss)
	} else {
		err = s.stream(m.impl, ss, m.info, m.desc.Handler)
	}
	if err == nil && !m.desc.ServerStreams && !ss.send.sent {
		return status.Errorf(status.Unimplemented, "stubs: server: the handler of %s returned without its response", m.path)
	}
	return err
}

// Context returns the context of the call.
func (s *serverStream) Context() context.Context { return s.ctx }

// SetHeader adds to the headers.
func (s *serverStream) SetHeader(md metadata.MD) error { return s.ctx.setHeader(md) }

// SendHeader adds to the headers and sends them.
func (s *serverStream) SendHeader(md metadata.MD) error { return s.ctx.sendHeader(md) }

// SetTrailer adds to the trailers.
func (s *serverStream) SetTrailer(md metadata.MD) {
	if err := s.ctx.setTrailer(md); err != nil {
		s.ctx.method.server.logger.Error("stubs: trailers were left out", "error", err)
	}
}

// SendMsg sends a message, with the headers if it is the first.
func (s *serverStream) SendMsg(m any) error {
	method := s.ctx.method
	if s.send.sent && !method.desc.ServerStreams {
		return status.Errorf(status.Internal, "stubs: server: a second response to %s, which has one", method.path)
	}
	buf, err := marshal("server", m)
	if err != nil {
		return err
	}
	if err := method.server.cfg.maxSend.check("server", "send", buf.Len()); err != nil {
		buf.Release()
		return err
	}
	if o := method.server.trace; o.on() {
		o.server(0, s.call.ID(), "marshal", typeText(m), trace.DirDown, nil)
	}
	header, first, call, err := s.ctx.takeHeader("SendMsg")
	if err != nil {
		buf.Release()
		return err
	}
	ops := append(s.send.ops[:0], surface.Op{Type: surface.SendMessage, Message: buf, Flags: messageFlags(m)})
	if first {
		ops = append(ops, surface.Op{Type: surface.SendInitialMetadata, SendMetadata: header})
	}
	ok, fault := pluck(call, ops, &s.send)
	clear(s.send.ops[:])
	if fault != surface.CallOK {
		buf.Release()
	}
	s.send.sent = s.send.sent || ok
	return s.ctx.outcome("SendMsg", ok, fault)
}

// RecvMsg receives a message. Where the client sends one message only, that
// one has to come and no other.
func (s *serverStream) RecvMsg(m any) error {
	method := s.ctx.method
	op := surface.Op{Type: surface.RecvMessage, RecvMessage: &s.recv.message}
	if !method.desc.ClientStreams {
		if s.recv.got {
			return io.EOF
		}
		op.Flags = onlyMessage
	}
	s.recv.ops[0], s.recv.message = op, nil
	ok, fault := pluck(s.call, s.recv.ops[:], &s.recv)
	buf := s.recv.message
	s.recv.message = nil
	defer buf.Release()
	switch {
	case !ok:
		return s.ctx.outcome("RecvMsg", ok, fault)
	case buf == nil && !method.desc.ClientStreams:
		return status.Errorf(status.Unimplemented, "stubs: server: the client sent no request to %s, which takes one", method.path)
	case buf == nil:
		return io.EOF
	}
	s.recv.got = true
	if was := buf.WireLen > 0; was != s.recv.compressed {
		s.recv.compressed = was
		s.ctx.noteRequest(buf)
	}
	if o := method.server.trace; o.on() {
		o.server(0, s.call.ID(), "unmarshal", typeText(m), trace.DirUp, nil)
	}
	return unmarshal("server", buf, m)
}
