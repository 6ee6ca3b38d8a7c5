package inproc_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer1_transport/transporttest"
)

// begin returns both ends of a call on a new connection.
func begin(t *testing.T, cfg inproc.Config) (c, s *transporttest.Call) {
	t.Helper()
	client, server := inproc.Pair(cfg)
	acceptor := transporttest.NewAcceptor(t, server)
	c = transporttest.NewClientCall(t, client)
	if err := c.Batch().SendHeaders(transporttest.RequestHeaders()).Start().WaitSent(); err != nil {
		t.Fatal(err)
	}
	s = acceptor.Accept()
	t.Cleanup(func() {
		client.Close()
		c.WaitGone()
		s.WaitGone()
	})
	return c, s
}

func TestMessageWaitsForHeadersToBeReceived(t *testing.T) {
	c, s := begin(t, inproc.Config{})
	s.Batch().SendHeaders(transporttest.ResponseHeaders()).SendMessage([]byte("m")).Start()
	recv := c.Batch().RecvMessage(0).Start()
	if recv.HasMessage() {
		t.Fatal("recv_message gave a message before the headers were received")
	}
	if err := c.Batch().RecvHeaders().Start().WaitHeaders(); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := recv.WaitMessage(); string(got) != "m" {
		t.Errorf("recv_message: %q, %v, %v; want m", got, ok, err)
	}
}

func TestMessageWaitsForHeadersToBeSent(t *testing.T) {
	c, s := begin(t, inproc.Config{})
	b := c.Batch().RecvHeaders().RecvMessage(0).Start()
	send := s.Batch().SendMessage([]byte("m")).Start()
	if send.IsSent() {
		t.Error("a message was sent before the headers")
	}
	s.Batch().SendHeaders(transporttest.ResponseHeaders()).Start()
	if err := send.WaitSent(); err != nil {
		t.Error(err)
	}
	if got, ok, err := b.WaitMessage(); string(got) != "m" {
		t.Errorf("recv_message: %q, %v, %v; want m", got, ok, err)
	}
}

func TestTrailersOnlyDropsMessages(t *testing.T) {
	c, s := begin(t, inproc.Config{})
	send := s.Batch().SendMessage([]byte("m")).Start()
	s.Batch().SendTrailers(transporttest.TrailersOnly(status.OK, "")).Start()
	if err := send.WaitSent(); err != nil || !send.WriteClosed() {
		t.Errorf("send_message: error %v, WriteClosed %v; want nil, true", err, send.WriteClosed())
	}
	if md, err := c.Batch().RecvTrailers().Start().WaitTrailers(); transporttest.StatusOf(md, err).Code() != status.OK {
		t.Errorf("status %v, want OK", transporttest.StatusOf(md, err))
	}
}

func TestHeadersThatCameBeforeResetAreReceived(t *testing.T) {
	c, s := begin(t, inproc.Config{})
	c.Batch().Cancel(status.Error(status.Canceled, "enough")).Start()
	b := s.Batch().RecvHeaders().RecvTrailers().Start()
	if err := b.WaitHeaders(); err != nil || b.Headers.Path != transporttest.Path {
		t.Errorf("recv_initial_metadata: path %q, error %v; want %q, nil", b.Headers.Path, err, transporttest.Path)
	}
	if _, err := b.WaitTrailers(); status.CodeOf(err) != status.Canceled {
		t.Errorf("recv_trailing_metadata: %v, want CANCELLED", err)
	}
}

func TestEndOfServerDropsUnreadMessages(t *testing.T) {
	c, s := begin(t, inproc.Config{})
	c.Batch().SendMessage([]byte("unread")).Start()
	s.Batch().SendTrailers(transporttest.TrailersOnly(status.OK, "")).Start()
	b := s.Batch().RecvHeaders().RecvMessage(0).Start()
	if got, ok, err := b.WaitMessage(); ok || err != nil {
		t.Errorf("recv_message after the end: %q, %v, %v; want nothing", got, ok, err)
	}
}

