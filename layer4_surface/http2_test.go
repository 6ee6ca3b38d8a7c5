package surface

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// newMemChannel returns a channel over HTTP/2 on what dial returns, with
// everything that NewChannel puts between.
func newMemChannel(t *testing.T, dial func(ctx context.Context, network, address string) (net.Conn, error), opts ...ChannelOption) *Channel {
	t.Helper()
	ch, err := NewChannel("passthrough:///echo.example:443", append(opts,
		WithCredentials(credentials.NewInsecure()), WithDialer(dial), WithLogger(quietLogger()), WithUserAgent("test/1"))...)
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// echo makes a unary call and returns its end and its answer.
func echo(t *testing.T, ch *Channel, p CallParams, body string) (CallStatus, string) {
	t.Helper()
	p.Method = "/echo/Echo"
	c, err := ch.CreateCall(p)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	var st clientState
	ops := []Op{opSendHeaders("k", "v"), opSend(body), opClose(), st.opHeaders(), st.opMessage(), st.opStatus()}
	if e := c.StartBatch(ops, "unary"); e != CallOK {
		t.Fatal(e)
	}
	if ev := c.Pluck("unary", nil); !ev.Success {
		t.Fatalf("unary: %v", ev)
	}
	return st.status, text(st.message)
}

// TestUnaryOverHTTP2: the whole way, from a name to a method and back.
func TestUnaryOverHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lis := memconn.Listen()
		e := newEchoServer(t, WithLogger(quietLogger()))
		served := make(chan error, 1)
		go func() { served <- e.server.Serve(lis) }()
		ch := newMemChannel(t, func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.Dial(ctx) })
		if s := ch.State(false); s != connectivity.Idle {
			t.Errorf("state of a new channel = %v", s)
		}
		for range 3 {
			st, body := echo(t, ch, CallParams{Deadline: time.Now().Add(time.Minute)}, "hello")
			if st.Code != status.OK || body != "hello" {
				t.Fatalf("status = %+v, body = %q", st, body)
			}
		}
		if s := ch.State(false); s != connectivity.Ready {
			t.Errorf("state after a call = %v", s)
		}
		if err := errors.Join(ch.Ready(t.Context()), ch.Ping(t.Context())); err != nil {
			t.Error(err)
		}
		if err := e.server.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
		ch.Close()
	})
}

// TestQueuedCallKeepsItsPlace: a call that waits for the limit of open streams
// is not put behind the others when more of its operations are started.
func TestQueuedCallKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lis := memconn.Listen()
		s, scq := newFixtureServer(t, WithLogger(quietLogger()), WithHTTP2(http2.Config{MaxStreams: 1}))
		s.Start()
		go s.Serve(lis)
		defer s.Close()
		ch := newMemChannel(t, func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.Dial(ctx) })
		defer ch.Close()
		if err := ch.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the limit is known
		var reqs [3]RequestedCall
		for i := range reqs {
			s.RequestCall(&reqs[i], nil, scq, i)
		}
		var calls [3]Call
		for i := range calls {
			calls[i], _ = ch.CreateCall(CallParams{Method: fmt.Sprint("/call/", i)})
			calls[i].StartBatch([]Op{opSendHeaders(), {Type: RecvStatusOnClient}}, "begin")
			synctest.Wait()
		}
		calls[1].StartBatch([]Op{opSend("x"), opClose()}, "send")
		for i := range calls {
			synctest.Wait()
			if ev := scq.TryNext(); ev.Tag != i || reqs[i].Call.Method() != fmt.Sprint("/call/", i) {
				t.Fatalf("request %d: %v %v, method %q", i, ev.Type, ev.Tag, reqs[i].Call.Method())
			}
			reqs[i].Call.StartBatch([]Op{opStatus(status.OK, "")}, "status")
			reqs[i].Call.Pluck("status", nil)
			if ev := calls[i].Pluck("begin", nil); !ev.Success {
				t.Errorf("call %d: %v", i, ev)
			}
		}
		for i := range calls {
			calls[i].Release()
			reqs[i].Call.Release()
		}
	})
}

// TestNotReady: Ready and the calls of a channel that cannot connect name the
// cause; a call that waits for it to be ready has until its deadline.
func TestNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("connection refused on purpose")
		ch := newMemChannel(t, func(context.Context, string, string) (net.Conn, error) { return nil, refused })
		defer ch.Close()
		st, _ := echo(t, ch, CallParams{}, "x")
		if st.Code != status.Unavailable || !strings.Contains(st.Message, "on purpose") {
			t.Errorf("status = %v %q", st.Code, st.Message)
		}
		start := time.Now()
		st, _ = echo(t, ch, CallParams{WaitForReady: true, Deadline: start.Add(time.Second)}, "x")
		if st.Code != status.DeadlineExceeded || !strings.Contains(st.Message, "on purpose") || !errors.Is(st.AsError(nil), context.DeadlineExceeded) {
			t.Errorf("status = %v %q", st.Code, st.Message)
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("the call waited %v, want 1s", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := ch.Ready(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "on purpose") || status.CodeOf(err) != status.DeadlineExceeded {
			t.Errorf("Ready = %v", err)
		}
	})
}

// TestHandshakeTimeout: a client that connects and says nothing is let go.
func TestHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lis := memconn.Listen()
		s := NewServer(WithLogger(quietLogger()))
		served := make(chan error, 1)
		go func() { served <- s.Serve(lis) }()
		nc, err := lis.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		buf := make([]byte, 1024)
		for err == nil {
			_, err = nc.Read(buf) // the server's SETTINGS may come first
		}
		if got := time.Since(start); got != DefaultHandshakeTimeout {
			t.Errorf("the server closed the connection after %v, want %v", got, DefaultHandshakeTimeout)
		}
		nc.Close()
		// Closing does not wait for a handshake.
		if nc, err = lis.Dial(t.Context()); err != nil {
			t.Fatal(err)
		}
		start = time.Now()
		s.Close()
		if got := time.Since(start); got != 0 {
			t.Errorf("Close took %v", got)
		}
		nc.Close()
		<-served
	})
}
