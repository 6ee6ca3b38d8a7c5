package surface

import (
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A Call is one RPC, on a client or on a server. It is a small value, a
// handle: the memory behind it is used for many calls, and the handle knows
// the one that it belongs to. The zero Call belongs to none.
//
// All methods may be called from any goroutine at any time. Once Release was
// called, through this handle or a copy of it, they do nothing and say so with
// [CallErrorReleased] or a zero result.
type Call struct {
	c          *call
	generation uint32
}

// Format writes String for every verb: metadata and messages may be secrets.
func (h Call) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, h.String()) }

// LogValue is String, for package slog.
func (h Call) LogValue() slog.Value { return slog.StringValue(h.String()) }

// Valid reports whether the call has not been released.
func (h Call) Valid() bool {
	if !h.acquire() {
		return false
	}
	h.c.Unref()
	return true
}

// acquire adds a reference if the handle is still in use.
func (h Call) acquire() bool {
	if h.c == nil || !h.c.Acquire(h.generation) {
		return false
	}
	if h.c.state.Load()&stateReleased != 0 {
		h.c.Unref()
		return false
	}
	return true
}

// StartBatch starts the operations of ops together. Their order does not
// matter and each type stands there at most once. If the result is CallOK the
// call's queue gets one event with tag when all of them have completed; it is
// successful if every one of them was, and always with [RecvStatusOnClient] or
// [RecvCloseOnServer]. Otherwise nothing was started.
//
// A batch without operations posts its event at once, whatever the call's
// state: a way to wake whoever waits in the queue.
func (h Call) StartBatch(ops []Op, tag cq.Tag) CallError {
	if !h.acquire() {
		return CallErrorReleased
	}
	return h.c.startBatch(ops, tag, nil)
}

// StartBatchAndExecute is StartBatch for a caller without a queue: closure
// runs in place of an event, on the goroutine that completed the batch, with
// no lock held. It must not block.
func (h Call) StartBatchAndExecute(ops []Op, closure cq.Functor) CallError {
	if closure == nil {
		panic("surface: StartBatchAndExecute without a closure")
	}
	if !h.acquire() {
		return CallErrorReleased
	}
	return h.c.startBatch(ops, nil, closure)
}

// Pluck waits in the call's queue, which delivers by tag, for the event of tag
// or until done is closed; nil is never closed. It is how a goroutine waits for
// the batch that it started when the call was created without a queue, or with
// a Pluck queue. With one of another type it panics.
func (h Call) Pluck(tag cq.Tag, done <-chan struct{}) cq.Event {
	if !h.acquire() {
		return cq.Event{Type: cq.QueueShutdown}
	}
	// The reference keeps the queue alive when another goroutine releases.
	ev := h.c.queue.PluckDone(tag, done)
	h.c.Unref()
	return ev
}

// Cancel ends the call with CANCELLED; see CancelWithStatus.
func (h Call) Cancel() CallError {
	return h.CancelWithStatus(status.Canceled, "the call was cancelled by the application")
}

// CancelWithStatus ends the call. The first status counts: a call that was
// cancelled before or that has ended already keeps the one it has. Operations
// complete, with failure, and RecvStatusOnClient reports code and description.
// The peer learns of a client's cancellation only that it happened; a server's
// status reaches the client if no other was sent. OK is refused.
func (h Call) CancelWithStatus(code status.Code, description string) CallError {
	if code == status.OK {
		return CallErrorFailed
	}
	if !h.acquire() {
		return CallErrorReleased
	}
	h.c.cancel(newLocalError(code, description))
	h.c.Unref()
	return CallOK
}

// SetCredentials makes creds those of the call, in place of any that it has; nil
// leaves it without, so that only those of the channel are sent. It is gRPC core's
// grpc_call_set_credentials. Once send_initial_metadata was started it is too late,
// and the result CallErrorAlreadyInvoked.
func (h Call) SetCredentials(creds credentials.PerRPCCredentials) CallError {
	if !h.acquire() {
		return CallErrorReleased
	}
	defer h.c.Unref()
	if h.c.server != nil {
		return CallErrorNotOnServer
	}
	return h.c.setCredentials(creds)
}

// setCredentials writes what the stack reads when send_initial_metadata comes to
// it. Who starts that waits while stateCredentials is set: for one assignment.
func (c *call) setCredentials(creds credentials.PerRPCCredentials) CallError {
	for {
		state := c.state.Load()
		if state&stateSentHeaders != 0 {
			return CallErrorAlreadyInvoked
		}
		if state&stateCredentials == 0 && c.state.CompareAndSwap(state, state|stateCredentials) {
			break
		}
		runtime.Gosched()
	}
	c.stack.Args.Credentials = creds
	c.state.And(^stateCredentials)
	return CallOK
}

// Peer describes the other end, nil as long as it is not known: until the
// call has a connection.
func (h Call) Peer() *peer.Peer {
	if !h.acquire() {
		return nil
	}
	defer h.c.Unref()
	return h.c.peer.Load()
}

// Method returns the path of the call, "/service/method".
func (h Call) Method() string {
	if !h.acquire() {
		return ""
	}
	defer h.c.Unref()
	return h.c.method
}

// Deadline returns when the call must have ended, zero for never.
func (h Call) Deadline() time.Time {
	if !h.acquire() {
		return time.Time{}
	}
	defer h.c.Unref()
	return h.c.deadline
}