func TestWindow(t *testing.T) {
	for _, tc := range []struct {
		name   string
		window int
		sizes  []int
		want   int // messages that are sent before one is received
	}{
		{"the prefix counts", 100, []int{95, 0}, 1},
		{"one byte too long waits at once", 100, []int{96}, 0},
		{"empty messages are bounded", 20, []int{0, 0, 0, 0, 0}, 4},
		{"the default is that of HTTP/2", 0, []int{inproc.DefaultWindow - 10, 0, 0}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, s := begin(t, inproc.Config{Window: tc.window})
			if err := s.Batch().RecvHeaders().Start().WaitHeaders(); err != nil {
				t.Fatal(err)
			}
			var waiting *transporttest.Batch
			sent := 0
			for _, size := range tc.sizes {
				waiting = c.Batch().SendMessage(make([]byte, size)).Start()
				if !waiting.IsSent() {
					break
				}
				sent++
			}
			if sent != tc.want {
				t.Fatalf("%d messages were sent, want %d", sent, tc.want)
			}
			if _, ok, err := s.Batch().RecvMessage(0).Start().WaitMessage(); !ok || err != nil {
				t.Fatalf("recv_message: %v, %v", ok, err)
			}
			if sent < len(tc.sizes) && !waiting.IsSent() {
				t.Error("a send still waits after a message was received")
			}
		})
	}
}

func TestStreamsBeginBeforeThereIsAnAcceptor(t *testing.T) {
	client, server := inproc.Pair(inproc.Config{})
	const calls = 3
	var batches []*transporttest.Batch
	for i := range calls {
		c := transporttest.NewClientCall(t, client)
		defer c.WaitGone()
		batches = append(batches, c.Batch().SendHeaders(transporttest.RequestHeaders()).SendMessage([]byte{byte(i)}).HalfClose().RecvTrailers().Start())
		if err := batches[i].WaitSent(); err != nil {
			t.Fatal(err)
		}
	}
	acceptor := transporttest.NewAcceptor(t, server)
	for i := range calls {
		s := acceptor.Accept()
		defer s.WaitGone()
		got, _, err := s.Batch().RecvHeaders().RecvMessage(0).Start().WaitMessage()
		if len(got) != 1 || int(got[0]) != i {
			t.Errorf("call %d: message %v, error %v; want the calls in order", i, got, err)
		}
		s.Batch().SendTrailers(transporttest.TrailersOnly(status.OK, "")).Start()
	}
	for _, b := range batches {
		if md, err := b.WaitTrailers(); transporttest.StatusOf(md, err).Code() != status.OK {
			t.Errorf("status %v, want OK", transporttest.StatusOf(md, err))
		}
	}
	client.Close()
}

func TestCloseBeforeThereIsAnAcceptor(t *testing.T) {
	client, _ := inproc.Pair(inproc.Config{})
	c := transporttest.NewClientCall(t, client)
	b := c.Batch().SendHeaders(transporttest.RequestHeaders()).RecvTrailers().Start()
	client.Close()
	_, err := b.WaitTrailers()
	if p := transport.ProgressOf(err); p != transport.ProgressNotSeen || status.CodeOf(err) != status.Unavailable {
		t.Errorf("error %v with progress %d, want UNAVAILABLE and ProgressNotSeen", err, p)
	}
	c.WaitGone()
}

// TestGoawayFailsWaitingCalls: a call that waits for the limit has not begun,
// so it may be made again on another connection.
func TestGoawayFailsWaitingCalls(t *testing.T) {
	client, server := inproc.Pair(inproc.Config{MaxConcurrentStreams: 1})
	acceptor := transporttest.NewAcceptor(t, server)
	open, waiting := transporttest.NewClientCall(t, client), transporttest.NewClientCall(t, client)
	open.Batch().SendHeaders(transporttest.RequestHeaders()).Start()
	s := acceptor.Accept()
	b := waiting.Batch().SendHeaders(transporttest.RequestHeaders()).HalfClose().RecvTrailers().Start()
	if b.IsSent() {
		t.Error("a call above the limit was sent")
	}
	server.PerformOp(&transport.Op{Goaway: &transport.Goaway{}})
	_, err := b.WaitTrailers()
	if p := transport.ProgressOf(err); p != transport.ProgressNotSent {
		t.Errorf("error %v with progress %d, want ProgressNotSent", err, p)
	}
	s.Batch().SendTrailers(transporttest.TrailersOnly(status.OK, "")).Start()
	if md, err := open.Batch().RecvTrailers().Start().WaitTrailers(); transporttest.StatusOf(md, err).Code() != status.OK {
		t.Errorf("the open call ended with %v, want OK", transporttest.StatusOf(md, err))
	}
	for _, c := range []*transporttest.Call{open, waiting, s} {
		c.WaitGone()
	}
	client.Close()
}

