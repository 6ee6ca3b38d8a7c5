package memconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"
)

// TestConn runs the contract of net.Conn that the Go team wrote down as tests.
func TestConn(t *testing.T) {
	for name, pipe := range map[string]func() (net.Conn, net.Conn){
		"Pipe": Pipe,
		// Room for the 13 octets that its echo test writes before it reads.
		"16":         func() (net.Conn, net.Conn) { return PipeSize(16) },
		"1000":       func() (net.Conn, net.Conn) { return PipeSize(1000) },
		"a listener": func() (net.Conn, net.Conn) { return dialed(t) },
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				c1, c2 = pipe()
				return c1, c2, func() { c1.Close(); c2.Close() }, nil
			})
		})
	}
}

// dialed returns the two ends of a connection made through a listener.
func dialed(t *testing.T) (client, server net.Conn) {
	l := Listen()
	defer l.Close()
	client, err := l.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

// bubbles runs a test in two bubbles, one after the other: nothing of the
// first may be left where the second can meet it.
func bubbles(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	for range 2 {
		synctest.Test(t, f)
	}
}

// TestBothEndsWriteFirst is what net.Pipe cannot do.
func TestBothEndsWriteFirst(t *testing.T) {
	bubbles(t, func(t *testing.T) {
		client, server := Pipe()
		defer client.Close()
		defer server.Close()
		for _, c := range []net.Conn{client, server} {
			if n, err := c.Write([]byte("hello")); n != 5 || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
		}
		for _, c := range []net.Conn{client, server} {
			b := make([]byte, 10)
			if n, err := c.Read(b); string(b[:n]) != "hello" || err != nil {
				t.Fatalf("Read = %q, %v", b[:n], err)
			}
		}
	})
}

// TestWriteWaitsForRoom: a write beyond the buffer waits, durably, until the
// peer reads, and reports what it wrote.
func TestWriteWaitsForRoom(t *testing.T) {
	bubbles(t, func(t *testing.T) {
		client, server := PipeSize(10)
		defer client.Close()
		defer server.Close()
		done := false
		go func() {
			n, err := client.Write([]byte("0123456789abcdef"))
			if n != 16 || err != nil {
				t.Errorf("Write = %d, %v", n, err)
			}
			done = true
		}()
		time.Sleep(time.Hour) // ends at once if the writer is blocked durably
		if done {
			t.Fatal("16 octets went into a buffer of 10")
		}
		b := make([]byte, 6)
		if n, err := server.Read(b); string(b[:n]) != "012345" || err != nil {
			t.Fatalf("Read = %q, %v", b[:n], err)
		}
		synctest.Wait()
		if !done {
			t.Error("the writer did not go on when there was room for the rest")
		}
		b = make([]byte, 20)
		if n, err := server.Read(b); string(b[:n]) != "6789abcdef" || err != nil {
			t.Errorf("Read = %q, %v", b[:n], err)
		}
	})
}

// TestDeadlines checks both directions on the clock of the bubble: exactly.
func TestDeadlines(t *testing.T) {
	read := func(c net.Conn) error { _, err := c.Read(make([]byte, 1)); return err }
	write := func(c net.Conn) error { _, err := c.Write(make([]byte, 11)); return err }
	for _, tc := range []struct {
		name string
		op   func(net.Conn) error
		set  func(net.Conn, time.Time) error
	}{
		{"read", read, net.Conn.SetReadDeadline},
		{"read, by SetDeadline", read, net.Conn.SetDeadline},
		{"write", write, net.Conn.SetWriteDeadline},
		{"write, by SetDeadline", write, net.Conn.SetDeadline},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubbles(t, func(t *testing.T) {
				c, peer := PipeSize(10)
				defer c.Close()
				defer peer.Close()
				expect := func(after time.Duration) {
					t.Helper()
					start := time.Now()
					err := tc.op(c)
					var ne net.Error
					if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
						t.Errorf("error %v, want a timeout", err)
					}
					if got := time.Since(start); got != after {
						t.Errorf("the deadline came after %v, want %v", got, after)
					}
				}
				tc.set(c, time.Now().Add(time.Minute))
				expect(time.Minute)
				expect(0) // it stays in the past
				tc.set(c, time.Now().Add(-time.Second))
				expect(0)

				tc.set(c, time.Now().Add(time.Minute))
				tc.set(c, time.Now().Add(time.Hour)) // replaces the minute
				expect(time.Hour)

				tc.set(c, time.Time{})
				go func() {
					time.Sleep(time.Minute)
					tc.set(c, time.Now().Add(time.Second)) // while the operation waits
				}()
				expect(time.Minute + time.Second)

				tc.set(c, time.Now().Add(time.Minute))
				go func() {
					time.Sleep(time.Second)
					tc.set(c, time.Time{}) // takes the deadline back
					time.Sleep(time.Hour)
					tc.set(c, time.Unix(1, 0))
				}()
				expect(time.Hour + time.Second)
			})
		})
	}
}

