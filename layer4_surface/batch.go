package surface

import (
	"math/bits"
	"runtime"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	cq "github.com/strata-grpc/strata/layer3_cq"
	"github.com/strata-grpc/strata/layer4_surface/internal/poison"
)

// A batch is the memory of one StartBatch until its event is dequeued: gRPC
// core's batch_control. It becomes one batch of stream operations, and counts
// the steps until all of those are done.
type batch struct {
	// Set by batchAt, read-only afterwards.
	call *call
	slot uint32 // stateSlot bit of its place in the block, 0 of one that is not kept

	// Set by startBatch, read-only until the end.
	number  uint32 // in a trace, from 1 in each call
	tag     cq.Tag
	closure cq.Functor // in place of queue and tag, if not nil
	claimed uint32     // bits of call.state to give back at the end
	final   bool       // has the final operation, with which it cannot fail
	message **transport.Buffer
	only    *bool // Op.TrailersOnly

	steps  atomic.Int32 // until the batch has completed
	failed atomic.Bool

	op         transport.StreamOpBatch
	completion cq.Completion
}

// startBatch is Call.StartBatch. The caller's reference becomes the batch's.
//
// The time of a unary call over a stack that does nothing, 275 ns, goes here
// (BenchmarkOverStack; the like without this layer and a queue is 65 ns):
//
//	75  the block out of its pool and back, call elements begun and reset
//	40  claim: six operations checked, one compare-and-swap
//	35  fill: they become one batch of stream operations
//	65  the way down, four callbacks, their steps counted
//	40  the queue: BeginOp, EndOp, Pluck of what is there
//	20  the batch's memory cleared, references
func (c *call) startBatch(ops []Op, tag cq.Tag, closure cq.Functor) CallError {
	claimed, fault := c.claim(ops)
	var event trace.EventID
	var number uint32
	if fault == CallOK && c.pool.trace.on() {
		event, number = c.pool.trace.startBatch(c, ops, tag, closure)
	}
	if fault == CallOK && closure == nil && !c.queue.BeginOp(tag) {
		c.state.And(^claimed) // all of it was free before, and is this batch's
		fault = CallErrorCompletionQueueShutdown
	}
	if fault != CallOK {
		if c.pool.trace.on() {
			c.pool.trace.reject(c, ops, tag, fault)
		}
		c.Unref()
		return fault
	}
	if len(ops) == 0 {
		c.endEmpty(tag, closure)
		return CallOK
	}
	if c.pool.closing.Load() { // Close may have looked before
		c.cancel(newLocalError(status.Canceled, channelClosed))
	}
	b := c.batchAt(claimed & stateSlots)
	b.tag, b.closure, b.claimed = tag, closure, claimed&(stateInFlight|stateSlots)
	b.op.Cause, b.number = event, number
	b.fill(ops)
	b.start()
	return CallOK
}

// claim checks ops against the rules and the call's state and, if all of them
// may start, claims their bits and a slot with one compare-and-swap: two
// phases, so that there is nothing to undo for a batch that is refused.
func (c *call) claim(ops []Op) (claimed uint32, fault CallError) {
	for {
		state := c.state.Load()
		set, fault := c.check(ops, state)
		if fault != CallOK || len(ops) == 0 {
			return 0, fault
		}
		if set&stateSentHeaders != 0 && state&stateCredentials != 0 {
			runtime.Gosched() // they are being set
			continue
		}
		if free := ^state & stateSlots; free != 0 {
			set |= 1 << bits.TrailingZeros32(free)
		}
		if c.state.CompareAndSwap(state, state|set) {
			return set, CallOK
		}
	}
}

// An opRule is what gRPC core asks of an operation, one row of its table.
type opRule struct {
	claims  uint32               // the bits of call.state that say that it was started
	blocked [bothSides]uint32    // the bits that refuse it
	flags   uint32               // those that it knows
	notOn   [bothSides]CallError // why a side does not have it, CallOK if it does
}

// The sides of a call.
const (
	onClient = iota
	onServer
	bothSides
)

