package surface

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A RequestedCall is a slot for one call that a server is to receive. The
// application owns the memory: it posts a slot with [Server.RequestCall] or
// hands one out in [Allocator.AllocateRequest], and may use it again as soon
// as it has got its event.
type RequestedCall struct {
	// Call is the call, whose handle the application has to release. It is
	// the zero Call if the event was no success: the server is shutting down.
	Call Call

	// Details is who is called, until when, and by whom.
	Details CallDetails

	// Metadata is the client's headers, valid until Call is released.
	Metadata *metadata.List

	// Payload is the first message of a method with PayloadReadInitial, nil
	// if the client sent none. Its reference passes to the application.
	Payload *transport.Buffer

	// BoundTo is the queue of the call's batches. Nil is one of its own that
	// delivers by tag; see [Call.Pluck].
	BoundTo *cq.Queue

	// Tag is posted when a call has come.
	Tag cq.Tag

	// WantPayload says that the slot is for a method whose calls are published
	// with their first message. It is checked when the slot is posted, so that no
	// payload comes to a program which does not expect and release it. A slot of
	// an allocator is not checked.
	WantPayload bool

	posted atomic.Bool // by RequestCall, and its event was not dequeued

	// Owned by the server while the slot is posted.
	notify     *cq.Queue
	next       *RequestedCall
	completion cq.Completion
}

// CallDetails describes a call that has come: grpc_call_details.
type CallDetails struct {
	Method   string    // "/service/method"
	Host     string    // what the client takes the server for
	Deadline time.Time // zero for never

	// Principal is who calls, in the words of the hook of [WithServerAuth]; nil
	// without one.
	Principal any
}

// An Allocator hands out slots when calls come. AllocateRequest runs on the
// goroutine that reads the connection and must not block. Without a slot, nil,
// the call is refused with RESOURCE_EXHAUSTED.
type Allocator interface {
	AllocateRequest() *RequestedCall
}

// A PayloadHandling says whether the server waits for the first message before
// it tells the application of a call.
type PayloadHandling uint8

const (
	// PayloadNone: a call is published with its headers.
	PayloadNone PayloadHandling = iota
	// PayloadReadInitial: a call is published with its first message, gRPC
	// core's READ_INITIAL_BYTE_BUFFER.
	PayloadReadInitial
	// PayloadReadOnly: the same for methods whose client sends exactly one; a
	// second message ends the call with UNIMPLEMENTED.
	PayloadReadOnly
)

// waits reports whether a call is published with its first message.
func (p PayloadHandling) waits() bool { return p != PayloadNone }

// A RegisteredMethod is a method that the server matches by its name.
type RegisteredMethod struct{ m *matcher }

// Method returns the path of the method.
func (r *RegisteredMethod) Method() string { return r.m.method }

// A matcher brings together the calls of one method, or of all that are not
// registered, and the requests for them. At most one of the two waits.
//
// Invariant: pendingCount > 0 implies that there is no request.
type matcher struct {
	// Set before the server starts, read-only afterwards.
	server  *Server
	method  string
	payload PayloadHandling
	alloc   Allocator // if not nil, nothing ever waits
	notify  *cq.Queue // of alloc

	mu sync.Mutex // a leaf
	// Guarded by mu.
	requests     []requestList // one for each queue of the server
	head, tail   *serverCall   // pending calls, oldest first
	pendingCount int
	closed       bool
}

// A requestList is the slots that were posted for one queue, oldest first.
type requestList struct{ head, tail *RequestedCall }

func (l *requestList) push(r *RequestedCall) {
	if l.tail == nil {
		l.head = r
	} else {
		l.tail.next = r
	}
	l.tail = r
}

func (l *requestList) pop() *RequestedCall {
	r := l.head
	if r == nil {
		return nil
	}
	if l.head = r.next; l.head == nil {
		l.tail = nil
	}
	r.next = nil
	return r
}

