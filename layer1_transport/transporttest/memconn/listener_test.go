package memconn

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestDialDoesNotWait: like TCP, a connection exists before it is accepted.
func TestDialDoesNotWait(t *testing.T) {
	bubbles(t, func(t *testing.T) {
		l := Listen()
		defer l.Close()
		for _, text := range []string{"first", "second"} {
			c, err := l.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, text)
			c.Close()
		}
		for _, want := range []string{"first", "second"} {
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(c); string(got) != want || err != nil {
				t.Errorf("accepted %q, %v; want %q", got, err, want)
			}
			c.Close()
		}
	})
}

func TestAcceptWaits(t *testing.T) {
	bubbles(t, func(t *testing.T) {
		l := ListenSize(1)
		defer l.Close()
		start := time.Now()
		go func() {
			time.Sleep(time.Hour)
			c, err := l.Dial(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		}()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if got := time.Since(start); got != time.Hour {
			t.Errorf("accepted after %v, want an hour", got)
		}
	})
}

func TestListenerClose(t *testing.T) {
	bubbles(t, func(t *testing.T) {
		l := Listen()
		open, err := l.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		done := false
		go func() {
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept while waiting: %v, want net.ErrClosed", err)
			}
			done = true
		}()
		synctest.Wait()
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		synctest.Wait()
		if !done {
			t.Error("Close did not wake Accept")
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second Close: %v, want net.ErrClosed", err)
		}
		if _, err := l.Dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial: %v, want a refused connection", err)
		}
		if _, err := open.Write([]byte("x")); err != nil {
			t.Errorf("a connection that was accepted before: %v", err)
		}
		accepted.Close()
		open.Close()
	})
}

// TestListenerCloseDropsBacklog: whoever dialed and was not accepted sees its
// connection end.
func TestListenerCloseDropsBacklog(t *testing.T) {
	l := Listen()
	c, err := l.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read: %v, want io.EOF", err)
	}
	c.Close()
}

func TestDialErrors(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := ListenSize(1)
	defer l.Close()
	if _, err := l.Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial with a context that is done: %v", err)
	}
	for i := range maxBacklog {
		if _, err := l.Dial(t.Context()); err != nil {
			t.Fatalf("Dial %d: %v", i, err)
		}
	}
	if _, err := l.Dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Dial with a full backlog: %v, want a refused connection", err)
	}
}
