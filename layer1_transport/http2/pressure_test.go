package http2_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/transporttest"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// TestBothSidesSend: two endpoints that both send more than their sockets hold
// go on reading; what flow control paces does not count as answers to a flood.
func TestBothSidesSend(t *testing.T) {
	for _, streams := range []int{1, 4} {
		t.Run("memory", func(t *testing.T) {
			c, s := memconn.PipeSize(4 << 10)
			bothSend(t, c, s, streams)
		})
		t.Run("tcp", func(t *testing.T) {
			c, s := smallTCP(t)
			bothSend(t, c, s, streams)
		})
	}
}

// smallTCP is a TCP connection whose sockets hold little.
func smallTCP(t *testing.T) (c, s net.Conn) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	if c, err = net.Dial("tcp", lis.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if s, err = lis.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, nc := range []net.Conn{c, s} {
		tcp := nc.(*net.TCPConn)
		if err := tcp.SetReadBuffer(32 << 10); err != nil {
			t.Fatal(err)
		}
		if err := tcp.SetWriteBuffer(32 << 10); err != nil {
			t.Fatal(err)
		}
	}
	return c, s
}

// bothSend sends 8 MiB each way at once, on streams.
func bothSend(t *testing.T, c, s net.Conn, streams int) {
	const total, size = 8 << 20, 256 << 10
	client, server := connected(t, c, s, options)
	defer server.Close()
	defer client.Close()
	acceptor := transporttest.NewAcceptor(t, server)
	data := make([]byte, size)
	var wg sync.WaitGroup
	half := func(call *transporttest.Call) {
		wg.Go(func() {
			for range total / streams / size {
				if err := call.Batch().SendMessage(data).Start().WaitSent(); err != nil {
					t.Errorf("sending: %v", err)
					return
				}
			}
		})
		wg.Go(func() {
			for range total / streams / size {
				if _, ok, err := call.Batch().RecvMessage(0).Start().WaitMessage(); err != nil || !ok {
					t.Errorf("receiving: %v, %v", ok, err)
					return
				}
			}
		})
	}
	var calls []*transporttest.Call
	for range streams {
		call := transporttest.NewClientCall(t, client)
		if err := call.Batch().SendHeaders(transporttest.RequestHeaders()).Start().WaitSent(); err != nil {
			t.Fatal(err)
		}
		answer := acceptor.Accept()
		if err := answer.Batch().SendHeaders(transporttest.ResponseHeaders()).Start().WaitSent(); err != nil {
			t.Fatal(err)
		}
		half(call)
		half(answer)
		calls = append(calls, call, answer)
	}
	wg.Wait()
	for _, call := range calls {
		call.Release()
	}
}

// TestCancelStormOverASlowSocket: calls that end well and calls that are
// cancelled at once go over a socket that holds little, both ways; nobody waits
// for the other so long that time passes.
func TestCancelStormOverASlowSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := memconn.PipeSize(512)
		client, server := connected(t, c, s, options)
		server.PerformOp(&transport.Op{Accept: &echo{idle: make(chan *benchCall, 1024)}})
		start := time.Now()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range 300 {
					call := transporttest.NewClientCall(t, client)
					b := call.Batch().SendHeaders(transporttest.RequestHeaders()).SendMessage(make([]byte, 100)).
						HalfClose().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
					if i%2 == 0 {
						call.Batch().Cancel(context.Canceled).Start()
					}
					if _, err := b.WaitTrailers(); err != nil && i%2 == 1 {
						t.Errorf("a call that nobody cancelled: %v", err)
					}
					call.Release()
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took != 0 {
			t.Errorf("something waited for %v", took)
		}
		client.Close()
		server.Close()
	})
}
