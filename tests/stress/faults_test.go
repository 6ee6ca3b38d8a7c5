package stress

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

const (
	cutInterval   = 250 * time.Millisecond // between two rounds of cutting connections
	cutsPerServer = 6                      // rounds before the server is replaced
	maxStreams    = 20                     // calls of one connection, which is less than its callers want
)

// A cutter knows connections, at both ends, and cuts them.
type cutter struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
}

// add makes c known.
func (k *cutter) add(c net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conns[c] = true
}

// dial connects for a channel.
func (k *cutter) dial(ctx context.Context, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err == nil {
		k.add(c)
	}
	return c, err
}

// cut ends a quarter of the connections, half of them with RST in place of FIN.
func (k *cutter) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for c := range k.conns {
		if rand.IntN(4) > 0 {
			continue
		}
		if tcp, ok := c.(*net.TCPConn); ok && rand.IntN(2) == 0 {
			_ = tcp.SetLinger(0) // fails if it is closed already
		}
		_ = c.Close()
		delete(k.conns, c)
	}
}

// A watchedListener makes what it accepts known to a cutter.
type watchedListener struct {
	net.Listener
	cut *cutter
}

// Accept returns the next connection.
func (l watchedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.cut.add(c)
	}
	return c, err
}

// A host has one server after the other, all at one address.
type host struct {
	service *service
	cut     *cutter
	addr    string
	server  *stubs.Server
	served  chan error // what Serve returned
}

// listenLow listens at a port that the system does not give to connections: a
// channel that dials one of those while no server listens may reach itself.
func listenLow(t *testing.T) net.Listener {
	t.Helper()
	var err error
	for range 100 {
		var lis net.Listener
		if lis, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))); err == nil {
			return lis
		}
	}
	t.Fatal(err)
	return nil
}

// serve starts a server on lis, whose connections do not become old.
func (h *host) serve(lis net.Listener) {
	server := stubs.NewServer(quiet(), stubs.WaitForHandlers(true), stubs.MaxConcurrentStreams(maxStreams),
		stubs.MaxConnectionAge(rand.N(time.Second)+time.Millisecond, rand.N(200*time.Millisecond)), stubs.MaxConnectionIdle(rand.N(time.Second)))
	grpctestingpb.RegisterTestServiceServer(server, h.service)
	served := make(chan error, 1)
	go func() { served <- server.Serve(watchedListener{lis, h.cut}) }()
	h.server, h.served = server, served
}

// stop ends the server in one of the ways that there are.
func (h *host) stop() {
	switch rand.IntN(3) {
	case 0:
		ctx, cancel := context.WithTimeout(context.Background(), rand.N(300*time.Millisecond))
		defer cancel()
		if err := h.server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			h.service.verdict.fault("Shutdown: %v", err)
		}
	case 1:
		h.server.GracefulStop()
	case 2:
		h.server.Stop()
	}
	if err := <-h.served; err != nil && !errors.Is(err, stubs.ErrServerStopped) {
		h.service.verdict.fault("Serve: %v", err)
	}
	if n := h.service.running.Load(); n != 0 {
		h.service.verdict.fault("%d handlers run after the end of their server", n)
	}
}

// trouble cuts connections and replaces the server, until stop is closed; then
// it ends the server.
func (h *host) trouble(stop <-chan struct{}) {
	defer h.stop()
	for n := 1; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(cutInterval):
		}
		h.cut.cut()
		if n%cutsPerServer != 0 {
			continue
		}
		h.stop()
		time.Sleep(rand.N(100 * time.Millisecond)) // nobody listens
		lis, err := net.Listen("tcp", h.addr)
		for tries := 0; err != nil && tries < 100; tries++ {
			time.Sleep(10 * time.Millisecond)
			lis, err = net.Listen("tcp", h.addr)
		}
		if err != nil {
			h.service.verdict.fault("restarting: %v", err)
			return
		}
		h.serve(lis)
	}
}
