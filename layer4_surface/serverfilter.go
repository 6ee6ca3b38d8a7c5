package surface

import (
	"sync/atomic"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// A serverFilter is the top filter of a connection's stack: it receives the
// headers of a stream that the client began and finds the method for it.
type serverFilter struct{}

// Name is the name of the filter.
func (serverFilter) Name() string { return "server" }

// NewChannel returns the filter's part of a connection's stack.
func (serverFilter) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &serverChannel{callstack.ChannelBase{Next: next}}, nil
}

type serverChannel struct{ callstack.ChannelBase }

// NewCall returns the filter's part of a call block.
func (*serverChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &serverCall{CallBase: callstack.CallBase{Next: next}}
}

// A serverCall is what a server knows of a call beside what a client does.
//
//	            headers       no request      request posted
//	NOT_STARTED ───────▶ match ────────▶ PENDING ────────▶ ACTIVATED
//	                       │                │ stream ended      ▲
//	                       │                ▼                   │
//	                       │             ZOMBIED                │
//	                       └────────────────────────────────────┘
//
// The server asks for headers and for the end of every call itself. That
// operation's reference, the block's first one, is given back with the end, so
// that a call which dies before anybody has heard of it is recycled too.
type serverCall struct {
	callstack.CallBase

	// Set by Init, read-only until the block is recycled.
	call *call

	// Set on the way from the headers to the application.
	conn    *serverConn
	payload *transport.Buffer // of PayloadReadInitial, until it is published
	heard   trace.EventID     // what it is to be published for; accept.Cause is soon that of the end

	accept transport.StreamOpBatch  // recv_initial_metadata and recv_trailing_metadata
	read   *transport.StreamOpBatch // recv_message, of PayloadReadInitial; made when first used, and kept

	pending pendingEntry

	end    atomic.Uint32 // one of end…
	waiter *batch        // recv_close_on_server; written before end is endAwaited
	ending *CallStatus   // how the stream ended, nil for well; written before end is endReached
}

const (
	endOpen    = iota // the stream has not ended
	endAwaited        // the same, and waiter wants to know
	endReached        // it has
)

// The callbacks of a serverCall.
type (
	serverHeaders serverCall
	serverPayload serverCall
	serverEnd     serverCall
)

// Init connects the element with the block that it is part of.
func (s *serverCall) Init(args *callstack.CallArgs) error {
	s.call = args.Owner.(*call)
	s.call.server = s
	return nil
}

// Reset forgets the call. A payload that was never published is released.
func (s *serverCall) Reset() {
	s.payload.Release()
	if s.read != nil {
		*s.read = transport.StreamOpBatch{}
	}
	*s = serverCall{CallBase: s.CallBase, read: s.read}
}

// begin starts what the server wants of every call. fault is what was wrong
// when the elements were initialised, nil for nothing.
func (s *serverCall) begin(conn *serverConn, fault error) {
	c := s.call
	s.conn = conn
	// The headers come with the request, so an application cannot ask again,
	// and messages have nothing to wait for.
	c.state.Store(stateRecvHeaders)
	c.recv.headers.Store(headersSeen)
	s.accept.Ops = transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata
	s.accept.RecvInitialMetadata = transport.RecvInitialMetadata{MD: &c.recv.initial, Peer: &c.peer, Ready: (*serverHeaders)(s)}
	s.accept.RecvTrailingMetadata = transport.RecvTrailingMetadata{MD: &c.recv.trailing, Ready: (*serverEnd)(s)}
	c.Ref() // for the stack's way back; the end gives the other reference back
	if fault != nil {
		c.cancel(fault) // before the headers can reach anybody
	}
	s.Next.StartBatch(&s.accept)
	c.Unref()
}

// Run is the arrival of the headers. With an error, or where begin has cancelled
// the call, it ends before anybody heard of it, and what is to be told to the
// client is on its way.
func (d *serverHeaders) Run(err error) {
	s := (*serverCall)(d)
	c, md := s.call, &s.call.recv.initial
	if err != nil || c.state.Load()&stateCancelled != 0 {
		return
	}
	c.method, c.deadline = md.Path, md.Deadline
	// An authority may be missing: it is optional in gRPC-HTTP2 Call-Definition,
	// although gRPC core refuses a call without.
	if md.Path == "" {
		c.cancel(newLocalError(status.Unknown, "the request names no method: it has no :path"))
		return
	}
	m := s.conn.server.lookup(md.Authority, md.Path)
	s.pending.m, s.heard = m, s.accept.Cause
	if !m.payload.waits() {
		m.submit(s)
		return
	}
	if s.read == nil {
		s.read = new(transport.StreamOpBatch)
	}
	s.read.Ops = transport.OpRecvMessage
	s.read.RecvMessage.Limit, s.read.RecvMessage.LimitName = 0, ""
	s.read.RecvMessage.Only = m.payload == PayloadReadOnly
	s.read.RecvMessage.Ready = (*serverPayload)(s)
	c.Ref()
	s.Next.StartBatch(s.read)
	c.Unref()
}

