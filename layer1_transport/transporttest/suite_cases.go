package transporttest

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/status"
)

// suiteCases are those of gRPC core's transport test suite, by its names.
var suiteCases = []testCase{
	{name: "NoOp", test: func(*env) {}},
	{name: "WaitForAllPendingWork", test: func(e *env) { e.settled() }},
	{name: "SetServerCallDestinationAndFinish", test: testFinishAtOnce},
	{name: "MetadataOnlyRequest", test: testMetadataOnly},
	{name: "MetadataOnlyRequestServerAbortsAfterInitialMetadata", test: testAbortAfterHeaders},
	{name: "MetadataOnlyRequestServerAbortsImmediately", test: testAbortImmediately},
	{name: "CanCreateCallThenAbandonIt", test: testAbandon},
	{name: "UnaryRequest", test: testUnary},
	{name: "UnaryRequestOmitCheckEndOfStream", test: testUnaryNoEndCheck},
	{name: "UnaryRequestWaitForServerInitialMetadataBeforeSendingPayload", test: testUnaryWaitForHeaders},
	{name: "ClientStreamingRequest", test: testClientStreaming},
	{name: "ServerStreamingRequest", test: testServerStreaming},
	{name: "UnaryWithSomeContent", test: testSomeContent},
	{name: "ManyUnaryRequests", test: testManyUnary},
	{name: "ManyUnaryRequestsInParallel", test: testParallelUnary},
	{name: "ManyCancelsInParallel", test: testParallelCancel},
}

// testFinishAtOnce answers on the accepting goroutine, before anything else.
func testFinishAtOnce(e *env) {
	c, s := e.call()
	e.sent(s.Batch().SendTrailers(TrailersOnly(status.Internal, "👊")).Start())
	e.gotStatus(c.Batch().RecvTrailers().Start(), status.Internal, "👊")
}

func testMetadataOnly(e *env) {
	c, s := e.call("x-request", "1")
	e.sent(c.Batch().HalfClose().Start())
	recv := s.Batch().RecvHeaders().RecvMessage(0).Start()
	if v, _ := e.gotHeaders(recv).Get("x-request"); v != "1" {
		e.Errorf("x-request is %q, want 1", v)
	}
	e.noMessage(recv)
	b := c.Batch().RecvHeaders().Start()
	e.sent(s.Batch().SendHeaders(ResponseHeaders("x-response", "2")).Start())
	if v, _ := e.gotHeaders(b).Get("x-response"); v != "2" {
		e.Errorf("x-response is %q, want 2", v)
	}
	end := c.Batch().RecvMessage(0).RecvTrailers().Start()
	e.sent(s.Batch().SendTrailers(Trailers(status.Unimplemented, "nothing here")).Start())
	e.noMessage(end)
	e.gotStatus(end, status.Unimplemented, "nothing here")
}

func testAbortAfterHeaders(e *env) {
	c, s := e.call()
	b := c.Batch().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
	e.gotHeaders(s.Batch().RecvHeaders().Start())
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).Start())
	e.gotHeaders(b)
	e.sent(s.Batch().SendTrailers(Trailers(status.Unimplemented, "abort")).Start())
	e.noMessage(b)
	e.gotStatus(b, status.Unimplemented, "abort")
}

func testAbortImmediately(e *env) {
	c, s := e.call()
	b := c.Batch().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
	e.sent(s.Batch().SendTrailers(TrailersOnly(status.Unimplemented, "abort")).Start())
	e.gotHeaders(b)
	e.noMessage(b)
	e.gotStatus(b, status.Unimplemented, "abort")
}

// testAbandon gives calls up without a cancel before they begin, and by a
// cancel, as the layers above do it, when they have begun.
func testAbandon(e *env) {
	e.newClient().WaitGone()
	c, s := e.call()
	end := s.Batch().RecvTrailers().Start()
	c.Batch().Cancel(cancelled(status.Canceled)).Start()
	c.WaitGone()
	_, err := end.WaitTrailers()
	e.failed("recv_trailing_metadata of the server", err, status.Canceled)
	e.unary([]byte("request"), []byte("response"))
}

