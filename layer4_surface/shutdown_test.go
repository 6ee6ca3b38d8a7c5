package surface

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// TestShutdownFinishesTags: requests that no call will come for fail, also
// those that are posted afterwards.
func TestShutdownFinishesTags(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	if e := f.server.ShutdownAndNotify(f.scq, "down"); e != CallOK {
		t.Fatal(e)
	}
	f.expectAll(f.scq, map[cq.Tag]bool{"request": false, "down": true})
	if req.Call.Valid() {
		t.Error("a failed request has a call")
	}
	f.request("late")
	f.expect(f.scq, "late", false)
	// Every further tag gets its event at once.
	f.server.ShutdownAndNotify(f.scq, "again")
	f.expect(f.scq, "again", true)
	down := cq.New(cq.Next, cq.Config{})
	down.Drain()
	if e := f.server.ShutdownAndNotify(down, "x"); e != CallErrorCompletionQueueShutdown {
		t.Errorf("ShutdownAndNotify = %v", e)
	}
}

// TestGracefulShutdown: a call under way ends well, and the notification comes
// after it.
func TestGracefulShutdown(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	c := f.call(CallParams{})
	var st clientState
	f.start(c, "client", opSendHeaders(), opClose(), st.opStatus())
	f.expect(f.scq, "request", true)
	var cancelled bool
	f.start(req.Call, "close", opCancelled(&cancelled))
	select {
	case <-f.server.Draining():
		t.Error("the server drains before Shutdown")
	default:
	}
	f.server.CancelAllCalls() // means nothing yet
	f.server.ShutdownAndNotify(f.scq, "down")
	f.server.ShutdownAndNotify(f.scq, "too")
	<-f.server.Draining()
	f.quiet(f.scq)
	f.start(req.Call, "status", opStatus(status.OK, "done"))
	f.expectAll(f.scq, map[cq.Tag]bool{"status": true, "close": true, "down": true, "too": true})
	f.expect(f.cq, "client", true)
	st.wantStatus(t, status.OK, "done")
	if cancelled {
		t.Error("the call counts as cancelled")
	}
	c.Release()
	req.Call.Release()
}

// TestShutdownFinishesCalls: CancelAllCalls cuts off what is under way.
func TestShutdownFinishesCalls(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	c := f.call(CallParams{})
	var st clientState
	f.start(c, "client", opSendHeaders(), st.opStatus())
	f.expect(f.scq, "request", true)
	var cancelled bool
	f.start(req.Call, "close", opCancelled(&cancelled))
	f.server.ShutdownAndNotify(f.scq, "down")
	f.server.CancelAllCalls()
	f.expectAll(f.scq, map[cq.Tag]bool{"close": true, "down": true})
	f.expect(f.cq, "client", true)
	st.wantStatus(t, status.Unavailable, "")
	if !cancelled {
		t.Error("the server's call does not count as cancelled")
	}
	c.Release()
	req.Call.Release()
}

// TestShutdownRefusesPending: calls that wait for a request are refused.
func TestShutdownRefusesPending(t *testing.T) {
	f := newFixture(t)
	c := f.call(CallParams{})
	var st clientState
	f.start(c, "client", opSendHeaders(), st.opStatus())
	if err := f.server.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	f.expect(f.cq, "client", true)
	st.wantStatus(t, status.Unavailable, shuttingDown)
	c.Release()
}

// TestShutdownBecomesHard: Shutdown waits for calls until its context ends.
func TestShutdownBecomesHard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		req := f.request("request")
		c := f.call(CallParams{})
		var st clientState
		f.start(c, "client", opSendHeaders(), st.opStatus())
		f.expect(f.scq, "request", true)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		if err := f.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown = %v", err)
		}
		if got := time.Since(start); got != 5*time.Second {
			t.Errorf("Shutdown took %v, want 5s", got)
		}
		f.expect(f.cq, "client", true)
		st.wantStatus(t, status.Unavailable, "")
		c.Release()
		req.Call.Release()
		f.server.Close() // once more does nothing
	})
}

// TestServeAfterShutdown: connections that come too late are refused.
func TestServeAfterShutdown(t *testing.T) {
	f := newFixture(t)
	f.server.Close()
	client, server := inproc.Pair(inproc.Config{})
	defer client.Close()
	if err := f.server.ServeTransport(server); !errors.Is(err, ErrServerClosed) {
		t.Errorf("ServeTransport = %v", err)
	}
	lis := newFakeListener()
	if err := f.server.Serve(lis); !errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve = %v", err)
	}
	if _, err := lis.Accept(); err == nil {
		t.Error("Serve did not close the listener")
	}
}

// A fakeListener returns the errors it is given until it is closed.
type fakeListener struct {
	errs   chan error
	closed chan struct{}
}

func newFakeListener() *fakeListener {
	return &fakeListener{errs: make(chan error, 20), closed: make(chan struct{})}
}