// opRules are the rules by operation. No message follows the half-close, and
// nothing the status; headers may be started after a half-close, which waits
// for them. A server has its client's headers already: stateRecvHeaders is set.
var opRules = [opTypes]opRule{
	SendInitialMetadata: {
		claims:  stateSentHeaders,
		blocked: [bothSides]uint32{stateSentHeaders, stateSentHeaders | stateSentFinal},
		flags: transport.FlagWaitForReady | transport.FlagWaitForReadyExplicitlySet |
			transport.FlagCorked | transport.FlagWriteThrough,
	},
	SendMessage: {
		claims:  stateSending,
		blocked: [bothSides]uint32{stateSending | stateSentFinal, stateSending | stateSentFinal},
		flags:   transport.FlagBufferHint | transport.FlagNoCompress | transport.FlagWriteThrough,
	},
	SendCloseFromClient:  {stateSentFinal, [bothSides]uint32{stateSentFinal}, 0, [bothSides]CallError{onServer: CallErrorNotOnServer}},
	SendStatusFromServer: {stateSentFinal, [bothSides]uint32{onServer: stateSentFinal}, 0, [bothSides]CallError{onClient: CallErrorNotOnClient}},
	RecvInitialMetadata:  {claims: stateRecvHeaders, blocked: [bothSides]uint32{stateRecvHeaders, stateRecvHeaders}},
	RecvMessage:          {claims: stateReceiving, blocked: [bothSides]uint32{stateReceiving, stateReceiving}, flags: transport.FlagOnlyMessage},
	RecvStatusOnClient:   {stateRecvFinal, [bothSides]uint32{stateRecvFinal}, 0, [bothSides]CallError{onServer: CallErrorNotOnServer}},
	RecvCloseOnServer:    {stateRecvFinal, [bothSides]uint32{onServer: stateRecvFinal}, 0, [bothSides]CallError{onClient: CallErrorNotOnClient}},
}

// check applies the rules in gRPC core's order: a type twice in the batch, the
// status together with a receive, then each operation by itself. It looks at
// each operation once and keeps the first fault for the end. It changes nothing.
func (c *call) check(ops []Op, state uint32) (set uint32, fault CallError) {
	side := onClient
	if c.server != nil {
		side = onServer
	}
	var types uint32
	for i := range ops {
		op := &ops[i]
		if op.Type >= opTypes {
			return 0, CallErrorFailed
		}
		if types&(1<<op.Type) != 0 {
			return 0, CallErrorTooManyOperations
		}
		types |= 1 << op.Type
		rule := &opRules[op.Type]
		set |= rule.claims
		if fault == CallOK {
			fault = rule.check(op, side, state)
		}
	}
	const statusAndMessage = 1<<SendStatusFromServer | 1<<RecvMessage
	if side == onServer && types&statusAndMessage == statusAndMessage {
		return 0, CallErrorFailed
	}
	return set, fault
}

// check applies the rule: flags, side, the message or the place for one,
// whether the operation was started before, metadata.
func (r *opRule) check(op *Op, side int, state uint32) CallError {
	switch {
	case op.Flags&^r.flags != 0:
		return CallErrorInvalidFlags
	case r.notOn[side] != CallOK:
		return r.notOn[side]
	case op.Type == SendMessage && op.Message == nil, op.Type == RecvMessage && op.RecvMessage == nil:
		return CallErrorInvalidMessage
	case state&r.blocked[side] != 0:
		return CallErrorTooManyOperations
	case op.SendMetadata != nil && (op.Type == SendInitialMetadata || op.Type == SendStatusFromServer) && !legal(op.SendMetadata):
		return CallErrorInvalidMetadata
	}
	return CallOK
}

// batchAt returns the batch in the claimed slot, which its first user makes, or
// one for this once. Who has claimed a slot is alone with it.
func (c *call) batchAt(slot uint32) *batch {
	if slot == 0 {
		return &batch{call: c}
	}
	at := &c.slots[bits.TrailingZeros32(slot/stateSlot0)]
	if *at == nil {
		*at = &batch{call: c, slot: slot}
	} else if poison.On {
		(*at).cure()
	}
	return *at
}

