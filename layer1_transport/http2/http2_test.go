package http2_test

import (
	"context"
	"net"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/transporttest"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// connected makes a pair of transports of the two ends of a connection.
func connected(t testing.TB, c, s net.Conn, o transporttest.Options) (client, server transport.Transport) {
	t.Helper()
	type result struct {
		tr  transport.Transport
		err error
	}
	accepted := make(chan result, 1)
	go func() {
		tr, err := http2.Accept(context.Background(), s, nil, http2.Config{MaxStreams: o.MaxConcurrentStreams})
		if err == nil {
			// The client waits for SETTINGS, the server reads once it accepts;
			// the kit performs that op, so only the preface is read here.
			accepted <- result{tr, nil}
			return
		}
		accepted <- result{nil, err}
	}()
	client, err := http2.Connect(context.Background(), c, nil, http2.Config{})
	if err != nil {
		t.Fatalf("Connect: %v", err)
	}
	r := <-accepted
	if r.err != nil {
		t.Fatalf("Accept: %v", r.err)
	}
	return client, r.tr
}

func overMemconn(t testing.TB, o transporttest.Options) (client, server transport.Transport) {
	c, s := memconn.Pipe()
	return connected(t, c, s, o)
}

func overOneByte(t testing.TB, o transporttest.Options) (client, server transport.Transport) {
	c, s := memconn.Pipe()
	return connected(t, memconn.OneByte(c), memconn.OneByte(s), o)
}

func overTCP(t testing.TB, o transporttest.Options) (client, server transport.Transport) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	c, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return connected(t, c, s, o)
}

var options transporttest.Options

func TestContractOverTCP(t *testing.T)     { transporttest.Run(t, overTCP) }
func TestContractOverMemconn(t *testing.T) { transporttest.RunInBubbles(t, overMemconn) }

func TestContractOverOneByte(t *testing.T) {
	transporttest.RunInBubbles(t, overOneByte, transporttest.Bulk, transporttest.FlowControl)
}