// TestPartialWrite: a write that its deadline ends tells how much went out.
func TestPartialWrite(t *testing.T) {
	bubbles(t, func(t *testing.T) {
		c, peer := PipeSize(10)
		defer c.Close()
		defer peer.Close()
		c.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := c.Write(make([]byte, 16)); n != 10 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write = %d, %v; want 10 and a timeout", n, err)
		}
		if n, err := peer.Read(make([]byte, 16)); n != 10 || err != nil {
			t.Errorf("Read = %d, %v; want the 10", n, err)
		}
	})
}

// TestCloseDrains: what was written before Close is read after it.
func TestCloseDrains(t *testing.T) {
	c, peer := Pipe()
	defer peer.Close()
	if _, err := c.Write([]byte("goodbye")); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(peer)
	if string(b) != "goodbye" || err != nil {
		t.Errorf("the peer reads %q, %v", b, err)
	}
	if _, err := peer.Read(b); err != io.EOF {
		t.Errorf("and then %v, want io.EOF itself", err)
	}
}

// TestErrorsAfterClose pins what each operation of either end returns.
func TestErrorsAfterClose(t *testing.T) {
	c, peer := Pipe()
	c.Close()
	one := make([]byte, 1)
	for _, tc := range []struct {
		name string
		op   func() error
		want error
		text string
	}{
		{"read", func() error { _, err := c.Read(one); return err }, net.ErrClosed, "read mem mem:client->mem:server: use of closed network connection"},
		{"write", func() error { _, err := c.Write(one); return err }, net.ErrClosed, "write mem"},
		{"close", c.Close, net.ErrClosed, "close mem"},
		{"set a deadline", func() error { return c.SetDeadline(time.Time{}) }, net.ErrClosed, "set mem"},
		{"set a write deadline", func() error { return c.SetWriteDeadline(time.Time{}) }, net.ErrClosed, "set mem"},
		{"write to a closed peer", func() error { _, err := peer.Write(one); return err }, syscall.EPIPE, "write mem mem:server->mem:client: broken pipe"},
		{"close after the peer", peer.Close, nil, ""},
	} {
		err := tc.op()
		if !errors.Is(err, tc.want) || err != nil && !strings.HasPrefix(err.Error(), tc.text) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

// TestCloseWakes: whoever waits on either end when one closes stops waiting.
func TestCloseWakes(t *testing.T) {
	bubbles(t, func(t *testing.T) {
		c, peer := PipeSize(1)
		var wg sync.WaitGroup
		expect := func(name string, op func([]byte) (int, error), want error) {
			wg.Go(func() {
				if _, err := op(make([]byte, 3)); !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", name, err, want)
				}
			})
		}
		expect("read of the closed end", c.Read, net.ErrClosed)
		expect("write of the closed end", c.Write, net.ErrClosed)
		expect("a second write, waiting for its turn", c.Write, net.ErrClosed)
		synctest.Wait()
		// The peer reads the one octet that fits and then waits for more.
		if n, err := peer.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("Read = %d, %v", n, err)
		}
		synctest.Wait()
		c.Close()
		wg.Wait()
	})
	bubbles(t, func(t *testing.T) {
		c, peer := PipeSize(1)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("read of the other end: %v, want io.EOF", err)
			}
		})
		wg.Go(func() {
			if n, err := peer.Write(make([]byte, 3)); n != 1 || !errors.Is(err, syscall.EPIPE) {
				t.Errorf("write of the other end: %d, %v; want 1 and a broken pipe", n, err)
			}
		})
		synctest.Wait()
		c.Close()
		wg.Wait()
	})
}

