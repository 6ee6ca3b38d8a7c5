// Package authority is the filter that gives every call of a client a value
// for ":authority": the host that the call asks for, else the channel's own.
//
// # Contract
//
//   - send_initial_metadata: fills an empty Authority slot.
//   - Everything else passes.
//   - Not here: whether the connection may speak for that authority, which is
//     a matter of its credentials.
package authority

import (
	transport "github.com/strata-grpc/strata/layer1_transport"
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

func (f *filter) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &channel{callstack.ChannelBase{Next: next}, f.fallback}, nil
}

type channel struct {
	callstack.ChannelBase
	fallback string
}

func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &call{CallBase: callstack.CallBase{Next: next}, fallback: ch.fallback}
}

type call struct {
	callstack.CallBase
	fallback string
	asked    string // by this call
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
			md.Authority = c.fallback
		}
	}
	c.Next.StartBatch(b)
}

func (c *call) Reset() { c.asked = "" }
