package surface

import (
	"sync"
	"sync/atomic"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
	cq "github.com/strata-grpc/strata/layer3_cq"
	"github.com/strata-grpc/strata/layer4_surface/internal/poison"
	"github.com/strata-grpc/strata/layer4_surface/internal/roster"
)

// A call is the call block: everything that one RPC needs at a time, made once
// and used for one RPC after another. gRPC core allocates its grpc_call, the
// call data of all filters and the batch_controls as one piece as well.
//
// References are held by the handle until Release, by each batch from
// StartBatch until its event is dequeued, by whoever is inside a method of the
// handle, on a server by the server until the stream has ended, and by the
// layers below as the owner of what they use.
//
// Invariant: a bit of stateInFlight or stateSlots is set exactly while a batch
// that has claimed it holds its reference.
type call struct {
	callstack.Block

	// Set by newCall, read-only afterwards.
	pool   *callPool
	stack  *callstack.CallStack
	server *serverCall // nil on a client

	// Set when the RPC begins, read-only until the block is recycled.
	queue    *cq.Queue
	method   string
	deadline time.Time
	id       uint64 // 0 without a trace
	simFlags uint32 // added to those of SendInitialMetadata
	parent   Call   // the server's call on whose behalf this one is, if any

	state        atomic.Uint32 // state… bits, below
	batches      atomic.Uint32 // started so far, with a trace
	event        atomic.Uint64 // the last one in the trace
	sentTrailers atomic.Bool   // set by the transport: the status went out
	peer         transport.PeerSlot

	send     sendSide
	recv     recvSide
	children family
	slots    [batchSlots]*batch // each made when it is first used, and kept
	ownQueue cq.Queue           // for calls that were given none; never shut down
}

// The bits of call.state. All that a batch changes is committed by one CAS.
const (
	// Operations that were started and are allowed once.
	stateSentHeaders uint32 = 1 << iota
	stateSentFinal
	stateRecvHeaders
	stateRecvFinal

	// Operations that are allowed one at a time.
	stateSending
	stateReceiving

	stateEnded       // the final operation has completed
	stateCancelled   // a cancellation went down
	stateReleased    // the handle was given up
	stateScratch     // recv.initial or recv.trailing was used by a client
	stateChildren    // children has entries
	stateCredentials // SetCredentials is at work
	stateSlot0       // slots[0] is in use; the next bits are for the others

	stateInFlight = stateSending | stateReceiving
	stateSlots    = stateSlot0 * (1<<batchSlots - 1)
)

// batchSlots is how many batches of a call the block keeps the memory of. A
// unary call needs one, a stream one for each direction and one for the end;
// further ones come from the heap for once.
const batchSlots = 3

// A sendSide is what the call has to say. The lists are read by the transport
// until the operation completes; each is made when it is first used, and kept.
type sendSide struct {
	initial  *metadata.List
	trailing *metadata.List
}

// made returns the list at, which it makes if the block has never used it.
func made(at **metadata.List) *metadata.List {
	if *at == nil {
		*at = new(metadata.List)
	}
	return *at
}

// A recvSide is where the call keeps what it hears between a callback and the
// event.
type recvSide struct {
	// initial and trailing take what the application did not ask for. On a
	// server they take the client's headers and the end of the stream.
	initial  metadata.List
	trailing metadata.List

	// headers is one of the headers… values: a message is not given to the
	// application before the headers are.
	headers atomic.Uint32
	// early is the batch whose message came before the headers. Written
	// before headers becomes headersEarly, read after that.
	early *batch

	// The final operation, once in a call. Written when the batch starts.
	finalMD   *metadata.List
	result    *CallStatus
	cancelled *bool
}

const (
	headersNone  = iota // nothing has arrived
	headersEarly        // a message has, and waits in early
	headersSeen         // the headers have, or the call failed without
)

// A callPool keeps the call blocks of one stack. Blocks belong to the channel
// or connection that made them, since they contain its stream.
type callPool struct {
	// Set by its owner, read-only afterwards.
	stack   *callstack.ChannelStack
	trace   tracer
	codings *encoding.Set
	made    *roster.Roster[call] // a channel's blocks, for cancelAll; nil on a server

	// Atomic.
	closing atomic.Bool // Close of the channel was called

	blocks sync.Pool
}

// get returns a block for an RPC, with one reference, and its generation.
func (p *callPool) get() (*call, uint32) {
	c, _ := p.blocks.Get().(*call)
	if c == nil {
		c = p.newCall()
	} else if poison.On {
		c.cure()
	}
	if p.trace.on() {
		c.id = p.trace.nextCall()
	}
	return c, c.Start()
}

// newCall makes a block.
func (p *callPool) newCall() *call {
	c := &call{pool: p, stack: p.stack.NewCall()}
	c.Bind(c)
	// Never shut down: it is idle again whenever the block is recycled,
	// because every batch that used it has been dequeued.
	c.ownQueue.Init(cq.Pluck, cq.Config{Name: "call", Observer: p.trace.observer()})
	if p.made != nil {
		p.made.Add(c)
	}
	return c
}

