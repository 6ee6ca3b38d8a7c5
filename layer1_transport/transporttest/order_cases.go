package transporttest

import (
	"fmt"
	"slices"
	"strings"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// orderCases are about the callbacks of a stream: that each runs once, and
// when. Every Call checks most of it in every case; these set the traps.
var orderCases = []testCase{
	{name: "headers come before messages, messages in order, the end last", test: testOrder},
	{name: "all operations may be outstanding before anything arrives", test: testPostedBefore},
	{name: "all operations may be started after everything has arrived", test: testPostedAfter},
	{name: "operations may be started in a callback", test: testFromCallback},
	{name: "recv_message after the end gives no message and no error", test: testReceiveAfterEnd},
	{name: "a stream is reset and used for another call", test: testReuse},
	{name: "the owner is let go at the end of each call", test: testOwnerLetGo},
	{name: "the owner is held while the stream is open", test: testOwnerHeld},
}

// unaryServer answers one call with one message and waits for its end.
func (e *env) unaryServer(s *Call, request, response []byte) {
	e.Helper()
	end := s.Batch().RecvTrailers().Start()
	recv := s.Batch().RecvHeaders().RecvMessage(0).Start()
	e.gotHeaders(recv)
	e.gotMessage(recv, request)
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).SendMessage(response).SendTrailers(Trailers(status.OK, "")).Start())
	e.endedWell(end)
}

// unary makes one call from headers to status.
func (e *env) unary(request, response []byte) {
	e.Helper()
	c := e.newClient()
	b := e.startUnary(c, request)
	s := e.accept()
	e.unaryServer(s, request, response)
	e.endUnary(b, response)
}

// startUnary starts the one batch of a unary client.
func (e *env) startUnary(c *Call, request []byte) *Batch {
	return c.Batch().SendHeaders(RequestHeaders()).SendMessage(request).HalfClose().
		RecvHeaders().RecvMessage(0).RecvTrailers().Start()
}

// endUnary waits for everything that startUnary asked for.
func (e *env) endUnary(b *Batch, response []byte) {
	e.Helper()
	e.sent(b)
	e.gotHeaders(b)
	e.gotMessage(b, response)
	e.gotStatus(b, status.OK, "")
}

func testOrder(e *env) {
	const messages = 5
	c, s := e.call()
	end := c.Batch().RecvHeaders().RecvTrailers().Start()
	e.sent(c.Batch().HalfClose().Start())
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).Start())
	for i := range messages {
		e.sent(s.Batch().SendMessage(fmt.Appendf(nil, "message %d", i)).Start())
	}
	e.sent(s.Batch().SendTrailers(Trailers(status.OK, "")).Start())
	for i := range messages {
		e.gotMessage(c.Batch().RecvMessage(0).Start(), fmt.Appendf(nil, "message %d", i))
	}
	e.noMessage(c.Batch().RecvMessage(0).Start())
	e.gotHeaders(end)
	e.gotStatus(end, status.OK, "")
	log := receiving(c.Owner.Log())
	if log[0] != "recv_initial_metadata" || slices.Index(log, "recv_trailing_metadata") < messages {
		e.Errorf("callbacks ran as %v, want recv_initial_metadata first and recv_trailing_metadata after the messages", log)
	}
}

// receiving leaves the callbacks of sends out of a log.
func receiving(log []string) []string {
	return slices.DeleteFunc(log, func(name string) bool { return !strings.HasPrefix(name, "recv") })
}

func testPostedBefore(e *env) {
	c, s := e.call()
	b := c.Batch().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
	if e.settled() && (b.HasMessage() || b.HasTrailers()) {
		e.Fatal("a receiving operation was done before anything was sent")
	}
	end := s.Batch().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
	if e.settled() && (end.HasMessage() || end.HasTrailers()) {
		e.Fatal("a receiving operation was done before anything was sent")
	}
	e.sent(c.Batch().SendMessage([]byte("request")).HalfClose().Start())
	e.gotMessage(end, []byte("request"))
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).Start())
	e.gotHeaders(b)
	e.sent(s.Batch().SendMessage([]byte("response")).Start())
	e.gotMessage(b, []byte("response"))
	e.sent(s.Batch().SendTrailers(Trailers(status.OK, "")).Start())
	e.gotStatus(b, status.OK, "")
	e.endedWell(end)
}

func testPostedAfter(e *env) {
	c, s := e.call()
	e.sent(c.Batch().SendMessage([]byte("request")).HalfClose().Start())
	e.settled()
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).SendMessage([]byte("response")).SendTrailers(Trailers(status.OK, "")).Start())
	e.settled()
	e.gotHeaders(c.Batch().RecvHeaders().Start())
	e.gotMessage(c.Batch().RecvMessage(0).Start(), []byte("response"))
	e.noMessage(c.Batch().RecvMessage(0).Start())
	e.gotStatus(c.Batch().RecvTrailers().Start(), status.OK, "")
	e.gotHeaders(s.Batch().RecvHeaders().Start())
	e.endedWell(s.Batch().RecvTrailers().Start())
}

