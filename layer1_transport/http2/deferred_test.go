package http2_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// A writes counts what is written to a connection.
type writes struct {
	net.Conn
	mu       sync.Mutex
	n, bytes int
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.n++
	w.bytes += len(p)
	w.mu.Unlock()
	return w.Conn.Write(p)
}

// since returns how many writes there were, and bytes in them, since it was last asked.
func (w *writes) since() (n, bytes int) {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	n, bytes = w.n, w.bytes
	w.n, w.bytes = 0, 0
	return n, bytes
}

// A deferral is a call in a bubble, the writes of whose client are counted.
type deferral struct {
	*testing.T
	out            *writes
	client, server transport.Transport
	c, s           *transporttest.Call
	accept         *transporttest.Acceptor
}

// inDeferral runs test with a call that has begun, all of it received.
func inDeferral(t *testing.T, cfg http2.Config, test func(d *deferral)) {
	synctest.Test(t, func(t *testing.T) {
		nc, ns := memconn.Pipe()
		d := &deferral{T: t, out: &writes{Conn: nc}}
		done := make(chan struct{})
		go func() {
			defer close(done)
			d.server, _ = http2.Accept(context.Background(), ns, nil, cfg)
			d.accept = transporttest.NewAcceptor(t, d.server)
		}()
		var err error
		if d.client, err = http2.Connect(context.Background(), d.out, nil, cfg); err != nil {
			t.Fatal(err)
		}
		<-done
		d.c = transporttest.NewClientCall(t, d.client)
		d.sent(d.c.Batch().SendHeaders(transporttest.RequestHeaders()))
		d.s = d.accept.Accept()
		if err := d.s.Batch().RecvHeaders().Start().WaitHeaders(); err != nil {
			t.Fatal(err)
		}
		if n, _ := d.out.since(); n == 0 {
			t.Fatal("the headers were not written")
		}
		test(d)
		d.c.Release()
		d.s.Release()
		d.client.Close()
		d.server.Close()
	})
}

// sent starts a batch whose sends have to complete.
func (d *deferral) sent(b *transporttest.Batch) {
	d.Helper()
	if err := b.Start().WaitSent(); err != nil {
		d.Fatalf("a send failed: %v", err)
	}
}

// hint sends a message of n bytes that may wait.
func (d *deferral) hint(n int) {
	d.Helper()
	d.sent(d.c.Batch().SendMessage(make([]byte, n)).Flags(transport.FlagBufferHint))
}

// silent checks that nothing was written.
func (d *deferral) silent() {
	d.Helper()
	if n, bytes := d.out.since(); n != 0 {
		d.Fatalf("%d bytes were written, want none yet", bytes)
	}
}

// inOneWrite checks that n bytes were written together.
func (d *deferral) inOneWrite(n int) {
	d.Helper()
	if writes, bytes := d.out.since(); writes != 1 || bytes != n {
		d.Fatalf("%d bytes in %d writes, want %d in one", bytes, writes, n)
	}
}

// got receives messages of these lengths.
func (d *deferral) got(lengths ...int) {
	d.Helper()
	for _, want := range lengths {
		m, ok, err := d.s.Batch().RecvMessage(-1).Start().WaitMessage()
		if err != nil || !ok || len(m) != want {
			d.Fatalf("message %v of %d bytes, error %v; want one of %d bytes", ok, len(m), err, want)
		}
	}
}

// framed is the length of a DATA frame with a message of n bytes.
func framed(n int) int { return 9 + 5 + n }

// TestHintedMessagesWait: messages with FlagBufferHint are written with what
// comes next on the stream, or on another one.
func TestHintedMessagesWait(t *testing.T) {
	var message, halfClose = 7, 9
	for _, tc := range []struct {
		name string
		then func(d *deferral)
		want int // bytes of what then sends
	}{
		{"for a message without the hint", func(d *deferral) { d.sent(d.c.Batch().SendMessage(make([]byte, message))) }, framed(message)},
		{"for the half-close", func(d *deferral) { d.sent(d.c.Batch().HalfClose()) }, halfClose},
		{"for a hinted message with the half-close", func(d *deferral) {
			d.sent(d.c.Batch().SendMessage(make([]byte, message)).Flags(transport.FlagBufferHint).HalfClose())
		}, framed(message)},
		{"for a message that is written through", func(d *deferral) {
			d.sent(d.c.Batch().SendMessage(make([]byte, message)).Flags(transport.FlagBufferHint | transport.FlagWriteThrough))
		}, framed(message)},
		{"for RST_STREAM", func(d *deferral) {
			d.c.Batch().Cancel(status.New(status.Canceled, "over").Err()).Start()
		}, 13},
		{"for a PING", func(d *deferral) { d.client.PerformOp(&transport.Op{Ping: new(transport.Ping)}) }, 17},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inDeferral(t, http2.Config{}, func(d *deferral) {
				d.hint(3)
				d.hint(0)
				d.silent()
				tc.then(d)
				d.inOneWrite(framed(3) + framed(0) + tc.want)
			})
		})
	}
}

// TestNothingWaitsForEver: after a second, and beyond 64 KiB, hinted messages
// are written without being asked for.
func TestNothingWaitsForEver(t *testing.T) {
	inDeferral(t, http2.Config{}, func(d *deferral) {
		for range 2 {
			start := time.Now()
			d.hint(3)
			d.silent()
			d.got(3)
			if waited := time.Since(start); waited != time.Second {
				t.Errorf("the message was written after %v, want 1s", waited)
			}
			d.out.since()
		}
		const n = 1 << 10
		for range 64<<10/framed(n) - 1 {
			d.hint(n)
		}
		d.silent()
		d.hint(2 * n)
		if writes, bytes := d.out.since(); writes == 0 || bytes < 64<<10 {
			t.Errorf("%d bytes in %d writes, want all that waits", bytes, writes)
		}
	})
}