// Run is the arrival of the first message, nil if the client sent none. The
// application is told only now: it has no use for the call before.
func (d *serverPayload) Run(err error) {
	s := (*serverCall)(d)
	s.payload = s.read.RecvMessage.Message
	s.read.RecvMessage.Message = nil
	if err != nil {
		// A message over the limit, for instance: its status reaches the client.
		s.call.cancel(err)
		return
	}
	s.heard = s.read.Cause
	s.pending.m.submit(s)
}

// Run is the end of the stream, the last callback of its receiving side.
func (d *serverEnd) Run(err error) {
	s := (*serverCall)(d)
	c := s.call
	if err == nil && !c.sentTrailers.Load() {
		err = newLocalError(status.Canceled, "the stream ended before the status was sent")
	}
	if err != nil {
		// Here, for the time counts: the operation may be asked for much later.
		o := transport.OutcomeOf(err, c.deadline)
		s.ending = &CallStatus{Code: o.Code, Message: o.Message, Err: o.Err}
	}
	state := c.state.Or(stateEnded)
	if c.pool.trace.on() {
		st := s.how()
		s.accept.Cause = c.pool.trace.status(c, s.accept.Cause, &st)
	}
	if m := s.pending.m; m != nil {
		m.zombify(s)
	}
	if s.end.Swap(endReached) == endAwaited {
		// With more than this step left the batch may be on its way down.
		if c.pool.trace.on() && s.waiter.steps.Load() == 1 {
			s.waiter.op.Cause = s.accept.Cause
		}
		s.waiter.closed()
	}
	if state&stateChildren != 0 {
		c.endChildren(s.accept.Cause)
	}
	c.Unref()
}

// how says how the stream ended.
func (s *serverCall) how() (st CallStatus) {
	if s.ending != nil {
		st = *s.ending
	}
	return st
}

// awaitClose makes recv_close_on_server, an operation of b, complete when the
// stream has ended. The server itself has asked for that end, so the operation
// does not go down.
func (b *batch) awaitClose() {
	s := b.call.server
	s.waiter = b
	if !s.end.CompareAndSwap(endOpen, endAwaited) {
		b.closed()
	}
}

// closed completes recv_close_on_server. The stream has ended.
func (b *batch) closed() {
	c := b.call
	if c.recv.cancelled != nil {
		*c.recv.cancelled = c.server.ending != nil
	}
	if c.recv.result != nil {
		*c.recv.result = c.server.how()
	}
	b.step()
}

// publish gives the call to the application: it fills in req and posts its
// tag. The call has been activated, which happens once.
func (s *serverCall) publish(req *RequestedCall) {
	c, md := s.call, &s.call.recv.initial
	c.Ref() // the handle's
	req.Call = Call{c: c, generation: c.Generation()}
	req.Details = CallDetails{Method: md.Path, Host: md.Authority, Deadline: md.Deadline, Principal: c.stack.Args.Principal}
	req.Metadata = md
	req.Payload, s.payload = s.payload, nil
	if c.queue = req.BoundTo; c.queue == nil {
		c.queue = &c.ownQueue
	}
	if c.pool.trace.on() {
		c.pool.trace.match(c, s.heard, req)
	}
	req.end(true)
}

// refuse ends a call that the application never hears of.
func (s *serverCall) refuse(code status.Code, message string) {
	s.call.cancel(newLocalError(code, message))
}

// A pendingEntry is a call's place in the list of those that wait for a
// request.
type pendingEntry struct {
	m *matcher // set before the call is submitted

	// Guarded by m.mu.
	state      pendingState
	since      time.Time
	prev, next *serverCall
}

// A pendingState is how far the call is on its way to the application.
type pendingState uint8

const (
	notStarted pendingState = iota
	waiting                 // in the list of pending calls
	activated               // published, or about to be
	zombied                 // refused, or ended while it waited
)
