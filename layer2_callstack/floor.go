package callstack

import (
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// A callFloor is what a contained filter takes for the next element of a call.
type callFloor struct{ c *guardCall }

// Init does nothing: the stack initialises each element itself.
func (f *callFloor) Init(*CallArgs) error { return nil }

// Reset does nothing: the stack resets each element itself.
func (f *callFloor) Reset() {}

// StartBatch passes b on, if it is one that the filter has. The filter may have
// made it itself of what it has: the operations of one batch in several, or those
// of several in one; and it may cancel the call at any time.
func (f *callFloor) StartBatch(b *transport.StreamOpBatch) {
	if b == nil {
		f.c.fail("passed on a batch that is nil", nil)
		return
	}
	ops := b.Ops &^ transport.OpCancelStream
	if b.Ops != ops {
		f.c.passCancel(b)
	}
	if ops != 0 {
		f.c.pass(b, ops)
	}
}

// passCancel passes on the cancel of b.
func (c *guardCall) passCancel(b *transport.StreamOpBatch) {
	if !c.acquire() {
		c.late("passed on cancel_stream")
		return
	}
	defer c.owner.Unref()
	if b.CancelErr == nil {
		c.fail("cancelled the call without an error", nil)
		return
	}
	for {
		w := c.load()
		if w.has(broken) {
			return // and so cancelled
		}
		if c.swap(w, w|over) {
			break
		}
	}
	batchDown(c.next, &transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: b.CancelErr, Cause: b.Cause})
	c.grace.watch()
}

// pass passes on ops, operations of b, as another loan.
func (c *guardCall) pass(b *transport.StreamOpBatch, ops transport.OpSet) {
	var w, bit ways
	for {
		w = c.load()
		if w.has(broken) {
			return // the guard has ended them
		}
		if w.has(watched) && ops.Has(transport.OpRecvTrailingMetadata) && ops != transport.OpRecvTrailingMetadata {
			c.pass(b, ops&^transport.OpRecvTrailingMetadata)
			ops = transport.OpRecvTrailingMetadata
			continue
		}
		if !w.has(live) {
			c.late("passed on " + ops.String())
			return
		}
		if stray := ops &^ w.at(entered); stray != 0 {
			c.fail(w.strayPass(stray), nil)
			return
		}
		if what := missing(b, ops); what != "" {
			c.fail("passed on "+what, nil)
			return
		}
		bit = w.free(lentDown)
		if c.swap(w, w.release(ops).put(below, ops)|bit) {
			break
		}
	}
	l := c.loanAt(c.lentBelow[:], lentDown, bit)
	l.fill(b, ops)
	if w.has(watched) && ops == transport.OpRecvTrailingMetadata {
		c.stream.Load().pass(l)
		return
	}
	batchDown(c.next, &l.op)
}

// missing returns what b lacks for ops, empty if it lacks nothing.
func missing(b *transport.StreamOpBatch, ops transport.OpSet) string {
	switch {
	case ops.Has(transport.OpsSend) && b.OnComplete == nil:
		return (ops & transport.OpsSend).String() + " without a callback"
	case ops.Has(transport.OpSendInitialMetadata) && b.SendInitialMetadata.MD == nil:
		return "send_initial_metadata without metadata"
	case ops.Has(transport.OpSendMessage) && b.SendMessage.Buf == nil:
		return "send_message without a message"
	case ops.Has(transport.OpSendTrailingMetadata) && b.SendTrailingMetadata.MD == nil:
		return "send_trailing_metadata without metadata"
	case ops.Has(transport.OpRecvInitialMetadata) && (b.RecvInitialMetadata.Ready == nil || b.RecvInitialMetadata.MD == nil):
		return "recv_initial_metadata without a callback or without a place for what comes"
	case ops.Has(transport.OpRecvMessage) && b.RecvMessage.Ready == nil:
		return "recv_message without a callback"
	case ops.Has(transport.OpRecvTrailingMetadata) && (b.RecvTrailingMetadata.Ready == nil || b.RecvTrailingMetadata.MD == nil):
		return "recv_trailing_metadata without a callback or without a place for what comes"
	}
	return ""
}

// back is the end of ops below, by a callback of l: the filter is told.
func (c *guardCall) back(l *loan, ops transport.OpSet, err error) {
	done := l.done[kindOf(ops)]
	l.bring(ops)
	var freed ways
	if l.left &^= ops; l.left == 0 {
		freed = l.bit
		l.clear()
	}
	ended := c.server && ops == transport.OpRecvTrailingMetadata
	if ended {
		c.streamEnded.Store(true)
	}
	if c.server && ops == transport.OpRecvInitialMetadata {
		c.ops[index(ops)].lost = err != nil
	}
	var w ways
	for {
		w = c.load()
		now := w &^ freed
		if !w.has(broken) {
			now = now.take(below, ops).put(returned, ops)
		}
		if ended {
			now |= over
		}
		if c.swap(w, now) {
			break
		}
	}
	c.giveBack(done, ops, err)
	if w.has(broken) {
		// The filter was told so that it can tidy up; the guard ends ops itself.
		for {
			w = c.load()
			if c.swap(w, w.take(below, ops).put(ending, ops)) {
				break
			}
		}
		c.end(ops, c.fault.Load(), true)
	}
	if ended {
		c.grace.watch()
	} else if s := c.stream.Load(); s != nil {
		s.deliver() // which may have waited for ops
	}
}

