package transporttest

import (
	"errors"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// connectionCases are about the connection as a whole.
var connectionCases = []testCase{
	{name: "Close fails the streams of both ends with UNAVAILABLE", test: testCloseFailsStreams},
	{name: "Close may be called twice and at both ends at once", test: testCloseTwice},
	{name: "no stream begins after Close", test: testBeginAfterClose},
	{name: "disconnect fails the streams with its cause", test: testDisconnect},
	{name: "goaway lets open streams end and no new ones begin", needs: []Capability{Graceful}, test: testGoaway},
	{name: "goaway of an idle connection closes it", needs: []Capability{Graceful}, test: testGoawayIdle},
	{name: "a refused stream was not seen by the server", test: testRefused},
	{name: "a ping is initiated and answered", needs: []Capability{Pings}, test: testPing},
	{name: "a ping of a closed connection fails", needs: []Capability{Pings}, test: testPingClosed},
	{name: "a watcher is told READY, then SHUTDOWN", test: testWatch},
	{name: "a watcher that was removed is told nothing", test: testUnwatch},
	{
		name: "a stream above the server's limit begins when another ends", needs: []Capability{ConcurrencyLimit},
		options: Options{MaxConcurrentStreams: 1}, test: testConcurrencyLimit,
	},
	{
		name: "a stream that waits for the server's limit can be cancelled", needs: []Capability{ConcurrencyLimit},
		options: Options{MaxConcurrentStreams: 1}, test: testCancelWaiting,
	},
}

func testCloseFailsStreams(e *env) {
	c, s := e.call()
	cb := c.Batch().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
	sb := s.Batch().RecvHeaders().RecvTrailers().Start()
	e.gotHeaders(sb)
	e.client.Close()
	e.failed("recv_initial_metadata", cb.WaitHeaders(), status.Unavailable)
	_, _, err := cb.WaitMessage()
	e.failed("recv_message", err, status.Unavailable)
	_, err = cb.WaitTrailers()
	e.failed("recv_trailing_metadata", err, status.Unavailable)
	_, err = sb.WaitTrailers()
	e.failed("recv_trailing_metadata of the server", err, status.Unavailable)
	c.WaitGone()
	s.WaitGone()
}

func testCloseTwice(e *env) {
	c, s := e.call()
	cb := c.Batch().RecvTrailers().Start()
	sb := s.Batch().RecvTrailers().Start()
	parallel(e, 4, func(e *env, i int) {
		[]transport.Transport{e.client, e.server}[i%2].Close()
	})
	_, err := cb.WaitTrailers()
	e.failed("recv_trailing_metadata", err, status.Unavailable)
	_, err = sb.WaitTrailers()
	e.failed("recv_trailing_metadata of the server", err, status.Unavailable)
}

func testBeginAfterClose(e *env) {
	pending := e.newClient()
	early := pending.Batch().RecvTrailers().Start()
	e.client.Close()
	_, err := early.WaitTrailers()
	e.failed("recv_trailing_metadata of a stream that had not begun", err, status.Unavailable)
	pending.WaitGone()

	c := e.newClient()
	b := c.Batch().SendHeaders(RequestHeaders()).SendMessage([]byte("x")).HalfClose().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
	e.failed("sending", b.WaitSent(), status.Unavailable)
	e.failed("recv_initial_metadata", b.WaitHeaders(), status.Unavailable)
	_, _, err = b.WaitMessage()
	e.failed("recv_message", err, status.Unavailable)
	_, err = b.WaitTrailers()
	e.failed("recv_trailing_metadata", err, status.Unavailable)
	if p := transport.ProgressOf(err); p != transport.ProgressNotSent {
		e.Errorf("progress %d, want ProgressNotSent", p)
	}
	c.WaitGone()
}

func testDisconnect(e *env) {
	c, s := e.call()
	cb := c.Batch().RecvTrailers().Start()
	sb := s.Batch().RecvHeaders().RecvTrailers().Start()
	e.gotHeaders(sb)
	e.server.PerformOp(&transport.Op{Disconnect: errCause})
	_, err := sb.WaitTrailers()
	e.failed("recv_trailing_metadata of the server", err, status.Unavailable)
	if !errors.Is(err, errCause) {
		e.Errorf("recv_trailing_metadata: %v, want the cause of the disconnect behind it", err)
	}
	_, err = cb.WaitTrailers()
	e.failed("recv_trailing_metadata of the client", err, status.Unavailable)
}

func testGoaway(e *env) {
	c, s := e.call()
	w := newWatcher(e)
	e.client.PerformOp(&transport.Op{StartWatch: w})
	w.want(connectivity.Ready)
	cEnd := c.Batch().RecvHeaders().RecvTrailers().Start()
	sEnd := s.Batch().RecvHeaders().RecvTrailers().Start()
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).Start())
	e.gotHeaders(cEnd)
	e.server.PerformOp(&transport.Op{Goaway: &transport.Goaway{Code: status.HTTP2NoError, Debug: "bye"}})
	// The client has learned of it when its watcher has.
	w.wantOther(connectivity.Ready)

	late := e.newClient()
	b := e.startUnary(late, []byte("late"))
	_, err := b.WaitTrailers()
	e.failed("recv_trailing_metadata of a stream after GOAWAY", err, status.Unavailable)
	if p := transport.ProgressOf(err); p == transport.ProgressUnknown {
		e.Errorf("progress of a stream after GOAWAY is %d, want NotSent or NotSeen", p)
	}

	e.gotHeaders(sEnd)
	e.sendAndReceive(c, s, []byte("still open"), 1)
	e.sent(c.Batch().HalfClose().Start())
	e.sent(s.Batch().SendTrailers(Trailers(status.OK, "fine")).Start())
	e.gotStatus(cEnd, status.OK, "fine")
	e.endedWell(sEnd)
	w.until(connectivity.Shutdown)
}

