package subchannel

import (
	"sync"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

// A Conn is a transport with its channel stack: gRPC core's connected
// subchannel. It outlives the subchannel's use of it while calls are open.
//
// Invariant: refs is 1 until close is done, plus one for each attempt in use;
// the stack is destroyed when refs is 0.
type Conn struct {
	// Set by newConn, read-only afterwards.
	sub   *Subchannel
	t     transport.Transport
	stack *callstack.ChannelStack
	addr  resolver.Address

	// attempts are the blocks that wait for their next call.
	attempts sync.Pool

	// Owned by the serializer; no lock.
	closing bool

	// Atomic.
	refs atomic.Int64
	used atomic.Bool // a call has come to something on it
}

func newConn(s *Subchannel, t transport.Transport, stack *callstack.ChannelStack, addr resolver.Address) *Conn {
	c := &Conn{sub: s, t: t, stack: stack, addr: addr}
	c.refs.Store(1)
	return c
}

// Transport returns the transport below.
func (c *Conn) Transport() transport.Transport { return c.t }

// Used notes that a call has come to something on the connection.
func (c *Conn) Used() {
	if !c.used.Load() { // all calls read it, and one writes it
		c.used.Store(true)
		c.sub.useful.Store(true)
	}
}

// Address returns the address of the transport.
func (c *Conn) Address() resolver.Address { return c.addr }

// OnState is told by the transport how it is. It runs on one of the transport's
// goroutines, which must not wait, so the rest is done on the serializer.
func (c *Conn) OnState(s connectivity.State, cause error) {
	switch s {
	case connectivity.Idle: // draining: open streams go on
		c.sub.env.Schedule(func() { c.sub.lost(c, cause) })
	case connectivity.TransientFailure, connectivity.Shutdown:
		c.sub.env.Schedule(func() {
			c.sub.lost(c, cause)
			c.close()
		})
	}
}

// drain lets the transport close when its last stream has ended.
func (c *Conn) drain() {
	if !c.closing {
		c.t.PerformOp(&transport.Op{Goaway: &transport.Goaway{Code: status.HTTP2NoError}})
	}
}

// close ends the transport. It runs on the serializer, once or more.
func (c *Conn) close() {
	if c.closing {
		return
	}
	c.closing = true
	c.sub.env.Go(c.awaitClose)
}

// awaitClose is a goroutine, since Close waits for those of the transport, and Stop
// for those of the filters, which a Disconnect hurries.
func (c *Conn) awaitClose() {
	c.t.Close()
	c.stack.Stop()
	c.sub.env.Schedule(func() { delete(c.sub.env.conns, c) })
	c.unref()
}

// tryRef adds a reference unless the stack is gone.
func (c *Conn) tryRef() bool {
	for {
		n := c.refs.Load()
		if n <= 0 {
			return false
		}
		if c.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// unref drops a reference. The last one is dropped after the transport has
// closed, so no callback of it is on the stack below us.
func (c *Conn) unref() {
	if c.refs.Add(-1) == 0 {
		c.stack.Destroy()
	}
}
