package callstack

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// A guard contains a filter of a user's: it stands in the filter's place, with the
// filter inside. What the stack gives to the guard goes to the filter, and what
// the filter passes on comes to the floor, which gives it to the stack again.
//
//	                 the element above
//	                     │         ▲
//	┌────────────────────▼─────────┴───────────────────┐
//	│ guard.go      the guard of a channel stack       │
//	│ guardcall.go  the guard of a call: down, and up  │
//	│   ┌───────────────────────────────────────────┐  │
//	│   │ the filter                                │  │
//	│   └───────────────────────────────────────────┘  │
//	│ floor.go      what the filter takes for next     │
//	│ ways.go       where each operation is            │
//	│ fault.go      the end of a call by a broken rule │
//	│ grace.go      the end, and what is kept then     │
//	└────────────────────┬─────────▲───────────────────┘
//	                     ▼         │
//	                 the element below
//
// Whatever the filter does to a call ends at most that call, exactly once, with
// INTERNAL and a text that names the filter and the rule that it broke: it panics,
// passes a batch on twice or keeps it for ever, runs a callback twice, too early,
// or at the same time as another, lets a callback or a cancel drop, starts operations
// that nobody has started above it, or uses a call after its end. It may do what is
// hard to get right: pass on a batch in parts, fail it, complete it from a goroutine of
// its own. After the first fault the guard ends all operations itself; the
// filter still sees what comes back to it, so that it can tidy up, but nothing that
// it does counts. The memory of the call is not used again, since the filter may
// refer to it: see [CallStack.Reset] and [Spender].
//
// What cannot be contained: a filter that does not return, or ends the goroutine it
// was called on; a panic on a goroutine of its own; memory that it uses after it gave
// it back, such as a message that it has passed on, or the application's own, such as
// a list that it asked to have filled, when the call is over; a reference of the
// call's owner that it drops twice. What a filter does with a call after its end is
// told from the next one in the same memory as long as that has not begun; then it is
// a fault in that one. A filter that keeps an operation of a client's call that nobody
// cancels is taken for one that waits for something, also when the stream has ended.
// Who closes a channel of layer 4 cancels its calls. On a server the end of the stream
// cancels what the filter has kept of recv_trailing_metadata.
//
// A guard costs nothing where there is none: only filters that were registered with
// [Registration.Contained] have one. With one a call still allocates nothing.
type guard struct {
	// Set by newGuard, read-only afterwards.
	name   string
	faults *FaultLog
	user   ChannelElem
	next   ChannelElem

	mu sync.Mutex // a leaf; nothing is called while it is held
	// Guarded by mu: the last transport operations that the filter was given.
	given  [maxGiven]givenOp
	oldest int
}

// maxGiven is how many operations back a filter is watched for passing one on
// twice.
const maxGiven = 8

// A givenOp is an operation that the filter is to pass on.
type givenOp struct {
	op     *transport.Op
	passed bool
	owed   opParts // not passed on in any operation
}

// newGuard makes the filter's element for a channel stack, inside a guard. next is
// not nil, since a terminal filter is not contained.
func newGuard(f Filter, name string, args *ChannelArgs, next ChannelElem) (ChannelElem, error) {
	g := &guard{name: name, faults: args.Faults, next: next}
	user, err := newChannel(f, args, (*channelFloor)(g))
	if err != nil {
		return nil, err
	}
	g.user = user
	return g, nil
}

// NewCall returns the guard of a call, with the filter's element inside. Where
// the filter makes none, each call ends as it begins.
func (g *guard) NewCall(next CallElem) CallElem {
	c := newGuardCall(g, next)
	g.makeUser(c)
	return c
}

// makeUser has the filter make its element of c.
func (g *guard) makeUser(c *guardCall) {
	defer func() {
		if p := recover(); p != nil {
			c.stillborn("panicked in NewCall", panicked(p))
		}
	}()
	if c.user = g.user.NewCall(&c.floor); c.user == nil {
		c.stillborn("returned no element from NewCall", nil)
	}
}

// StartTransportOp gives op to the filter. What a filter that panics, or is deaf, has
// not passed on is passed on for it: without it a server would never end.
func (g *guard) StartTransportOp(op *transport.Op) {
	given := *op // which the filter may change
	g.expect(op)
	panicked := g.giveOp(op)
	if panicked && g.pass(op) {
		opDown(g.next, op)
	}
	if rest, names := g.owed(op, &given); names != "" {
		if !panicked {
			g.faults.report(g.name, "did not pass on "+names)
		}
		opDown(g.next, rest)
	}
}

