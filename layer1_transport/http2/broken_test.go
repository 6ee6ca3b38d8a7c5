package http2_test

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// A mute connection fails to write from some time on.
type mute struct {
	net.Conn
	on atomic.Bool
}

func (m *mute) Write(p []byte) (int, error) {
	if m.on.Load() {
		return 0, errors.New("mute")
	}
	return m.Conn.Write(p)
}

// TestCallsAfterABrokenWrite: a connection that cannot be written to is still
// read for a second, since the end of calls may be on its way. A call that
// begins meanwhile has not been sent, so that it may be tried elsewhere.
func TestCallsAfterABrokenWrite(t *testing.T) {
	for _, tc := range []struct {
		name       string
		fromStart  bool
		wantBroken time.Duration // when the connection is over
	}{
		{"a write fails with a call", false, 1500 * time.Millisecond},
		{"the first write fails before SETTINGS come", true, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { callsAfterABrokenWrite(t, tc.fromStart, tc.wantBroken) })
		})
	}
}

func callsAfterABrokenWrite(t *testing.T, fromStart bool, want time.Duration) {
	start := time.Now()
	ours, theirs := memconn.Pipe()
	go io.Copy(io.Discard, theirs)
	nc := &mute{Conn: ours}
	nc.on.Store(fromStart)
	time.AfterFunc(500*time.Millisecond, func() { theirs.Write(frame.AppendSettings(nil)) })
	tr, err := http2.Connect(t.Context(), nc, nil, http2.Config{})
	if err != nil {
		t.Fatal(err)
	}
	nc.on.Store(true)
	begin := func() (*transporttest.Call, *transporttest.Batch) {
		c := transporttest.NewClientCall(t, tr)
		return c, c.Batch().SendHeaders(transporttest.RequestHeaders()).HalfClose().RecvTrailers().Start()
	}
	first, b1 := begin()
	synctest.Wait()
	second, b2 := begin()
	_, err = b2.WaitTrailers()
	if got := transport.ProgressOf(err); status.CodeOf(err) != status.Unavailable || got != transport.ProgressNotSent {
		t.Errorf("the second call ended with %v and progress %d, want UNAVAILABLE and %d", err, got, transport.ProgressNotSent)
	}
	if _, err = b1.WaitTrailers(); status.CodeOf(err) != status.Unavailable {
		t.Errorf("the first call ended with %v, want UNAVAILABLE", err)
	}
	if got := time.Since(start); got != want {
		t.Errorf("the connection ended after %v, want %v", got, want)
	}
	first.WaitGone()
	second.WaitGone()
	tr.Close()
	theirs.Close()
}
