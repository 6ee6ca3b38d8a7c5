package transporttest

import (
	"context"
	"errors"

	"github.com/strata-grpc/strata/layer1_transport/status"
)

// cancelCases are about streams that somebody ends before their time.
var cancelCases = []testCase{
	{name: "a client that cancels ends its operations with the cause", test: testClientCancel},
	{name: "a cancelled client is CANCELLED to the server", test: testServerSeesCancel},
	{name: "a deadline is CANCELLED to the server", test: testServerSeesDeadline},
	{name: "operations after a cancel fail with the cause", test: testAfterCancel},
	{name: "a call that is cancelled before it begins never reaches the server", test: testCancelBeforeBegin},
	{name: "the first cancel counts", test: testFirstCancelCounts},
	{name: "a cancel after the end does nothing", test: testCancelAfterEnd},
	{name: "a server that has sent its status cannot cancel, whatever it has not read", test: testCancelAfterStatus},
	{name: "a server that cancels with a status gives it to the client", test: testServerCancelStatus},
	{name: "a server that cancels after headers gives the status to the client", test: testServerCancelAfterHeaders},
	{name: "a server that cancels without a status resets the stream", test: testServerCancelPlain},
	{name: "messages that wait are dropped by a cancel", test: testCancelDropsMessages},
	{name: "a send that waits for flow control ends with a cancel", needs: []Capability{FlowControl}, test: testCancelBlockedSend},
	{name: "both ends may cancel at once", test: testBothCancel},
}

// errCause is what the cases cancel with; it must be found by errors.Is.
var errCause = errors.New("the cause of a test")

// cancelled returns a status of that code around errCause.
func cancelled(code status.Code) error { return status.New(code, "cancelled").WithCause(errCause) }

// failedWithCause checks that err is what a stream was cancelled with.
func (e *env) failedWithCause(what string, err error) {
	e.Helper()
	if !errors.Is(err, errCause) {
		e.Errorf("%s: error %v, want what the stream was cancelled with", what, err)
	}
}

func testClientCancel(e *env) {
	c, _ := e.call()
	b := c.Batch().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
	c.Batch().Cancel(cancelled(status.Canceled)).Start()
	e.failedWithCause("recv_initial_metadata", b.WaitHeaders())
	_, _, err := b.WaitMessage()
	e.failedWithCause("recv_message", err)
	_, err = b.WaitTrailers()
	e.failedWithCause("recv_trailing_metadata", err)
	if code := status.CodeOf(err); code != status.Canceled {
		e.Errorf("the call ended as %v, want CANCELLED", code)
	}
	c.WaitGone()
}

func testServerSeesCancel(e *env) { serverSees(e, cancelled(status.Canceled), status.Canceled) }
func testServerSeesDeadline(e *env) {
	serverSees(e, cancelled(status.DeadlineExceeded), status.Canceled)
}

// serverSees has a client cancel with cause and checks the server's end.
func serverSees(e *env, cause error, code status.Code) {
	e.Helper()
	c, s := e.call()
	end := s.Batch().RecvHeaders().RecvTrailers().Start()
	e.gotHeaders(end)
	recv := s.Batch().RecvMessage(0).Start()
	c.Batch().Cancel(cause).Start()
	if _, ok, err := recv.WaitMessage(); ok || err == nil {
		e.Errorf("recv_message of a stream that was reset: message %v, error %v; want an error", ok, err)
	}
	_, err := end.WaitTrailers()
	e.failed("recv_trailing_metadata", err, code)
	if errors.Is(err, errCause) {
		e.Error("the cause reached the other end; a code is all that travels")
	}
	c.WaitGone()
	s.WaitGone()
}

