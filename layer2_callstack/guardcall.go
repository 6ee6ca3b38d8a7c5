package callstack

import (
	"context"
	"errors"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// A guardCall is a guard's part of one call.
//
// It holds a reference of the block while it is busy, see ways, and another for its
// timer. What is kept by operation belongs to whoever has brought the operation to
// its place.
type guardCall struct {
	// Set by newGuardCall and NewCall, read-only afterwards.
	guard *guard
	next  CallElem         // below the filter
	user  CallElem         // the filter's, nil if it made none
	birth *transport.Error // why there is none
	floor callFloor

	// Set by Init, the same for each call of the block.
	owner  transport.Owner
	block  acquirer // owner, nil if it is none
	server bool

	// Atomic.
	ways  atomic.Uint64
	fault atomic.Pointer[transport.Error] // the first one
	spent atomic.Bool                     // the filter may still refer to the call

	streamEnded atomic.Bool // and so a server's call is over

	ops       [opKinds]opState
	lent      [opKinds]*loan    // to the filter, by bit of lentUp; made when first used
	lentBelow [belowLoans]*loan // the same of lentDown
	ended     *loan             // one that has come back; owned by whoever runs a callback

	stream atomic.Pointer[endWatch] // of a server's; made when it is first needed
	grace  grace
}

// An opState is what a guard knows of one operation, beside its place.
type opState struct {
	loan *loan // to the filter
	err  error // while it is ending or due
	kept bool  // it was taken from the filter, which may use the loan still
	lost bool  // it came back with an error; only of a server's headers
}

func newGuardCall(g *guard, next CallElem) *guardCall {
	c := &guardCall{guard: g, next: next}
	c.floor.c, c.grace.c = c, c
	return c
}

func (c *guardCall) load() ways { return ways(c.ways.Load()) }
func (c *guardCall) swap(before, now ways) bool {
	return c.ways.CompareAndSwap(uint64(before), uint64(now))
}

// stillborn says that the filter has made no element.
func (c *guardCall) stillborn(rule string, cause error) {
	c.birth = newFault(c.guard.name, rule, cause)
	c.guard.faults.report(c.guard.name, c.birth.Error())
}

// Init begins a call in the filter. Its panic is the error that ends the call.
func (c *guardCall) Init(args *CallArgs) error {
	if c.owner != args.Owner {
		c.owner, c.server = args.Owner, args.Accepted != nil
		c.block, _ = args.Owner.(acquirer)
	}
	c.ways.Store(uint64(live))
	if c.birth != nil {
		return c.breakAtInit(c.birth)
	}
	return c.init(args)
}

func (c *guardCall) init(args *CallArgs) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if passedThrough() {
				panic(p)
			}
			fault := newFault(c.guard.name, "panicked in Init", panicked(p))
			c.guard.faults.report(c.guard.name, fault.Error())
			err = c.breakAtInit(fault)
		}
	}()
	return c.named(c.user.Init(args))
}

// named returns err with the name of the filter, if it says nothing of itself. What
// a server's filter says goes to the client as it stands, without names.
func (c *guardCall) named(err error) error {
	if err == nil || c.server {
		return err
	}
	var carrier interface{ GRPCStatus() *status.Status } // allocates
	if errors.As(err, &carrier) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &transport.Error{Code: status.Unknown, Layer: c.guard.name, Reason: "the filter refused the call", Cause: err}
}

// deafRule is what a filter breaks that answers a cancel itself, mostly one that ends
// calls by failing all their batches.
const deafRule = "did not pass on cancel_stream (every cancel goes to Next; to end a call, callstack.Cancel it there and pass the batch on)"

// Start lets the filter start what it has to.
func (c *guardCall) Start() {
	if s, ok := c.user.(Starter); ok {
		c.start(s)
	}
}

func (c *guardCall) start(s Starter) {
	defer func() {
		if p := recover(); p != nil {
			if passedThrough() {
				panic(p)
			}
			c.fail("panicked in Start", panicked(p))
		}
	}()
	s.Start()
}

// breakAtInit makes fault that of the call. Whoever begins the call cancels it, so
// the cancel comes from above.
func (c *guardCall) breakAtInit(fault *transport.Error) error {
	c.fault.CompareAndSwap(nil, fault)
	c.ways.Or(uint64(broken))
	return c.fault.Load()
}

// Spent reports whether the filter may refer to the call still.
func (c *guardCall) Spent() bool { return c.spent.Load() || c.load().has(broken) }

// Reset ends the call in the filter. From here on the floor lets nothing pass.
func (c *guardCall) Reset() {
	if c.load().has(broken) {
		c.spent.Store(true)
	}
	c.ways.Store(0)
	if c.server {
		c.streamEnded.Store(false)
		c.ops[index(transport.OpRecvInitialMetadata)].lost = false
	}
	if c.user != nil {
		c.reset()
	}
}