// submit finds a request for s or makes s wait for one.
func (m *matcher) submit(s *serverCall) {
	if m.alloc != nil {
		m.allocate(s)
		return
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		s.refuse(status.Unavailable, shuttingDown)
		return
	}
	// The connection's own queue first, then the others in a circle.
	for i := range m.requests {
		if req := m.requests[(s.conn.queue+i)%len(m.requests)].pop(); req != nil {
			s.pending.state = activated
			m.mu.Unlock()
			s.publish(req)
			return
		}
	}
	now := time.Now()
	stale := m.staleLocked(now)
	full := m.server.cfg.pending.full(m.pendingCount)
	if !full {
		s.call.Ref() // the list's
		m.pushLocked(s, now)
	}
	m.mu.Unlock()
	refuseAll(stale, status.ResourceExhausted, "the call waited too long for the server to request it")
	if full {
		s.refuse(status.ResourceExhausted, "too many calls wait for the server to request them")
	}
}

// allocate gives s to a slot of the allocator. While the server drains calls
// still come, until clients have seen that it does, and they are served: the
// transport refuses those that come after that, so that they can be retried.
func (m *matcher) allocate(s *serverCall) {
	req := m.alloc.AllocateRequest()
	if req == nil {
		s.refuse(status.ResourceExhausted, "the server has no room for the call")
		return
	}
	if m.server.trace.on() {
		m.server.trace.allocated(s.call, s.heard, m.notify, req.Tag)
	}
	if !m.notify.BeginOp(req.Tag) {
		if m.server.trace.on() {
			m.server.trace.refused(m.method, m.notify, req.Tag)
		}
		s.refuse(status.Unavailable, shuttingDown)
		return
	}
	req.notify = m.notify
	s.publish(req)
}

// RequestCall asks for one call of a method that is not registered. When it
// has come req is filled in and notify, a registered queue, gets an event with
// tag. boundTo is the queue of the call's own batches, nil for one of its own.
// If the server shuts down first, or has, the event is a failure.
//
// The errors, in this order: CallErrorFailed before the server has started,
// without req, and where an allocator hands out the slots;
// CallErrorNotServerCompletionQueue; CallErrorPayloadTypeMismatch;
// CallErrorTooManyOperations for a slot whose last event was not taken yet;
// CallErrorCompletionQueueShutdown.
func (s *Server) RequestCall(req *RequestedCall, boundTo, notify *cq.Queue, tag cq.Tag) CallError {
	return s.request(s.unregistered, req, boundTo, notify, tag)
}

// RequestRegisteredCall is RequestCall for calls of one method, which has to be
// registered with this server: else the error is CallErrorFailed.
func (s *Server) RequestRegisteredCall(r *RegisteredMethod, req *RequestedCall, boundTo, notify *cq.Queue, tag cq.Tag) CallError {
	if r == nil || r.m.server != s {
		return CallErrorFailed
	}
	return s.request(r.m, req, boundTo, notify, tag)
}

func (s *Server) request(m *matcher, req *RequestedCall, boundTo, notify *cq.Queue, tag cq.Tag) CallError {
	if !s.started.Load() || req == nil {
		return CallErrorFailed
	}
	i := s.queueIndex(notify)
	switch {
	case m.alloc != nil:
		return CallErrorFailed // its slots are not posted
	case i < 0:
		return CallErrorNotServerCompletionQueue
	case req.WantPayload != m.payload.waits():
		return CallErrorPayloadTypeMismatch
	case !req.posted.CompareAndSwap(false, true):
		return CallErrorTooManyOperations
	}
	if s.trace.on() {
		s.trace.request(m.method, notify, tag)
	}
	if !notify.BeginOp(tag) {
		if s.trace.on() {
			s.trace.refused(m.method, notify, tag)
		}
		req.posted.Store(false)
		return CallErrorCompletionQueueShutdown
	}
	req.BoundTo, req.Tag, req.notify = boundTo, tag, notify
	m.request(i, req)
	return CallOK
}