func (l *fakeListener) Accept() (net.Conn, error) {
	select {
	case err := <-l.errs:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *fakeListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *fakeListener) Addr() net.Addr { return &net.UnixAddr{Name: "fake"} }

// TestAcceptErrors: after an error the accept loop waits, longer each time,
// and goes on; Shutdown ends it, also while it waits.
func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(WithLogger(quietLogger()))
		lis := newFakeListener()
		served := make(chan error, 1)
		start := time.Now()
		go func() { served <- s.Serve(lis) }()
		for range 10 {
			lis.errs <- &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept", syscall.EMFILE)}
		}
		time.Sleep(time.Hour)
		if n := len(lis.errs); n != 0 {
			t.Errorf("%d errors are left", n)
		}
		lis.errs <- &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept", syscall.ENFILE)}
		synctest.Wait()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve = %v, want nil after Shutdown", err)
		}
		if got := time.Since(start); got != time.Hour {
			t.Errorf("the server ended after %v", got)
		}
	})
}

// TestAcceptDelays gives the exact times of the attempts.
func TestAcceptDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(WithLogger(quietLogger()))
		lis := newFakeListener()
		for range 10 {
			lis.errs <- &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept", syscall.EMFILE)}
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(lis) }()
		// 5+10+20+40+80+160+320+640 ms lead to the ninth attempt.
		time.Sleep(1275*time.Millisecond - 1)
		synctest.Wait()
		if n := len(lis.errs); n != 2 {
			t.Errorf("%d errors are left before the ninth attempt, want 2", n)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if n := len(lis.errs); n != 1 {
			t.Errorf("%d errors are left after the ninth attempt, want 1", n)
		}
		s.Close()
		<-served
	})
}

// TestListenerIsClosed: a listener that somebody else closes ends Serve with
// its error.
func TestListenerIsClosed(t *testing.T) {
	s := NewServer(WithLogger(quietLogger()))
	lis := newFakeListener()
	lis.Close()
	if err := s.Serve(lis); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve = %v", err)
	}
	s.Close()
}

// TestConnectivity follows a direct channel from READY to the end.
func TestConnectivity(t *testing.T) {
	f := newFixture(t)
	if s := f.channel.State(true); s != connectivity.Ready {
		t.Errorf("state = %v, want READY", s)
	}
	if err := f.channel.Ready(t.Context()); err != nil {
		t.Errorf("Ready = %v", err)
	}
	if err := f.channel.Ping(t.Context()); err != nil {
		t.Errorf("Ping = %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if f.channel.WaitForStateChange(short, connectivity.Ready) {
		t.Error("WaitForStateChange saw a change that nobody made")
	}
	if !f.channel.WaitForStateChange(t.Context(), connectivity.Idle) {
		t.Error("WaitForStateChange did not see a state that is another already")
	}
	f.channel.ResetBackoff()
	f.server.Close()
	if !f.channel.WaitForStateChange(t.Context(), connectivity.Ready) {
		t.Error("WaitForStateChange did not see the end of the connection")
	}
	if err := f.channel.Ping(t.Context()); err == nil {
		t.Error("Ping works without a connection")
	}
	if f.channel.LastError() == nil {
		t.Error("LastError does not know why the connection ended")
	}
	f.channel.Close()
	f.channel.Close()
	if err := f.channel.Ready(t.Context()); status.CodeOf(err) != status.Canceled {
		t.Errorf("Ready of a closed channel = %v", err)
	}
}

// TestCloseEndsCalls: calls of a channel that is closed fail, their handles
// stay valid.
func TestCloseEndsCalls(t *testing.T) {
	f := newFixture(t)
	f.request("request")
	c := f.call(CallParams{})
	var st clientState
	f.start(c, "client", opSendHeaders(), st.opHeaders(), st.opStatus())
	f.channel.Close()
	f.expect(f.cq, "client", true)
	if st.status.Code != status.Unavailable && st.status.Code != status.Canceled {
		t.Errorf("status = %v %q", st.status.Code, st.status.Message)
	}
	f.start(c, "after", opSend("x"))
	f.expect(f.cq, "after", false)
	c.Release()
}

func TestLameChannel(t *testing.T) {
	c, err := NewLameChannel("bad://target", status.Unavailable, "lame on purpose")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	call, err := c.CreateCall(CallParams{Method: "/a/b"})
	if err != nil {
		t.Fatal(err)
	}
	var st clientState
	if e := call.StartBatch([]Op{st.opHeaders()}, "headers"); e != CallOK {
		t.Fatal(e)
	}
	if ev := call.Pluck("headers", nil); ev.Success {
		t.Error("headers of a lame channel arrived")
	}
	if e := call.StartBatch([]Op{opSendHeaders(), st.opStatus()}, "end"); e != CallOK {
		t.Fatal(e)
	}
	if ev := call.Pluck("end", nil); !ev.Success {
		t.Error("the end of a lame call did not arrive")
	}
	st.wantStatus(t, status.Unavailable, "lame on purpose")
	call.Release()
	if s := c.State(true); s != connectivity.TransientFailure {
		t.Errorf("state = %v", s)
	}
	if c.Ping(t.Context()) == nil {
		t.Error("Ping of a lame channel works")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := c.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, c.LastError()) {
		t.Errorf("Ready = %v", err)
	}
	if c.Target() != "bad://target" || c.String() != "bad://target LAME lame" {
		t.Errorf("Target = %q, String = %q", c.Target(), c)
	}
	if _, err := NewLameChannel("x", status.OK, ""); err == nil {
		t.Error("a lame channel with code OK was made")
	}
}
