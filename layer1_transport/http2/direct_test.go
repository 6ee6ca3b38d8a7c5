package http2_test

import (
	"bytes"
	"net"
	"sync"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// TestCancelWhileAMessageIsRead: memory that the reader fills for a stream that
// ends meanwhile goes to nobody else. Streams that are cancelled in the middle
// of a message run beside one whose messages are compared.
func TestCancelWhileAMessageIsRead(t *testing.T) {
	t.Run("tcp", func(t *testing.T) {
		c, s := smallTCP(t)
		cancelWhileRead(t, c, s)
	})
	t.Run("memory", func(t *testing.T) {
		c, s := memconn.Pipe()
		cancelWhileRead(t, c, s)
	})
}

func cancelWhileRead(t *testing.T, c, s net.Conn) {
	const size, rounds = 700 << 10, 40
	client, server := connected(t, c, s, options)
	defer server.Close()
	defer client.Close()
	acceptor := transporttest.NewAcceptor(t, server)
	begin := func() (call, answer *transporttest.Call) {
		call = transporttest.NewClientCall(t, client)
		if err := call.Batch().SendHeaders(transporttest.RequestHeaders()).Start().WaitSent(); err != nil {
			t.Fatal(err)
		}
		answer = acceptor.Accept()
		if err := answer.Batch().SendHeaders(transporttest.ResponseHeaders()).Start().WaitSent(); err != nil {
			t.Fatal(err)
		}
		return call, answer
	}
	steady, answer := begin()
	var running sync.WaitGroup
	running.Go(func() {
		for i := range rounds {
			data := bytes.Repeat([]byte{byte(i)}, size)
			if err := answer.Batch().SendMessage(data).Start().WaitSent(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	running.Go(func() {
		for i := range rounds {
			got, ok, err := steady.Batch().RecvMessage(0).Start().WaitMessage()
			if err != nil || !ok || !bytes.Equal(got, bytes.Repeat([]byte{byte(i)}, size)) {
				t.Errorf("message %d: %d bytes, %v, %v, or other bytes than were sent", i, len(got), ok, err)
				return
			}
		}
	})
	other := bytes.Repeat([]byte{0xff}, size)
	for range rounds {
		call, answer := begin()
		recv := call.Batch().RecvMessage(0).Start()
		send := answer.Batch().SendMessage(other).Start()
		call.Batch().Cancel(status.Error(status.Canceled, "enough")).Start()
		_, _, _ = recv.WaitMessage() // a message or the error: both are well
		_ = send.WaitSent()
		call.Release()
		answer.Release()
	}
	running.Wait()
	steady.Release()
	answer.Release()
}
