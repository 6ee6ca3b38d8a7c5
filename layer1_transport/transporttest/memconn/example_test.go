package memconn_test

import (
	"context"
	"fmt"
	"io"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

func ExamplePipe() {
	client, server := memconn.Pipe()
	defer server.Close()
	io.WriteString(client, "hello") // into the buffer; nobody needs to read yet
	client.Close()
	b, err := io.ReadAll(server)
	fmt.Printf("%s %v\n", b, err)
	// Output: hello <nil>
}

func ExampleListen() {
	l := memconn.Listen()
	defer l.Close()
	client, err := l.Dial(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	fmt.Println(server.LocalAddr(), server.RemoteAddr())
	// Output: mem:server mem:client
}

func ExampleOneByte() {
	client, server := memconn.Pipe()
	defer client.Close()
	defer server.Close()
	io.WriteString(client, "hello")
	b := make([]byte, 5)
	n, err := memconn.OneByte(server).Read(b)
	fmt.Println(n, err)
	// Output: 1 <nil>
}
