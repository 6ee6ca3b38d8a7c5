// Package messagesize is the filter that bounds the length of messages.
//
// # Contract
//
//   - recv_message: where the call has chosen no Limit it becomes the channel's.
//     The transport refuses a longer message at its prefix and says so.
//   - An error has the length of the message, the limit, and what to call who sets it.
//   - send_message: a message that is too long cancels the call with
//     RESOURCE_EXHAUSTED before any of it is sent. The batch is passed on all
//     the same: a cancelled stream fails it, so that its callbacks end in order
//     with those of the call's other batches.
//   - Not here: the size of a message after it was inflated (compression).
//
// # Goroutines
//
// None.
//
// # Locks
//
// None. A call has nothing to remember.
package messagesize

import (
	"fmt"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// Name is the name of the filter.
const Name = "message_size"

// DefaultMaxRecv is how long a received message may be where nothing else is
// configured, as in every gRPC. It bounds what one message of a peer costs.
const DefaultMaxRecv = 4 << 20

// Config holds the limits in bytes.
type Config struct {
	// MaxSend is the longest message to send. 0 or less means no limit.
	MaxSend int

	// MaxRecv is the longest message to receive. 0 means DefaultMaxRecv, less
	// means no limit.
	MaxRecv int

	// SendName and RecvName say in errors how the two limits are set. Empty means
	// "option MaxSend" and "option MaxRecv".
	SendName, RecvName string
}

func (c Config) withDefaults() Config {
	if c.MaxRecv == 0 {
		c.MaxRecv = DefaultMaxRecv
	}
	if c.SendName == "" {
		c.SendName = "option MaxSend"
	}
	if c.RecvName == "" {
		c.RecvName = "option MaxRecv"
	}
	return c
}

// New returns the filter.
func New(cfg Config) callstack.Filter { return &filter{cfg.withDefaults()} }

type filter struct{ cfg Config }

func (f *filter) Name() string { return Name }

func (f *filter) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &channel{callstack.ChannelBase{Next: next}, f.cfg}, nil
}

type channel struct {
	callstack.ChannelBase
	cfg Config
}

func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &call{callstack.CallBase{Next: next}, &ch.cfg}
}

type call struct {
	callstack.CallBase
	cfg *Config
}

func (c *call) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvMessage) {
		c.limit(&b.RecvMessage)
	}
	if b.Ops.Has(transport.OpSendMessage) && c.cfg.MaxSend > 0 {
		if n := b.SendMessage.Buf.Len(); n > c.cfg.MaxSend {
			callstack.Cancel(c.Next, c.cfg.tooLong(n))
		}
	}
	c.Next.StartBatch(b)
}

// limit fills in what the call has not chosen.
func (c *call) limit(op *transport.RecvMessage) {
	if op.Limit == 0 {
		op.Limit = c.cfg.MaxRecv
	}
	if op.LimitName == "" {
		op.LimitName = c.cfg.RecvName
	}
}

func (c *Config) tooLong(n int) error {
	return &transport.Error{
		Code:   status.ResourceExhausted,
		Layer:  Name,
		Reason: fmt.Sprintf("a message of %d bytes passes the send limit of %d bytes (%s)", n, c.MaxSend, c.SendName),
	}
}