func testAfterCancel(e *env) {
	c, _ := e.call()
	c.Batch().Cancel(cancelled(status.Canceled)).Start()
	e.failedWithCause("recv_initial_metadata", c.Batch().RecvHeaders().Start().WaitHeaders())
	_, _, err := c.Batch().RecvMessage(0).Start().WaitMessage()
	e.failedWithCause("recv_message", err)
	e.failedWithCause("send_message", c.Batch().SendMessage([]byte("x")).Start().WaitSent())
	_, err = c.Batch().RecvTrailers().Start().WaitTrailers()
	e.failedWithCause("recv_trailing_metadata", err)
	c.WaitGone()
}

func testCancelBeforeBegin(e *env) {
	c := e.newClient()
	b := c.Batch().RecvTrailers().Start()
	c.Batch().Cancel(cancelled(status.Canceled)).Start()
	_, err := b.WaitTrailers()
	e.failedWithCause("recv_trailing_metadata", err)
	e.failedWithCause("send_initial_metadata", c.Batch().SendHeaders(RequestHeaders()).Start().WaitSent())
	c.WaitGone()
	// The next stream that the server sees is another one.
	_, s := e.call("x-second", "1")
	if v, _ := e.gotHeaders(s.Batch().RecvHeaders().Start()).Get("x-second"); v != "1" {
		e.Error("the server accepted a call that was cancelled before it began")
	}
}

func testFirstCancelCounts(e *env) {
	c, s := e.call()
	end := s.Batch().RecvTrailers().Start()
	b := c.Batch().RecvTrailers().Start()
	c.Batch().Cancel(cancelled(status.DeadlineExceeded)).Start()
	c.Batch().Cancel(status.Error(status.Internal, "second")).Start()
	c.Batch().Cancel(context.Canceled).Start()
	_, err := b.WaitTrailers()
	e.failedWithCause("recv_trailing_metadata", err)
	if code := status.CodeOf(err); code != status.DeadlineExceeded {
		e.Errorf("the call ended as %v, want that of the first cancel, DEADLINE_EXCEEDED", code)
	}
	if _, err := end.WaitTrailers(); err == nil {
		e.Error("the server's call ended well, want an error")
	}
	// What is asked for later must not be told of a later cancel either.
	_, _, err = c.Batch().RecvMessage(0).Start().WaitMessage()
	e.failedWithCause("recv_message", err)
}

func testCancelAfterEnd(e *env) {
	c, s := e.call()
	end := s.Batch().RecvTrailers().Start()
	b := c.Batch().RecvHeaders().RecvTrailers().Start()
	e.sent(c.Batch().HalfClose().Start())
	e.sent(s.Batch().SendTrailers(TrailersOnly(status.NotFound, "no")).Start())
	e.gotHeaders(b)
	e.gotStatus(b, status.NotFound, "no")
	e.endedWell(end)
	c.Batch().Cancel(cancelled(status.Canceled)).Start()
	s.Batch().Cancel(cancelled(status.Canceled)).Start()
	e.noMessage(c.Batch().RecvMessage(0).Start())
	c.WaitGone()
	s.WaitGone()
}

func testCancelAfterStatus(e *env) {
	c, s := e.call()
	e.sent(c.Batch().SendMessage([]byte("unread")).HalfClose().Start())
	e.gotHeaders(s.Batch().RecvHeaders().Start())
	e.sent(s.Batch().SendTrailers(TrailersOnly(status.NotFound, "no")).Start())
	s.Batch().Cancel(cancelled(status.DeadlineExceeded)).Start()
	if _, err := s.Batch().RecvTrailers().Start().WaitTrailers(); err != nil {
		e.Errorf("the server's call ended with %v, want well", err)
	}
	e.gotStatus(c.Batch().RecvHeaders().RecvTrailers().Start(), status.NotFound, "no")
}

