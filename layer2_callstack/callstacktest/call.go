package callstacktest

import (
	"sync"
	"sync/atomic"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
)

// Build returns a stack of the filters in the order given, over tr.
func Build(t testing.TB, tr *Transport, filters ...callstack.Filter) *callstack.ChannelStack {
	t.Helper()
	b := callstack.NewBuilder("TEST")
	for i, f := range filters {
		r := b.Add(f)
		if _, ok := f.(contained); ok {
			r.Contained()
		}
		if i > 0 {
			r.After(filters[i-1].Name())
		}
	}
	b.Add(connected.New()).Terminal()
	s, err := b.Build(callstack.ChannelArgs{Transport: tr})
	if err != nil {
		t.Fatalf("building the stack: %v", err)
	}
	return s
}

// Contained returns f as a filter that Build contains, and so Run.
func Contained(f callstack.Filter) callstack.Filter { return contained{f} }

type contained struct{ callstack.Filter }

// A Call is a block with a call stack, such as the layers above have.
type Call struct {
	callstack.Block
	Stack    *callstack.CallStack
	recycled atomic.Int32
	spent    atomic.Bool
}

// NewCall returns a block for calls of s.
func NewCall(s *callstack.ChannelStack) *Call {
	c := &Call{Stack: s.NewCall()}
	c.Bind(c)
	return c
}

// Begin starts a call with one reference, to be dropped with Unref. Owner is
// filled in. The block is not spent.
func (c *Call) Begin(args callstack.CallArgs) error {
	if c.Spent() {
		panic("callstacktest: a block that is spent was used again")
	}
	c.Start()
	args.Owner = c
	c.Stack.Args = args
	return c.Stack.Init()
}

// Recycle resets the stack. The block is its own pool of one.
func (c *Call) Recycle() {
	if !c.Stack.Reset() {
		c.spent.Store(true)
	}
	c.recycled.Add(1)
}

// Spent reports whether the block must not be used for another call, since a
// contained filter broke a rule in the last one.
func (c *Call) Spent() bool { return c.spent.Load() }

// Recycled returns how many calls of the block have come to their end.
func (c *Call) Recycled() int { return int(c.recycled.Load()) }

// Do starts a new batch with the operations of ops, after edit has changed it.
func (c *Call) Do(ops transport.OpSet, edit ...func(*Batch)) *Batch {
	b := NewBatch(ops)
	for _, f := range edit {
		f(b)
	}
	c.Stack.StartBatch(&b.StreamOpBatch)
	return b
}

// A Batch is a batch with room for all that it refers to. It may be used again
// after Renew.
type Batch struct {
	transport.StreamOpBatch

	SendHeaders, SendTrailers metadata.List
	RecvHeaders, RecvTrailers metadata.List

	// What became of the operations. Sent is for all that send.
	Sent, GotHeaders, GotMessage, GotTrailers Result

	mu    sync.Mutex
	order []string // guarded by mu
}

// NewBatch returns a batch with those operations. A message to send is empty.
func NewBatch(ops transport.OpSet) *Batch {
	b := &Batch{}
	for name, r := range map[string]*Result{
		"sent": &b.Sent, "headers": &b.GotHeaders, "message": &b.GotMessage, "trailers": &b.GotTrailers,
	} {
		r.batch, r.name = b, name
	}
	b.Renew(ops)
	return b
}

// Renew makes b a new batch in the same memory.
func (b *Batch) Renew(ops transport.OpSet) {
	b.SendHeaders.Reset()
	b.SendTrailers.Reset()
	b.RecvHeaders.Reset()
	b.RecvTrailers.Reset()
	b.StreamOpBatch = transport.StreamOpBatch{Ops: ops}
	b.SendInitialMetadata.MD, b.SendTrailingMetadata.MD = &b.SendHeaders, &b.SendTrailers
	b.RecvInitialMetadata.MD, b.RecvTrailingMetadata.MD = &b.RecvHeaders, &b.RecvTrailers
	b.RecvInitialMetadata.Ready = &b.GotHeaders
	b.RecvMessage.Ready = &b.GotMessage
	b.RecvTrailingMetadata.Ready = &b.GotTrailers
	if ops.Has(transport.OpsSend) {
		b.OnComplete = &b.Sent
	}
	if ops.Has(transport.OpSendMessage) {
		b.SendMessage.Buf = transport.NewBuffer(0)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.order = b.order[:0]
	for _, r := range []*Result{&b.Sent, &b.GotHeaders, &b.GotMessage, &b.GotTrailers} {
		r.count, r.err = 0, nil
	}
}

// Order returns the names of the callbacks in the order in which they ran:
// "sent", "headers", "message", "trailers".
func (b *Batch) Order() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.order...)
}

// A Result is a callback that takes note of how it was run.
type Result struct {
	batch *Batch
	name  string
	count int   // guarded by batch.mu
	err   error // guarded by batch.mu
}

// Run takes note.
func (r *Result) Run(err error) {
	r.batch.mu.Lock()
	defer r.batch.mu.Unlock()
	r.count++
	r.err = err
	r.batch.order = append(r.batch.order, r.name)
}

// Count returns how many times the callback ran.
func (r *Result) Count() int {
	r.batch.mu.Lock()
	defer r.batch.mu.Unlock()
	return r.count
}

// Err returns what the callback was last run with.
func (r *Result) Err() error {
	r.batch.mu.Lock()
	defer r.batch.mu.Unlock()
	return r.err
}