func testUnary(e *env) { e.unary([]byte("hello (client)"), []byte("hello (server)")) }

// testUnaryNoEndCheck never asks whether the one message was the last.
func testUnaryNoEndCheck(e *env) {
	c, s := e.call()
	b := c.Batch().SendMessage([]byte("request")).HalfClose().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
	e.unaryServer(s, []byte("request"), []byte("response"))
	e.endUnary(b, []byte("response"))
}

func testUnaryWaitForHeaders(e *env) {
	c, s := e.call()
	b := c.Batch().RecvHeaders().RecvTrailers().Start()
	end := s.Batch().RecvTrailers().Start()
	e.gotHeaders(s.Batch().RecvHeaders().Start())
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).Start())
	e.gotHeaders(b)
	e.sent(c.Batch().SendMessage([]byte("request")).HalfClose().Start())
	e.gotMessage(s.Batch().RecvMessage(0).Start(), []byte("request"))
	e.noMessage(s.Batch().RecvMessage(0).Start())
	e.sent(s.Batch().SendMessage([]byte("response")).SendTrailers(Trailers(status.OK, "")).Start())
	e.gotMessage(c.Batch().RecvMessage(0).Start(), []byte("response"))
	e.noMessage(c.Batch().RecvMessage(0).Start())
	e.gotStatus(b, status.OK, "")
	e.endedWell(end)
}

func testClientStreaming(e *env) {
	c, s := e.call()
	b := c.Batch().RecvHeaders().RecvTrailers().Start()
	e.gotHeaders(s.Batch().RecvHeaders().Start())
	for i := range 6 {
		e.sent(c.Batch().SendMessage(fmt.Appendf(nil, "message %d", i)).Start())
	}
	e.sent(c.Batch().HalfClose().Start())
	for i := range 6 {
		e.gotMessage(s.Batch().RecvMessage(0).Start(), fmt.Appendf(nil, "message %d", i))
	}
	e.noMessage(s.Batch().RecvMessage(0).Start())
	e.sent(s.Batch().SendTrailers(TrailersOnly(status.OK, "")).Start())
	e.gotHeaders(b)
	e.gotStatus(b, status.OK, "")
}

func testServerStreaming(e *env) {
	c, s := e.call()
	b := c.Batch().RecvHeaders().RecvTrailers().Start()
	e.sent(c.Batch().HalfClose().Start())
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).Start())
	e.gotHeaders(b)
	for i := range 6 {
		e.sent(s.Batch().SendMessage(fmt.Appendf(nil, "message %d", i)).Start())
	}
	e.sent(s.Batch().SendTrailers(Trailers(status.OK, "")).Start())
	for i := range 6 {
		e.gotMessage(c.Batch().RecvMessage(0).Start(), fmt.Appendf(nil, "message %d", i))
	}
	e.noMessage(c.Batch().RecvMessage(0).Start())
	e.gotStatus(b, status.OK, "")
}

// testSomeContent makes calls of random sizes, the same ones in each run.
func testSomeContent(e *env) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range uint64(50) {
		// Small sizes are common and large ones are not, as with real calls.
		request, response := 1<<r.IntN(18), 1<<r.IntN(18)
		e.unary(noise(i, r.IntN(request)), noise(i+1000, r.IntN(response)))
	}
}

// testManyUnary has all calls open at once.
func testManyUnary(e *env) {
	const calls = 100
	batches := map[string]*Batch{}
	for i := range calls {
		request := fmt.Sprintf("request %d", i)
		batches[request] = e.startUnary(e.newClient(), []byte(request))
	}
	for range calls {
		s := e.accept()
		recv := s.Batch().RecvHeaders().RecvMessage(0).Start()
		request, ok, err := recv.WaitMessage()
		if !ok || err != nil {
			e.Fatalf("recv_message: %v, %v; want a message", ok, err)
		}
		e.sent(s.Batch().SendHeaders(ResponseHeaders()).SendMessage(append(request, " answered"...)).
			SendTrailers(Trailers(status.OK, "")).Start())
	}
	for request, b := range batches {
		e.endUnary(b, []byte(request+" answered"))
	}
}

