package callstacktest

import (
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// The methods in this file are for the test: what a stream was asked for, and
// what the peer does.

// Accepted is what a [Call] is given in place of a stream that a peer began,
// so that filters take the call for a server's.
type Accepted struct{}

// Batches returns the operations of each batch of the present call.
func (s *Stream) Batches() []transport.OpSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]transport.OpSet(nil), s.batches...)
}

// Sent reports whether the operations of ops were all started.
func (s *Stream) Sent(ops transport.OpSet) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all transport.OpSet
	for _, b := range s.batches {
		all |= b
	}
	return all&ops == ops
}

// SentHeaders returns a copy of the initial metadata that was sent.
func (s *Stream) SentHeaders() *metadata.List {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &metadata.List{}
	l.CopyFrom(&s.headers)
	return l
}

// SentTrailers returns a copy of the trailing metadata that was sent.
func (s *Stream) SentTrailers() *metadata.List {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &metadata.List{}
	l.CopyFrom(&s.trailers)
	return l
}

// SentMessage returns the last message whose sending is done, and its
// Compressed-Flag.
func (s *Stream) SentMessage() (data string, compressed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.message), s.compressed
}

// Canceled returns why the call was cancelled, nil if it was not.
func (s *Stream) Canceled() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cancelErr
}

// RecvLimit returns the Limit of the recv_message that is outstanding, -1 if
// none is.
func (s *Stream) RecvLimit() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.recv[recvMessage]; b != nil {
		return b.RecvMessage.Limit
	}
	return -1
}

// CompleteSends ends the sending operations that are outstanding.
func (s *Stream) CompleteSends(err error) {
	s.mu.Lock()
	s.endSendsLocked(err)
	s.mu.Unlock()
	s.deliver()
}

// Headers ends recv_initial_metadata, after fill has set what was received.
// A nil fill sets nothing. It does nothing if the operation is not outstanding.
func (s *Stream) Headers(fill func(*transport.RecvInitialMetadata), err error) {
	s.mu.Lock()
	if b := s.recv[recvHeaders]; b != nil && fill != nil {
		fill(&b.RecvInitialMetadata)
	}
	s.endLocked(recvHeaders, err)
	s.mu.Unlock()
	s.deliver()
}

// Message ends recv_message with m, whose reference passes to the call. It
// releases m if the operation is not outstanding.
func (s *Stream) Message(m *transport.Buffer, err error) {
	s.mu.Lock()
	if b := s.recv[recvMessage]; b != nil {
		b.RecvMessage.Message = m
	} else {
		m.Release()
	}
	s.endLocked(recvMessage, err)
	s.mu.Unlock()
	s.deliver()
}

// Trailers ends recv_trailing_metadata, and with it the stream, after fill has
// set what was received. Outstanding headers and messages end before: as
// Trailers-Only and with nil. What is started later ends at once.
func (s *Stream) Trailers(fill func(*metadata.List), err error) {
	s.mu.Lock()
	s.ended, s.endErr = true, err
	if b := s.recv[recvTrailers]; b != nil && fill != nil {
		fill(b.RecvTrailingMetadata.MD)
	}
	s.mu.Unlock()
	s.endRest()
}

// endRest ends what is to be received of a stream that has ended.
func (s *Stream) endRest() {
	s.mu.Lock()
	if b := s.recv[recvHeaders]; b != nil {
		b.RecvInitialMetadata.TrailersOnly = true
	}
	s.endLocked(recvHeaders, s.endErr)
	s.endLocked(recvMessage, s.endErr)
	s.endLocked(recvTrailers, s.endErr)
	s.mu.Unlock()
	s.deliver()
}
