package surface

import (
	"math/bits"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
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
		if free := ^state & stateSlots; free != 0 {
			set |= 1 << bits.TrailingZeros32(free)
		}
		if c.state.CompareAndSwap(state, state|set) {
			return set, CallOK
		}
	}
}

// opClaims are the bits of call.state that say that an operation was started.
var opClaims = [opTypes]uint32{
	SendInitialMetadata:  stateSentHeaders,
	SendMessage:          stateSending,
	SendCloseFromClient:  stateSentFinal,
	SendStatusFromServer: stateSentFinal,
	RecvInitialMetadata:  stateRecvHeaders,
	RecvMessage:          stateReceiving,
	RecvStatusOnClient:   stateRecvFinal,
	RecvCloseOnServer:    stateRecvFinal,
}

// check applies the rules in gRPC core's order: a type twice in the batch, the
// status together with a receive, then each operation by itself. It changes
// nothing.
func (c *call) check(ops []Op, state uint32) (set uint32, fault CallError) {
	var types uint32
	for i := range ops {
		if ops[i].Type >= opTypes {
			return 0, CallErrorFailed
		}
		if types&(1<<ops[i].Type) != 0 {
			return 0, CallErrorTooManyOperations
		}
		types |= 1 << ops[i].Type
	}
	const statusAndMessage = 1<<SendStatusFromServer | 1<<RecvMessage
	if c.server != nil && types&statusAndMessage == statusAndMessage {
		return 0, CallErrorFailed
	}
	for i := range ops {
		if fault := c.checkOp(&ops[i], state); fault != CallOK {
			return 0, fault
		}
		set |= opClaims[ops[i].Type]
	}
	return set, CallOK
}

// checkOp applies the rules for one operation: flags, side, whether it was
// started before, and what it carries.
func (c *call) checkOp(op *Op, state uint32) CallError {
	if op.Flags&^opFlags[op.Type] != 0 {
		return CallErrorInvalidFlags
	}
	started := state&opClaims[op.Type] != 0
	switch op.Type {
	case SendInitialMetadata, SendMessage:
		if op.Type == SendMessage && op.Message == nil {
			return CallErrorInvalidMessage
		}
		// No message follows the half-close, and nothing the status. Headers
		// may be started after a half-close, which waits for them.
		started = started || state&stateSentFinal != 0 && (op.Type == SendMessage || c.server != nil)
	case SendCloseFromClient, RecvStatusOnClient:
		if c.server != nil {
			return CallErrorNotOnServer
		}
	case SendStatusFromServer, RecvCloseOnServer:
		if c.server == nil {
			return CallErrorNotOnClient
		}
	case RecvMessage:
		if op.RecvMessage == nil {
			return CallErrorInvalidMessage
		}
	}
	if started {
		return CallErrorTooManyOperations
	}
	if op.SendMetadata != nil && (op.Type == SendInitialMetadata || op.Type == SendStatusFromServer) && !legal(op.SendMetadata) {
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
			op.RecvMessage.Limit, op.RecvMessage.LimitName = o.Limit, c.limitName()
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

// limitName says in an error who sets how long a received message may be. The
// names are those of layer 5, where most users are.
func (c *call) limitName() string {
	if c.server != nil {
		return "server option MaxRecvMsgSize"
	}
	return "client option MaxCallRecvMsgSize"
}
