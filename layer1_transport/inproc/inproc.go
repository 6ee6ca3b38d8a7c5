package inproc

import (
	"fmt"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// name is the kind of transport, its address, and who speaks in its errors.
const name = "inproc"

// DefaultWindow bounds the bytes of one direction of a call that were sent and
// not yet received: the initial window of RFC 9113 §6.9.2.
const DefaultWindow = 65535

// DefaultHeaderList bounds a header list as package http2 does by default.
const DefaultHeaderList = 8 << 10

// messagePrefix is what a message counts in a window beside its bytes, the
// gRPC-HTTP2 Length-Prefixed-Message's prefix. It bounds empty messages too.
const messagePrefix = 5

// Config tunes a connection. The zero value is ready to use.
type Config struct {
	// Window is how many bytes of one direction of a call may wait for the
	// receiver before sending waits. Zero means DefaultWindow.
	Window int

	// MaxHeaderList is the largest header list that either end accepts, as
	// counted by RFC 9113 §6.5.2. Zero means DefaultHeaderList, the limit of
	// HTTP/2, so that what passes here passes there.
	MaxHeaderList int

	// CopyMessages gives each receiver a message of its own, as a wire would.
	// Without it the receiver gets the sender's buffer: nothing is copied, and
	// bytes of which the sender has kept a reference are read-only for both.
	CopyMessages bool

	// MaxConcurrentStreams is how many calls may be open at once; the others
	// wait. Zero means no limit.
	MaxConcurrentStreams int

	// Trace is the sink of the client's end, nil for none.
	Trace trace.Sink

	// ServerTrace is the sink of the server's end. Nil means that of Trace.
	// Both share one numbering of events, as the endpoints of one
	// [trace.Recorder] do, so that a receipt can name the sending as cause.
	ServerTrace trace.Sink

	// ConnID is the connection's number in traces.
	ConnID uint64
}

func (c Config) withDefaults() Config {
	if c.Window <= 0 {
		c.Window = DefaultWindow
	}
	if c.MaxHeaderList <= 0 {
		c.MaxHeaderList = DefaultHeaderList
	}
	if c.ServerTrace == nil {
		c.ServerTrace = c.Trace
	}
	return c
}

// Pair returns the two ends of a new connection. The streams that the client
// begins wait until the server's end was given an acceptor.
func Pair(cfg Config) (client, server transport.Transport) {
	c := newConn(cfg.withDefaults())
	return c.ends[clientRole], c.ends[serverRole]
}

// A role tells the ends of a connection and of a call apart.
type role uint8

const (
	clientRole role = iota
	serverRole
)

// other returns the role at the other end.
func (r role) other() role { return 1 - r }

// An end is one end of a connection.
type end struct {
	// Set by newConn, read-only afterwards.
	conn *conn
	role role
	sink trace.Sink
}

// Name implements [transport.Transport].
func (e *end) Name() string { return name }

// Peer implements [transport.Transport].
func (e *end) Peer() *peer.Peer { return e.conn.peer }

// NewStream implements [transport.Transport].
func (e *end) NewStream() transport.Stream { return &stream{end: e} }

// PerformOp implements [transport.Transport].
func (e *end) PerformOp(op *transport.Op) {
	c := e.conn
	if op.Accept != nil {
		c.setAcceptor(op.Accept)
	}
	if op.StartWatch != nil {
		c.watch(e.role, op.StartWatch)
	}
	if op.StopWatch != nil {
		c.unwatch(e.role, op.StopWatch)
	}
	if op.Ping != nil {
		c.ping(op.Ping)
	}
	if op.Goaway != nil {
		c.drain(op.Goaway)
	}
	if op.Disconnect != nil {
		c.close(op.Disconnect)
	}
	c.run()
}

// Close implements [transport.Transport]. The other end is closed as well.
func (e *end) Close() {
	c := e.conn
	c.close(nil)
	c.run()
	c.awaitIdle(e.role)
}

// address is the address of both ends.
type address struct{}

// Network implements [net.Addr].
func (address) Network() string { return name }

// String implements [net.Addr].
func (address) String() string { return name }

// unavailable returns the error of a stream that its connection did not carry.
func unavailable(progress transport.Progress, cause error, format string, args ...any) *transport.Error {
	return &transport.Error{
		Code: status.Unavailable, Layer: name, Peer: name,
		Reason: fmt.Sprintf(format, args...), Progress: progress, Cause: cause,
	}
}