// request posts a slot, whose tag was begun. A call that waits gets it.
func (m *matcher) request(queue int, req *RequestedCall) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		req.fail()
		return
	}
	var stale []*serverCall
	if m.pendingCount > 0 {
		stale = m.staleLocked(time.Now())
	}
	s := m.head
	if s == nil {
		m.requests[queue].push(req)
	} else {
		m.removeLocked(s, activated)
	}
	m.mu.Unlock()
	refuseAll(stale, status.ResourceExhausted, "the call waited too long for the server to request it")
	if s != nil {
		s.publish(req)
		s.call.Unref() // the list's
	}
}

// fail posts the event of a slot that no call will come for.
func (r *RequestedCall) fail() {
	r.Call, r.Details, r.Metadata, r.Payload = Call{}, CallDetails{}, nil, nil
	r.end(false)
}

// end posts the event of a slot. One that was posted is the application's again
// when that is dequeued.
func (r *RequestedCall) end(success bool) {
	var f cq.Finalizer
	if r.posted.Load() {
		f = (*slotReturned)(r)
	}
	r.notify.EndOp(r.Tag, success, f, &r.completion)
}

// A slotReturned is a slot as the Finalizer of its own event.
type slotReturned RequestedCall

// CompletionDone lets the slot be posted again.
func (d *slotReturned) CompletionDone(*cq.Completion) { d.posted.Store(false) }

// zombify takes s off the list when its stream has ended: it is not published
// any more, and does not take the place of a call that is alive.
func (m *matcher) zombify(s *serverCall) {
	if m.alloc != nil {
		return
	}
	m.mu.Lock()
	listed := s.pending.state == waiting
	if listed {
		m.removeLocked(s, zombied)
	}
	m.mu.Unlock()
	if listed {
		s.call.Unref() // the list's; the caller has another
	}
}

// close fails the slots and refuses the calls that wait, and all to come.
// cause is the event of the server's end in a trace.
func (m *matcher) close(cause trace.EventID) {
	m.mu.Lock()
	m.closed = true
	requests := m.requests
	m.requests = nil
	var refused []*serverCall
	for m.head != nil {
		refused = append(refused, m.head)
		m.removeLocked(m.head, zombied)
	}
	m.mu.Unlock()
	refuseAll(refused, status.Unavailable, shuttingDown)
	for i := range requests {
		for r := requests[i].pop(); r != nil; r = requests[i].pop() {
			if m.server.trace.on() {
				m.server.trace.failed(r, cause)
			}
			r.fail()
		}
	}
}

// staleLocked takes the calls off the list that have waited too long. They are
// the oldest, and looked for only when the list is touched. Caller holds m.mu.
func (m *matcher) staleLocked(now time.Time) (stale []*serverCall) {
	for m.head != nil && now.Sub(m.head.pending.since) > m.server.cfg.pending.MaxWait {
		stale = append(stale, m.head)
		m.removeLocked(m.head, zombied)
	}
	return stale
}

// refuseAll ends calls that were taken off a list, and gives its references back.
func refuseAll(calls []*serverCall, code status.Code, message string) {
	for _, s := range calls {
		s.refuse(code, message)
		s.call.Unref()
	}
}

// pushLocked appends s to the pending calls. Caller holds m.mu.
func (m *matcher) pushLocked(s *serverCall, now time.Time) {
	p := &s.pending
	p.state, p.since, p.prev, p.next = waiting, now, m.tail, nil
	if m.tail == nil {
		m.head = s
	} else {
		m.tail.pending.next = s
	}
	m.tail = s
	m.pendingCount++
}

// removeLocked takes s off the pending calls. Caller holds m.mu.
func (m *matcher) removeLocked(s *serverCall, state pendingState) {
	p := &s.pending
	if p.prev == nil {
		m.head = p.next
	} else {
		p.prev.pending.next = p.next
	}
	if p.next == nil {
		m.tail = p.prev
	} else {
		p.next.pending.prev = p.prev
	}
	p.state, p.prev, p.next = state, nil, nil
	m.pendingCount--
}

// full decides whether one more call may wait behind n others: random early
// detection, which spreads the refusals over the clients.
func (l PendingLimits) full(n int) bool {
	switch {
	case n < l.Soft:
		return false
	case n >= l.Hard:
		return true
	default:
		return rand.IntN(l.Hard-l.Soft) < n-l.Soft
	}
}