// giveBack runs a callback of the filter's.
func (c *guardCall) giveBack(done transport.Done, ops transport.OpSet, err error) {
	defer c.containCallback(ops)
	done.Run(err)
}

func (c *guardCall) containCallback(ops transport.OpSet) {
	if p := recover(); p != nil {
		if passedThrough() {
			panic(p)
		}
		c.fail("panicked in a callback of "+ops.String(), panicked(p))
	}
}

// strayPass says what is wrong with passing on ops.
func (w ways) strayPass(ops transport.OpSet) string {
	if again := ops & w.at(begun) & w.at(below); again != 0 {
		return "passed on " + again.String() + " twice"
	}
	if again := ops & w.at(begun); again != 0 {
		return "passed on " + again.String() + " twice, or after its end"
	}
	return "passed on " + ops.String() + ", which nobody had started"
}

// strayEnd says what is wrong with the end of ops.
func (w ways) strayEnd(ops transport.OpSet) string {
	if down := ops & w.at(below); down != 0 {
		return "completed " + down.String() + " before it came back"
	}
	return "completed " + ops.String() + " twice"
}

// A loan is a copy of a batch, for the filter or for the element below: so neither
// can reach, after they have given it back or were given up, what has served
// other operations since.
type loan struct {
	op transport.StreamOpBatch

	// Set when it is made.
	call     *guardCall
	toFilter bool
	bit      ways // 0 for one that is used once

	// Set by fill.
	orig *transport.StreamOpBatch
	done [4]transport.Done // its callbacks, by kind
	left transport.OpSet   // what has not come back

	// Atomic, for a borrower may run a callback late: the operations that send.
	// Those in op are the borrower's to change.
	sends atomic.Uint32
}

// sending returns the operations whose callback is OnComplete.
func (l *loan) sending() transport.OpSet { return transport.OpSet(l.sends.Load()) }

// The kinds of callbacks.
const (
	sentKind = iota
	headersKind
	messageKind
	trailersKind
)

// kindOf returns the kind of the callback of ops.
func kindOf(ops transport.OpSet) int {
	switch {
	case ops.Has(transport.OpRecvInitialMetadata):
		return headersKind
	case ops.Has(transport.OpRecvMessage):
		return messageKind
	case ops.Has(transport.OpRecvTrailingMetadata):
		return trailersKind
	}
	return sentKind
}

// The callbacks of a loan are these other names for it.
type (
	loanSent     loan
	loanHeaders  loan
	loanMessage  loan
	loanTrailers loan
)

func (l *loanSent) Run(err error)     { (*loan)(l).end((*loan)(l).sending(), err) }
func (l *loanHeaders) Run(err error)  { (*loan)(l).end(transport.OpRecvInitialMetadata, err) }
func (l *loanMessage) Run(err error)  { (*loan)(l).end(transport.OpRecvMessage, err) }
func (l *loanTrailers) Run(err error) { (*loan)(l).end(transport.OpRecvTrailingMetadata, err) }

// end is the end of ops for who borrowed them.
func (l *loan) end(ops transport.OpSet, err error) {
	c := l.call
	switch {
	case l.toFilter:
		c.finish(l, ops, err)
	case c.load().has(watched):
		c.stream.Load().inTurn(l, ops, err)
	default:
		c.back(l, ops, err)
	}
}

// fill makes l a copy of the operations ops of b.
func (l *loan) fill(b *transport.StreamOpBatch, ops transport.OpSet) {
	l.orig, l.left = b, ops
	if sends := ops & transport.OpsSend; l.sending() != sends {
		l.sends.Store(uint32(sends))
	}
	op := &l.op
	op.Ops, op.Cause, op.OnComplete = ops, b.Cause, nil
	if ops.Has(transport.OpsSend) {
		l.done[sentKind], op.OnComplete = b.OnComplete, (*loanSent)(l)
		op.SendInitialMetadata, op.SendMessage, op.SendTrailingMetadata = b.SendInitialMetadata, b.SendMessage, b.SendTrailingMetadata
	}
	if ops.Has(transport.OpRecvInitialMetadata) {
		op.RecvInitialMetadata = b.RecvInitialMetadata
		l.done[headersKind], op.RecvInitialMetadata.Ready = b.RecvInitialMetadata.Ready, (*loanHeaders)(l)
	}
	if ops.Has(transport.OpRecvMessage) {
		op.RecvMessage = b.RecvMessage
		l.done[messageKind], op.RecvMessage.Ready = b.RecvMessage.Ready, (*loanMessage)(l)
	}
	if ops.Has(transport.OpRecvTrailingMetadata) {
		op.RecvTrailingMetadata = b.RecvTrailingMetadata
		l.done[trailersKind], op.RecvTrailingMetadata.Ready = b.RecvTrailingMetadata.Ready, (*loanTrailers)(l)
	}
}

// bring copies what came of ops into the batch that was lent.
func (l *loan) bring(ops transport.OpSet) {
	switch kindOf(ops) {
	case sentKind:
		l.orig.SendMessage.Buf = nil // somebody has taken it
		l.orig.SendMessage.WriteClosed = l.op.SendMessage.WriteClosed
	case headersKind:
		l.orig.RecvInitialMetadata.TrailersOnly = l.op.RecvInitialMetadata.TrailersOnly
	case messageKind:
		l.orig.RecvMessage.Message = l.op.RecvMessage.Message
	}
}

// clear forgets the messages. All else that the batch refers to lives as long as the
// block, or is not read any more.
func (l *loan) clear() { l.op.SendMessage.Buf, l.op.RecvMessage.Message = nil, nil }
