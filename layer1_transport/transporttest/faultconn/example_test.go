package faultconn_test

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/faultconn"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

func ExampleWrap() {
	client, server := memconn.Pipe()
	defer server.Close()
	c := faultconn.Wrap(client, faultconn.Plan{
		Write: faultconn.Side{Faults: []faultconn.Fault{{At: 5, Kind: faultconn.Reset}}},
	})
	n, err := io.WriteString(c, "hello, world")
	fmt.Println(n, errors.Is(err, syscall.ECONNRESET))
	b, err := io.ReadAll(server)
	fmt.Printf("%s %v\n", b, err)
	// Output:
	// 5 true
	// hello <nil>
}

func ExamplePipe() {
	one := faultconn.Plan{Read: faultconn.Side{MaxChunk: 1}}
	client, server := faultconn.Pipe(faultconn.Plan{}, one)
	defer server.Close()
	io.WriteString(client, "hello")
	client.Close()
	b := make([]byte, 10)
	n, err := server.Read(b)
	fmt.Printf("%q %v\n", b[:n], err)
	// Output: "h" <nil>
}

func ExampleHostile() {
	// A test that fails prints the plan; the seed makes it again.
	fmt.Println(faultconn.Hostile(5, 1000))
	fmt.Println(faultconn.Hostile(6, 1000, faultconn.Corrupt))
	// Output:
	// seed 5; read: pieces of up to 3, one in 171 waits up to 1ms, close at 182; write: pieces of up to 3, one in 171 waits up to 1ms
	// seed 6; read: pieces of up to 1, one in 513 waits up to 1ms, corrupt 0xe4 at 770; write: pieces of up to 100, one in 6 waits up to 1ms
}

func ExampleBenign() {
	fmt.Println(faultconn.Benign(2))
	// Output: seed 2; read: pieces of up to 100, one in 6 waits up to 1ms; write: pieces of up to 3
}
