package compression

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strata-grpc/strata/internal/warnlimit"
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// Name is the name of the filter.
const Name = "compression"

// DefaultMinSize is the length from which messages are compressed where
// nothing else is configured: below it the frame of gzip, 18 bytes, and the time
// cost more than a packet that stays as one saves.
const DefaultMinSize = 256

// Config says how messages are coded. The zero value reads gzip and deflate and
// compresses nothing unless a call asks for it.
type Config struct {
	// Compressors are the codings that are known, in the order in which the peer
	// is told of them. Nil means [encoding.Defaults]; a list without any knows
	// none, so that compressed messages are refused.
	Compressors []encoding.Compressor

	// Send is the coding of messages where the call asks for none. Empty means
	// "identity". A server keeps to "identity" where the client does not list it.
	Send string

	// Mirror makes a server answer in the coding of the request where neither
	// the call nor Send asks for one, as grpc-go does. It means nothing to a client.
	Mirror bool

	// MinSize is the length in bytes from which messages are compressed. 0
	// means DefaultMinSize, less means all but empty ones.
	MinSize int

	// KeepCompressed leaves received messages as they are, with
	// Buffer.Compressed set and the slot of grpc-encoding visible: for a proxy,
	// or for an application that calls [encoding.Inflate] itself. A message that
	// is compressed already when it is sent passes as it is in any case.
	KeepCompressed bool
}

// Set returns the compressors of c, or what is wrong with c.
func (c Config) Set() (*encoding.Set, error) {
	list := c.Compressors
	if list == nil {
		list = encoding.Defaults()
	}
	set, err := encoding.NewSet(list)
	if err != nil {
		return nil, fmt.Errorf("option Compressors: %w", err)
	}
	if err := set.Check(c.Send); err != nil {
		return nil, fmt.Errorf("option Send: %w", err)
	}
	return set, nil
}

// Validate returns what is wrong with c, nil if nothing is.
func (c Config) Validate() error {
	_, err := c.Set()
	return err
}

// New returns the filter. It serves clients and servers.
func New(cfg Config) callstack.Filter { return &filter{cfg: cfg} }

// panicInterval is how long panics of compressors are counted, rather than warned of,
// after a warning: a peer may be able to cause one with each message.
const panicInterval = 10 * time.Second

type filter struct {
	cfg Config

	once   sync.Once
	panics *slog.Logger // of all connections; set by once
}

func (f *filter) Name() string { return Name }

func (f *filter) Validate() error { return f.cfg.Validate() }

func (f *filter) NewChannel(args *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	set, err := f.cfg.Set()
	if err != nil {
		return nil, err
	}
	f.once.Do(func() {
		logger := args.Logger
		if logger == nil {
			logger = slog.Default()
		}
		f.panics = slog.New(warnlimit.New(logger.Handler(), panicInterval))
	})
	ch := &channel{ChannelBase: callstack.ChannelBase{Next: next}, cfg: f.cfg, set: set,
		line: newLine(maxWorkers(), args.Trace), sink: args.Trace, panics: f.panics}
	switch {
	case ch.cfg.MinSize == 0:
		ch.cfg.MinSize = DefaultMinSize
	case ch.cfg.MinSize < 0:
		ch.cfg.MinSize = 1
	}
	return ch, nil
}

type channel struct {
	callstack.ChannelBase
	cfg  Config
	set  *encoding.Set
	line *line

	sink   trace.Sink // nil for none
	panics *slog.Logger
}

func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &call{CallBase: callstack.CallBase{Next: next}, ch: ch}
}

// StartTransportOp passes op on. With the connection that is closed the messages are
// given up that are inflated elsewhere.
func (ch *channel) StartTransportOp(op *transport.Op) {
	err := op.Disconnect
	ch.Next.StartTransportOp(op)
	if err != nil {
		ch.line.close(&transport.Error{Code: transport.DisconnectCode(err), Layer: Name, Cause: err,
			Reason: "the connection was closed while a message was inflated"})
	}
}

// Stop waits for the goroutines that inflate messages. Where the connection was not
// closed on this side they finish what has come with the end of its call.
func (ch *channel) Stop() { ch.line.wait() }

