package inproc_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest"
)

// A waiter is a callback that can be waited for.
type waiter chan error

func (w waiter) Run(err error) { w <- err }

// handOver sends buf from c to s and returns what arrives.
func handOver(t *testing.T, c, s *transporttest.Call, buf *transport.Buffer) *transport.Buffer {
	t.Helper()
	if err := s.Batch().RecvHeaders().Start().WaitHeaders(); err != nil {
		t.Fatal(err)
	}
	sent, received := make(waiter, 1), make(waiter, 1)
	recv := &transport.StreamOpBatch{Ops: transport.OpRecvMessage, RecvMessage: transport.RecvMessage{Ready: received}}
	s.Stream.PerformBatch(recv)
	c.Stream.PerformBatch(&transport.StreamOpBatch{Ops: transport.OpSendMessage, OnComplete: sent,
		SendMessage: transport.SendMessage{Buf: buf}})
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if err := <-received; err != nil {
		t.Fatal(err)
	}
	return recv.RecvMessage.Message
}

// TestMessageIsHandedOver: the receiver gets the sender's buffer. A sender that
// keeps a reference still has the bytes when the receiver has let go of them.
func TestMessageIsHandedOver(t *testing.T) {
	c, s := begin(t, inproc.Config{})
	text := []byte("immutable")
	buf := transport.WrapBuffer(text)
	buf.Ref()
	buf.Compressed = true
	got := handOver(t, c, s, buf)
	if got != buf || &got.Bytes()[0] != &text[0] || !got.Compressed {
		t.Error("the message was copied")
	}
	got.Release()
	if string(buf.Bytes()) != "immutable" {
		t.Errorf("the sender's reference reads %q after the receiver's release", buf.Bytes())
	}
	buf.Release()
}

// TestMessageIsCopied: with CopyMessages neither end sees what the other does to
// the bytes, and the sender's buffer is let go at once.
func TestMessageIsCopied(t *testing.T) {
	c, s := begin(t, inproc.Config{CopyMessages: true})
	text := []byte("not shared")
	buf := transport.WrapBuffer(text)
	buf.Ref()
	buf.Compressed = true
	got := handOver(t, c, s, buf)
	text[0] = 'N'
	if string(got.Bytes()) != "not shared" || !got.Compressed {
		t.Errorf("the receiver reads %q, compressed %v", got.Bytes(), got.Compressed)
	}
	got.Bytes()[1] = 'O'
	if string(buf.Bytes()) != "Not shared" {
		t.Errorf("the sender reads %q", buf.Bytes())
	}
	got.Release()
	buf.Release()
}

func copyingPair(_ testing.TB, o transporttest.Options) (client, server transport.Transport) {
	return inproc.Pair(inproc.Config{MaxConcurrentStreams: int(o.MaxConcurrentStreams), CopyMessages: true})
}

func TestContractWithCopies(t *testing.T) { transporttest.RunInBubbles(t, copyingPair) }

