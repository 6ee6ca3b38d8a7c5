package callstack

import (
	"fmt"
	"strings"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// A ChannelStack is an ordered list of filters with their data for one
// channel. [Builder.Build] makes it. Its methods may be called at the same time.
type ChannelStack struct {
	// Set by Build, read-only afterwards.
	args  ChannelArgs
	names []string // from the top, without the probes of a trace
	elems []ChannelElem
}

// String lists the filters from the top, as "CLIENT_SUBCHANNEL authority …".
func (s *ChannelStack) String() string { return s.args.Name + " " + strings.Join(s.names, " ") }

// StartTransportOp gives op to the top of the stack.
func (s *ChannelStack) StartTransportOp(op *transport.Op) { s.elems[0].StartTransportOp(op) }

// Stop returns when the goroutines are gone that elements have started for calls.
// Whoever has closed the transport calls it then, once, and not from a callback.
func (s *ChannelStack) Stop() {
	for _, e := range s.elems {
		if e, ok := e.(Stopper); ok {
			e.Stop()
		}
	}
}

// Destroy ends every element. No operation of a call may be in flight; handles
// of calls that have ended may be left, and batches that they start then fail.
func (s *ChannelStack) Destroy() {
	for _, e := range s.elems {
		e.Destroy()
	}
}

// NewCall returns a call stack, with an element of every filter. It is meant
// to be kept in a block and used for many calls.
func (s *ChannelStack) NewCall() *CallStack {
	c := &CallStack{elems: make([]CallElem, len(s.elems))}
	var next CallElem
	for i := len(s.elems) - 1; i >= 0; i-- {
		next = s.elems[i].NewCall(next)
		if next == nil {
			panic(fmt.Sprintf("callstack: element %d of %v returned no call element", i, s))
		}
		c.elems[i] = next
		if s, ok := next.(Starter); ok {
			c.starters = append(c.starters, s)
		}
		if s, ok := next.(Spender); ok {
			c.spenders = append(c.spenders, s)
		}
	}
	if s.args.Trace != nil {
		linkProbes(c.elems)
	}
	return c
}

// A CallStack is the elements of one call at a time, from the top.
type CallStack struct {
	elems    []CallElem
	starters []Starter // those of elems that are, from the bottom
	spenders []Spender
	// Args is what the present call began with.
	Args CallArgs
}

// Init begins a call with what is in Args, from the bottom. All elements are
// initialised, even after an error; the first error is returned and the caller
// then cancels. Without one, what is to start does so when all are.
func (c *CallStack) Init() error {
	c.Args.Top = c.elems[0]
	var first error
	for i := len(c.elems) - 1; i >= 0; i-- {
		if err := c.elems[i].Init(&c.Args); err != nil && first == nil {
			first = err
		}
	}
	if first == nil {
		for _, s := range c.starters {
			s.Start()
		}
	}
	return first
}

// StartBatch gives b to the top of the stack.
func (c *CallStack) StartBatch(b *transport.StreamOpBatch) { c.elems[0].StartBatch(b) }

// Top returns the topmost element.
func (c *CallStack) Top() CallElem { return c.elems[0] }

// Reset ends the call in every element, from the top, and forgets Args. It reports
// whether the block that holds the stack may serve another call: not where a
// contained filter broke a rule, for it may refer to this one still, with all that
// is in the block. Such a block is left to the garbage collector.
func (c *CallStack) Reset() (reusable bool) {
	for _, e := range c.elems {
		e.Reset()
	}
	c.Args = CallArgs{}
	return !c.Spent()
}

// Spent reports whether something may refer to the last call even after its end, as a
// filter may that broke a rule.
func (c *CallStack) Spent() bool {
	for _, s := range c.spenders {
		if s.Spent() {
			return true
		}
	}
	return false
}
