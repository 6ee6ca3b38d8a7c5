package surface_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// connect returns a channel to s that needs no network.
func connect(s *surface.Server) *surface.Channel {
	client, server := inproc.Pair(inproc.Config{})
	if err := s.ServeTransport(server); err != nil {
		fmt.Println(err)
	}
	ch, err := surface.NewDirectChannel(client)
	if err != nil {
		fmt.Println(err)
	}
	return ch
}

// An answering is one call of an echo server that is driven by a queue, and the
// tag of all that it starts: what an event means is where the call has got to.
type answering struct {
	server *surface.Server
	queue  *cq.Queue

	req     surface.RequestedCall
	message *transport.Buffer
	next    func(ok bool)
}

// request waits for a call.
func (a *answering) request() {
	a.next = a.requested
	a.server.RequestCall(&a.req, a.queue, a.queue, a)
}

// requested is told that a call has come, or that none will.
func (a *answering) requested(ok bool) {
	if !ok {
		return
	}
	(&answering{server: a.server, queue: a.queue}).request() // for the next call
	a.next = a.received
	a.req.Call.StartBatch([]surface.Op{{Type: surface.RecvMessage, RecvMessage: &a.message}}, a)
}

// received is told that the message has come.
func (a *answering) received(ok bool) {
	if !ok || a.message == nil {
		a.req.Call.Release() // which cancels it
		return
	}
	a.next = a.answered
	a.req.Call.StartBatch([]surface.Op{
		{Type: surface.SendInitialMetadata},
		{Type: surface.SendMessage, Message: a.message},
		{Type: surface.SendStatusFromServer, Status: status.New(status.OK, "")},
		{Type: surface.RecvCloseOnServer},
	}, a)
}

// answered is told that the call has ended.
func (a *answering) answered(bool) { a.req.Call.Release() }

// The form that gRPC core's servers have in C++ and C: a NEXT queue has the
// events of all calls, any number of goroutines polls it, and each event goes to
// whichever is free. A call is a small machine that its own tag drives.
func ExampleServer_RequestCall() {
	q := cq.New(cq.Next, cq.Config{})
	server := surface.NewServer()
	server.RegisterCompletionQueue(q)
	server.Start()
	for range 3 { // so many calls may come at once
		(&answering{server: server, queue: q}).request()
	}
	var pollers sync.WaitGroup
	for range 2 {
		pollers.Go(func() {
			for ev := q.Next(time.Time{}); ev.Type == cq.OpComplete; ev = q.Next(time.Time{}) {
				ev.Tag.(*answering).next(ev.Success)
			}
		})
	}

	ch := connect(server)
	fmt.Println(unary(ch, "/echo.Echo/Unary", "hello"))
	fmt.Println(unary(ch, "/echo.Echo/Other", "hello again"))
	ch.Close()
	server.Close() // the slots that are posted fail
	q.Shutdown()   // and when that was told, the pollers end
	pollers.Wait()
	// Output:
	// hello <nil>
	// hello again <nil>
}

// A method that is registered has a list of slots of its own. With
// PayloadReadInitial a call is told of when its first message is there.
func ExampleServer_RequestRegisteredCall() {
	q := cq.New(cq.Next, cq.Config{})
	server := surface.NewServer()
	server.RegisterCompletionQueue(q)
	method, err := server.RegisterMethod("/echo.Echo/Unary", "", surface.PayloadReadInitial)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = server.RegisterMethod("/echo.Echo/Unary", "", surface.PayloadNone)
	fmt.Println(err)
	server.Start()

	req := surface.RequestedCall{WantPayload: true}
	server.RequestRegisteredCall(method, &req, nil, q, "call")
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if !q.Next(time.Time{}).Success {
			return
		}
		fmt.Printf("%s came with %q\n", req.Details.Method, req.Payload.Bytes())
		req.Call.StartBatch([]surface.Op{
			{Type: surface.SendInitialMetadata},
			{Type: surface.SendMessage, Message: req.Payload},
			{Type: surface.SendStatusFromServer},
		}, "answer")
		req.Call.Pluck("answer", nil)
		req.Call.Release()
	}()

	ch := connect(server)
	fmt.Println(unary(ch, "/echo.Echo/Unary", "hello"))
	<-answered
	ch.Close()
	server.Close()
	// Output:
	// surface: registering method "/echo.Echo/Unary": it is registered already
	// /echo.Echo/Unary came with "hello"
	// hello <nil>
}

// A refuser hands out slots whose calls are answered at once: each is its own
// tag, and runs on the goroutine that reads the connection.
type refuser struct{ req surface.RequestedCall }

func (r *refuser) AllocateRequest() *surface.RequestedCall {
	slot := new(refuser)
	slot.req.Tag = slot
	return &slot.req
}

// Run gets the call.
func (r *refuser) Run(ok bool) {
	if !ok {
		return
	}
	answer := surface.Op{Type: surface.SendStatusFromServer,
		Status: status.New(status.Unimplemented, "no method "+r.req.Details.Method)}
	r.req.Call.StartBatchAndExecute([]surface.Op{answer}, (*refused)(r))
}

// refused is told that the answer is on its way.
type refused refuser

// Run releases the call.
func (r *refused) Run(bool) { r.req.Call.Release() }

// With an allocator no slots are posted and nothing ever waits: what gRPC core's
// own callback API does, and layer 5 here.
func ExampleServer_SetBatchMethodAllocator() {
	server := surface.NewServer()
	err := server.SetBatchMethodAllocator(cq.New(cq.Callback, cq.Config{}), new(refuser))
	if err != nil {
		fmt.Println(err)
		return
	}
	ch := connect(server)
	_, err = unary(ch, "/echo.Echo/Unary", "hello")
	fmt.Println(err)
	ch.Close()
	server.Close()
	// Output: rpc error: code = Unimplemented desc = no method /echo.Echo/Unary
}

// Shutdown lets calls end as long as its context does; a program that has a
// queue may wait for the same in there.
func ExampleServer_ShutdownAndNotify() {
	q := cq.New(cq.Next, cq.Config{})
	server := surface.NewServer()
	server.RegisterCompletionQueue(q)
	server.Start()
	var req surface.RequestedCall
	server.RequestCall(&req, nil, q, "call")
	ch := connect(server)
	call, _ := ch.CreateCall(surface.CallParams{Method: "/echo.Echo/Stream"})
	call.StartBatch([]surface.Op{{Type: surface.SendInitialMetadata}}, "begin")
	call.Pluck("begin", nil)
	fmt.Println(q.Next(time.Time{}).Tag, "has come")

	server.ShutdownAndNotify(q, "the end")
	<-server.Draining() // those who have calls without an end of their own hear of it
	fmt.Println(q.TryNext().Type == cq.QueueTimeout, "while the call goes on")
	req.Call.Release() // which cancels it
	fmt.Println(q.Next(time.Time{}).Tag, "has come")
	fmt.Println(server.Shutdown(context.Background()), "at any time after")
	call.Release()
	ch.Close()
	// Output:
	// call has come
	// true while the call goes on
	// the end has come
	// <nil> at any time after
}