func (c *guardCall) reset() {
	defer func() {
		if p := recover(); p != nil {
			c.spent.Store(true)
			c.guard.panicked("Reset", p)
		}
	}()
	c.user.Reset()
}

// StartBatch gives b to the filter, as a loan.
func (c *guardCall) StartBatch(b *transport.StreamOpBatch) {
	ops := b.Ops &^ transport.OpCancelStream
	if !c.load().has(live) { // from a timer of a filter below, say: this one has not begun
		batchDown(c.next, b)
		return
	}
	if b.Ops != ops {
		c.cancel(&transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: b.CancelErr, Cause: b.Cause})
	}
	if ops == 0 {
		return
	}
	l, cause := c.lend(b, ops), b.Cause
	if c.enter(ops) {
		c.give(&l.op)
	} else {
		c.refuse(&l.op, ops)
	}
	if c.server && c.load().at(entered).Has(transport.OpRecvTrailingMetadata) {
		c.watchEnd(cause)
	}
	c.leave(l)
}

// cancel gives a batch that cancels to the filter, and sees to it that it gets
// below.
func (c *guardCall) cancel(b *transport.StreamOpBatch) {
	owner, why := c.owner, b.CancelErr
	owner.Ref() // it may end the call
	if c.user != nil {
		c.give(b)
	}
	w := c.load()
	switch {
	case w.has(over):
	case w.has(broken): // as the call began
		c.ways.Or(uint64(over))
		batchDown(c.next, b)
	default:
		c.fail(deafRule, why)
	}
	owner.Unref()
}

// lend makes a copy of b for the filter, which leave takes back. Its operations are
// still those of the caller.
func (c *guardCall) lend(b *transport.StreamOpBatch, ops transport.OpSet) *loan {
	var bit ways
	for {
		w := c.load()
		if bit = w.free(lentUp); bit == 0 {
			c.owner.Ref()
			break
		}
		if c.swap(w, w|bit|isGiving(bit)) {
			c.keep(w)
			break
		}
	}
	l := c.loanAt(c.lent[:], lentUp, bit)
	l.fill(b, ops)
	for left := ops; left != 0; left &= left - 1 {
		c.ops[index(left)].loan = l
	}
	return l
}

// keep refers to the block if the guard was not busy before, as w says. letGo ends
// that.
func (c *guardCall) keep(w ways) {
	if !w.busy() {
		c.owner.Ref()
	}
}

// loanAt returns the loan of a bit, which its first user makes, or one for this
// once if the bit is 0.
func (c *guardCall) loanAt(loans []*loan, p place, bit ways) *loan {
	if bit == 0 {
		return &loan{call: c, toFilter: p == lentUp}
	}
	at := &loans[index(transport.OpSet(bit>>p))]
	if *at == nil {
		*at = &loan{call: c, toFilter: p == lentUp, bit: bit}
	}
	return *at
}

// enter notes that the filter is given ops. It reports false if it is to be given
// nothing more.
func (c *guardCall) enter(ops transport.OpSet) bool {
	for {
		w := c.load()
		if w.has(broken) {
			return false
		}
		if c.swap(w, w.put(entered, ops).put(begun, ops)) {
			c.keep(w)
			return true
		}
	}
}

// refuse ends ops, which came after the filter broke a rule.
func (c *guardCall) refuse(b *transport.StreamOpBatch, ops transport.OpSet) {
	if ops.Has(transport.OpSendMessage) {
		b.SendMessage.Buf.Release()
		b.SendMessage.Buf = nil
	}
	c.keep(ways(c.ways.Or(uint64(ways(0).put(ending, ops)))))
	c.end(ops, c.fault.Load(), false)
}

// leave is the end of StartBatch. A loan that has come back meanwhile was left alone,
// for a filter whose callbacks run when they should not may have read it still.
func (c *guardCall) leave(l *loan) {
	c.grace.watch()
	owner := c.owner
	if l.bit == 0 {
		owner.Unref()
		return
	}
	for {
		w := c.load()
		if w&l.bit == 0 {
			l.clear()
		}
		now := w &^ isGiving(l.bit)
		if c.swap(w, now) {
			if !now.busy() {
				c.letGo(now, owner)
			}
			return
		}
	}
}

// letGo gives back the reference of a guard that is not busy any more.
func (c *guardCall) letGo(w ways, owner transport.Owner) {
	if w.has(over) {
		c.grace.disarm()
	}
	owner.Unref()
}

