package transport

import (
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// A Transport carries the streams of one connection. It is the vtable that
// gRPC's C core calls grpc_transport_vtable.
//
// All methods may be called from any goroutine at any time.
type Transport interface {
	// Name is the kind of transport, "http2" or "inproc".
	Name() string

	// Peer describes the other end. The result is shared and read-only.
	Peer() *peer.Peer

	// NewStream returns the memory of one stream. It is called once for each
	// call block, which keeps the stream and uses it for one call after
	// another; nothing happens on the connection before [Stream.Init].
	NewStream() Stream

	// PerformOp carries out an operation on the whole connection.
	PerformOp(op *Op)

	// Close ends the connection at once, fails its streams with UNAVAILABLE
	// and returns when every goroutine of the transport is gone. It must not
	// be called from a callback of the transport.
	Close()
}

// A Stream is one call on a connection.
//
// The life of a stream is Init, any number of PerformBatch, and Reset when
// the last reference of its owner is gone.
type Stream interface {
	// Init binds the stream to one call. On the client accepted is nil. On
	// the server it is the value that [Acceptor.AcceptStream] was given.
	//
	// While the transport may still touch the stream it holds a reference
	// of owner.
	Init(owner Owner, accepted Accepted)

	// PerformBatch starts the operations of b. It does not block. Batches
	// with different operations may be performed at the same time; at most
	// one of each kind is outstanding. b and what it points to belong to the
	// transport until the callbacks of its operations have run.
	PerformBatch(b *StreamOpBatch)

	// Reset makes the stream ready for the next Init. The owner calls it when
	// its last reference is gone, so nothing is outstanding any more.
	Reset()
}

// An Owner is the block of memory that holds a stream: the transport keeps it
// alive by reference.
type Owner interface {
	Ref()
	Unref()
}

// Accepted is a transport's own description of a stream that the peer began.
// Only the transport that made it looks inside.
type Accepted any

// Caused is what an [Accepted] is, too, whose transport tells a trace what began
// the stream.
type Caused interface {
	// Cause returns the event of that, 0 without a trace.
	Cause() trace.EventID
}

// An Acceptor is told of each stream that the peer begins.
type Acceptor interface {
	// AcceptStream runs on the reading goroutine with no lock held. Before
	// it returns it either gives accepted to the [Stream.Init] of one of t's
	// streams or leaves it, which refuses the stream.
	AcceptStream(t Transport, accepted Accepted)
}

// A Done is told of the end of an operation. It is a method on a value that
// the caller owns and not a function, so that starting an operation allocates
// nothing.
//
// The callbacks of one stream never run at the same time as each other, and
// no lock is held while one runs.
type Done interface {
	Run(err error)
}

// An Op is an operation on the whole connection. Fields that are zero ask for
// nothing; several may be set.
type Op struct {
	// Accept sets who is told of the streams that the peer begins. A server
	// sets it once, before which the connection is not read.
	Accept Acceptor

	// Goaway asks for a graceful end: no new streams, and the connection
	// closes when the open ones have ended.
	Goaway *Goaway

	// Disconnect closes the connection at once; the streams fail with this
	// error as cause, and with its status code if it carries one, else with
	// UNAVAILABLE.
	Disconnect error

	// Ping asks the peer for a sign of life. Its callbacks run when the
	// PING is on its way and when it was answered, with an error if the
	// connection ended before. Where a peer takes only so many, a PING that
	// is on its way is shared, or the error says that this is one too many.
	Ping *Ping

	// StartWatch adds a watcher of the connection's state, StopWatch removes
	// it. A watcher is told of the present state first.
	StartWatch connectivity.Watcher
	StopWatch  connectivity.Watcher

	// EnterIdle makes a channel that can connect again give up its connections
	// until it is called; open streams go on. To a transport it means nothing.
	EnterIdle bool
}

// A Goaway is the reason for a graceful end. It travels to the peer.
type Goaway struct {
	Code  status.HTTP2Code
	Debug string
}

// A Ping is one request for a sign of life. Nil callbacks are left out.
type Ping struct {
	OnInitiate Done
	OnAck      Done
}