// tellPanic warns of the panic of a compressor, if err is one: the call's end names it,
// but not where it was.
func (ch *channel) tellPanic(err error) {
	if p, is := err.(*encoding.Panic); is {
		ch.panics.Warn("compression: a compressor panicked", "compressor", p.Name, "panic", fmt.Sprint(p.Value), "stack", string(p.Stack))
	}
}

// A call remembers the callbacks that it stands in for. One of each kind is
// outstanding at most, and they run one after another.
type call struct {
	callstack.CallBase
	ch   *channel
	args *callstack.CallArgs

	headers      *metadata.List
	headersDone  transport.Done
	message      *transport.StreamOpBatch // has recv_message
	messageDone  transport.Done
	trailers     *metadata.List
	trailersDone transport.Done

	// peer is what the peer said in its headers. On a server it is written
	// before the headers go up, and nobody sends before that.
	peer peerCoding
	// failed is why this filter ended the call, nil if it did not. It is for
	// callbacks only.
	failed error
	// plain is set where the peer codes nothing that could be inflated. It is
	// written before the headers go up.
	plain bool

	// combiner runs the callbacks one after another where this filter runs one of
	// them itself; it is idle until then.
	combiner callstack.Combiner
	away     away

	// send is the coding of what is sent, nil for identity. It is written with
	// the headers, before state becomes stateKnown, and read after that.
	send encoding.Compressor

	state     atomic.Uint32 // one of state…
	early     atomic.Bool   // a compressed message waits for the headers
	cancelled atomic.Bool
	mu        sync.Mutex // a leaf
	// Guarded by mu.
	held []*transport.StreamOpBatch
}

func (c *call) Init(args *callstack.CallArgs) error {
	c.args = args
	c.combiner.BindIdle(args)
	return nil
}

func (c *call) Reset() {
	c.args = nil
	c.headers, c.headersDone, c.message, c.messageDone, c.trailers, c.trailersDone = nil, nil, nil, nil, nil, nil
	c.peer, c.failed, c.plain, c.away.lost, c.send = peerCoding{}, nil, false, nil, nil
	c.combiner.Reset()
	c.state.Store(stateUnknown)
	if c.cancelled.Load() { // a load costs less than a store
		c.cancelled.Store(false)
	}
}

func (c *call) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpsRecv) {
		c.intercept(b)
	}
	if b.Ops.Has(transport.OpsSend) && c.mayInflate() {
		c.combiner.Watch(b, transport.OpsSend)
	}
	if b.Ops.Has(transport.OpsSend|transport.OpCancelStream) && c.startSend(b) {
		return
	}
	c.Next.StartBatch(b)
}

// mayInflate reports whether a message may still come that is inflated. A server knows
// of most calls that none will; nobody sends before the headers have come.
func (c *call) mayInflate() bool {
	return !c.ch.cfg.KeepCompressed && !(c.args.Accepted != nil && c.plain)
}

// intercept puts the call between the receiving operations of b and whoever
// waits for them.
func (c *call) intercept(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvInitialMetadata) {
		c.headers, c.headersDone = b.RecvInitialMetadata.MD, b.RecvInitialMetadata.Ready
		b.RecvInitialMetadata.Ready = (*onHeaders)(c)
	}
	if b.Ops.Has(transport.OpRecvMessage) {
		c.message, c.messageDone = b, b.RecvMessage.Ready
		b.RecvMessage.Ready = (*onMessage)(c)
	}
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		c.trailers, c.trailersDone = b.RecvTrailingMetadata.MD, b.RecvTrailingMetadata.Ready
		b.RecvTrailingMetadata.Ready = (*onTrailers)(c)
	}
}

// cancel ends the call with err. Caller is a callback.
func (c *call) cancel(err error) {
	c.failed = err
	callstack.Cancel(c.Next, err)
	c.dropHeld()
}

// fault returns an error of this filter.
func fault(code status.Code, reason string) *transport.Error {
	return &transport.Error{Code: code, Layer: Name, Reason: reason}
}
