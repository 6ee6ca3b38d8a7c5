package http2_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// TestOtherProtocols is what a user sees who has the wrong port, or one end
// with TLS and the other without.
func TestOtherProtocols(t *testing.T) {
	for _, tc := range []struct {
		name   string
		sends  string
		client string // in the error of a client that meets it
		server string // in the error of a server that meets it
	}{
		{"an HTTP/1 server", "HTTP/1.1 400 Bad Request\r\n\r\n", "peer speaks HTTP/1", "peer speaks HTTP/1"},
		{"an HTTP/1 client", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "peer speaks HTTP/1", "peer speaks HTTP/1"},
		{"a TLS alert", "\x15\x03\x01\x00\x02\x02\x46", "peer speaks TLS", "peer speaks TLS"},
		{"a TLS client", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "peer speaks TLS", "peer speaks TLS"},
		{"something else", "SSH-2.0-OpenSSH_9.2\r\n", "exceeds", "does not speak HTTP/2"},
		{"nothing", "", "before it sent SETTINGS", "EOF"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				check := func(role string, want string, begin func(net.Conn) (transport.Transport, error)) {
					t.Helper()
					ours, theirs := memconn.Pipe()
					go func() {
						io.WriteString(theirs, tc.sends)
						if tc.sends == "" {
							theirs.Close()
						}
						io.Copy(io.Discard, theirs)
						theirs.Close()
					}()
					tr, err := begin(ours)
					if err == nil {
						tr.Close()
						t.Fatalf("%s: no error", role)
					}
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%s: error %q, want one with %q", role, err, want)
					}
					if status.CodeOf(err) != status.Unavailable {
						t.Errorf("%s: code %v, want Unavailable", role, status.CodeOf(err))
					}
				}
				check("client", tc.client, func(nc net.Conn) (transport.Transport, error) {
					return http2.Connect(t.Context(), nc, nil, http2.Config{})
				})
				check("server", tc.server, func(nc net.Conn) (transport.Transport, error) {
					return http2.Accept(t.Context(), nc, nil, http2.Config{})
				})
			})
		})
	}
}

// A tap counts the bytes that are read from a connection.
type tap struct {
	net.Conn
	read int
}

func (c *tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read += n
	return n, err
}

// TestWrongPrefaceIsReadWhole: bytes that are left unread when a socket is
// closed reach the peer as a reset, which tells it less than the end does.
func TestWrongPrefaceIsReadWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := memconn.Pipe()
		sent, _ := io.WriteString(theirs, "SSH-2.0-OpenSSH_9.2\r\n"+strings.Repeat("x", 1000))
		c := &tap{Conn: ours}
		if _, err := http2.Accept(t.Context(), c, nil, http2.Config{}); err == nil {
			t.Fatal("accepted")
		}
		if c.read != sent {
			t.Errorf("%d bytes of %d were read", c.read, sent)
		}
		theirs.Close()
	})
}

// TestHandshakeEndsWithContext: a peer that says nothing does not hang us.
func TestHandshakeEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, begin := range []func(context.Context, net.Conn) (transport.Transport, error){
			func(ctx context.Context, nc net.Conn) (transport.Transport, error) {
				return http2.Connect(ctx, nc, nil, http2.Config{})
			},
			func(ctx context.Context, nc net.Conn) (transport.Transport, error) {
				return http2.Accept(ctx, nc, nil, http2.Config{})
			},
		} {
			ours, theirs := memconn.Pipe()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			start := time.Now()
			_, err := begin(ctx, ours)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
				t.Errorf("after %v: %v, want DeadlineExceeded after 3s", time.Since(start), err)
			}
			theirs.Close()
		}
	})
}

// TestSilentClient: a client that sends its preface and no SETTINGS is cut off.
func TestSilentClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := memconn.Pipe()
		io.WriteString(theirs, frame.ClientPreface)
		tr, err := http2.Accept(t.Context(), ours, nil, http2.Config{})
		if err != nil {
			t.Fatal(err)
		}
		tr.PerformOp(&transport.Op{Accept: refuser{}})
		start := time.Now()
		io.Copy(io.Discard, theirs)
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("the connection was closed after %v, want 10s", got)
		}
		tr.Close()
		theirs.Close()
	})
}

