package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// probeTime is how long the probe lives: h2specd gives up after 3 s.
const probeTime = 2500 * time.Millisecond

// probe begins one call on a connection of its own, with the transport alone:
// a channel would connect again after each fault, and h2specd would judge the
// second connection. It stays until the server has closed the connection,
// whatever became of the call.
func probe(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: h2spec probe http://HOST:PORT/")
	}
	target, err := url.Parse(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, "tcp", target.Host)
	if err != nil {
		return err
	}
	t, err := http2.Connect(ctx, nc, nil, http2.Config{})
	if err != nil {
		return err
	}
	defer t.Close()
	over := make(closed, 1)
	t.PerformOp(&transport.Op{StartWatch: over})
	newInquiry(t, target).begin()
	select {
	case err = <-over:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// closed is told why the connection was closed.
type closed chan error

// OnState implements [connectivity.Watcher].
func (c closed) OnState(state connectivity.State, cause error) {
	if state == connectivity.Shutdown {
		c <- cause
	}
}

// An inquiry is the probe's call: the owner of its stream, which is used once
// and given back by nobody.
type inquiry struct {
	stream           transport.Stream
	send, recv, read transport.StreamOpBatch

	request, response, trailers metadata.List
}

func newInquiry(t transport.Transport, target *url.URL) *inquiry {
	q := &inquiry{stream: t.NewStream()}
	q.request.Known = metadata.Known{
		Method: "POST", Scheme: target.Scheme, Path: target.Path, Authority: target.Host,
		ContentType: "application/grpc", TE: "trailers",
	}
	q.stream.Init(q, nil)
	return q
}

// Ref implements [transport.Owner].
func (q *inquiry) Ref() {}

// Unref implements [transport.Owner].
func (q *inquiry) Unref() {}

// begin sends the request, with an empty message, and reads what comes.
func (q *inquiry) begin() {
	q.recv.Ops = transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata
	q.recv.RecvInitialMetadata = transport.RecvInitialMetadata{MD: &q.response, Ready: ignore{}}
	q.recv.RecvTrailingMetadata = transport.RecvTrailingMetadata{MD: &q.trailers, Ready: ignore{}}
	q.stream.PerformBatch(&q.recv)
	q.receive()
	q.send.Ops = transport.OpsSend
	q.send.OnComplete = ignore{}
	q.send.SendInitialMetadata.MD = &q.request
	q.send.SendMessage.Buf = transport.WrapBuffer(nil)
	q.send.SendTrailingMetadata.MD = new(metadata.List)
	q.stream.PerformBatch(&q.send)
}

func (q *inquiry) receive() {
	q.read = transport.StreamOpBatch{Ops: transport.OpRecvMessage}
	q.read.RecvMessage.Ready = (*onReply)(q)
	q.stream.PerformBatch(&q.read)
}

// onReply is an inquiry as the callback of recv_message.
type onReply inquiry

// Run implements [transport.Done].
func (r *onReply) Run(err error) {
	q := (*inquiry)(r)
	if m := q.read.RecvMessage.Message; err == nil && m != nil {
		m.Release()
		q.receive()
	}
}
