package callstack

import transport "github.com/strata-grpc/strata/layer1_transport"

// Cancel cancels a call from next downwards. It is how a filter ends a call
// that it has found at fault: what is outstanding at the transport fails with
// err, and so does every batch that comes down later.
//
// It may be called from a callback. The batch is allocated, since room for it
// in every call would be paid for by all the calls that need none.
func Cancel(next CallElem, err error) {
	next.StartBatch(&transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: err})
}