func testGoawayIdle(e *env) {
	e.unary([]byte("request"), []byte("response"))
	w := newWatcher(e)
	e.client.PerformOp(&transport.Op{StartWatch: w})
	e.server.PerformOp(&transport.Op{Goaway: &transport.Goaway{Code: status.HTTP2NoError}})
	w.until(connectivity.Shutdown)
}

func testRefused(e *env) {
	e.acceptor.Refuse(true)
	b := e.startUnary(e.newClient(), []byte("request"))
	_, err := b.WaitTrailers()
	e.failed("recv_trailing_metadata", err, status.Unavailable)
	if p := transport.ProgressOf(err); p != transport.ProgressNotSeen {
		e.Errorf("progress %d, want ProgressNotSeen", p)
	}
	e.acceptor.Refuse(false)
	e.unary([]byte("request"), []byte("response"))
}

// A signal is a [transport.Done] that can be waited for.
type signal chan error

// Run implements [transport.Done].
func (s signal) Run(err error) { s <- err }

func (e *env) waitFor(what string, s signal) error {
	e.Helper()
	timer := time.NewTimer(waitTime)
	defer timer.Stop()
	select {
	case err := <-s:
		return err
	case <-timer.C:
		e.Fatalf("no callback of %s", what)
		return nil
	}
}

func testPing(e *env) {
	for _, tr := range []transport.Transport{e.client, e.server} {
		initiated, answered := make(signal, 1), make(signal, 1)
		tr.PerformOp(&transport.Op{Ping: &transport.Ping{OnInitiate: initiated, OnAck: answered}})
		if err := e.waitFor("OnInitiate", initiated); err != nil {
			e.Errorf("OnInitiate: %v", err)
		}
		if err := e.waitFor("OnAck", answered); err != nil {
			e.Errorf("OnAck: %v", err)
		}
		tr.PerformOp(&transport.Op{Ping: &transport.Ping{OnAck: answered}})
		if err := e.waitFor("OnAck", answered); err != nil {
			e.Errorf("OnAck without OnInitiate: %v", err)
		}
	}
}

func testPingClosed(e *env) {
	e.client.Close()
	answered := make(signal, 1)
	e.client.PerformOp(&transport.Op{Ping: &transport.Ping{OnAck: answered}})
	if err := e.waitFor("OnAck", answered); err == nil {
		e.Error("a ping of a closed connection was answered")
	}
}

