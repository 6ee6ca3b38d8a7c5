package stubs

import (
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// onlyMessage says that a message is the only one of its side.
const onlyMessage = transport.FlagOnlyMessage

// A serverMethod is a method with its implementation. It hands out the slots
// for its calls. With neither unary nor desc it stands for all methods that the
// server does not have.
type serverMethod struct {
	server *Server
	path   string
	impl   any
	unary  MethodHandler // of a unary method
	desc   *StreamDesc   // of one with a stream
	info   *StreamServerInfo
}

// AllocateRequest returns the slot for a call that has come.
func (m *serverMethod) AllocateRequest() *surface.RequestedCall {
	s := m.server
	c, ok := s.calls.Get().(*serverCall)
	if !ok {
		c = new(serverCall)
		c.decode = c.decodeRequest
	}
	c.method = m
	c.req.Tag = c
	return &c.req
}

// A serverCall is what a server needs for one call beside the call of layer 4.
// It is used for one call after another. Its references are its handler's,
// until the answer is sent, and that of the end of the stream, which comes
// whatever happens; the last one releases the call.
type serverCall struct {
	req    surface.RequestedCall
	method *serverMethod
	ctx    *handlerContext
	decode func(any) error // decodeRequest, bound once

	refs       atomic.Int32
	compressed atomic.Bool        // the last message that was received came so
	end        surface.CallStatus // how the stream ended

	// Of the handler's goroutine.
	closeOps  [1]surface.Op
	answerOps [3]surface.Op
	event     trace.EventID // the last one, with a trace

	// Guarded by ctx.mu.
	response response
}

// A response is what goes out beside messages. Its lists are made when a handler
// adds to them.
type response struct {
	header     *metadata.List
	trailer    *metadata.List
	headerSent bool
	compressor string // from SetSendCompressor
}

// reset empties the response and keeps the memory of its lists.
func (r *response) reset() {
	for _, l := range [...]*metadata.List{r.header, r.trailer} {
		if l != nil {
			l.Reset()
		}
	}
	r.headerSent, r.compressor = false, ""
}

// The closures of a serverCall.
type (
	callClosed   serverCall // the stream has ended
	callAnswered serverCall // the status has been sent, or could not be
)

// Run is the arrival of a call, on the goroutine that reads the connection.
func (c *serverCall) Run(ok bool) {
	s := c.method.server
	switch {
	case !ok:
		s.recycle(c)
	case c.method.unary == nil && c.method.desc == nil:
		c.begin()
		c.answer(nil, c.unknownMethod())
	default:
		if s.trace.on() {
			c.event = s.trace.server(0, c.req.Call.ID(), "dispatch", c.method.path, trace.DirUp, nil)
		}
		s.workers.Go((*handling)(c))
	}
}

// begin makes the context and asks for the end of the stream.
func (c *serverCall) begin() {
	c.refs.Store(2)
	c.ctx = newHandlerContext(c)
	c.closeOps[0] = surface.Op{Type: surface.RecvCloseOnServer, StatusResult: &c.end}
	if fault := c.req.Call.StartBatchAndExecute(c.closeOps[:], (*callClosed)(c)); fault != surface.CallOK {
		// Nothing was started on this call before, and it is not released.
		panic(fmt.Sprintf("stubs: layer 4 refuses recv_close_on_server on a new call: %v", fault))
	}
}

// Run is the end of the stream.
func (d *callClosed) Run(bool) {
	c := (*serverCall)(d)
	c.ctx.callEnded(&c.end)
	c.unref()
}

// Run is the end of the answer.
func (d *callAnswered) Run(bool) { (*serverCall)(d).unref() }

// unref drops a reference. The last one releases the call.
func (c *serverCall) unref() {
	if c.refs.Add(-1) == 0 {
		c.req.Call.Release()
		c.method.server.recycle(c)
	}
}

// recycle empties c and keeps it.
func (s *Server) recycle(c *serverCall) {
	c.response.reset()
	c.req.Payload.Release()
	c.req = surface.RequestedCall{}
	c.method, c.ctx, c.end, c.event = nil, nil, surface.CallStatus{}, 0
	c.compressed.Store(false)
	clear(c.closeOps[:])
	clear(c.answerOps[:])
	s.calls.Put(c)
}

// unknownMethod words why the server has no method of this name.
func (c *serverCall) unknownMethod() error {
	s := c.method.server
	path := c.req.Details.Method
	service, name, ok := splitMethod(path)
	s.mu.Lock()
	known := s.services[service] != nil
	s.mu.Unlock()
	switch {
	case !ok:
		return status.Errorf(status.Unimplemented, "malformed method name: %q", path)
	case known:
		return status.Errorf(status.Unimplemented, "unknown method %s for service %s", name, service)
	default:
		return status.Errorf(status.Unimplemented, "unknown service %s", service)
	}
}

// splitMethod cuts "/service/name" at its last slash. gRPC-HTTP2 Path
func splitMethod(path string) (service, name string, ok bool) {
	rest, rooted := strings.CutPrefix(path, "/")
	i := strings.LastIndexByte(rest, '/')
	if !rooted || i < 0 {
		return "", "", false
	}
	return rest[:i], rest[i+1:], true
}

// handling is a serverCall as the task of a worker.
type handling serverCall

// Run handles the call: it is the whole of what a worker does for it. Whatever
// the handler does, return, panic or end its goroutine, the call is answered.
func (d *handling) Run() {
	c := (*serverCall)(d)
	s := c.method.server
	trace.Role(s.trace.sink, "server handler")
	c.begin()
	if s.trace.on() {
		c.event = s.trace.server(c.event, c.req.Call.ID(), "handler", c.method.path, trace.DirUp, nil)
	}
	var (
		reply    any
		err      error
		returned bool
	)
	defer func() {
		if !returned {
			reply, err = nil, c.interrupted(recover())
		}
		c.ctx.handlerReturned()
		if s.trace.on() {
			c.event = s.trace.server(c.event, c.req.Call.ID(), "return", c.method.path, trace.DirDown, err)
		}
		c.answer(reply, err)
	}()
	if c.method.unary != nil {
		reply, err = c.method.unary(c.method.impl, c.ctx, c.decode, s.unary)
	} else {
		err = c.stream()
	}
	returned = true
}

// decodeRequest fills m with the request of a unary call, once.
func (c *serverCall) decodeRequest(m any) error {
	buf := c.req.Payload
	if buf == nil {
		return status.Errorf(status.Unimplemented, "stubs: server: the client sent no request to %s, which takes one", c.method.path)
	}
	c.req.Payload = nil
	defer buf.Release()
	if buf.WireLen > 0 {
		c.noteRequest(buf)
	}
	if s := c.method.server; s.trace.on() {
		c.event = s.trace.server(c.event, c.req.Call.ID(), "unmarshal", typeText(m), trace.DirUp, nil)
	}
	return unmarshal("server", buf, m)
}

// interrupted words what a handler did in place of returning: it panicked with
// v or, if v is nil, ended its goroutine.
func (c *serverCall) interrupted(v any) error {
	s := c.method.server
	if v == nil {
		s.logger.Error("stubs: a handler ended its goroutine", "method", c.method.path)
		return status.Errorf(status.Internal, "stubs: server: the handler of %s ended its goroutine", c.method.path)
	}
	if s.cfg.propagatePanics {
		panic(v)
	}
	s.logger.Error("stubs: a handler panicked", "method", c.method.path, "panic", v, "stack", string(debug.Stack()))
	return status.Errorf(status.Internal, "stubs: server: the handler of %s panicked", c.method.path)
}

// answer ends the call with the status of err and, if that is OK, with reply
// before it. Nobody waits for it: the end gives the handler's reference back.
// reply is nil on a call with a stream, whose messages have been sent.
func (c *serverCall) answer(reply any, err error) {
	var buf *transport.Buffer
	if err == nil && c.method.unary != nil {
		buf, err = c.encode(reply)
	}
	ops := c.answerOps[:0]
	r := &c.response
	if buf != nil || !r.headerSent && r.header != nil && r.header.Len() > 0 {
		ops = append(ops, surface.Op{Type: surface.SendInitialMetadata, SendMetadata: r.takeHeader()})
	}
	if buf != nil {
		ops = append(ops, surface.Op{Type: surface.SendMessage, Message: buf})
	}
	ops = append(ops, surface.Op{Type: surface.SendStatusFromServer, Status: statusOf(err), SendMetadata: r.trailer})
	fault := c.req.Call.StartBatchAndExecute(ops, (*callAnswered)(c))
	if fault == surface.CallErrorTooManyOperations && buf != nil && r.headerSent {
		// As it should be: they went out. Where SendHeader has only taken them,
		// and this batch was first, it is they that are refused.
		fault = c.req.Call.StartBatchAndExecute(ops[1:], (*callAnswered)(c))
	}
	if fault == surface.CallOK {
		return
	}
	// A message that another goroutine is still sending is in the way.
	buf.Release()
	st := status.Convert(refused("server", fault, nil))
	c.req.Call.CancelWithStatus(st.Code(), st.Message())
	c.unref()
}

// encode turns the reply of a unary call into bytes.
func (c *serverCall) encode(reply any) (*transport.Buffer, error) {
	s := c.method.server
	if s.trace.on() {
		c.event = s.trace.server(c.event, c.req.Call.ID(), "marshal", typeText(reply), trace.DirDown, nil)
	}
	buf, err := marshal("server", reply)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.maxSend.check("server", "send", buf.Len()); err != nil {
		buf.Release()
		return nil, err
	}
	return buf, nil
}

// statusOf returns the status that a handler's error stands for: the one in it,
// that of an error of package context, or UNKNOWN with its text. Nil is OK.
func statusOf(err error) *status.Status {
	if err == nil {
		return nil
	}
	return status.Convert(err)
}