// give starts a batch in the filter.
func (c *guardCall) give(b *transport.StreamOpBatch) {
	defer c.contain()
	c.user.StartBatch(b)
}

func (c *guardCall) contain() {
	if p := recover(); p != nil {
		if passedThrough() {
			panic(p)
		}
		c.fail("panicked in StartBatch", panicked(p))
	}
}

// finish is the end of ops as the filter tells it, by a callback of l.
func (c *guardCall) finish(l *loan, ops transport.OpSet, err error) {
	for {
		w := c.load()
		switch {
		case w.has(broken):
			return // the guard ends them
		case !w.has(live):
			c.late("completed " + ops.String())
			return
		case ops == 0: // the loan serves a batch that sends nothing by now
			c.fail("ran an old callback", nil)
			return
		case ops&^w.held() != 0:
			c.fail(w.strayEnd(ops&^w.held()), nil)
			return
		}
		now := w.release(ops)
		turn := !w.has(running) && (ops != transport.OpRecvTrailingMetadata || now.mayEnd())
		if turn {
			now |= running
		} else {
			now = now.put(ending, ops)
		}
		if !c.swap(w, now) {
			continue
		}
		if c.server && ops == transport.OpRecvInitialMetadata && err != nil && !w.has(over) {
			c.refused(err)
		}
		switch kept := c.ops[index(ops)].loan != l; {
		case kept:
			c.finishOld(ops, turn)
		case turn:
			c.run(ops, err)
			c.settle()
		default:
			c.end(ops, err, false)
		}
		return
	}
}

// refused cancels a server's call whose headers the filter has failed with err, and not
// the call, as it should: the client would wait for ever. Headers that failed below are
// answered there.
func (c *guardCall) refused(err error) {
	if !c.ops[index(transport.OpRecvInitialMetadata)].lost {
		c.ways.Or(uint64(over))
		batchDown(c.next, &transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: err})
		c.grace.watch()
	}
}

// finishOld is finish for the callback of a loan that has given ops back: they are those
// of other batches, in which there may be more that send. So the callback of each is
// run when all of it is due, also where it is our turn.
func (c *guardCall) finishOld(ops transport.OpSet, turn bool) {
	if turn {
		c.ways.Or(uint64(ways(0).put(ending, ops)))
	}
	c.fail("ran an old callback of "+ops.String(), nil)
	c.end(ops, c.fault.Load(), true)
	if turn {
		c.settle()
	}
}

// end makes the callback of ops, which are ending, due. kept says that the filter
// may still use the loan.
func (c *guardCall) end(ops transport.OpSet, err error, kept bool) {
	if ops == 0 {
		return // and perhaps the guard is not busy
	}
	for left := ops; left != 0; left &= left - 1 {
		s := &c.ops[index(left)]
		s.err, s.kept = err, kept
	}
	for {
		w := c.load()
		// What is due belongs to whoever has set running, so it is looked at after that.
		if c.swap(w, w.take(ending, ops).put(due, ops)|running) {
			if !w.has(running) {
				c.settle()
			}
			return
		}
	}
}

// together returns the operations whose end is that of op, one that sends.
func (c *guardCall) together(op transport.OpSet) transport.OpSet {
	return c.ops[index(op)].loan.sending()
}

// settle runs the callbacks that are due, one after another. The caller has set
// running, and may have run one itself.
func (c *guardCall) settle() {
	owner := c.owner
	for {
		l := c.ended
		c.ended = nil
		var now ways
		var ops transport.OpSet
		for {
			w := c.load()
			ops = w.next(c.together)
			now = w.take(due, ops)
			if ops == 0 {
				now &^= running
			}
			if l != nil {
				now &^= l.bit
				if w&isGiving(l.bit) == 0 {
					l.clear()
				}
			}
			if c.swap(w, now) {
				break
			}
		}
		if ops == 0 {
			if !now.busy() {
				c.letGo(now, owner)
			}
			return
		}
		c.run(ops, c.ops[index(ops)].err)
	}
}

// run runs the callback of the element above for ops. The caller has set running.
func (c *guardCall) run(ops transport.OpSet, err error) {
	s := &c.ops[index(ops)]
	l := s.loan
	done, kept := l.done[kindOf(ops)], s.kept
	for left := ops; left != 0; left &= left - 1 {
		kept = kept || c.ops[index(left)].kept
	}
	if !kept {
		l.bring(ops)
	}
	fault := c.fault.Load()
	if fault != nil && ops == transport.OpRecvTrailingMetadata {
		err = fault
	}
	s.err = nil
	if l.left &^= ops; l.left == 0 && fault == nil && l.bit != 0 {
		c.ended = l
	}
	runUp(done, err)
}
