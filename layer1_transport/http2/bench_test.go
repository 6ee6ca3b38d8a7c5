package http2_test

import (
	"sync/atomic"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// A benchCall is the least that layer 2 does: one stream, one batch of each
// side, and a channel to wait on. It is used again and again.
type benchCall struct {
	stream transport.Stream
	refs   atomic.Int32
	steps  atomic.Int32
	batch  transport.StreamOpBatch
	send   metadata.List
	last   metadata.List
	end    metadata.List
	first  metadata.List
	done   chan error
	free   func(*benchCall) // server: what to do with a call that is over
}

func (c *benchCall) Ref() { c.refs.Add(1) }

func (c *benchCall) Unref() {
	if c.refs.Add(-1) == 0 {
		c.stream.Reset()
		if c.free != nil {
			c.free(c)
		} else {
			c.done <- nil
		}
	}
}

// Run counts the callbacks of a client's batch down.
func (c *benchCall) Run(err error) {
	if err != nil {
		panic(err)
	}
	if c.steps.Add(-1) == 0 {
		c.batch.RecvMessage.Message.Release()
		c.Unref()
	}
}

// unary makes one call and waits for its end.
func (c *benchCall) unary(size int) {
	c.refs.Store(1)
	c.steps.Store(4)
	c.first.Reset()
	c.last.Reset()
	c.stream.Init(c, nil)
	buf := transport.NewBuffer(size)
	buf.SetBytes(buf.Bytes()[:size])
	c.batch = transport.StreamOpBatch{
		Ops: transport.OpsSend | transport.OpsRecv, OnComplete: c,
		SendInitialMetadata:  transport.SendInitialMetadata{MD: &c.send},
		SendMessage:          transport.SendMessage{Buf: buf},
		SendTrailingMetadata: transport.SendTrailingMetadata{MD: &c.end},
		RecvInitialMetadata:  transport.RecvInitialMetadata{MD: &c.first, Ready: c},
		RecvMessage:          transport.RecvMessage{Ready: c},
		RecvTrailingMetadata: transport.RecvTrailingMetadata{MD: &c.last, Ready: c},
	}
	c.stream.PerformBatch(&c.batch)
	<-c.done
}

func newBenchCall(tr transport.Transport) *benchCall {
	return &benchCall{
		stream: tr.NewStream(), done: make(chan error, 1),
		send: metadata.List{Known: metadata.Known{Method: "POST", Scheme: "http", Path: "/echo.Echo/Echo",
			Authority: "localhost", ContentType: "application/grpc", UserAgent: "bench", TE: "trailers"}},
	}
}

// An echo answers each call with its own message, on the reading goroutine.
type echo struct {
	idle chan *benchCall
}

func (e *echo) AcceptStream(tr transport.Transport, accepted transport.Accepted) {
	var c *benchCall
	select {
	case c = <-e.idle:
	default:
		c = &benchCall{stream: tr.NewStream(), free: func(c *benchCall) { e.idle <- c }}
		c.send.HTTPStatus, c.send.ContentType = "200", "application/grpc"
	}
	c.refs.Store(1)
	c.first.Reset()
	c.stream.Init(c, accepted)
	c.batch = transport.StreamOpBatch{
		Ops:                  transport.OpsRecv,
		RecvInitialMetadata:  transport.RecvInitialMetadata{MD: &c.first, Ready: nothing{}},
		RecvMessage:          transport.RecvMessage{Ready: (*echoMessage)(c)},
		RecvTrailingMetadata: transport.RecvTrailingMetadata{MD: &c.last, Ready: (*echoEnd)(c)},
	}
	c.stream.PerformBatch(&c.batch)
}

type nothing struct{}

func (nothing) Run(error) {}

type (
	echoMessage benchCall
	echoEnd     benchCall
)

func (c *echoMessage) Run(err error) {
	if err != nil || c.batch.RecvMessage.Message == nil {
		return
	}
	c.last.Reset()
	c.last.SetStatus(0, "")
	c.batch.Ops = transport.OpsSend
	c.batch.OnComplete = nothing{}
	c.batch.SendInitialMetadata.MD = &c.send
	c.batch.SendMessage.Buf = c.batch.RecvMessage.Message
	c.batch.SendTrailingMetadata.MD = &c.last
	c.stream.PerformBatch(&c.batch)
}

func (c *echoEnd) Run(error) { (*benchCall)(c).Unref() }

func benchPair(b testing.TB) transport.Transport {
	client, server := overTCP(b, options)
	server.PerformOp(&transport.Op{Accept: &echo{idle: make(chan *benchCall, 1024)}})
	b.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client
}

// BenchmarkUnary is a unary exchange of 100 bytes over loopback TCP between
// two connections of this process, without the layers above.
func BenchmarkUnary(b *testing.B) {
	for _, callers := range []int{1, 32} {
		b.Run("callers="+string(rune('0'+callers/10))+string(rune('0'+callers%10)), func(b *testing.B) {
			client := benchPair(b)
			b.ReportAllocs()
			b.SetParallelism(callers / 2)
			if callers == 1 {
				c := newBenchCall(client)
				for b.Loop() {
					c.unary(100)
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				c := newBenchCall(client)
				for pb.Next() {
					c.unary(100)
				}
			})
		})
	}
}

// BenchmarkLarge is the same with a message of 1 MiB each way.
func BenchmarkLarge(b *testing.B) {
	client := benchPair(b)
	c := newBenchCall(client)
	b.SetBytes(2 << 20)
	b.ReportAllocs()
	for b.Loop() {
		c.unary(1 << 20)
	}
}
