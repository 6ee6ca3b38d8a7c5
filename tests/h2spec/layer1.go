package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// handshakeTime bounds TLS and the client's preface.
const handshakeTime = 5 * time.Second

// A layer1Server serves the HTTP/2 transport alone: no filters and no gRPC
// above it. Whatever is asked, the answer is "ok" when the client has ended.
type layer1Server struct {
	// Set by serveLayer1, read-only afterwards.
	lis   net.Listener
	creds credentials.TransportCredentials

	running sync.WaitGroup

	mu sync.Mutex // a leaf
	// Guarded by mu.
	closed bool
	conns  []transport.Transport
}

// serveLayer1 serves on lis until the result is stopped.
func serveLayer1(lis net.Listener, creds credentials.TransportCredentials) *layer1Server {
	s := &layer1Server{lis: lis, creds: creds}
	s.running.Add(1)
	go s.acceptLoop()
	return s
}

// Stop closes the listener and every connection, and waits for their goroutines.
func (s *layer1Server) Stop() {
	s.lis.Close()
	s.mu.Lock()
	s.closed = true
	conns := s.conns
	s.mu.Unlock()
	for _, t := range conns {
		t.Close()
	}
	s.running.Wait()
}

// acceptLoop accepts until the listener is closed.
func (s *layer1Server) acceptLoop() {
	defer s.running.Done()
	for {
		nc, err := s.lis.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // such as too many open files
			continue
		}
		s.running.Add(1)
		go s.setUp(nc)
	}
}

// setUp makes a transport of a connection and lets it read.
func (s *layer1Server) setUp(nc net.Conn) {
	defer s.running.Done()
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
	defer cancel()
	conn, auth, err := s.creds.ServerHandshake(ctx, nc)
	if err != nil {
		nc.Close()
		return
	}
	t, err := http2.Accept(ctx, conn, auth, http2.Config{})
	if err != nil {
		return // not an HTTP/2 client; Accept has closed it
	}
	s.mu.Lock()
	closed := s.closed
	s.conns = append(s.conns, t)
	s.mu.Unlock()
	if closed {
		t.Close()
		return
	}
	t.PerformOp(&transport.Op{Accept: answerer{}})
}

// An answerer takes every stream.
type answerer struct{}

// AcceptStream implements [transport.Acceptor].
func (answerer) AcceptStream(t transport.Transport, accepted transport.Accepted) {
	x := &exchange{stream: t.NewStream()}
	x.refs.Store(1) // its own, until the stream has ended
	x.stream.Init(x, accepted)
	x.begin()
}

// An exchange is one request with its answer: the owner of one stream.
type exchange struct {
	stream transport.Stream
	refs   atomic.Int32

	whole, read, write transport.StreamOpBatch
	request, response  metadata.List
	end, trailers      metadata.List
}

// Ref implements [transport.Owner].
func (x *exchange) Ref() { x.refs.Add(1) }

// Unref implements [transport.Owner]. The last one gives the stream back.
func (x *exchange) Unref() {
	if x.refs.Add(-1) == 0 {
		x.stream.Reset()
	}
}

// begin waits for the headers, the first message and the end.
func (x *exchange) begin() {
	b := &x.whole
	b.Ops = transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata
	b.RecvInitialMetadata = transport.RecvInitialMetadata{MD: &x.request, Ready: ignore{}}
	b.RecvTrailingMetadata = transport.RecvTrailingMetadata{MD: &x.end, Ready: (*onEnd)(x)}
	x.stream.PerformBatch(b)
	x.receive()
}

// receive waits for the next message. Its bytes are of no interest, only that
// no more come is: the request is complete then.
func (x *exchange) receive() {
	x.read = transport.StreamOpBatch{Ops: transport.OpRecvMessage}
	x.read.RecvMessage.Ready = (*onMessage)(x)
	x.stream.PerformBatch(&x.read)
}

// answer sends headers, one message and trailers.
func (x *exchange) answer() {
	x.response.HTTPStatus, x.response.ContentType = "200", "application/grpc"
	x.trailers.SetStatus(0, "")
	b := &x.write
	b.Ops = transport.OpsSend
	b.OnComplete = ignore{}
	b.SendInitialMetadata.MD = &x.response
	b.SendMessage.Buf = transport.WrapBuffer([]byte("ok"))
	b.SendTrailingMetadata.MD = &x.trailers
	x.stream.PerformBatch(b)
}

// onMessage is an exchange as the callback of recv_message.
type onMessage exchange

// Run implements [transport.Done]. After an error the transport has answered.
func (m *onMessage) Run(err error) {
	x := (*exchange)(m)
	switch {
	case err != nil:
	case x.read.RecvMessage.Message != nil:
		x.read.RecvMessage.Message.Release()
		x.receive()
	default:
		x.answer()
	}
}

// onEnd is an exchange as the callback of recv_trailing_metadata.
type onEnd exchange

// Run implements [transport.Done].
func (e *onEnd) Run(error) { (*exchange)(e).Unref() }

// ignore is a callback that needs nothing done.
type ignore struct{}

// Run implements [transport.Done].
func (ignore) Run(error) {}
