package surface

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// A slowLog takes its time for each record.
type slowLog struct {
	slog.Handler
	begun, goOn chan struct{}
}

func (l *slowLog) Enabled(context.Context, slog.Level) bool { return true }

func (l *slowLog) Handle(context.Context, slog.Record) error {
	close(l.begun)
	<-l.goOn
	return nil
}

// TestNothingIsLoggedAfterClose: Close waits for a handshake that failed until
// it has been logged, for the log may be gone with the server.
func TestNothingIsLoggedAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{Handler: slog.DiscardHandler, begun: make(chan struct{}), goOn: make(chan struct{})}
		s, lis := NewServer(WithLogger(slog.New(log))), memconn.Listen()
		served := make(chan error, 1)
		go func() { served <- s.Serve(lis) }()
		nc, err := lis.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := nc.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		<-log.begun
		closed := make(chan struct{})
		go func() { s.Close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close has returned, and a refused connection is still being logged")
		default:
		}
		close(log.goOn)
		<-closed
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
}

// A closeFunc is a connection that is only closed.
type closeFunc struct {
	net.Conn
	f func()
}

func (c *closeFunc) Close() error { c.f(); return nil }

// TestConnectionsAreClosedWithoutTheLock: a connection is the program's own, and
// may wait in Close for what goes on in its handshake.
func TestConnectionsAreClosedWithoutTheLock(t *testing.T) {
	l := &listener{handshaking: map[net.Conn]struct{}{}}
	closes := 0
	nc := &closeFunc{f: func() {
		closes++
		if !l.mu.TryLock() {
			t.Error("the connection is closed under the listener's lock")
			return
		}
		l.mu.Unlock()
	}}
	if !l.begin(nc) {
		t.Fatal("a listener that is open takes no handshake")
	}
	l.closeHandshakes()
	if closes != 1 || l.begin(nc) {
		t.Errorf("closed %d times; a handshake may begin later: %t", closes, l.begin(nc))
	}
}
