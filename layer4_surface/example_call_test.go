package surface_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	cq "github.com/strata-grpc/strata/layer3_cq"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// serveStream echoes the messages of one call until its client sends no more,
// a batch for each step.
func serveStream(s *surface.Server, q *cq.Queue) {
	var req surface.RequestedCall
	s.RequestCall(&req, nil, q, "request")
	if ev := q.Next(time.Time{}); !ev.Success {
		return
	}
	call := req.Call
	defer call.Release()
	step := func(ops ...surface.Op) bool {
		return call.StartBatch(ops, "step") == surface.CallOK && call.Pluck("step", nil).Success
	}
	step(surface.Op{Type: surface.SendInitialMetadata})
	for {
		var message *transport.Buffer
		if !step(surface.Op{Type: surface.RecvMessage, RecvMessage: &message}) || message == nil {
			break // the client has sent its last one, or the call has ended
		}
		step(surface.Op{Type: surface.SendMessage, Message: message})
	}
	step(surface.Op{Type: surface.SendStatusFromServer})
}

// A stream is a batch for each step, any number of which may be under way as
// long as no operation is among them twice. The status is asked for at the
// beginning: it ends the call whatever else happens, and comes last.
func ExampleCall_StartBatch() {
	sq, q := cq.New(cq.Next, cq.Config{}), cq.New(cq.Next, cq.Config{})
	server := surface.NewServer()
	server.RegisterCompletionQueue(sq)
	server.Start()
	go serveStream(server, sq)
	ch := connect(server)
	call, err := ch.CreateCall(surface.CallParams{Method: "/echo.Echo/Stream", Queue: q})
	if err != nil {
		fmt.Println(err)
		return
	}
	var end surface.CallStatus
	call.StartBatch([]surface.Op{{Type: surface.RecvStatusOnClient, StatusResult: &end}}, "the end")
	call.StartBatch([]surface.Op{{Type: surface.SendInitialMetadata}, {Type: surface.RecvInitialMetadata}}, "headers")
	fmt.Println(q.Next(time.Time{}).Tag)
	for _, text := range []string{"one", "two"} {
		var reply *transport.Buffer
		call.StartBatch([]surface.Op{
			{Type: surface.SendMessage, Message: transport.WrapBuffer([]byte(text))},
			{Type: surface.RecvMessage, RecvMessage: &reply},
		}, text)
		fmt.Printf("%v: %s\n", q.Next(time.Time{}).Tag, reply.Bytes())
		reply.Release()
	}
	fmt.Println(call.StartBatch([]surface.Op{{Type: surface.SendInitialMetadata}}, "refused").Err())
	call.StartBatch([]surface.Op{{Type: surface.SendCloseFromClient}}, "half-close")
	fmt.Println(q.Next(time.Time{}).Tag)
	fmt.Println(q.Next(time.Time{}).Tag, end.Code)
	call.Release()
	ch.Close()
	server.Close()
	// Output:
	// headers
	// one: one
	// two: two
	// surface: GRPC_CALL_ERROR_TOO_MANY_OPERATIONS: an operation is in the batch twice, is under way, or was done and is allowed once
	// half-close
	// the end OK
}

// A call asks for a coding by the field Encoding of its headers. The server here
// leaves messages as they came, as a proxy does; without KeepCompressed it would
// see neither the coding nor the difference.
func ExampleWithCompression() {
	lis := memconn.Listen()
	q := cq.New(cq.Next, cq.Config{})
	server := surface.NewServer(surface.WithCompression(compression.Config{KeepCompressed: true}))
	server.RegisterCompletionQueue(q)
	go server.Serve(lis)
	server.Start()
	defer server.Close()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.Dial(ctx) }
	ch, err := surface.NewChannel("passthrough:///server", surface.WithDialer(dial), surface.WithCredentials(credentials.NewInsecure()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ch.Close()
	call, _ := ch.CreateCall(surface.CallParams{Method: "/echo.Echo/Unary"})
	defer call.Release()
	var headers metadata.List
	headers.Encoding = "gzip"
	text := strings.Repeat("hello ", 100)
	call.StartBatch([]surface.Op{
		{Type: surface.SendInitialMetadata, SendMetadata: &headers},
		{Type: surface.SendMessage, Message: transport.WrapBuffer([]byte(text))},
	}, "request")

	var req surface.RequestedCall
	server.RequestCall(&req, nil, q, "call")
	q.Next(time.Time{})
	defer req.Call.Release()
	var message *transport.Buffer
	req.Call.StartBatch([]surface.Op{{Type: surface.RecvMessage, RecvMessage: &message}}, "message")
	req.Call.Pluck("message", nil)
	fmt.Println(req.Metadata.Encoding, message.Compressed, len(message.Bytes()) < len(text))
	message.Release()
	call.Pluck("request", nil)
	// Output: gzip true true
}

// A method that is called often is checked once.
func ExampleChannel_RegisterCall() {
	ch := connect(surface.NewServer())
	defer ch.Close()
	method, err := ch.RegisterCall("/echo.Echo/Unary", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	call, err := ch.CreateRegisteredCall(method, surface.CallParams{Deadline: time.Now().Add(time.Minute)})
	fmt.Println(call, err)
	call.Release()
	_, err = ch.RegisterCall("echo.Echo/Unary", "")
	fmt.Println(err)
	// Output:
	// Call(/echo.Echo/Unary) <nil>
	// surface: method "echo.Echo/Unary" is not of the form /service/method in visible ASCII
}

// A batch is refused with GRPC_CALL_ERROR_INVALID_METADATA; this tells what for.
func ExampleCheckMetadata() {
	var headers metadata.List
	headers.Append("Session", "7")
	fmt.Println(surface.CheckMetadata(&headers))
	// Output: surface: metadata key "Session" is empty or holds something other than 0-9, a-z, hyphen, underscore and dot
}