func testServerCancelStatus(e *env) {
	c, s := e.call()
	b := c.Batch().RecvHeaders().RecvTrailers().Start()
	end := s.Batch().RecvHeaders().RecvTrailers().Start()
	e.gotHeaders(end)
	s.Batch().Cancel(cancelled(status.PermissionDenied)).Start()
	if got := StatusOf(b.WaitTrailers()); got.Code() != status.PermissionDenied || got.Message() != "cancelled" {
		e.Errorf("the client got %v, want the status that the server cancelled with", got)
	}
	_, err := end.WaitTrailers()
	e.failedWithCause("recv_trailing_metadata of the server", err)
	c.WaitGone()
	s.WaitGone()
}

func testServerCancelAfterHeaders(e *env) {
	c, s := e.call()
	b := c.Batch().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).SendMessage([]byte("one")).Start())
	e.gotHeaders(b)
	e.gotMessage(b, []byte("one"))
	s.Batch().Cancel(cancelled(status.DeadlineExceeded)).Start()
	if got := StatusOf(b.WaitTrailers()); got.Code() != status.DeadlineExceeded {
		e.Errorf("the client got %v, want the status that the server cancelled with", got)
	}
	err := s.Batch().SendTrailers(Trailers(status.OK, "")).Start().WaitSent()
	e.failedWithCause("send_trailing_metadata after the cancel", err)
}

func testServerCancelPlain(e *env) {
	c, s := e.call()
	b := c.Batch().RecvHeaders().RecvTrailers().Start()
	end := s.Batch().RecvTrailers().Start()
	s.Batch().Cancel(errCause).Start()
	if err := b.WaitHeaders(); err == nil && !b.TrailersOnly() {
		e.Error("recv_initial_metadata gave headers of a stream that had none")
	}
	if got := StatusOf(b.WaitTrailers()); got.Code() == status.OK {
		e.Errorf("the client got %v, want an error", got)
	}
	_, err := end.WaitTrailers()
	e.failedWithCause("recv_trailing_metadata of the server", err)
}

func testCancelDropsMessages(e *env) {
	c, s := e.call()
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).SendMessage([]byte("unread")).Start())
	e.sent(c.Batch().SendMessage([]byte("unread")).Start())
	e.settled()
	end := s.Batch().RecvTrailers().Start()
	b := c.Batch().RecvHeaders().RecvTrailers().Start()
	e.gotHeaders(b)
	c.Batch().Cancel(cancelled(status.Canceled)).Start()
	_, err := b.WaitTrailers()
	e.failedWithCause("recv_trailing_metadata", err)
	_, err = end.WaitTrailers()
	e.failed("recv_trailing_metadata of the server", err, status.Canceled)
	c.WaitGone()
	s.WaitGone()
}

// testCancelBlockedSend fills the way to a server that does not read.
func testCancelBlockedSend(e *env) {
	c, s := e.call()
	end := s.Batch().RecvTrailers().Start()
	send := c.Batch().SendMessage(make([]byte, 64<<20)).Start()
	if e.settled() && send.IsSent() {
		e.Fatal("a message of 64 MiB was accepted and nobody reads it")
	}
	c.Batch().Cancel(cancelled(status.Canceled)).Start()
	e.failedWithCause("send_message", send.WaitSent())
	_, err := end.WaitTrailers()
	e.failed("recv_trailing_metadata of the server", err, status.Canceled)
	c.WaitGone()
	s.WaitGone()
}

// testBothCancel has no order that could be told: both calls must end.
func testBothCancel(e *env) {
	for range 20 {
		c, s := e.call()
		b := c.Batch().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
		end := s.Batch().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
		parallel(e, 2, func(e *env, i int) {
			[]*Call{c, s}[i].Batch().Cancel(cancelled(status.Canceled)).Start()
		})
		if _, err := end.WaitTrailers(); err == nil {
			e.Error("the server's call ended well, want an error")
		}
		if got := StatusOf(b.WaitTrailers()); got.Code() != status.Canceled {
			e.Errorf("the client got %v, want CANCELLED", got)
		}
		c.WaitGone()
		s.WaitGone()
	}
}
