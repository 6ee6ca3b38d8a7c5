// Package callstacktest helps to test filters and stacks: a transport that
// does what a test tells it, calls and batches that take note of what became
// of them, and the contract of a filter as a test.
package callstacktest

import (
	"net"
	"sync"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/peer"
)

// A Transport is a transport without a connection. Its streams record what
// they are asked for; the test plays the peer.
type Transport struct {
	// Kind is the transport's name; empty means "fake".
	Kind string

	// Auth is what the peer is known by, nil for nothing. It is set before the
	// first stack is built.
	Auth credentials.AuthInfo

	// OnBatch, if set, is called for each batch that a stream was given,
	// after it was recorded. It plays the peer without being asked. It is set
	// before the first stream is used.
	OnBatch func(s *Stream, b *transport.StreamOpBatch)

	// HoldSends keeps send operations outstanding until Stream.CompleteSends.
	// Otherwise they are done at once.
	HoldSends bool

	mu sync.Mutex
	// Guarded by mu.
	streams []*Stream
	ops     []*transport.Op
}

// peerAddr is where the peer of every fake transport says it is.
var peerAddr = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443}

// Name returns Kind.
func (t *Transport) Name() string {
	if t.Kind == "" {
		return "fake"
	}
	return t.Kind
}

// Peer returns a peer at 192.0.2.1:443, an address for documentation.
func (t *Transport) Peer() *peer.Peer { return &peer.Peer{Addr: peerAddr, AuthInfo: t.Auth} }

// NewStream returns a stream and keeps it for Streams.
func (t *Transport) NewStream() transport.Stream {
	s := &Stream{t: t}
	t.mu.Lock()
	t.streams = append(t.streams, s)
	t.mu.Unlock()
	return s
}

// Streams returns the streams in the order in which they were made.
func (t *Transport) Streams() []*Stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]*Stream(nil), t.streams...)
}

// PerformOp records op. Pings are answered and watchers told READY at once.
func (t *Transport) PerformOp(op *transport.Op) {
	t.mu.Lock()
	t.ops = append(t.ops, op)
	t.mu.Unlock()
	if op.Ping != nil {
		for _, done := range []transport.Done{op.Ping.OnInitiate, op.Ping.OnAck} {
			if done != nil {
				done.Run(nil)
			}
		}
	}
	if op.StartWatch != nil {
		op.StartWatch.OnState(connectivity.Ready, nil)
	}
}

// Ops returns the operations so far.
func (t *Transport) Ops() []*transport.Op {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]*transport.Op(nil), t.ops...)
}

// Close does nothing: there is no connection and no goroutine.
func (t *Transport) Close() {}
