package callstacktest

import (
	"sync"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// A Stream is a stream of a [Transport]. It keeps the rules of the contract:
// callbacks run one after another and under no lock, a cancel fails what is
// outstanding and what comes later, and an owner is referred to for each
// operation that is outstanding.
type Stream struct {
	t *Transport

	mu sync.Mutex
	// Guarded by mu.
	owner      transport.Owner
	accepted   transport.Accepted
	batches    []transport.OpSet
	headers    metadata.List
	trailers   metadata.List
	message    []byte
	compressed bool // the flag of message
	cancelErr  error
	cancelFrom trace.EventID // the event of the cancel
	ended      bool          // Trailers was called
	endErr     error         // with that error
	sends      []*transport.StreamOpBatch
	recv       [3]*transport.StreamOpBatch // headers, message, trailers
	due        []completion
	delivering bool
}

// completion is a callback that is to run.
type completion struct {
	done  transport.Done
	err   error
	owner transport.Owner

	// With a trace a transport leaves in its batch what an operation owes its end to.
	batch *transport.StreamOpBatch
	cause trace.EventID
}

// The places of Stream.recv.
const (
	recvHeaders = iota
	recvMessage
	recvTrailers
)

// recvOps are the operations of those places.
var recvOps = [...]transport.OpSet{transport.OpRecvInitialMetadata, transport.OpRecvMessage, transport.OpRecvTrailingMetadata}

// Init binds the stream to a call.
func (s *Stream) Init(owner transport.Owner, accepted transport.Accepted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner, s.accepted = owner, accepted
}

// Reset forgets the call.
func (s *Stream) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner, s.accepted, s.cancelErr, s.ended, s.endErr = nil, nil, nil, false, nil
	s.cancelFrom = 0
	s.batches, s.message = s.batches[:0], s.message[:0]
	s.headers.Reset()
	s.trailers.Reset()
}

// PerformBatch records b and starts its operations.
func (s *Stream) PerformBatch(b *transport.StreamOpBatch) {
	ops := b.Ops
	s.mu.Lock()
	if fault := s.faultOfLocked(b); fault != "" {
		s.mu.Unlock()
		panic("callstacktest: " + fault + "; was a batch passed on twice?")
	}
	s.batches = append(s.batches, ops)
	if ops.Has(transport.OpSendInitialMetadata) {
		s.headers.CopyFrom(b.SendInitialMetadata.MD)
	}
	if ops.Has(transport.OpSendTrailingMetadata) {
		s.trailers.CopyFrom(b.SendTrailingMetadata.MD)
	}
	if ops.Has(transport.OpCancelStream) && s.cancelErr == nil && !s.ended {
		s.cancelErr, s.cancelFrom = b.CancelErr, b.Cause
	}
	if ops.Has(transport.OpsSend) {
		s.owner.Ref()
		s.sends = append(s.sends, b)
	}
	for i, op := range recvOps {
		if ops.Has(op) {
			s.owner.Ref()
			s.recv[i] = b
		}
	}
	canceled, ended := s.cancelErr, s.ended
	s.mu.Unlock()
	switch {
	case canceled != nil:
		s.failAll(canceled)
	case !s.t.HoldSends:
		s.CompleteSends(nil)
	}
	if ended {
		s.endRest()
	}
	if s.t.OnBatch != nil {
		s.t.OnBatch(s, b)
	}
}

// faultOfLocked says what nobody may ask of a stream, empty if nothing is wrong.
// Caller holds s.mu.
func (s *Stream) faultOfLocked(b *transport.StreamOpBatch) string {
	if b.Ops.Has(transport.OpSendMessage) && b.SendMessage.Buf == nil {
		return "send_message has no message"
	}
	for i, op := range recvOps {
		if b.Ops.Has(op) && s.recv[i] != nil {
			return op.String() + " was started while one is outstanding"
		}
	}
	return ""
}

// failAll ends what is outstanding, in the order of StreamOpBatch.Fail.
func (s *Stream) failAll(err error) {
	s.mu.Lock()
	s.endLocked(recvHeaders, err)
	s.endLocked(recvMessage, err)
	s.endLocked(recvTrailers, err)
	s.endSendsLocked(err)
	s.mu.Unlock()
	s.deliver()
}

// endLocked makes the callback of one receiving operation due, if it is
// outstanding. Caller holds s.mu.
func (s *Stream) endLocked(kind int, err error) {
	b := s.recv[kind]
	if b == nil {
		return
	}
	s.recv[kind] = nil
	done := b.RecvTrailingMetadata.Ready
	switch kind {
	case recvHeaders:
		done = b.RecvInitialMetadata.Ready
	case recvMessage:
		done = b.RecvMessage.Ready
	}
	s.due = append(s.due, completion{done, err, s.owner, b, s.causeLocked(err)})
}

// causeLocked returns the event of the cancel for what fails of it. Caller holds
// s.mu.
func (s *Stream) causeLocked(err error) trace.EventID {
	if err == nil || err != s.cancelErr {
		return 0
	}
	return s.cancelFrom
}

// endSendsLocked makes the callbacks of the sending operations due. Caller
// holds s.mu.
func (s *Stream) endSendsLocked(err error) {
	for i, b := range s.sends {
		s.sends[i] = nil
		if m := &b.SendMessage; b.Ops.Has(transport.OpSendMessage) {
			s.message, s.compressed = append(s.message[:0], m.Buf.Bytes()...), m.Buf.Compressed
			m.Buf.Release()
			m.Buf, m.WriteClosed = nil, s.ended
		}
		s.due = append(s.due, completion{b.OnComplete, err, s.owner, b, s.causeLocked(err)})
	}
	s.sends = s.sends[:0]
}

// deliver runs the callbacks that are due, unless somebody does already.
func (s *Stream) deliver() {
	s.mu.Lock()
	if s.delivering {
		s.mu.Unlock()
		return
	}
	s.delivering = true
	for i := 0; i < len(s.due); i++ {
		c := s.due[i]
		s.due[i] = completion{}
		s.mu.Unlock()
		if c.cause != 0 {
			c.batch.Cause = c.cause
		}
		c.done.Run(c.err)
		c.owner.Unref()
		s.mu.Lock()
	}
	s.due, s.delivering = s.due[:0], false
	s.mu.Unlock()
}