// EncodingForLevel returns the coding that a level of compression stands for in
// this call, for the field Encoding of [Op.SendMetadata]: one that this end
// knows and, on a server, that the client accepts. It is gRPC core's
// grpc_call_compression_for_level.
func (h Call) EncodingForLevel(level encoding.Level) string {
	if !h.acquire() {
		return encoding.Identity
	}
	defer h.c.Unref()
	codings := h.c.pool.codings
	if h.c.server == nil {
		return codings.ForLevel(level, codings.Accept())
	}
	return codings.ForLevel(level, h.c.recv.initial.AcceptEncoding)
}

// ID is the number of the call in traces, 0 without a trace.
func (h Call) ID() uint64 {
	if !h.acquire() {
		return 0
	}
	defer h.c.Unref()
	return h.c.id
}

// String shows the method and is meant for texts of errors.
func (h Call) String() string {
	if !h.acquire() {
		return "Call(released)"
	}
	defer h.c.Unref()
	return fmt.Sprintf("Call(%s)", h.c.method)
}

// Release gives the handle up. Batches under way still post their events; in a
// queue of the call's own nobody can fetch those any more, and the memory of
// the call is then left to the garbage collector instead of being used again. A
// call that has not ended is cancelled: without a handle nobody can end it any
// more.
func (h Call) Release() {
	if h.c == nil || !h.c.Acquire(h.generation) {
		return
	}
	c := h.c
	if c.state.Or(stateReleased)&stateReleased == 0 {
		if c.abandoned() {
			c.cancel(newLocalError(status.Canceled, "the call was released before it ended"))
		}
		c.Unref() // the handle's own
	}
	c.Unref()
}

// abandoned reports whether something of the call would go on without its
// handle: a stream, a timer for the deadline, or a batch that a filter keeps. A server
// that sent its status has nothing left to do; the transport sees to the rest.
func (c *call) abandoned() bool {
	return !over(c.state.Load()) && (c.server == nil || !c.sentTrailers.Load())
}

// over reports whether nothing is to come of a call in that state. A filter may keep
// a batch even after the status has come.
func over(state uint32) bool {
	return state&stateEnded != 0 && state&(stateInFlight|stateSlots) == 0
}

// cancel passes err down the stack, once in the life of a call. Caller holds a
// reference.
func (c *call) cancel(err error) { c.cancelFor(err, 0) }

// cancelFor is cancel because of an event of another call, 0 without a trace.
func (c *call) cancelFor(err error, cause trace.EventID) {
	if over(c.state.Load()) || c.state.Or(stateCancelled)&stateCancelled != 0 {
		return
	}
	b := &transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: err}
	if c.pool.trace.on() {
		b.Cause = c.pool.trace.cancel(c, cause, err)
	}
	c.stack.StartBatch(b)
	if c.recv.headers.Load() == headersEarly {
		c.recv.pass(false) // nobody may ever ask for the headers
	}
}

// A Propagation says what a call on a client takes from the call on a server
// on whose behalf it is made. The values are those of grpc_propagation_bits.
type Propagation uint32

const (
	// PropagateDeadline: the call ends no later than its parent.
	PropagateDeadline Propagation = 1
	// PropagateCensusStats carries nothing here, for there is no census. It and
	// PropagateCensusTracing are asked for together; with one of them alone the
	// call ends with UNKNOWN, as in gRPC core.
	PropagateCensusStats Propagation = 2
	// PropagateCensusTracing carries nothing either.
	PropagateCensusTracing Propagation = 4
	// PropagateCancellation: the call is cancelled when its parent ends.
	PropagateCancellation Propagation = 8
	// PropagateDefaults is all of it, and whatever is added later.
	PropagateDefaults Propagation = 0xffff
)

// halfCensus reports whether p has one of the bits that belong together.
func (p Propagation) halfCensus() bool {
	const both = PropagateCensusStats | PropagateCensusTracing
	return p&both != 0 && p&both != both
}

// A family is the calls that end with this one. Only calls on a server have
// one. It holds handles, not references: a child that ended is recognised.
type family struct {
	mu sync.Mutex // a leaf
	// Guarded by mu.
	children []Call
}

// reset forgets the family for the next use of the block.
func (f *family) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.children)
	f.children = f.children[:0]
}

// adopt adds a child, and reports false if c has ended. The bit says that
// there are children, so that the end of a call without them takes no lock.
// It is set under the lock: an end that sees it waits for the entry.
func (c *call) adopt(child Call) bool {
	f := &c.children
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.state.Or(stateChildren)&stateEnded != 0 {
		return false
	}
	f.children = append(f.children, child)
	return true
}

// endChildren cancels the calls that were made on behalf of c, which has ended.
// The event of its end is that of theirs in a trace.
func (c *call) endChildren(event trace.EventID) {
	f := &c.children
	f.mu.Lock()
	children := slices.Clone(f.children)
	f.mu.Unlock()
	for _, child := range children {
		if child.c.Acquire(child.generation) {
			child.c.cancelFor(newLocalError(status.Canceled, "the call on whose behalf this one was made has ended"), event)
			child.c.Unref()
		}
	}
}

// forget removes child from the family of c, if c is still in the use of the
// block that generation names.
func (c *call) forget(generation uint32, child *call) {
	if !c.Acquire(generation) {
		return
	}
	f := &c.children
	f.mu.Lock()
	f.children = slices.DeleteFunc(f.children, func(h Call) bool { return h.c == child })
	f.mu.Unlock()
	c.Unref()
}
