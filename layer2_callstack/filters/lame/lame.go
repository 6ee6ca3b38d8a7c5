// Package lame is the filter of a channel that cannot work, because it was
// made from a bad target for instance. It ends every call with one status, so
// that programs meet the fault where they handle the faults of calls.
//
// # Contract
//
//   - recv_trailing_metadata carries the status as if a peer had sent it; all
//     other operations fail with it.
//   - The peer of every call is called "lame".
//   - Pings fail, and watchers are told TRANSIENT_FAILURE with the status, which
//     is the first and the last that they hear.
//   - Callbacks of a call run one after another, on a goroutine that starts one of
//     its batches, before or after that StartBatch returns.
//   - Everything else that a transport is asked for is dropped.
//
// # Goroutines
//
// None.
//
// # Locks
//
// call.mu guards the batches that wait for their turn. It is not held while a
// callback runs.
package lame

import (
	"errors"
	"sync"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// Name is the name of the filter.
const Name = "lame"

// New returns the filter. It is terminal. st says why no call can succeed and
// must not be OK, which the check of the stack reports.
func New(st *status.Status) callstack.Filter { return &filter{st} }

type filter struct{ st *status.Status }

func (f *filter) Name() string { return Name }

func (f *filter) Validate() error {
	if f.st.Code() == status.OK {
		return errors.New("the status of the calls is OK, want an error")
	}
	return nil
}

func (f *filter) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	if next != nil {
		return nil, errors.New("stands above another filter, must be the last")
	}
	return &channel{st: f.st, err: &transport.Error{
		Code: f.st.Code(), Layer: Name, Reason: f.st.Message(), Progress: transport.ProgressNotSent,
	}, peer: &peer.Peer{Addr: address{}}}, nil
}

type channel struct {
	callstack.ChannelBase
	st   *status.Status
	err  error
	peer *peer.Peer
}

// address is where the calls end.
type address struct{}

func (address) Network() string { return Name }
func (address) String() string  { return Name }

// StartTransportOp fails what can fail.
func (ch *channel) StartTransportOp(op *transport.Op) {
	if op.Ping != nil {
		for _, done := range []transport.Done{op.Ping.OnInitiate, op.Ping.OnAck} {
			if done != nil {
				done.Run(ch.err)
			}
		}
	}
	if op.StartWatch != nil {
		op.StartWatch.OnState(connectivity.TransientFailure, ch.err)
	}
}

func (ch *channel) NewCall(callstack.CallElem) callstack.CallElem { return &call{ch: ch} }

// A call fails batches one after another, since callbacks of one call never
// run at the same time although batches may be started so.
type call struct {
	callstack.CallBase

	// Set by NewCall, read-only afterwards.
	ch *channel

	mu sync.Mutex
	// Guarded by mu.
	waiting []*transport.StreamOpBatch
	failing bool // somebody fails batches and will come to those that wait
}

func (c *call) StartBatch(b *transport.StreamOpBatch) {
	c.mu.Lock()
	c.waiting = append(c.waiting, b)
	if c.failing {
		c.mu.Unlock()
		return
	}
	c.failing = true
	for i := 0; i < len(c.waiting); i++ {
		next := c.waiting[i]
		c.waiting[i] = nil
		c.mu.Unlock()
		c.fail(next)
		c.mu.Lock()
	}
	c.waiting, c.failing = c.waiting[:0], false
	c.mu.Unlock()
}

// fail ends every operation of b in the order of StreamOpBatch.Fail.
func (c *call) fail(b *transport.StreamOpBatch) {
	for _, slot := range []*transport.PeerSlot{b.SendInitialMetadata.Peer, b.RecvInitialMetadata.Peer} {
		if slot != nil {
			slot.Store(c.ch.peer)
		}
	}
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		rtm := &b.RecvTrailingMetadata
		rtm.MD.SetStatus(uint32(c.ch.st.Code()), c.ch.st.Message())
		rtm.Ready = succeed{rtm.Ready}
	}
	b.Fail(c.ch.err)
}

// succeed runs a callback without the error that the rest of its batch gets.
type succeed struct{ done transport.Done }

func (s succeed) Run(error) { s.done.Run(nil) }
