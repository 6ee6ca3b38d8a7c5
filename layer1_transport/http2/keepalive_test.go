package http2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// A farEnd is the peer of a connection under test. It acknowledges SETTINGS,
// answers PINGs as it is told, and notes what comes when.
type farEnd struct {
	nc     net.Conn
	start  time.Time
	answer time.Duration // after which a PING is answered; less than 0 is never
	done   chan struct{} // closed when the connection is

	mu sync.Mutex
	// Guarded by mu.
	pings   []time.Duration
	goaways []string
	closed  time.Duration
}

func (f *farEnd) write(b []byte) {
	_, _ = f.nc.Write(b) // the connection may be gone, which the test looks at elsewhere
}

// read reads until the connection ends. skip is the length of a preface.
func (f *farEnd) read(skip int64) {
	defer close(f.done)
	_, _ = io.CopyN(io.Discard, f.nc, skip) // the next read says so
	for {
		var head [frame.HeaderLen]byte
		if _, err := io.ReadFull(f.nc, head[:]); err != nil {
			f.mu.Lock()
			f.closed = time.Since(f.start)
			f.mu.Unlock()
			return
		}
		h := frame.ParseHeader(head[:])
		p := make([]byte, h.Length)
		_, _ = io.ReadFull(f.nc, p) // the next read says so
		f.take(h, p)
	}
}

func (f *farEnd) take(h frame.Header, p []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case h.Type == frame.TypeSettings && !h.Flags.Has(frame.FlagAck):
		f.write(frame.AppendSettingsAck(nil))
	case h.Type == frame.TypePing && !h.Flags.Has(frame.FlagAck):
		f.pings = append(f.pings, time.Since(f.start))
		if f.answer >= 0 {
			time.AfterFunc(f.answer, func() { f.write(frame.AppendPing(nil, true, [8]byte(p))) })
		}
	case h.Type == frame.TypeGoAway:
		g, _ := frame.ParseGoAway(h, p) // a bad one would be none
		f.goaways = append(f.goaways, fmt.Sprintf("%v %s", g.Code, g.Debug))
	}
}

// wantPings checks when PINGs came, in seconds after the start.
func (f *farEnd) wantPings(t *testing.T, want ...float64) {
	t.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	var got []float64
	for _, d := range f.pings {
		got = append(got, d.Seconds())
	}
	if !slices.Equal(got, want) {
		t.Errorf("PINGs came at %v s, want %v", got, want)
	}
}

// wantClosed checks when the connection was closed, and what was said before.
func (f *farEnd) wantClosed(t *testing.T, at time.Duration, goaway string) {
	t.Helper()
	<-f.done
	if f.closed != at || !slices.Equal(f.goaways, []string{goaway}) {
		t.Errorf("closed after %v with GOAWAY %q, want %v and %q", f.closed, f.goaways, at, goaway)
	}
}

// newFarEnd connects a conn of role r to a far end. All of it ends with the test.
func newFarEnd(t *testing.T, r role, answer time.Duration, cfg Config) (*conn, *farEnd) {
	t.Helper()
	ours, theirs := memconn.Pipe()
	f := &farEnd{nc: theirs, start: time.Now(), answer: answer, done: make(chan struct{})}
	var tr transport.Transport
	var err error
	if r == client {
		go f.read(int64(len(frame.ClientPreface)))
		f.write(frame.AppendSettings(nil))
		tr, err = Connect(t.Context(), ours, nil, cfg)
	} else {
		go f.read(0)
		f.write(frame.AppendSettings([]byte(frame.ClientPreface)))
		if tr, err = Accept(t.Context(), ours, nil, cfg); err == nil {
			tr.PerformOp(&transport.Op{Accept: &drainCall{}})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	t.Cleanup(func() { tr.Close(); theirs.Close(); <-f.done })
	return tr.(*conn), f
}

// A deadCall is a client's call that waits for its end.
type deadCall struct {
	transport.StreamOpBatch
	err error
	at  time.Time
}

func (*deadCall) Ref()   {}
func (*deadCall) Unref() {}
func (c *deadCall) Run(err error) {
	c.err, c.at = err, time.Now()
}

// begin begins a call that nobody answers.
func begin(c *conn) *deadCall {
	call, st := &deadCall{}, c.NewStream()
	st.Init(call, nil)
	call.Ops = transport.OpSendInitialMetadata | transport.OpRecvTrailingMetadata
	call.OnComplete = &drainCall{}
	call.SendInitialMetadata.MD = &metadata.List{Known: metadata.Known{Method: "POST", Scheme: "http", Path: "/s/m"}}
	call.RecvTrailingMetadata = transport.RecvTrailingMetadata{MD: &metadata.List{}, Ready: call}
	st.PerformBatch(&call.StreamOpBatch)
	synctest.Wait()
	return call
}

// noTimer checks that a closed connection has nothing left that waits.
func noTimer(t *testing.T, c *conn) {
	t.Helper()
	c.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.timer.at.IsZero() || c.timer.t != nil && c.timer.t.Stop() {
		t.Error("the timer of a closed connection is set")
	}
	if len(c.s.control.pings.waiting) > 0 {
		t.Error("PINGs of a closed connection are waited for")
	}
	if state, err := c.s.state(); state != connectivity.Shutdown || err == nil {
		t.Errorf("the state is %v (%v)", state, err)
	}
}

const never = -1

// TestKeepaliveDeadPeer: a peer that says nothing is found out after Time and
// Timeout, and the calls are told so.
func TestKeepaliveDeadPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newFarEnd(t, client, never, Config{Keepalive: keepalive.Params{Time: 30 * time.Second}})
		call := begin(c)
		f.wantClosed(t, 50*time.Second, "NO_ERROR keepalive timeout")
		f.wantPings(t, 30)
		synctest.Wait()
		if status.CodeOf(call.err) != status.Unavailable || !strings.Contains(call.err.Error(), "keepalive: no sign of life for 20s after a PING") {
			t.Errorf("the call ended with %v", call.err)
		}
		if got := call.at.Sub(f.start); got != 50*time.Second {
			t.Errorf("the call ended after %v", got)
		}
		noTimer(t, c)
	})
	synctest.Test(t, func(t *testing.T) {
		c, f := newFarEnd(t, server, never, Config{})
		f.wantClosed(t, 2*time.Hour+20*time.Second, "NO_ERROR keepalive timeout")
		f.wantPings(t, 7200)
		noTimer(t, c)
	})
}