// giveOp reports whether the filter panicked.
func (g *guard) giveOp(op *transport.Op) (panicked bool) {
	defer func() {
		if p := recover(); p != nil {
			g.panicked("StartTransportOp", p)
			panicked = true
		}
	}()
	g.user.StartTransportOp(op)
	return false
}

// Destroy ends the filter's element.
func (g *guard) Destroy() {
	defer func() {
		if p := recover(); p != nil {
			g.panicked("Destroy", p)
		}
	}()
	g.user.Destroy()
}

// Stop waits for the goroutines of the filter's element, if that has some.
func (g *guard) Stop() {
	defer func() {
		if p := recover(); p != nil {
			g.panicked("Stop", p)
		}
	}()
	if e, ok := g.user.(Stopper); ok {
		e.Stop()
	}
}

// panicked reports the panic of a method that no call depends on. It goes on if
// it began elsewhere.
func (g *guard) panicked(method string, p any) {
	if passedThrough() {
		panic(p)
	}
	g.faults.report(g.name, fmt.Sprintf("panicked in %s: %v", method, p))
}

// expect notes that the filter is given op: who made it may use it again.
func (g *guard) expect(op *transport.Op) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.indexLocked(op)
	if i < 0 {
		i = g.oldest
		g.oldest = (g.oldest + 1) % maxGiven
	}
	g.given[i] = givenOp{op: op, owed: partsOf(op)}
}

// pass notes that op is passed on. It reports false if it was already. One that the
// filter has made itself, in the place of another perhaps, is its own to use as often
// as it wants.
func (g *guard) pass(op *transport.Op) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.indexLocked(op)
	if i >= 0 {
		twice := g.given[i].passed
		g.given[i].passed = true
		g.given[i].owed &^= partsOf(op)
		return !twice
	}
	for i := range g.given {
		g.given[i].owed &^= partsOf(op)
	}
	return true
}

// owed returns what of op, as it was given, the filter has not passed on, and the
// names of that. It counts as passed on then.
func (g *guard) owed(op, given *transport.Op) (rest *transport.Op, names string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.indexLocked(op)
	if i < 0 || g.given[i].owed == 0 {
		return nil, ""
	}
	owed := g.given[i].owed
	g.given[i].passed, g.given[i].owed = true, 0
	return owed.of(given)
}

// indexLocked returns where op is noted, less than 0 if it is not. Caller holds g.mu.
func (g *guard) indexLocked(op *transport.Op) int {
	return slices.IndexFunc(g.given[:], func(o givenOp) bool { return o.op == op })
}

// opParts are the parts of a transport operation that a filter passes on before it
// returns. A ping it may answer itself, and it may want no idleness.
type opParts uint8

const (
	partAccept opParts = 1 << iota
	partGoaway
	partDisconnect
	partStartWatch
	partStopWatch
)

// partsOf returns what op has.
func partsOf(op *transport.Op) (p opParts) {
	for part, has := range map[opParts]bool{
		partAccept: op.Accept != nil, partGoaway: op.Goaway != nil, partDisconnect: op.Disconnect != nil,
		partStartWatch: op.StartWatch != nil, partStopWatch: op.StopWatch != nil,
	} {
		if has {
			p |= part
		}
	}
	return p
}

// of returns an operation with the parts p of op, and their names.
func (p opParts) of(op *transport.Op) (part *transport.Op, names string) {
	part = &transport.Op{}
	var all []string
	if p&partAccept != 0 {
		part.Accept, all = op.Accept, append(all, "Accept")
	}
	if p&partGoaway != 0 {
		part.Goaway, all = op.Goaway, append(all, "Goaway")
	}
	if p&partDisconnect != 0 {
		part.Disconnect, all = op.Disconnect, append(all, "Disconnect")
	}
	if p&partStartWatch != 0 {
		part.StartWatch, all = op.StartWatch, append(all, "StartWatch")
	}
	if p&partStopWatch != 0 {
		part.StopWatch, all = op.StopWatch, append(all, "StopWatch")
	}
	return part, strings.Join(all, " ")
}

// A channelFloor is a guard as the filter's next element.
type channelFloor guard

// StartTransportOp passes op on.
func (f *channelFloor) StartTransportOp(op *transport.Op) {
	g := (*guard)(f)
	switch {
	case op == nil:
		g.faults.report(g.name, "passed on a transport operation that is nil")
	case !g.pass(op):
		g.faults.report(g.name, "passed on a transport operation twice")
	default:
		opDown(g.next, op)
	}
}

// NewCall is for the stack alone.
func (f *channelFloor) NewCall(CallElem) CallElem { panic("NewCall of the next element was called") }

// Destroy does nothing: the stack destroys each element itself.
func (f *channelFloor) Destroy() {}
