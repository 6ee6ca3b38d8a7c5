//go:build !race

package inproc_test

import (
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest"
)

// A block is one end of a call as the layers above hold it: made once, used
// for one call after another, its callbacks values of its own.
type block struct {
	stream transport.Stream
	batch  transport.StreamOpBatch
	refs   int
	done   int
	err    error

	sendMD, sendTrailers, recvMD, recvTrailers metadata.List
}

func (b *block) Ref() { b.refs++ }

func (b *block) Unref() {
	if b.refs--; b.refs == 0 {
		b.stream.Reset()
	}
}

func (b *block) Run(err error) {
	b.done++
	if err != nil {
		b.err = err
	}
}

// fill makes the batch that asks for all six operations.
func (b *block) fill(message string) {
	buf := transport.NewBuffer(len(message))
	buf.SetBytes(append(buf.Bytes(), message...))
	b.done = 0
	b.batch = transport.StreamOpBatch{
		Ops: transport.OpsSend | transport.OpsRecv, OnComplete: b,
		SendInitialMetadata:  transport.SendInitialMetadata{MD: &b.sendMD},
		SendMessage:          transport.SendMessage{Buf: buf},
		SendTrailingMetadata: transport.SendTrailingMetadata{MD: &b.sendTrailers},
		RecvInitialMetadata:  transport.RecvInitialMetadata{MD: &b.recvMD, Ready: b},
		RecvMessage:          transport.RecvMessage{Ready: b},
		RecvTrailingMetadata: transport.RecvTrailingMetadata{MD: &b.recvTrailers, Ready: b},
	}
}

// exchange is a client and the server that answers it.
type exchange struct {
	client, server block
	accepted       int
}

func newExchange() (x *exchange, closeAll func()) {
	client, server := inproc.Pair(inproc.Config{})
	x = new(exchange)
	x.client.stream, x.server.stream = client.NewStream(), server.NewStream()
	x.client.sendMD.CopyFrom(transporttest.RequestHeaders("x-key", "value"))
	x.server.sendMD.CopyFrom(transporttest.ResponseHeaders("x-key", "value"))
	x.server.sendTrailers.CopyFrom(transporttest.Trailers(status.OK, ""))
	server.PerformOp(&transport.Op{Accept: x})
	return x, client.Close
}

// AcceptStream answers at once, before it knows the request.
func (x *exchange) AcceptStream(_ transport.Transport, accepted transport.Accepted) {
	x.accepted++
	x.server.refs = 1
	x.server.stream.Init(&x.server, accepted)
	x.server.fill("response")
	x.server.stream.PerformBatch(&x.server.batch)
}

// unary makes one call; everything happens on the calling goroutine.
func (x *exchange) unary() {
	x.client.refs = 1
	x.client.stream.Init(&x.client, nil)
	x.client.fill("request")
	x.client.stream.PerformBatch(&x.client.batch)
	x.client.batch.RecvMessage.Message.Release()
	x.server.batch.RecvMessage.Message.Release()
	x.client.Unref()
	x.server.Unref()
}

// check reports what is wrong after a call.
func (x *exchange) check(tb testing.TB) {
	tb.Helper()
	for _, b := range []*block{&x.client, &x.server} {
		if b.done != 4 || b.err != nil || b.refs != 0 {
			tb.Fatalf("a call ended with %d of 4 callbacks, %d references, error %v", b.done, b.refs, b.err)
		}
	}
	if v, _ := x.client.recvMD.Get("x-key"); v != "value" || !x.client.recvTrailers.HasStatus {
		tb.Fatalf("the client got x-key %q, status %v", v, x.client.recvTrailers.HasStatus)
	}
}

func TestAllocsUnary(t *testing.T) {
	x, closeAll := newExchange()
	defer closeAll()
	if n := testing.AllocsPerRun(100, x.unary); n != 0 {
		t.Errorf("a unary call allocates %v times, want 0", n)
	}
	x.check(t)
	if x.accepted != 101 {
		t.Errorf("%d calls were accepted, want 101", x.accepted)
	}
}

func BenchmarkUnary(b *testing.B) {
	x, closeAll := newExchange()
	defer closeAll()
	b.ReportAllocs()
	for b.Loop() {
		x.unary()
	}
	x.check(b)
}
