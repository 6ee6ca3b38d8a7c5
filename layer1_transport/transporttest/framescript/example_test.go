package framescript_test

import (
	"context"
	"fmt"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// A client that is not answered as its script wants.
func ExampleScript_Run() {
	script, err := framescript.Parse("hello.txt", `
client
send PREFACE
send SETTINGS max_streams=0
await SETTINGS ACK
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	nc, server := memconn.Pipe()
	server.Close()
	_, err = script.Run(context.Background(), nc, framescript.Options{})
	fmt.Println(err)
	// Output: hello.txt:5: want SETTINGS ACK, but the peer ended the connection (EOF) after nothing
}

// A server whose every connection ends with GOAWAY.
func ExampleServe() {
	lis := memconn.Listen()
	srv := framescript.Serve(lis, framescript.MustParse("goaway.txt", `
server
send SETTINGS
send GOAWAY code=ENHANCE_YOUR_CALM debug=too_many_pings
await close
`), framescript.Options{})
	nc, err := lis.Dial(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	client := framescript.MustParse("client.txt", `
client
send PREFACE
send SETTINGS
await GOAWAY debug=too_many_pings
`)
	record, err := client.Run(context.Background(), nc, framescript.Options{})
	fmt.Println(record.GoAways, err)
	fmt.Println(srv.Close())
	// Output:
	// [{0 ENHANCE_YOUR_CALM too_many_pings}] <nil>
	// <nil>
}
