package surface

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// A doorstep is a server whose clients do not get beyond their handshakes.
type doorstep struct {
	t      *testing.T
	s      *Server
	lis    *memconn.Listener
	logged *lockedBuffer
	start  time.Time
}

// lockedBuffer is a log that many goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	// Guarded by mu.
	b bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newDoorstep(t *testing.T, opts ...ServerOption) *doorstep {
	d := &doorstep{t: t, lis: memconn.Listen(), logged: new(lockedBuffer), start: time.Now()}
	s := NewServer(append(opts, WithLogger(slog.New(slog.NewTextHandler(d.logged, nil))))...)
	d.s = s
	served := make(chan error, 1)
	go func() { served <- s.Serve(d.lis) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return d
}

func (d *doorstep) dial() net.Conn {
	d.t.Helper()
	nc, err := d.lis.Dial(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { nc.Close() })
	return nc
}

// ends returns when the server has closed nc, and after what time.
func (d *doorstep) ends(nc net.Conn) time.Duration {
	_, _ = io.Copy(io.Discard, nc) // whatever the end is
	return time.Since(d.start)
}

// TestSlowHandshakes: whatever a client does instead of its SETTINGS, it does
// not do it for longer than the time for the handshake.
func TestSlowHandshakes(t *testing.T) {
	for _, tc := range []struct {
		name  string
		pause time.Duration // before each byte
		says  string
	}{
		{"silence", time.Hour, ""},
		{"a byte of the preface a second", time.Second, frame.ClientPreface},
		{"the preface alone", 0, frame.ClientPreface},
		{"the preface just in time", 400 * time.Millisecond, frame.ClientPreface},
		{"half of SETTINGS", 0, frame.ClientPreface + "\x00\x00\x00\x04"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoorstep(t)
				nc := d.dial()
				var wg sync.WaitGroup
				defer wg.Wait()
				wg.Go(func() {
					for _, c := range []byte(tc.says) {
						time.Sleep(tc.pause)
						if _, err := nc.Write([]byte{c}); err != nil {
							return
						}
					}
				})
				// A connection that got so far as to send a GOAWAY is given
				// the time to write it.
				if got := d.ends(nc); got < DefaultHandshakeTimeout || got > DefaultHandshakeTimeout+time.Second {
					t.Errorf("the server closed the connection after %v, want %v", got, DefaultHandshakeTimeout)
				}
			})
		})
	}
}

// TestManyHandshakes: a crowd that sends nothing keeps nobody out.
func TestManyHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoorstep(t, WithMaxHandshakes(10))
		idle := make([]net.Conn, 100)
		for i := range idle {
			idle[i] = d.dial()
			synctest.Wait() // so that they begin in this order
		}
		for i, nc := range idle[:90] {
			if got := d.ends(nc); got != 0 {
				t.Fatalf("connection %d was closed after %v, want at once", i, got)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		tr, err := http2.Connect(ctx, d.dial(), nil, http2.Config{})
		if err != nil {
			t.Fatalf("a client that does as it should: %v", err)
		}
		tr.Close()
		for _, nc := range idle[91:] {
			if got := d.ends(nc); got != DefaultHandshakeTimeout {
				t.Errorf("closed after %v, want %v", got, DefaultHandshakeTimeout)
			}
		}
		synctest.Wait()
		logged := d.logged.String()
		if n := strings.Count(logged, "level=WARN"); n != 2 {
			t.Errorf("%d warnings, want one at the start and one after 10 s:\n%s", n, logged)
		}
		for _, part := range []string{"more than 10 connections were being set up, of which this was the oldest", "others=90"} {
			if !strings.Contains(logged, part) {
				t.Errorf("the log does not say %q:\n%s", part, logged)
			}
		}
	})
}

// TestRuleBreakersDoNotFillTheLog: of connections that break a rule of HTTP/2
// one in ten seconds is warned of.
func TestRuleBreakersDoNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoorstep(t)
		bad := frame.AppendPing(frame.AppendSettings([]byte(frame.ClientPreface)), false, [8]byte{})
		bad = frame.AppendDataHeader(bad, 2, false, 0) // on a stream that no client can open
		for range 50 {
			nc := d.dial()
			if _, err := nc.Write(bad); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			nc.Close()
		}
		synctest.Wait()
		logged := d.logged.String()
		if n := strings.Count(logged, "level=WARN"); n != 1 || !strings.Contains(logged, "broke a rule") {
			t.Errorf("%d warnings, want one:\n%s", n, logged)
		}
	})
}
