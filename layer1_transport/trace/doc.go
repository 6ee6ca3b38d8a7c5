// Package trace is how every layer tells what it does, when somebody asks.
//
// A [Sink] is given to a channel or a server. Without one each place that
// could emit costs a nil check and nothing else. With one, each event names
// its layer, what happened, and the event that caused it, so that the path of
// a call through the layers can be drawn.
//
// # Contract
//
//   - A [Sink] is set once, when a channel or server is made; without one
//     nothing is emitted and nothing is allocated, BenchmarkNoSink.
//   - At [LevelEvents] events hold no secrets. The other two levels are asked
//     for by name.
//   - A [Recorder] keeps events in memory and pairs what one end received with
//     what the other sent; [WriteJSON] writes them for a viewer.
//   - Not here: spans across processes, sampling, metrics.
//
// # Events of layers 0 and 1
//
//	socket dial accept tls             before there is a transport
//	socket read write close            what the socket is asked for
//	http2 preface settings             how the connection begins
//	http2 frame                        each frame, with its bytes' place
//	http2 hpack                        header list ⇄ header block
//	http2 stream.state                 each change, RFC 9113 §5.1
//	http2 flow.window                  what the peer allows us, RFC 9113 §5.2
//	http2 flow.blocked flow.unblocked  a message waits, and goes on
//	http2 ping.rtt bdp                 answers to PING, and what windows become
//	http2 goaway conn.state            how the connection ends
//	http2 writer.batch                 what one writer takes at once
//
// # Events of layers 3 and 4
//
//	cq cq.create shutdown              the life of a completion queue
//	cq begin_op end_op                 an operation: what begins and ends it is the cause
//	cq next.wait next.return           a poller asks, and gets an event of any tag
//	cq pluck.wait pluck.return         the same for one tag
//	cq callback.run                    a functor is run in place of an event
//	call call.create call.status       the life of a call
//	call start_batch batch.reject      operations are taken, or refused
//	call call.cancel                   this side ends it
//	call match                         a call goes to a request of the server
//	filter:deadline deadline.arm deadline.fire  the timer, in layer 2; or client_channel
//	server request_call shutdown       a slot for a call; draining begins
//	channel channel.create connectivity channel.close   the life of a channel
//
// TestTraceCatalogue in tests/peers brings them all, and no others.
//
// # Locks
//
// Recorder.mu. Nothing is called while it is held.
//
// # Reading order
//
// trace.go, recorder.go, pairing.go, json.go.
package trace