// TestCloseDuringCalls closes the connection while calls of all ages are on
// it. Each must end once, and nobody may refer to it afterwards.
func TestCloseDuringCalls(t *testing.T) {
	for round := range 30 {
		client, server := inproc.Pair(inproc.Config{MaxConcurrentStreams: round % 3})
		acceptor := transporttest.NewAcceptor(t, server)
		var wg sync.WaitGroup
		for worker := range 4 {
			wg.Go(func() {
				for range 5 {
					c := transporttest.NewClientCall(t, client)
					b := c.Batch().SendHeaders(transporttest.RequestHeaders()).SendMessage([]byte("m")).HalfClose().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
					if worker == 3 {
						c.Batch().Cancel(status.Error(status.Canceled, "enough")).Start()
					}
					_, _ = b.WaitTrailers() // any end will do
					c.WaitGone()
				}
			})
		}
		var served sync.WaitGroup
		for range round % 8 {
			served.Go(func() {
				s := acceptor.Accept()
				s.Batch().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
				s.Batch().SendHeaders(transporttest.ResponseHeaders()).SendMessage([]byte("r")).SendTrailers(transporttest.Trailers(status.OK, "")).Start()
				s.WaitGone()
			})
		}
		served.Wait()
		server.Close()
		wg.Wait()
		client.Close()
	}
}

// A blockedWatcher stands for a callback that takes its time.
type blockedWatcher struct{ entered, leave chan struct{} }

func (w blockedWatcher) OnState(connectivity.State, error) {
	close(w.entered)
	<-w.leave
}

func TestCloseWaitsForCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := inproc.Pair(inproc.Config{})
		w := blockedWatcher{make(chan struct{}), make(chan struct{})}
		go client.PerformOp(&transport.Op{StartWatch: w})
		<-w.entered
		client.PerformOp(&transport.Op{StopWatch: w}) // it must not be told of the end as well
		closed := make(chan struct{})
		go func() {
			client.Close()
			close(closed)
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close returned while a callback was running")
		default:
		}
		close(w.leave)
		<-closed
	})
}

func TestTrace(t *testing.T) {
	recorder := trace.NewRecorder(trace.LevelEvents)
	client, server := inproc.Pair(inproc.Config{
		Trace: recorder.Endpoint("client", "server"), ServerTrace: recorder.Endpoint("server", "client"), ConnID: 7,
	})
	acceptor := transporttest.NewAcceptor(t, server)
	c := transporttest.NewClientCall(t, client)
	b := c.Batch().SendHeaders(transporttest.RequestHeaders("x-secret", "hidden")).SendMessage([]byte("abc")).HalfClose().
		RecvHeaders().RecvMessage(0).RecvTrailers().Start()
	s := acceptor.Accept()
	s.Batch().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
	s.Batch().SendHeaders(transporttest.ResponseHeaders()).SendMessage([]byte("defg")).SendTrailers(transporttest.Trailers(status.NotFound, "")).Start()
	if _, err := b.WaitTrailers(); err != nil {
		t.Fatal(err)
	}
	c2 := transporttest.NewClientCall(t, client)
	c2.Batch().SendHeaders(transporttest.RequestHeaders()).Start()
	s2 := acceptor.Accept()
	end := s2.Batch().RecvTrailers().Start()
	c2.Batch().Cancel(status.Error(status.Canceled, "enough")).Start()
	_, _ = end.WaitTrailers() // the cancel
	client.Close()
	for _, call := range []*transporttest.Call{c, s, c2, s2} {
		call.WaitGone()
	}

	var got []string
	for _, e := range recorder.Events() {
		if e.Component != "inproc" || e.Layer != 1 || e.Conn != 7 {
			t.Errorf("event %d has component %q, layer %d, connection %d", e.ID, e.Component, e.Layer, e.Conn)
		}
		got = append(got, fmt.Sprintf("%d<%d %s %s %s %d %s %d %v", e.ID, e.Cause, e.Endpoint, e.Dir, e.Op, e.Stream, e.Text, e.Size, e.Fields))
	}
	want := []string{
		"1<0 client send stream.begin 1 /strata.test.Transport/Call 0 [{x-secret }]",
		"2<0 client send stream.message 1  3 []",
		"3<0 client send stream.trailers 1  0 []",
		"4<1 server recv stream.begin 1 /strata.test.Transport/Call 0 [{x-secret }]",
		"5<2 server recv stream.message 1  3 []",
		"6<0 server send stream.headers 1  0 []",
		"7<0 server send stream.message 1  4 []",
		"8<0 server send stream.trailers 1 NotFound 0 []",
		"9<6 client recv stream.headers 1  0 []",
		"10<7 client recv stream.message 1  4 []",
		"11<8 client recv stream.trailers 1 NotFound 0 []",
		"12<3 server recv stream.trailers 1  0 []",
		"13<0 client send stream.begin 3 /strata.test.Transport/Call 0 []",
		"14<0 client send stream.cancel 3  0 []",
		"15<14 server recv stream.cancel 3  0 []",
	}
	if !slices.Equal(got, want) {
		t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
