// Package trace is how every layer tells what it does, when somebody asks.
//
// A [Sink] is given to a channel or a server. Each event names its layer, what
// happened, and the event that caused it, so that the path of a call through the
// layers can be drawn.
//
// # Contract
//
//   - A [Sink] is set once, when a channel or server is made; without one each
//     place costs a nil check and nothing is allocated, BenchmarkNoSink.
//   - At [LevelEvents] events hold no secrets. The other two levels are asked
//     for by name.
//   - A [Recorder] keeps events in memory and pairs what one end received with
//     what the other sent; [WriteJSON] writes them for a viewer.
//   - Not here: spans across processes, sampling, metrics.
//
// # Events of layers 0 and 1
//
//	socket dial accept tls read write close  before there is a transport, and what it asks for
//	http2 preface settings goaway conn.state  how the connection begins and ends
//	http2 frame hpack                  each frame, with its bytes' place; header list ⇄ block
//	http2 stream.state                 each change, RFC 9113 §5.1
//	http2 flow.window flow.blocked flow.unblocked  what the peer allows us, RFC 9113 §5.2
//	http2 ping.rtt bdp writer.batch    answers to PING, what windows become; one write
//
// # Events of layer 2
//
//	callstack stack.build              a channel stack: its filters, from the top
//	filter element.init element.destroy op.down op.up  what passes the boundary above each filter
//	client_channel resolver.update connectivity subchannel.connect  the way to a connection
//	client_channel lb.pick             which connection a call goes to; it waited for the cause
//	filter:deadline deadline.arm deadline.fire  the timer, or that of client_channel
//	filter:compression compress inflate  a message, with its lengths before and after
//	filter:server_auth auth.ask auth.refuse  a hook decides about a call
//	filter:limit limit.refuse          a call is too much
//	filter:client_idle idle.enter      a channel without calls
//	filter:fault_injection fault.delay fault.abort  a fault on purpose, before anything is sent
//	filter:max_age age.goaway idle.goaway age.cut  a server ends a connection
//	filter:client_auth credentials.ask credentials.got  for a call, by their type
//
// # Events of layers 3 and 4
//
//	cq cq.create shutdown begin_op end_op  a queue; what begins and ends an operation is the cause
//	cq next.wait next.return pluck.wait pluck.return  a poller asks, and gets an event
//	cq callback.run                    a functor is run in its place
//	call call.create call.cancel call.status  the life of a call; this side cancels
//	call start_batch batch.reject match  operations are taken or refused; a request is met
//	server request_call shutdown       a slot for a call; draining begins
//	channel channel.create connectivity channel.close   the life of a channel
//
// TestTraceCatalogue in tests/peers brings them all but those of single filters.
//
// # Locks
//
// Recorder.mu. Nothing is called while it is held.
//
// # Reading order
//
// trace.go, recorder.go, pairing.go, json.go.
package trace