// The callbacks of a batch are these other names for it, with a Run of their
// own: no closure is made, nothing is allocated.
type (
	batchSent     batch
	batchHeaders  batch
	batchMessage  batch
	batchTrailers batch
)

// fill turns ops into stream operations and counts their steps. All sending
// operations together are one step.
func (b *batch) fill(ops []Op) {
	c, op := b.call, &b.op
	steps := int32(0)
	for i := range ops {
		switch o := &ops[i]; o.Type {
		case SendInitialMetadata:
			b.sendHeaders(o)
		case SendMessage:
			op.Ops |= transport.OpSendMessage
			op.SendMessage.Buf, op.SendMessage.Flags = o.Message, o.Flags
		case SendCloseFromClient:
			op.Ops |= transport.OpSendTrailingMetadata
			op.SendTrailingMetadata.MD = made(&c.send.trailing)
		case SendStatusFromServer:
			b.sendStatus(o)
		case RecvInitialMetadata:
			steps++
			op.Ops |= transport.OpRecvInitialMetadata
			op.RecvInitialMetadata.MD = c.recvList(o.RecvMetadata, &c.recv.initial)
			op.RecvInitialMetadata.Peer = &c.peer
			b.only = o.TrailersOnly
			op.RecvInitialMetadata.Ready = (*batchHeaders)(b)
		case RecvMessage:
			steps++
			b.message = o.RecvMessage
			op.Ops |= transport.OpRecvMessage
			op.RecvMessage.Limit, op.RecvMessage.LimitName = o.Limit, ""
			op.RecvMessage.Only = o.Flags&transport.FlagOnlyMessage != 0
			op.RecvMessage.Ready = (*batchMessage)(b)
		case RecvStatusOnClient:
			steps++
			b.final = true
			c.recv.finalMD, c.recv.result = c.recvList(o.RecvMetadata, &c.recv.trailing), o.StatusResult
			op.Ops |= transport.OpRecvTrailingMetadata
			op.RecvTrailingMetadata.MD = c.recv.finalMD
			op.RecvTrailingMetadata.Ready = (*batchTrailers)(b)
		case RecvCloseOnServer:
			steps++
			b.final = true
			c.recv.result, c.recv.cancelled = o.StatusResult, o.Cancelled
		}
	}
	if op.Ops.Has(transport.OpsSend) {
		steps++
		op.OnComplete = (*batchSent)(b)
	}
	b.steps.Store(steps)
}

// sendHeaders fills in send_initial_metadata.
func (b *batch) sendHeaders(o *Op) {
	c, md := b.call, made(&b.call.send.initial)
	if c.server == nil {
		md.Path, md.Authority, md.Deadline = c.method, c.stack.Args.Authority, c.deadline
	}
	appendPairs(md, o.SendMetadata)
	if o.SendMetadata != nil {
		md.Encoding = o.SendMetadata.Encoding
	}
	b.op.Ops |= transport.OpSendInitialMetadata
	b.op.SendInitialMetadata = transport.SendInitialMetadata{MD: md, Flags: o.Flags | c.simFlags, Peer: &c.peer}
}

// sendStatus fills in send_trailing_metadata with a status.
func (b *batch) sendStatus(o *Op) {
	c, md := b.call, made(&b.call.send.trailing)
	md.SetStatus(uint32(o.Status.Code()), o.Status.Message())
	appendPairs(md, o.SendMetadata)
	if details := o.Status.DetailsBin(); details != "" {
		if _, given := md.Get(detailsKey); !given {
			md.Append(detailsKey, details)
		}
	}
	b.op.Ops |= transport.OpSendTrailingMetadata
	b.op.SendTrailingMetadata = transport.SendTrailingMetadata{MD: md, Sent: &c.sentTrailers}
}

// recvList returns where received pairs go: to the application's list or, if it
// has none, to own, a list of the block's that is cleared before its next use.
func (c *call) recvList(theirs, own *metadata.List) *metadata.List {
	if theirs != nil {
		return theirs
	}
	c.state.Or(stateScratch)
	return own
}
