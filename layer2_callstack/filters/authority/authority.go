// Package authority is the filter that gives every call of a client a value
// for ":authority": the host that the call asks for, else the channel's own.
//
// # Contract
//
//   - send_initial_metadata: fills an empty Authority slot. A call that names
//     another authority than the channel's fails with UNAVAILABLE before any of
//     it is sent, unless the credentials of the connection say that the peer may
//     speak for it. gRFC A81. A connection that had no handshake, such as one
//     in-process, contradicts nobody.
//   - A call that fails is cancelled below, and its batch is passed on all the
//     same: a cancelled stream fails it.
//   - Everything else passes.
//   - Not here: whether the peer may speak for the channel's own authority,
//     which the handshake has checked.
//
// # Goroutines
//
// None.
//
// # Locks
//
// None. What a call asks for is written before its first batch.
package authority

import (
	"errors"
	"fmt"

	"github.com/strata-grpc/strata/internal/quote"
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// Name is the name of the filter.
const Name = "authority"

// New returns the filter. fallback is the authority of calls that name none;
// if it is empty too, such calls go without, as RFC 9113 §8.3.1 allows where
// there is no authority to convey.
func New(fallback string) callstack.Filter { return &filter{fallback} }

type filter struct{ fallback string }

func (f *filter) Name() string { return Name }

func (f *filter) NewChannel(args *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	ch := &channel{ChannelBase: callstack.ChannelBase{Next: next}, fallback: f.fallback}
	if args.Transport != nil {
		ch.peer = args.Transport.Peer()
	}
	return ch, nil
}

type channel struct {
	callstack.ChannelBase
	fallback string
	peer     *peer.Peer // nil in a stack without a transport
}

func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &call{CallBase: callstack.CallBase{Next: next}, ch: ch}
}

// check returns why the peer may not speak for an authority that is not the
// channel's. A connection without credentials contradicts nobody.
func (ch *channel) check(authority string) error {
	if ch.peer == nil || ch.peer.AuthInfo == nil {
		return nil
	}
	v, ok := ch.peer.AuthInfo.(credentials.AuthorityValidator)
	cause := errors.New("the credentials cannot tell")
	if ok {
		cause = v.ValidateAuthority(authority)
	}
	if cause == nil {
		return nil
	}
	// Not ProgressNotSent: the call would be picked again and meet the same peer.
	return &transport.Error{
		Code: status.Unavailable, Layer: Name, Peer: ch.peer.String(), Cause: cause,
		Reason: fmt.Sprintf("the server may not speak for %s, the authority of this call", quote.Text(authority)),
	}
}

type call struct {
	callstack.CallBase
	ch    *channel
	asked string // by this call
}

func (c *call) Init(args *callstack.CallArgs) error {
	c.asked = args.Authority
	return nil
}

func (c *call) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpSendInitialMetadata) {
		md := b.SendInitialMetadata.MD
		if md.Authority == "" {
			md.Authority = c.asked
		}
		if md.Authority == "" {
			md.Authority = c.ch.fallback
		} else if md.Authority != c.ch.fallback {
			if err := c.ch.check(md.Authority); err != nil {
				callstack.Cancel(c.Next, err)
			}
		}
	}
	c.Next.StartBatch(b)
}

func (c *call) Reset() { c.asked = "" }