// stateBegun are the bits of which one is set as long as something is outstanding.
const stateBegun = stateSentHeaders | stateSentFinal | stateRecvHeaders | stateRecvFinal | stateInFlight

// cancelAll ends the calls of a channel that is closing, from the top of their
// stacks: so a filter that keeps something of a call hears of it wherever it stands.
// cause is why, in a trace. A call pays nothing:
//
//   - One that has begun is seen here, or sees closing: startBatch sets bits of its
//     operations and then looks, Close sets closing and then looks at the bits.
//   - One without such bits has nothing that could be kept, and may be in the middle
//     of create, which nobody must disturb. It sees closing there, at the latest when
//     it begins.
//   - Every block is in made before its first use. What it is used for next, while
//     we look, has another generation, and began after closing was set: create
//     sees that.
//
// Only a call to which nothing leads is not found: its handle is lost, or only its own
// closure has it, and the filter that keeps it has nobody who would go on with it. The
// garbage collector may have taken it. Of a server's call nobody has a handle before
// it is published, so this is not for servers: their calls end with the streams.
func (p *callPool) cancelAll(err error, cause trace.EventID) {
	for c := range p.made.All() {
		if !c.Acquire(c.Generation()) {
			continue // in the pool, or about to be
		}
		if c.state.Load()&stateBegun != 0 {
			c.cancelFor(err, cause)
		}
		c.Unref()
	}
}

// Recycle clears the block and returns it to its pool, unless something may still
// refer to the call.
func (c *call) Recycle() {
	if c.parent.c != nil {
		c.parent.c.forget(c.parent.generation, c)
		c.parent = Call{}
	}
	reusable := c.stack.Reset()
	s := c.state.Load()
	if s&stateSentHeaders != 0 {
		c.send.initial.Reset()
	}
	if s&stateSentFinal != 0 && c.server != nil {
		c.send.trailing.Reset()
	}
	c.recv.reset(s&stateScratch != 0 || c.server != nil)
	if s&stateChildren != 0 {
		c.children.reset()
	}
	c.queue, c.method, c.deadline, c.id, c.simFlags = nil, "", time.Time{}, 0, 0
	// Nobody else is here, so plain writes do.
	c.state, c.event, c.batches = atomic.Uint32{}, atomic.Uint64{}, atomic.Uint32{}
	c.sentTrailers, c.peer = atomic.Bool{}, transport.PeerSlot{}
	if poison.On {
		c.poison()
	}
	if reusable {
		c.pool.blocks.Put(c)
	}
}

// reset forgets what was received, with the lists if they were used.
func (r *recvSide) reset(lists bool) {
	if lists {
		r.initial.Reset()
		r.trailing.Reset()
	}
	r.headers = atomic.Uint32{} // headersNone
	r.early, r.finalMD, r.result, r.cancelled = nil, nil, nil, nil
}

// poison fills a block that goes back to its pool: a late batch is refused or
// finds no queue, a late callback or reference panics. Built with the tag
// strata_poison only.
func (c *call) poison() {
	c.method, c.simFlags = poison.Text, ^uint32(0)
	c.state.Store(^uint32(0))
	c.stack.Args.Owner, c.stack.Args.Path = poison.Owner, poison.Text
	c.recv.headers.Store(uint32(poison.Ops))
}

// cure checks that nobody has touched the block since, and empties it.
func (c *call) cure() {
	args := &c.stack.Args
	poison.Check("a call", c.method == poison.Text && c.simFlags == ^uint32(0) && c.queue == nil &&
		c.state.Load() == ^uint32(0) && args.Owner == poison.Owner && args.Path == poison.Text)
	poison.Check("what a call receives", c.recv.headers.Load() == uint32(poison.Ops) && c.recv.early == nil &&
		c.recv.finalMD == nil && c.recv.result == nil && c.recv.cancelled == nil && c.recv.initial.Len() == 0 && c.recv.trailing.Len() == 0)
	c.method, c.simFlags = "", 0
	c.state.Store(0)
	c.stack.Args = callstack.CallArgs{}
	c.recv.headers.Store(headersNone)
}

// poison fills a batch whose event was dequeued.
func (b *batch) poison() {
	op := &b.op
	b.tag = poison.Text
	b.steps.Store(poison.Steps)
	op.Ops, op.OnComplete = poison.Ops, poison.Dead
	op.RecvInitialMetadata.Ready, op.RecvMessage.Ready, op.RecvTrailingMetadata.Ready = poison.Dead, poison.Dead, poison.Dead
}

// cure checks that nobody has touched the batch since, and empties it.
func (b *batch) cure() {
	op := &b.op
	poison.Check("a batch", b.tag == poison.Text && b.steps.Load() == poison.Steps && op.Ops == poison.Ops && op.OnComplete == poison.Dead &&
		op.RecvInitialMetadata.Ready == poison.Dead && op.RecvMessage.Ready == poison.Dead && op.RecvMessage.Message == nil &&
		op.RecvTrailingMetadata.Ready == poison.Dead && !op.SendMessage.WriteClosed && !b.failed.Load() && b.message == nil)
	*b = batch{call: b.call, slot: b.slot}
}