// TestHintsDoNotBlock: a hinted message that does not fit the peer's window is
// written as far as it does, or the peer would grant nothing.
func TestHintsDoNotBlock(t *testing.T) {
	inDeferral(t, http2.Config{StreamWindow: 65535, ConnWindow: 65535}, func(d *deferral) {
		start, sent := time.Now(), d.c.Batch().SendMessage(make([]byte, 300<<10)).Flags(transport.FlagBufferHint).Start()
		d.got(300 << 10)
		if err := sent.WaitSent(); err != nil {
			t.Error(err)
		}
		d.sent(d.c.Batch().SendMessage(make([]byte, 40<<10)).Flags(transport.FlagBufferHint))
		d.sent(d.c.Batch().SendMessage(make([]byte, 10<<10)).Flags(transport.FlagBufferHint))
		d.c.Batch().SendMessage(make([]byte, 30<<10)).Flags(transport.FlagBufferHint).Start()
		d.got(40<<10, 10<<10, 30<<10)
		if waited := time.Since(start); waited > 2*time.Second {
			t.Errorf("it took %v, want 1s twice at the most, for last bytes that fit the window", waited)
		}
	})
}

// TestCorkedHeadersWait: headers with FlagCorked, or with a hinted message in
// their batch, begin a stream together with what follows.
func TestCorkedHeadersWait(t *testing.T) {
	for _, tc := range []struct {
		name  string
		begin func(b *transporttest.Batch) *transporttest.Batch
	}{
		{"corked", func(b *transporttest.Batch) *transporttest.Batch { return b.Flags(transport.FlagCorked) }},
		{"with a hinted message", func(b *transporttest.Batch) *transporttest.Batch {
			return b.SendMessage(make([]byte, 3)).Flags(transport.FlagBufferHint)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inDeferral(t, http2.Config{}, func(d *deferral) {
				d.s.Release()
				d.c.Batch().Cancel(status.New(status.Canceled, "another one is looked at").Err()).Start()
				d.out.since()
				d.c.Release()
				d.c = transporttest.NewClientCall(t, d.client)
				d.sent(tc.begin(d.c.Batch().SendHeaders(transporttest.RequestHeaders())))
				d.silent()
				d.sent(d.c.Batch().HalfClose())
				if n, _ := d.out.since(); n != 1 {
					t.Errorf("%d writes, want one", n)
				}
				d.s = d.accept.Accept()
			})
		})
	}
	t.Run("unless they are written through", func(t *testing.T) {
		inDeferral(t, http2.Config{}, func(d *deferral) {
			c := transporttest.NewClientCall(t, d.client)
			d.sent(c.Batch().SendHeaders(transporttest.RequestHeaders()).Flags(transport.FlagCorked | transport.FlagWriteThrough))
			if n, _ := d.out.since(); n != 1 {
				t.Errorf("%d writes, want one", n)
			}
			d.accept.Accept().Release()
			c.Release()
		})
	})
}

// TestDrainingTakesNoHints: a connection that ends gracefully writes what waits,
// and what it is given from then on.
func TestDrainingTakesNoHints(t *testing.T) {
	inDeferral(t, http2.Config{}, func(d *deferral) {
		d.hint(3)
		d.silent()
		d.client.PerformOp(&transport.Op{Goaway: &transport.Goaway{}})
		d.got(3)
		d.out.since()
		d.hint(5)
		d.inOneWrite(framed(5))
		start := time.Now()
		d.sent(d.s.Batch().SendTrailers(transporttest.TrailersOnly(status.OK, "")))
		if waited := time.Since(start); waited != 0 {
			t.Errorf("the end took %v", waited)
		}
	})
}

// TestServersDefer: the hints are the same in the other direction.
func TestServersDefer(t *testing.T) {
	inDeferral(t, http2.Config{}, func(d *deferral) {
		headers, end := d.c.Batch().RecvHeaders().Start(), d.c.Batch().RecvTrailers().Start()
		start := time.Now()
		d.sent(d.s.Batch().SendHeaders(transporttest.ResponseHeaders()).Flags(transport.FlagCorked))
		d.sent(d.s.Batch().SendMessage([]byte("x")).Flags(transport.FlagBufferHint))
		if err := headers.WaitHeaders(); err != nil || time.Since(start) != time.Second {
			t.Errorf("the headers came after %v with error %v, want 1s and none", time.Since(start), err)
		}
		d.sent(d.s.Batch().SendMessage([]byte("y")).Flags(transport.FlagBufferHint))
		start = time.Now()
		d.sent(d.s.Batch().SendTrailers(transporttest.Trailers(status.OK, "")))
		for _, want := range []string{"x", "y"} {
			if m, _, err := d.c.Batch().RecvMessage(0).Start().WaitMessage(); string(m) != want || err != nil {
				t.Errorf("message %q, error %v; want %q", m, err, want)
			}
		}
		if _, err := end.WaitTrailers(); err != nil || time.Since(start) != 0 {
			t.Errorf("the trailers came after %v with error %v, want at once", time.Since(start), err)
		}
	})
}
