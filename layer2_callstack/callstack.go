package callstack

import (
	"errors"
	"log/slog"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// A Filter is one step on the way of a call, such as "deadline". It stands in
// a stack once; a value of it describes what it does to every channel.
//
// Three things come of it, one inside the other: a [ChannelElem] for each
// channel stack, and from that a [CallElem] for each call block.
type Filter interface {
	// Name is the name by which constraints and traces speak of the filter.
	Name() string

	// NewChannel returns the filter's part of one channel stack. next is the
	// element below, nil for the last. An error fails the whole stack; it
	// says which option is wrong.
	NewChannel(args *ChannelArgs, next ChannelElem) (ChannelElem, error)
}

// A Validator is a [Filter] that can tell before there is a channel whether its
// options are right. [Builder.Check] and [Builder.Build] ask it, so that a channel
// or server is not made with options that would fail every connection.
type Validator interface {
	// Validate returns an error that quotes the option, its value and what
	// values it may have; nil if nothing is wrong. A filter that is left out of
	// the stack is asked too. NewChannel is called only if nothing is wrong.
	Validate() error
}

// A ChannelElem is a filter's part of one channel stack: gRPC core's channel
// element with its channel data. Its methods may be called at the same time.
//
// Embed [ChannelBase] for the methods that only pass on.
type ChannelElem interface {
	// NewCall returns the filter's part of one call block. next is the
	// element below. It is called when a block is made, not for each call.
	NewCall(next CallElem) CallElem

	// StartTransportOp carries out op or passes it on before it returns: op itself,
	// changed perhaps, or another one with what it has. A ping it may answer later.
	StartTransportOp(op *transport.Op)

	// Destroy ends what the element has started. It is called once, after
	// the last call, from the top of the stack to its bottom.
	Destroy()
}

// A Stopper is a [ChannelElem] with goroutines of its own that work for calls.
// Whoever closes a connection promises that none is left then.
type Stopper interface {
	// Stop returns when they are gone. It is called when the transport has closed, once,
	// before Destroy and never from a callback. Nothing comes from below any more, but
	// calls may be left. Where this side has closed the connection, in a hurry, an
	// operation with Disconnect has come before.
	Stop()
}

// A CallElem is a filter's part of one call: gRPC core's call element with its
// call data. It lives in a call block and is used for one call after another.
//
// # Batches
//
// StartBatch passes the batch on with next.StartBatch, or keeps it for later. To
// end the call it cancels what is below ([Cancel]) and passes the batch on, which
// then fails there, in the order of the call's other callbacks; the last element
// alone may fail one with [transport.StreamOpBatch.Fail]. To see a result it
// replaces the callback in the batch by its own and runs the original afterwards.
// A batch with OpCancelStream is always passed on, before StartBatch returns.
//
// # Concurrency
//
// Batches with different operations may come down at the same time, and a
// cancel may come at any time: what an element remembers of one operation is
// apart from what it remembers of another. Callbacks on the way up never run
// at the same time for one call.
type CallElem interface {
	// Init begins a call. It does not chain: the stack calls each element, from
	// the bottom, and nothing may come back meanwhile; see [Starter]. An error
	// does not stop the others; the first one cancels the call after all are
	// initialised. It is what the application reads: a [transport.Error] that names
	// the filter. Another type is UNKNOWN there.
	Init(args *CallArgs) error

	// StartBatch handles a batch on its way down.
	StartBatch(b *transport.StreamOpBatch)

	// Reset forgets the call. Nothing of it is outstanding any more.
	Reset()
}

// A Starter is a [CallElem] that starts something at the beginning of a call, a
// timer for instance, which may come back with a batch at the top of the stack.
type Starter interface {
	// Start is called when all elements are initialised, if none of them failed.
	// The call may end before it returns.
	Start()
}

// A Spender is a [CallElem] that can say whether the memory of its block may serve
// another call: a guard, and whoever passes batches on to another stack with guards.
type Spender interface {
	// Spent reports whether something may refer to the last call still, which must
	// not come upon another one then. It stays so. It is called after Reset, and by
	// whoever has passed on batches to the stack, when all have ended.
	Spent() bool
}

// ChannelArgs is what a channel stack is made from.
type ChannelArgs struct {
	// Transport is the connection below, nil in a stack without one.
	Transport transport.Transport

	// Trace is the sink of the channel or server, nil for none.
	Trace trace.Sink

	// Logger takes what a filter has to say, nil for slog.Default(). Whatever a
	// peer can cause is said at level debug.
	Logger *slog.Logger

	// Faults tells of contained filters that break a rule. It is shared by the
	// stacks of a channel or server; nil for one of this stack's own, on Logger.
	Faults *FaultLog

	// Name is what the stack calls itself in errors and traces, such as
	// "CLIENT_SUBCHANNEL".
	Name string
}

// CallArgs is what a call begins with. It lives in the call's block; elements
// may keep the pointer until Reset.
type CallArgs struct {
	// Owner is the block that holds the call. An element that is to be called
	// back later, by a timer for instance, holds a reference meanwhile.
	Owner transport.Owner

	// Accepted is the transport's description of a stream that the peer
	// began, nil on a client.
	Accepted transport.Accepted

	// Path is "/service/method" and Authority the host that was asked for, on
	// a client. A server learns both from the headers.
	Path, Authority string

	// Start is when the call began, zero if nobody has looked, and Deadline when
	// it must have ended; a zero Deadline is never.
	Start, Deadline time.Time

	// DeadlineWatched says that whoever made the call cancels it at its
	// deadline, so that no filter needs a timer for it.
	DeadlineWatched bool

	// Credentials are those of this call alone, on a client; nil for none.
	// client_auth asks them for their fields.
	Credentials credentials.PerRPCCredentials

	// Principal is who calls, as the hook of server_auth has found out; nil for
	// nobody. It is there when the headers go up.
	Principal any

	// Top is the stack's first element, set by [CallStack.Init]. Whoever ends
	// the call from outside, such as a timer, cancels it from there, so that
	// every filter which holds batches hears of it.
	Top CallElem

	// CallID is the call's number in traces, 0 without tracing, and Cause the
	// last event of what the call began with.
	CallID uint64
	Cause  trace.EventID
}

// TimeLeft returns how long a call that begins now may take until Deadline, which
// is not zero. It spares a look at the clock where layer 4 has had one.
func (a *CallArgs) TimeLeft() time.Duration {
	if a.Start.IsZero() {
		return time.Until(a.Deadline)
	}
	return a.Deadline.Sub(a.Start)
}

// The events of whoever has the timer for the deadline of a call.
const (
	deadlineArm  = "deadline.arm"
	deadlineFire = "deadline.fire"
)

// TraceArm tells sink, which is not nil, that a timer for the deadline of the
// call was set, and makes that the cause of what comes next.
func (a *CallArgs) TraceArm(sink trace.Sink, component string, deadline time.Time) {
	a.Cause = sink.Emit(&trace.Event{Cause: a.Cause, Layer: 2, Component: component, Op: deadlineArm, Call: a.CallID,
		Text: time.Until(deadline).String()})
}

// TraceFire tells sink, which is not nil, that the deadline has come.
func (a *CallArgs) TraceFire(sink trace.Sink, component string) trace.EventID {
	return sink.Emit(&trace.Event{Cause: a.Cause, Layer: 2, Component: component, Op: deadlineFire, Call: a.CallID})
}

// NewFilter returns a filter that has nothing to remember of a channel. newCall
// returns its part of one call block, as [ChannelElem].NewCall does.
func NewFilter(name string, newCall func(next CallElem) CallElem) Filter {
	return callFilter{name, newCall}
}

type callFilter struct {
	name    string
	newCall func(next CallElem) CallElem
}

func (f callFilter) Name() string { return f.name }

func (f callFilter) Validate() error {
	if f.newCall == nil {
		return errors.New("NewFilter was given no function")
	}
	return nil
}

func (f callFilter) NewChannel(_ *ChannelArgs, next ChannelElem) (ChannelElem, error) {
	return &callChannel{ChannelBase{Next: next}, f.newCall}, nil
}

type callChannel struct {
	ChannelBase
	newCall func(next CallElem) CallElem
}

func (ch *callChannel) NewCall(next CallElem) CallElem { return ch.newCall(next) }

// ChannelBase is embedded in channel elements. It passes everything on.
type ChannelBase struct {
	Next ChannelElem // nil for the last element
}

// StartTransportOp passes op on to the next element.
func (b *ChannelBase) StartTransportOp(op *transport.Op) { b.Next.StartTransportOp(op) }

// Destroy does nothing.
func (b *ChannelBase) Destroy() {}

// CallBase is embedded in call elements. It passes everything on.
type CallBase struct {
	Next CallElem // nil for the last element
}

// Init does nothing.
func (b *CallBase) Init(*CallArgs) error { return nil }

// StartBatch passes batch on to the next element.
func (b *CallBase) StartBatch(batch *transport.StreamOpBatch) { b.Next.StartBatch(batch) }

// Reset does nothing.
func (b *CallBase) Reset() {}

// Cancel cancels a call from next downwards. It is how a filter ends a call
// that it has found at fault: what is outstanding at the transport fails with
// err, and so does every batch that comes down later.
//
// It may be called from a callback. The batch is allocated, since room for it
// in every call would be paid for by all the calls that need none.
func Cancel(next CallElem, err error) {
	next.StartBatch(&transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: err})
}