// parallelTB lets Fatal be called on goroutines other than the test's.
type parallelTB struct{ testing.TB }

// Fatal implements [testing.TB].
func (p parallelTB) Fatal(args ...any) {
	p.Helper()
	p.Error(args...)
	runtime.Goexit()
}

// Fatalf implements [testing.TB].
func (p parallelTB) Fatalf(format string, args ...any) {
	p.Helper()
	p.Errorf(format, args...)
	runtime.Goexit()
}

// parallel runs f on n goroutines and waits for them.
func parallel(e *env, n int, f func(e *env, i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(e, i) })
	}
	wg.Wait()
}

// Workers and calls of the parallel cases.
const (
	workers        = 8
	callsPerWorker = 30
)

// answer gives a call its own request back. A call that the client has given
// up is answered in vain.
func answer(s *Call) {
	end := s.Batch().RecvTrailers().Start()
	recv := s.Batch().RecvHeaders().RecvMessage(0).Start()
	if request, ok, err := recv.WaitMessage(); ok && err == nil {
		_ = s.Batch().SendHeaders(ResponseHeaders()).SendMessage(request).
			SendTrailers(Trailers(status.OK, "")).Start().WaitSent() // fails where the client has cancelled
	} else {
		s.Batch().Cancel(status.Error(status.Canceled, "nothing to answer")).Start()
	}
	_, _ = end.WaitTrailers() // an error where the client has cancelled
	s.WaitGone()
}

func testParallelUnary(e *env) {
	parallel(e, 2*workers, func(e *env, i int) {
		t := parallelTB{e.T}
		if i < workers {
			for range callsPerWorker {
				answer(e.acceptor.accept(t))
			}
			return
		}
		c := NewClientCall(t, e.client)
		for n := range callsPerWorker {
			request := fmt.Sprintf("worker %d call %d", i, n)
			b := e.startUnary(c, []byte(request))
			if got, _, err := b.WaitMessage(); string(got) != request {
				t.Errorf("response %q, error %v; want %q", got, err, request)
			}
			if md, err := b.WaitTrailers(); StatusOf(md, err).Code() != status.OK {
				t.Errorf("status %v, want OK", StatusOf(md, err))
			}
			c.WaitGone()
			c.Reuse(nil)
		}
		c.WaitGone()
	})
}

// testParallelCancel cancels calls at any moment of their life. Each must end
// as cancelled or as answered with its own request.
func testParallelCancel(e *env) {
	parallel(e, workers, func(e *env, i int) {
		t := parallelTB{e.T}
		c := NewClientCall(t, e.client)
		for n := range callsPerWorker {
			request := fmt.Sprintf("worker %d call %d", i, n)
			b := e.startUnary(c, []byte(request))
			var wg sync.WaitGroup
			wg.Go(func() {
				for range n {
					runtime.Gosched()
				}
				c.Batch().Cancel(cancelled(status.Canceled)).Start()
			})
			for _, s := range e.acceptor.waiting() {
				s.t = t
				answer(s)
			}
			wg.Wait()
			if got, ok, err := b.WaitMessage(); ok && string(got) != request {
				t.Errorf("response %q, error %v; want %q", got, err, request)
			}
			if md, err := b.WaitTrailers(); StatusOf(md, err).Code() > status.Canceled {
				t.Errorf("status %v, want OK or CANCELLED", StatusOf(md, err))
			}
			c.WaitGone()
			c.Reuse(nil)
		}
		c.WaitGone()
	})
	for _, s := range e.acceptor.waiting() {
		answer(s)
	}
}
