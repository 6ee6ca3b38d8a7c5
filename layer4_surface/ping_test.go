package surface

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

func startPing(t *testing.T, ch *Channel, q *cq.Queue, tag cq.Tag) {
	t.Helper()
	if e := ch.StartPing(q, tag); e != CallOK {
		t.Fatalf("StartPing = %v", e)
	}
}

// TestPing is gRPC core's test of that name: a ping of an idle channel fails and
// leaves it idle; five on a connection are answered.
func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, q := newSwitchboard(t), newQueue(t)
		ch := b.channel()
		startPing(t, ch, q, "idle")
		wantEvent(t, q, "idle", false, 0)
		wantState(t, ch, connectivity.Idle)
		if n := b.dialled(); n != 0 {
			t.Errorf("the ping of an idle channel made %d connections", n)
		}
		ch.State(true)
		startWatch(t, ch, connectivity.Idle, 5*time.Second, q, "connecting")
		wantEvent(t, q, "connecting", true, 0)
		wantState(t, ch, connectivity.Ready)
		for i := range 5 {
			wantCode(t, ch, CallParams{}, status.OK) // so that the server allows the next
			startPing(t, ch, q, i)
			wantEvent(t, q, i, true, 0)
		}
		b.server.Close()
		synctest.Wait()
		startPing(t, ch, q, "lost")
		wantEvent(t, q, "lost", false, 0)
		ch.Close()
		startPing(t, ch, q, "closed")
		wantEvent(t, q, "closed", false, 0)
	})
}

// TestPingsThatAreLost: a ping whose answer cannot come any more fails when its
// connection ends, also one that drains.
func TestPingsThatAreLost(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(b *switchboard, ch *Channel)
	}{
		{"the connection is cut", func(b *switchboard, _ *Channel) { b.cut() }},
		{"the server ends", func(b *switchboard, _ *Channel) { b.server.Close() }},
		{"the connection drains", func(_ *switchboard, ch *Channel) { ch.EnterIdle() }},
		{"the channel ends", func(_ *switchboard, ch *Channel) { ch.Close() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, q := newSwitchboard(t), newQueue(t)
				var mute atomic.Bool
				ch := newMemChannel(t, func(ctx context.Context, network, address string) (net.Conn, error) {
					nc, err := b.dial(ctx, network, address)
					return muteConn{nc, &mute}, err
				})
				defer ch.Close()
				wantCode(t, ch, CallParams{}, status.OK)
				mute.Store(true) // the ping is lost on its way
				startPing(t, ch, q, "ping")
				wantNoEvent(t, q)
				tc.end(b, ch)
				if ev := q.Next(time.Now().Add(time.Minute)); ev.Tag != "ping" || ev.Success {
					t.Errorf("event = %+v, want the failure of the ping", ev)
				}
			})
		})
	}
}

// TestPingOfAContext: the context form gives up when its context ends, and one
// whose connection is lost says so.
func TestPingOfAContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSwitchboard(t)
		var mute atomic.Bool
		ch := newMemChannel(t, func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := b.dial(ctx, network, address)
			return muteConn{nc, &mute}, err
		})
		defer ch.Close()
		wantCode(t, ch, CallParams{}, status.OK)
		mute.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := ch.Ping(ctx); status.CodeOf(err) != status.DeadlineExceeded || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ping = %v, want DEADLINE_EXCEEDED", err)
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("Ping gave up after %v, want 1s", got)
		}
		time.AfterFunc(time.Second, b.cut)
		if err := ch.Ping(t.Context()); status.CodeOf(err) != status.Unavailable {
			t.Errorf("Ping = %v, want UNAVAILABLE", err)
		}
		if got := time.Since(start); got != 2*time.Second {
			t.Errorf("Ping failed %v after the first, want 2s", got)
		}
	})
}

// TestEnterIdleWithAWaitingStream: a call that waits for the server's limit of
// streams goes to the next connection when the channel gives this one up; the
// call that has a stream keeps it.
func TestEnterIdleWithAWaitingStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t)
		b := &switchboard{t: t, lis: memconn.Listen()}
		b.serve(newEchoServer(t, WithLogger(quietLogger()), WithHTTP2(http2.Config{MaxStreams: 1})).server)
		ch := b.channel()
		wantCode(t, ch, CallParams{}, status.OK) // the limit is known
		var calls [2]closingCall
		for i := range calls {
			c, err := ch.CreateCall(CallParams{Method: "/echo/Echo", Queue: q})
			if err != nil {
				t.Fatal(err)
			}
			calls[i].Call = c
		}
		first, second := &calls[0], &calls[1]
		if e := first.StartBatch([]Op{opSendHeaders()}, "first"); e != CallOK {
			t.Fatal(e)
		}
		wantEvent(t, q, "first", true, 0)
		if e := second.StartBatch([]Op{opSendHeaders(), opSend("x"), opClose(), second.opMessage(), second.opStatus()}, "second"); e != CallOK {
			t.Fatal(e)
		}
		wantNoEvent(t, q)
		ch.EnterIdle()
		wantEvent(t, q, "second", true, 0)
		second.wantStatus(t, status.OK, "")
		if n := b.dialled(); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
		if e := first.StartBatch([]Op{opSend("y"), opClose(), first.opMessage(), first.opStatus()}, "first"); e != CallOK {
			t.Fatal(e)
		}
		wantEvent(t, q, "first", true, 0)
		first.wantStatus(t, status.OK, "")
		for i := range calls {
			calls[i].message.Release()
			calls[i].Release()
		}
	})
}