// TestHeaderListLimit: as over HTTP/2, headers that are too long fail the call,
// and of trailers the status is left.
func TestHeaderListLimit(t *testing.T) {
	long := strings.Repeat("x", inproc.DefaultHeaderList)
	t.Run("request headers", func(t *testing.T) {
		client, server := inproc.Pair(inproc.Config{})
		defer client.Close()
		acceptor := transporttest.NewAcceptor(t, server)
		acceptor.Refuse(true) // nothing may reach it
		c := transporttest.NewClientCall(t, client)
		b := c.Batch().SendHeaders(transporttest.RequestHeaders("x-long", long)).RecvTrailers().Start()
		_, err := b.WaitTrailers()
		if status.CodeOf(err) != status.ResourceExhausted || strings.Contains(err.Error(), long[:100]) {
			t.Errorf("the call ended with %.200v, want RESOURCE_EXHAUSTED without the value", err)
		}
		c.WaitGone()
	})
	t.Run("a raised limit", func(t *testing.T) {
		client, server := inproc.Pair(inproc.Config{MaxHeaderList: 3 * inproc.DefaultHeaderList})
		defer client.Close()
		acceptor := transporttest.NewAcceptor(t, server)
		c := transporttest.NewClientCall(t, client)
		if err := c.Batch().SendHeaders(transporttest.RequestHeaders("x-long", long)).Start().WaitSent(); err != nil {
			t.Error(err)
		}
		client.Close()
		acceptor.Accept().WaitGone()
		c.WaitGone()
	})
	t.Run("response headers", func(t *testing.T) {
		c, s := begin(t, inproc.Config{})
		end := c.Batch().RecvHeaders().RecvTrailers().Start()
		if err := s.Batch().SendHeaders(transporttest.ResponseHeaders("x-long", long)).Start().WaitSent(); status.CodeOf(err) != status.ResourceExhausted {
			t.Errorf("sending them: %v, want RESOURCE_EXHAUSTED", err)
		}
		if md, err := end.WaitTrailers(); transporttest.StatusOf(md, err).Code() != status.ResourceExhausted {
			t.Errorf("the call ended with %v, want RESOURCE_EXHAUSTED", transporttest.StatusOf(md, err))
		}
	})
	t.Run("trailers", func(t *testing.T) {
		c, s := begin(t, inproc.Config{})
		if err := s.Batch().SendTrailers(transporttest.TrailersOnly(status.NotFound, long, "x-long", long)).Start().WaitSent(); err != nil {
			t.Error(err)
		}
		md, err := c.Batch().RecvTrailers().Start().WaitTrailers()
		got := transporttest.StatusOf(md, err)
		if got.Code() != status.NotFound || len(got.Message()) > 2000 || !strings.HasPrefix(got.Message(), "xxx") || hasKey(md, "x-long") {
			t.Errorf("the call ended with %v %.100q and x-long %v, want NOT_FOUND and the beginning of its message", got.Code(), got.Message(), hasKey(md, "x-long"))
		}
	})
}

func hasKey(md *metadata.List, key string) bool { _, ok := md.Get(key); return ok }

// TestEndsRace ends calls in all ways at once: a status, cancels from both
// sides, and the end of the connection. Each operation ends once, which the kit
// checks, and nothing is left of a call.
func TestEndsRace(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 60
	}
	for round := range rounds {
		client, server := inproc.Pair(inproc.Config{Window: 100, CopyMessages: round%2 == 1})
		acceptor := transporttest.NewAcceptor(t, server)
		c := transporttest.NewClientCall(t, client)
		end := c.Batch().SendHeaders(transporttest.RequestHeaders()).RecvHeaders().RecvMessage(0).RecvTrailers().Start()
		s := acceptor.Accept()
		serverEnd := s.Batch().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
		acts := []func(){
			func() { c.Batch().SendMessage(make([]byte, 200)).HalfClose().Start() },
			func() {
				s.Batch().SendHeaders(transporttest.ResponseHeaders()).SendMessage(make([]byte, 200)).
					SendTrailers(transporttest.Trailers(status.OK, "")).Start()
			},
			func() { c.Batch().Cancel(status.Error(status.Canceled, "enough")).Start() },
			func() { s.Batch().Cancel(status.Error(status.Aborted, "enough")).Start() },
			func() {
				server.PerformOp(&transport.Op{Disconnect: status.Error(status.Unavailable, "lost")})
			},
			func() { client.Close() },
		}
		rand.Shuffle(len(acts), func(i, j int) { acts[i], acts[j] = acts[j], acts[i] })
		var wg sync.WaitGroup
		for _, act := range acts {
			wg.Go(act)
		}
		wg.Wait()
		if _, err := end.WaitTrailers(); err == nil && !end.HasMessage() {
			t.Error("the call ended before its message")
		}
		_, _ = serverEnd.WaitTrailers() // any end will do
		c.WaitGone()
		s.WaitGone()
		client.Close()
	}
}