// A watcher keeps what it is told.
type watcher struct {
	t      testing.TB
	states chan connectivity.State
}

func newWatcher(t testing.TB) *watcher {
	return &watcher{t: t, states: make(chan connectivity.State, 16)}
}

// OnState implements [connectivity.Watcher].
func (w *watcher) OnState(s connectivity.State, cause error) {
	if needs := s == connectivity.TransientFailure || s == connectivity.Shutdown; cause == nil && needs {
		w.t.Errorf("OnState(%v, nil): a cause belongs to this state", s)
	} else if cause != nil && !needs && s != connectivity.Idle {
		w.t.Errorf("OnState(%v, %v): no cause belongs to this state", s, cause)
	}
	w.states <- s
}

func (w *watcher) next() connectivity.State {
	w.t.Helper()
	timer := time.NewTimer(waitTime)
	defer timer.Stop()
	select {
	case s := <-w.states:
		return s
	case <-timer.C:
		w.t.Fatal("a watcher was told nothing")
		return 0
	}
}

func (w *watcher) want(s connectivity.State) {
	w.t.Helper()
	if got := w.next(); got != s {
		w.t.Fatalf("a watcher was told %v, want %v", got, s)
	}
}

func (w *watcher) wantOther(s connectivity.State) {
	w.t.Helper()
	if got := w.next(); got == s {
		w.t.Fatalf("a watcher was told %v, want another state", got)
	}
}

// until skips what comes before s.
func (w *watcher) until(s connectivity.State) {
	w.t.Helper()
	for w.next() != s {
	}
}

func testWatch(e *env) {
	cw, sw := newWatcher(e), newWatcher(e)
	e.unary(nil, nil) // both ends are READY then, whatever a handshake takes
	e.client.PerformOp(&transport.Op{StartWatch: cw})
	e.server.PerformOp(&transport.Op{StartWatch: sw})
	cw.want(connectivity.Ready)
	sw.want(connectivity.Ready)
	e.client.Close()
	cw.want(connectivity.Shutdown)
	sw.until(connectivity.Shutdown) // a farewell of the client may make it IDLE before
	late := newWatcher(e)
	e.client.PerformOp(&transport.Op{StartWatch: late})
	late.want(connectivity.Shutdown)
}

func testUnwatch(e *env) {
	gone, stays := newWatcher(e), newWatcher(e)
	e.client.PerformOp(&transport.Op{StartWatch: gone})
	e.client.PerformOp(&transport.Op{StartWatch: stays})
	gone.next()
	e.client.PerformOp(&transport.Op{StopWatch: gone})
	e.client.Close()
	stays.until(connectivity.Shutdown)
	select {
	case s := <-gone.states:
		if s == connectivity.Shutdown {
			e.Error("a watcher that was removed was told SHUTDOWN")
		}
	default:
	}
}

func testConcurrencyLimit(e *env) {
	e.unary(nil, nil) // the limit is known then
	first, s := e.call()
	end := first.Batch().RecvTrailers().Start()
	waiting := e.newClient()
	b := e.startUnary(waiting, []byte("second"))
	if e.settled() && b.IsSent() {
		e.Fatal("a stream above the limit has begun")
	}
	e.sent(first.Batch().HalfClose().Start())
	e.sent(s.Batch().SendTrailers(TrailersOnly(status.OK, "")).Start())
	e.gotStatus(end, status.OK, "")
	e.unaryServer(e.accept(), []byte("second"), []byte("response"))
	e.endUnary(b, []byte("response"))
}

func testCancelWaiting(e *env) {
	e.unary(nil, nil)
	first, s := e.call()
	end := first.Batch().RecvTrailers().Start()
	waiting := e.newClient()
	b := e.startUnary(waiting, []byte("second"))
	waiting.Batch().Cancel(cancelled(status.Canceled)).Start()
	e.failedWithCause("sending", b.WaitSent())
	_, err := b.WaitTrailers()
	e.failedWithCause("recv_trailing_metadata", err)
	waiting.WaitGone()
	e.sent(s.Batch().SendTrailers(TrailersOnly(status.OK, "")).Start())
	e.gotStatus(end, status.OK, "")
	e.unary([]byte("third"), []byte("response"))
}