// TestCloseStopsTimers: a deadline that is pending at Close is not waited for;
// in a bubble, a timer left over would run when the clock reaches it.
func TestCloseStopsTimers(t *testing.T) {
	c, peer := Pipe()
	defer peer.Close()
	c.SetDeadline(time.Now().Add(time.Hour))
	mem := c.(*conn)
	r, w := mem.in.reader.timer, mem.out.writer.timer
	if r == nil || w == nil {
		t.Fatal("no timer to stop")
	}
	c.Close()
	if r.Stop() || w.Stop() {
		t.Error("a timer was still running after Close")
	}
}

// TestLateTimer: a timer that fires while its deadline is being replaced, and
// so runs only after that, changes nothing.
func TestLateTimer(t *testing.T) {
	s := newStream(1)
	for _, next := range []time.Time{{}, time.Now().Add(time.Hour)} {
		s.setDeadline(&s.reader, time.Now().Add(time.Hour))
		late := s.reader.timer
		s.setDeadline(&s.reader, next)
		s.expire(&s.reader, &late)
		if s.reader.expired {
			t.Errorf("the deadline that %v replaced has passed", next)
		}
	}
	s.closeRead() // stops the timer
}

// TestWritesDoNotMix: large writes at the same time arrive one after another.
func TestWritesDoNotMix(t *testing.T) {
	bubbles(t, func(t *testing.T) {
		c, peer := PipeSize(7)
		const writers, size = 4, 100
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				if _, err := c.Write(bytes.Repeat([]byte{'a' + byte(i)}, size)); err != nil {
					t.Error(err)
				}
			})
		}
		got := make([]byte, writers*size)
		if _, err := io.ReadFull(peer, got); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		for i := range writers {
			part := got[i*size:][:size]
			if !bytes.Equal(part, bytes.Repeat(part[:1], size)) {
				t.Errorf("write %d is mixed: %q", i, part)
			}
		}
	})
}

// TestZeroLength: an operation on nothing does not wait.
func TestZeroLength(t *testing.T) {
	c, peer := Pipe()
	defer c.Close()
	defer peer.Close()
	for _, c := range []net.Conn{c, OneByte(c)} {
		if n, err := c.Read(nil); n != 0 || err != nil {
			t.Errorf("Read(nil) = %d, %v", n, err)
		}
		if n, err := c.Write(nil); n != 0 || err != nil {
			t.Errorf("Write(nil) = %d, %v", n, err)
		}
	}
}

func TestOneByte(t *testing.T) {
	bubbles(t, func(t *testing.T) {
		c, peer := Pipe()
		defer peer.Close()
		c, peer = OneByte(c), OneByte(peer)
		if n, err := c.Write([]byte("hello")); n != 5 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
		b := make([]byte, 10)
		if n, err := peer.Read(b); n != 1 || b[0] != 'h' || err != nil {
			t.Errorf("Read = %d, %v; want one octet", n, err)
		}
		c.Close()
		rest, err := io.ReadAll(peer)
		if string(rest) != "ello" || err != nil {
			t.Errorf("the rest is %q, %v", rest, err)
		}
		if n, err := c.Write([]byte("hello")); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close = %d, %v", n, err)
		}
	})
}

func TestAddrs(t *testing.T) {
	c, s := Pipe()
	if c.LocalAddr() != s.RemoteAddr() || c.RemoteAddr() != s.LocalAddr() || c.LocalAddr() == c.RemoteAddr() {
		t.Errorf("client %v->%v, server %v->%v", c.LocalAddr(), c.RemoteAddr(), s.LocalAddr(), s.RemoteAddr())
	}
	if got := c.LocalAddr().Network(); got != "mem" {
		t.Errorf("network %q, want mem", got)
	}
}
