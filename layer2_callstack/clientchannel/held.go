package clientchannel

import (
	"fmt"
	"math/bits"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// heldBatches are the batches of a call that wait for an attempt. At most one
// operation of each kind is outstanding, so each batch has a slot: that of its
// first operation. A cancel alone has the last one.
type heldBatches [7]*transport.StreamOpBatch

// add puts b in its slot. A second cancel means nothing and is dropped.
func (h *heldBatches) add(b *transport.StreamOpBatch) {
	i := bits.TrailingZeros8(uint8(b.Ops))
	if i >= len(h) {
		return // it asks for nothing
	}
	if h[i] == nil {
		h[i] = b
	} else if b.Ops != transport.OpCancelStream {
		panic(fmt.Sprintf("clientchannel: batch %q was started while %q is outstanding", b.Ops, h[i].Ops))
	}
}

// initial returns the batch that sends the initial metadata, nil if there is
// none yet.
func (h *heldBatches) initial() *transport.StreamOpBatch { return h[0] }

// cancel returns a batch that cancels, nil if there is none.
func (h *heldBatches) cancel() *transport.StreamOpBatch {
	for _, b := range h {
		if b != nil && b.Ops.Has(transport.OpCancelStream) {
			return b
		}
	}
	return nil
}

// take removes the next batch to pass on, nil if there is none: a cancel first,
// so that nothing takes effect that was started after it; then the one that
// begins the stream. Where that also ends the sending side, a message of another
// batch goes before it, as it was started before it: a transport keeps a message
// until the headers are there, and has no use for one after the end.
func (h *heldBatches) take() *transport.StreamOpBatch {
	if b := h[len(h)-1]; b != nil {
		h[len(h)-1] = nil
		return b
	}
	if b := h[1]; b != nil && h[0] != nil && h[0].Ops.Has(transport.OpSendTrailingMetadata) {
		h[1] = nil
		return b
	}
	for i, b := range h {
		if b != nil {
			h[i] = nil
			return b
		}
	}
	return nil
}

// takeFailed removes the next batch to fail: that with recv_trailing_metadata
// last, because its callback ends the receiving side.
func (h *heldBatches) takeFailed() *transport.StreamOpBatch {
	for i, b := range h {
		if b != nil && !b.Ops.Has(transport.OpRecvTrailingMetadata) {
			h[i] = nil
			return b
		}
	}
	return h.take()
}