// TestSlowHeaderBlock: a header block must arrive within its time. RFC 9113
// leaves that open; a connection in the middle of a block is good for nothing.
func TestSlowHeaderBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := memconn.Pipe()
		b := frame.AppendSettings([]byte(frame.ClientPreface))
		theirs.Write(append(b, frame.AppendHeader(nil, 0, frame.TypeHeaders, 0, 1)...))
		tr, err := http2.Accept(t.Context(), ours, nil, http2.Config{})
		if err != nil {
			t.Fatal(err)
		}
		tr.PerformOp(&transport.Op{Accept: refuser{}})
		start := time.Now()
		io.Copy(io.Discard, theirs)
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("the connection was closed after %v, want 10s", got)
		}
		tr.Close()
		theirs.Close()
	})
}

// TestHeaderBlocksOnASlowLine: where most of what comes is header blocks, every
// read ends within one, and yet each has come in its time.
func TestHeaderBlocksOnASlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := memconn.Pipe()
		go io.Copy(io.Discard, theirs)
		theirs.Write(frame.AppendSettings([]byte(frame.ClientPreface)))
		tr, err := http2.Accept(t.Context(), ours, nil, http2.Config{})
		if err != nil {
			t.Fatal(err)
		}
		tr.PerformOp(&transport.Op{Accept: refuser{}})
		block := make([]byte, 1000)
		for i := range block {
			block[i] = 0x83 // :method POST
		}
		b := frame.AppendHeaders(nil, 1, true, block, frame.MinMaxFrameSize)
		theirs.Write(b[:500])
		for id := uint32(3); id < 20; id += 2 {
			time.Sleep(6 * time.Second) // from the middle of one to the middle of the next
			next := frame.AppendHeaders(nil, id, true, block, frame.MinMaxFrameSize)
			if _, err := theirs.Write(append(b[500:len(b):len(b)], next[:500]...)); err != nil {
				t.Fatalf("after %d blocks of 6 s: %v", id/2, err)
			}
			b = next
		}
		tr.Close()
		theirs.Close()
	})
}

// refuser accepts no stream.
type refuser struct{}

func (refuser) AcceptStream(transport.Transport, transport.Accepted) {}

// TestFloodOfPings: answers that the peer does not read stop the reading of
// more, so they do not pile up (CVE-2019-9512), and after the write stall the
// connection ends.
func TestFloodOfPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := memconn.PipeSize(4096)
		go io.WriteString(theirs, frame.ClientPreface)
		tr, err := http2.Accept(t.Context(), ours, nil, http2.Config{Enforcement: keepalive.EnforcementPolicy{MinTime: -1, PermitWithoutStream: true}})
		if err != nil {
			t.Fatal(err)
		}
		tr.PerformOp(&transport.Op{Accept: refuser{}})
		flood := frame.AppendSettings(nil)
		for range 1000 {
			flood = frame.AppendPing(flood, false, [8]byte{})
		}
		start, sent := time.Now(), 0
		for err == nil {
			var n int
			n, err = theirs.Write(flood)
			sent += n
		}
		if limit := 8 << 20; sent > limit {
			t.Errorf("%d bytes of PING were taken, want at most %d", sent, limit)
		}
		if got := time.Since(start); got > 25*time.Second {
			t.Errorf("the flood went on for %v", got)
		}
		tr.Close()
		theirs.Close()
	})
}

