package surface_test

import (
	"context"
	"fmt"
	"net"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	cq "github.com/strata-grpc/strata/layer3_cq"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// serveOne receives one call and answers it with its own message, in three
// batches: the form that gRPC core's servers have.
func serveOne(s *surface.Server, q *cq.Queue) {
	var req surface.RequestedCall
	s.RequestCall(&req, nil, q, "request")
	if ev := q.Next(time.Time{}); !ev.Success {
		return
	}
	defer req.Call.Release()
	var msg *transport.Buffer
	req.Call.StartBatch([]surface.Op{{Type: surface.RecvMessage, RecvMessage: &msg}}, "message")
	req.Call.Pluck("message", nil)
	req.Call.StartBatch([]surface.Op{
		{Type: surface.SendInitialMetadata},
		{Type: surface.SendMessage, Message: msg},
		{Type: surface.SendStatusFromServer, Status: status.New(status.OK, "")},
	}, "answer")
	req.Call.Pluck("answer", nil)
}

// unary makes one unary call: six operations in one batch.
func unary(ch *surface.Channel, method, body string) (string, error) {
	call, err := ch.CreateCall(surface.CallParams{Method: method, Deadline: time.Now().Add(10 * time.Second)})
	if err != nil {
		return "", err
	}
	defer call.Release()
	var (
		reply    *transport.Buffer
		trailers metadata.List
		end      surface.CallStatus
	)
	e := call.StartBatch([]surface.Op{
		{Type: surface.SendInitialMetadata},
		{Type: surface.SendMessage, Message: transport.WrapBuffer([]byte(body))},
		{Type: surface.SendCloseFromClient},
		{Type: surface.RecvInitialMetadata},
		{Type: surface.RecvMessage, RecvMessage: &reply},
		{Type: surface.RecvStatusOnClient, RecvMetadata: &trailers, StatusResult: &end},
	}, "unary")
	if e != surface.CallOK {
		return "", e
	}
	call.Pluck("unary", nil)
	if reply == nil {
		return "", end.AsError(&trailers)
	}
	defer reply.Release()
	return string(reply.Bytes()), end.AsError(&trailers)
}

// A server and a channel over loopback TCP, without stubs.
func ExampleNewChannel() {
	lis, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	q := cq.New(cq.Next, cq.Config{})
	server := surface.NewServer()
	server.RegisterCompletionQueue(q)
	go server.Serve(lis)
	defer server.Close()
	server.Start()
	go serveOne(server, q)

	ch, err := surface.NewChannel(lis.Addr().String(), surface.WithCredentials(credentials.NewInsecure()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ch.Close()
	fmt.Println(unary(ch, "/echo.Echo/Unary", "hello"))
	// Output: hello <nil>
}

func ExampleNewServer() {
	q := cq.New(cq.Next, cq.Config{})
	server := surface.NewServer(surface.WithMaxRecvMessageSize(1 << 20))
	server.RegisterCompletionQueue(q)
	m, _ := server.RegisterMethod("/echo.Echo/Unary", "", surface.PayloadReadInitial)
	server.Start()

	// With READ_INITIAL_BYTE_BUFFER the event comes with the message.
	req := surface.RequestedCall{WantPayload: true}
	fmt.Println(server.RequestRegisteredCall(m, &req, nil, q, "request") == surface.CallOK)
	server.Shutdown(context.Background())
	fmt.Println(q.Next(time.Time{}).Success)
	// Output:
	// true
	// false
}

func ExampleNewDirectChannel() {
	client, serverEnd := inproc.Pair(inproc.Config{})
	q := cq.New(cq.Next, cq.Config{})
	server := surface.NewServer()
	server.RegisterCompletionQueue(q)
	server.ServeTransport(serverEnd)
	defer server.Close()
	go serveOne(server, q)

	ch, _ := surface.NewDirectChannel(client)
	defer ch.Close()
	fmt.Println(ch)
	fmt.Println(unary(ch, "/echo.Echo/Unary", "no bytes between"))
	// Output:
	// inproc:inproc CLIENT_DIRECT authority client_auth message_size deadline connected
	// no bytes between <nil>
}

func ExampleNewLameChannel() {
	ch, _ := surface.NewLameChannel("dns:///nowhere", status.Unavailable, "the configuration names no server")
	defer ch.Close()
	_, err := unary(ch, "/echo.Echo/Unary", "hello")
	fmt.Println(err)
	// Output: rpc error: code = Unavailable desc = the configuration names no server
}

// Layer 3 knows no trace; the observer turns its steps into events.
func ExampleNewQueueObserver() {
	rec := trace.NewRecorder(trace.LevelEvents)
	q := cq.New(cq.Next, cq.Config{Observer: surface.NewQueueObserver(rec.Endpoint("client", "server"))})
	q.BeginOp("tag")
	q.EndOp("tag", true, nil, new(cq.Completion))
	q.Next(time.Time{})
	for _, e := range rec.Events() {
		fmt.Printf("%s %q %q\n", e.Op, e.Tag, e.Text)
	}
	// Output:
	// cq.create "" "NEXT"
	// begin_op "tag" ""
	// end_op "tag" "success"
	// next.wait "" ""
	// next.return "tag" "success"
}

// A watch posts an event when the state is another than the one that is named.
func ExampleChannel_WatchConnectivityState() {
	client, server := inproc.Pair(inproc.Config{})
	ch, err := surface.NewDirectChannel(client)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ch.Close()
	q := cq.New(cq.Next, cq.Config{})
	ch.WatchConnectivityState(connectivity.Ready, time.Time{}, q, "no longer READY")
	server.Close()
	ev := q.Next(time.Time{})
	fmt.Println(ev.Tag, ev.Success, ch.State(false))
	// Output: no longer READY true SHUTDOWN
}