// testFromCallback has each end answer a message in the callback that brought
// it, so that every operation is started by the transport's own call.
func testFromCallback(e *env) {
	const rounds = 50
	c, s := e.call()
	cEnd := c.Batch().RecvHeaders().RecvTrailers().Start()
	sEnd := s.Batch().RecvHeaders().RecvTrailers().Start()
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).Start())
	pingPong(e, s, rounds, nil)
	c.Batch().SendMessage([]byte{0}).Then(transport.OpSendMessage, func(error) {
		pingPong(e, c, rounds, func() { c.Batch().HalfClose().Start() })
	}).Start()
	// The server sees the half-close, after which it has the last word.
	e.gotHeaders(sEnd)
	e.gotHeaders(cEnd)
	e.gotStatus(cEnd, status.OK, "done")
	e.endedWell(sEnd)
}

// pingPong answers each message with one that is greater by one, until it is
// rounds or no message comes. last is run at the end of the rounds; without
// it the end sends trailers when no message comes.
func pingPong(e *env, c *Call, rounds byte, last func()) {
	b := c.Batch().RecvMessage(0)
	b.Then(transport.OpRecvMessage, func(err error) {
		m := b.op.RecvMessage.Message
		switch {
		case err != nil:
			e.Errorf("%s: recv_message: %v", c.Owner, err)
			return
		case m == nil && last == nil:
			c.Batch().SendTrailers(Trailers(status.OK, "done")).Start()
			return
		case m == nil:
			return
		}
		n := m.Bytes()[0]
		m.Release()
		if n+1 >= rounds && last != nil {
			pingPong(e, c, rounds, last)
			last()
			return
		}
		// One message may be outstanding, so the next one is received when
		// this one is sent.
		send := c.Batch().SendMessage([]byte{n + 1})
		send.Then(transport.OpSendMessage, func(error) { pingPong(e, c, rounds, last) })
		send.Start()
	})
	b.Start()
}

func testReceiveAfterEnd(e *env) {
	c, s := e.call()
	e.sent(c.Batch().HalfClose().Start())
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).SendTrailers(Trailers(status.OK, "")).Start())
	b := c.Batch().RecvHeaders().RecvTrailers().Start()
	e.gotHeaders(b)
	e.gotStatus(b, status.OK, "")
	for range 3 {
		e.noMessage(c.Batch().RecvMessage(0).Start())
	}
}

func testReuse(e *env) {
	c := e.newClient()
	for i := range 10 {
		request, response := fmt.Appendf(nil, "request %d", i), fmt.Appendf(nil, "response %d", i)
		b := e.startUnary(c, request)
		s := e.accept()
		e.unaryServer(s, request, response)
		e.endUnary(b, response)
		s.WaitGone()
		c.WaitGone()
		c.Reuse(nil)
	}
	e.unaryAfterCancel(c)
}

// unaryAfterCancel uses the stream of c for a call that is cancelled, and then
// for one that must not notice.
func (e *env) unaryAfterCancel(c *Call) {
	e.Helper()
	b := e.startUnary(c, []byte("to be cancelled"))
	s := e.accept()
	end := s.Batch().RecvTrailers().Start()
	c.Batch().Cancel(status.Error(status.Canceled, "enough")).Start()
	if _, err := b.WaitTrailers(); status.CodeOf(err) != status.Canceled {
		e.Fatalf("recv_trailing_metadata of a cancelled call: %v, want CANCELLED", err)
	}
	_, err := end.WaitTrailers()
	e.failed("recv_trailing_metadata of the server", err, status.Canceled)
	s.WaitGone()
	c.WaitGone()
	c.Reuse(nil)
	b = e.startUnary(c, []byte("again"))
	e.unaryServer(e.accept(), []byte("again"), []byte("yes"))
	e.endUnary(b, []byte("yes"))
}

func testOwnerLetGo(e *env) {
	c := e.newClient()
	b := e.startUnary(c, []byte("request"))
	s := e.accept()
	e.unaryServer(s, []byte("request"), []byte("response"))
	e.endUnary(b, []byte("response"))
	// The connection stays open: the call itself has to let go.
	c.WaitGone()
	s.WaitGone()
}

func testOwnerHeld(e *env) {
	c, s := e.call()
	e.settled()
	if n := c.Owner.Refs(); n < 2 {
		e.Errorf("client call that is open: %d references, want the application's and the transport's", n)
	}
	if n := s.Owner.Refs(); n < 2 {
		e.Errorf("server call that is open: %d references, want the application's and the transport's", n)
	}
	e.sent(c.Batch().HalfClose().Start())
	e.sent(s.Batch().SendTrailers(TrailersOnly(status.OK, "")).Start())
	e.gotStatus(c.Batch().RecvTrailers().Start(), status.OK, "")
	c.WaitGone()
	s.WaitGone()
}