// TestKeepaliveSlowPeer: one that answers in time lives, however late.
func TestKeepaliveSlowPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newFarEnd(t, client, 19999*time.Millisecond, Config{Keepalive: keepalive.Params{Time: 30 * time.Second, PermitWithoutStream: true}})
		time.Sleep(3 * time.Minute)
		f.wantPings(t, 30, 79.999, 129.998, 179.997)
		noTimer(t, c)
	})
	synctest.Test(t, func(t *testing.T) { // it does not answer PINGs, and yet says something
		c, f := newFarEnd(t, client, never, Config{Keepalive: keepalive.Params{Time: 30 * time.Second, PermitWithoutStream: true}})
		for range 10 {
			time.Sleep(49 * time.Second)
			f.write(frame.AppendWindowUpdate(nil, 0, 1))
			synctest.Wait()
		}
		c.mu.Lock()
		if n := len(c.s.control.pings.waiting); n != 1 {
			t.Errorf("%d PINGs are waited for, want only the last", n)
		}
		c.mu.Unlock()
		f.wantPings(t, 30, 79, 128, 177, 226, 275, 324, 373, 422, 471)
	})
}

// TestKeepaliveBytesCount: a frame that comes slowly is a sign of life.
func TestKeepaliveBytesCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, f := newFarEnd(t, client, never, Config{Keepalive: keepalive.Params{Time: 10 * time.Second, PermitWithoutStream: true}})
		for _, b := range frame.AppendWindowUpdate(nil, 0, 1) {
			time.Sleep(9 * time.Second)
			f.write([]byte{b})
		}
		f.wantPings(t)
		f.wantClosed(t, 13*9*time.Second+30*time.Second, "NO_ERROR keepalive timeout")
	})
}

// TestKeepaliveSleeps: without calls a client asks nothing, and its first call
// after that finds a dead server out by the timeout alone.
func TestKeepaliveSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newFarEnd(t, client, never, Config{Keepalive: keepalive.Params{Time: 30 * time.Second, Timeout: time.Second}})
		time.Sleep(time.Hour)
		f.wantPings(t)
		c.mu.Lock()
		if !c.timer.at.IsZero() {
			t.Error("a connection that sleeps has a timer")
		}
		c.mu.Unlock()
		call := begin(c)
		f.wantPings(t, 3600)
		f.wantClosed(t, time.Hour+time.Second, "NO_ERROR keepalive timeout")
		synctest.Wait()
		if got := call.at.Sub(f.start); got != time.Hour+time.Second || status.CodeOf(call.err) != status.Unavailable {
			t.Errorf("the call ended after %v with %v", got, call.err)
		}
	})
}

// TestTooManyPings: the words and the end are exactly those of gRPC.
func TestTooManyPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newFarEnd(t, server, 0, Config{})
		for range 3 {
			f.write(frame.AppendPing(nil, false, [8]byte{}))
			synctest.Wait()
		}
		if whyClosed(c) != nil {
			t.Fatal("closed too early")
		}
		time.Sleep(time.Minute)
		f.write(frame.AppendPing(nil, false, [8]byte{}))
		f.wantClosed(t, time.Minute, "ENHANCE_YOUR_CALM too_many_pings")
		noTimer(t, c)
	})
}

// whyClosed returns why a connection is closed, nil if it is not.
func whyClosed(c *conn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s.control.closed
}

