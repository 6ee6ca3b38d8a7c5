package metadata_test

import (
	"context"
	"fmt"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// Keys are in lower case; values are not shown when an MD is printed.
func ExamplePairs() {
	md := metadata.Pairs("Authorization", "Bearer secret", "x-tag", "a", "x-tag", "b")
	fmt.Println(md)
	fmt.Println(md.Get("X-Tag"))
	// Output:
	// MD[authorization:1 x-tag:2]
	// [a b]
}

func ExampleNew() {
	fmt.Println(metadata.New(map[string]string{"x-tag": "a"}).Get("x-tag"))
	// Output: [a]
}

func ExampleAppendToOutgoingContext() {
	ctx := metadata.AppendToOutgoingContext(context.Background(), "x-tag", "a")
	ctx = metadata.AppendToOutgoingContext(ctx, "x-tag", "b", "x-id-bin", "\x00\x01")
	fmt.Println(metadata.ValueFromOutgoingContext(ctx, "x-tag"))
	// Output: [a b]
}

func ExampleNewOutgoingContext() {
	ctx := metadata.NewOutgoingContext(context.Background(), metadata.Pairs("x-tag", "a"))
	md, ok := metadata.FromOutgoingContext(ctx)
	fmt.Println(md, ok)
	// Output: MD[x-tag:1] true
}

// A handler asks its context for what the client sent.
func ExampleFromIncomingContext() {
	handler := func(ctx context.Context) {
		md, ok := metadata.FromIncomingContext(ctx)
		fmt.Println(md, ok)
		fmt.Println(metadata.ValueFromIncomingContext(ctx, "x-tag"))
	}
	handler(metadata.NewIncomingContext(context.Background(), metadata.Pairs("x-tag", "a")))
	// Output:
	// MD[x-tag:1] true
	// [a]
}

func ExampleList() {
	var l metadata.List
	l.Path = "/greeter.Greeter/SayHello"
	l.Append("x-tag", "a")
	l.AppendMD(metadata.Pairs("x-tag", "b"))
	fmt.Println(l.MD().Get("x-tag"), &l)
	// Output: [a b] List[path=/greeter.Greeter/SayHello x-tag x-tag]
}