// TestGoawayIsNotLostToAReset: a peer that goes on sending after it has broken
// a rule still reads why the connection ends, and then its end.
func TestGoawayIsNotLostToAReset(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	nc, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ours, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go io.WriteString(nc, frame.ClientPreface)
	tr, err := http2.Accept(t.Context(), ours, nil, http2.Config{})
	if err != nil {
		t.Fatal(err)
	}
	tr.PerformOp(&transport.Op{Accept: refuser{}})
	flood := frame.AppendSettings(nil)
	flood = frame.AppendDataHeader(flood, 1, true, 0) // on an idle stream
	for range 100_000 {
		flood = frame.AppendPing(flood, false, [8]byte{})
	}
	if _, err := nc.Write(flood); err != nil {
		t.Fatalf("writing: %v", err)
	}
	if err := nc.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(nc)
	if err != nil || !strings.Contains(string(got), "idle stream 1") {
		t.Errorf("read %d bytes, %v; want GOAWAY and the end", len(got), err)
	}
	tr.Close()
}

// TestWaitForABlamedPeer: who closes a connection whose peer has broken a rule
// waits until the peer can have read why, and no longer if it is in a hurry.
func TestWaitForABlamedPeer(t *testing.T) {
	for _, tc := range []struct {
		name  string
		hurry error
		want  time.Duration
	}{
		{"Close", nil, time.Second},
		{"Disconnect", errors.New("now"), 100 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) { waitForBlamed(t, tc.hurry, tc.want) })
	}
}

// waitForBlamed closes a connection 100 ms after its peer has broken a rule.
func waitForBlamed(t *testing.T, hurry error, want time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		a, theirs := memconn.Pipe()
		ours := halfConn{a}
		go io.WriteString(theirs, frame.ClientPreface)
		tr, err := http2.Accept(t.Context(), ours, nil, http2.Config{})
		if err != nil {
			t.Fatal(err)
		}
		tr.PerformOp(&transport.Op{Accept: refuser{}})
		if _, err := theirs.Write(frame.AppendPing(nil, false, [8]byte{})); err != nil { // before SETTINGS
			t.Fatal(err)
		}
		go io.Copy(io.Discard, theirs)
		start := time.Now()
		time.Sleep(100 * time.Millisecond)
		tr.PerformOp(&transport.Op{Disconnect: hurry})
		tr.Close()
		if took := time.Since(start); took != want {
			t.Errorf("the connection is gone after %v, want %v", took, want)
		}
		theirs.Close()
	})
}

// TestConnectWaitsForNoPeer: nor is there a wait where a connection does not come about.
func TestConnectWaitsForNoPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, theirs := memconn.Pipe()
		go io.Copy(io.Discard, theirs)
		go theirs.Write(frame.AppendPing(nil, false, [8]byte{})) // before SETTINGS
		start := time.Now()
		if _, err := http2.Connect(t.Context(), halfConn{a}, nil, http2.Config{}); err == nil {
			t.Fatal("connected")
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("Connect failed after %v, want at once", took)
		}
		theirs.Close()
	})
}

// A halfConn can be half closed, which its peer does not notice.
type halfConn struct{ net.Conn }

func (halfConn) CloseWrite() error { return nil }

// TestGoawayNamesTheError: a peer that breaks a rule is told which.
func TestGoawayNamesTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := memconn.Pipe()
		b := frame.AppendSettings([]byte(frame.ClientPreface))
		theirs.Write(frame.AppendWindowUpdate(b, 0, 1<<31-1))
		tr, err := http2.Accept(t.Context(), ours, nil, http2.Config{})
		if err != nil {
			t.Fatal(err)
		}
		tr.PerformOp(&transport.Op{Accept: refuser{}})
		got, _ := io.ReadAll(theirs)
		if !strings.Contains(string(got), "overflows") {
			t.Errorf("the server said %q, want a GOAWAY that says what overflows", got)
		}
		tr.Close()
		theirs.Close()
	})
}

// TestTLSConn: a connection without a file descriptor is written by the flusher.
func TestTLSConn(t *testing.T) {
	if _, ok := net.Conn(&tls.Conn{}).(interface{ SyscallConn() (any, error) }); ok {
		t.Fatal("a TLS connection has a file descriptor: encryption would be bypassed")
	}
}

// TestTwoBubbles: nothing of one bubble is left for the next.
func TestTwoBubbles(t *testing.T) {
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			client, server := overMemconn(t, options)
			server.PerformOp(&transport.Op{Accept: refuser{}})
			client.Close()
			server.Close()
		})
	}
}