// TestSettingsTimeout: a peer that never acknowledges SETTINGS is told so.
func TestSettingsTimeout(t *testing.T) {
	for _, tc := range []struct {
		cfg  time.Duration
		want time.Duration // 0: never
	}{{0, time.Minute}, {3 * time.Second, 3 * time.Second}, {-1, 0}} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := memconn.Pipe()
			f := &farEnd{nc: theirs, start: time.Now(), done: make(chan struct{})}
			f.write(frame.AppendSettings(nil))
			tr, err := Connect(t.Context(), ours, nil, Config{SettingsTimeout: tc.cfg})
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == 0 {
				time.Sleep(24 * time.Hour)
				if whyClosed(tr.(*conn)) != nil {
					t.Error("closed, though any time is fine")
				}
				tr.Close()
				theirs.Close()
				return
			}
			// Nobody reads, so nobody acknowledges.
			time.Sleep(tc.want - 1)
			synctest.Wait()
			if whyClosed(tr.(*conn)) != nil {
				t.Error("closed too early")
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			go f.read(int64(len(frame.ClientPreface)))
			<-f.done
			if len(f.goaways) != 1 || !strings.HasPrefix(f.goaways[0], "SETTINGS_TIMEOUT no SETTINGS acknowledgement for") {
				t.Errorf("GOAWAY %q", f.goaways)
			}
			noTimer(t, tr.(*conn))
			theirs.Close()
		})
	}
}

// pingEnds are the ends of pings.
type pingEnds struct {
	mu   sync.Mutex
	errs []error // guarded by mu
}

func (p *pingEnds) Run(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errs = append(p.errs, err)
}

func (p *pingEnds) take() []error {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	errs := p.errs
	p.errs = nil
	return errs
}

// TestPingCallbacks: operations that ask for a PING get one, share one, or are
// told why not, and end with the connection.
func TestPingCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newFarEnd(t, client, time.Second, Config{})
		var acked, initiated pingEnds
		ping := func() {
			c.PerformOp(&transport.Op{Ping: &transport.Ping{OnInitiate: &initiated, OnAck: &acked}})
		}
		for range 100 { // at once: two are sent, the others share the second
			ping()
		}
		if got := initiated.take(); len(got) != 100 || errors.Join(got...) != nil {
			t.Errorf("%d were initiated: %v", len(got), errors.Join(got...))
		}
		time.Sleep(time.Second)
		if got := acked.take(); len(got) != 100 || errors.Join(got...) != nil {
			t.Errorf("%d were answered: %v", len(got), errors.Join(got...))
		}
		f.wantPings(t, 0, 0)
		ping()
		if got := acked.take(); len(got) != 1 || status.CodeOf(got[0]) != status.ResourceExhausted {
			t.Errorf("a ping too soon ended with %v", got)
		}
		initiated.take()
		time.Sleep(2*time.Hour - time.Second - 1)
		ping()
		time.Sleep(time.Nanosecond)
		acked.take()
		f.wantPings(t, 0, 0)
		ping()
		f.wantPings(t, 0, 0, 7200)
		c.Close()
		if got := acked.take(); len(got) != 1 || status.CodeOf(got[0]) != status.Unavailable {
			t.Errorf("a ping of a closed connection ended with %v", got)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a server may ask as often as it likes
		c, f := newFarEnd(t, server, 0, Config{})
		var acked pingEnds
		for range 10 {
			c.PerformOp(&transport.Op{Ping: &transport.Ping{OnAck: &acked}})
		}
		if got := acked.take(); len(got) != 10 || errors.Join(got...) != nil || len(f.pings) != 10 {
			t.Errorf("%d PINGs, answers %v", len(f.pings), got)
		}
	})
}

// A canceller is a server that cancels each call as soon as it comes.
type canceller struct{}

func (canceller) Ref()      {}
func (canceller) Unref()    {}
func (canceller) Run(error) {}
func (c canceller) AcceptStream(t transport.Transport, accepted transport.Accepted) {
	st := t.NewStream()
	st.Init(c, accepted)
	st.PerformBatch(&transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: status.Error(status.Canceled, "no")})
}

// TestServerCancelledCallsEarnNoStrikes: a server that ends many calls excuses
// as many PINGs, and after all of them the connection is there.
func TestServerCancelledCallsEarnNoStrikes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := memconn.Pipe()
		accepted := make(chan transport.Transport, 1)
		go func() {
			tr, err := Accept(context.Background(), s, nil, Config{})
			if err != nil {
				t.Error(err)
			}
			tr.PerformOp(&transport.Op{Accept: canceller{}})
			accepted <- tr
		}()
		tr, err := Connect(t.Context(), c, nil, Config{})
		if err != nil {
			t.Fatal(err)
		}
		srv := <-accepted
		var acked pingEnds
		for i := range 1000 {
			call := begin(tr.(*conn))
			if call.at.IsZero() {
				t.Fatalf("call %d has not ended", i)
			}
			tr.PerformOp(&transport.Op{Ping: &transport.Ping{OnAck: &acked}})
			if errs := acked.take(); len(errs) != 1 || errs[0] != nil {
				t.Fatalf("the ping after call %d: %v", i, errs)
			}
		}
		tr.Close()
		srv.Close()
	})
}
