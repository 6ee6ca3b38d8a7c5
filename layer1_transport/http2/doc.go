// Package http2 is the HTTP/2 transport: frames on a net.Conn ⇄ gRPC messages
// on streams, in either role.
//
//	            package transport (the contract)
//	                 │ StreamOpBatch, Op     ▲ Done
//	┌────────────────▼───────────────────────┴───────────────┐
//	│ stream.go    one stream's state,       RFC 9113 §5.1   │
//	│ send.go      messages → DATA, who may send next        │
//	│ message.go   DATA → messages, gRPC-HTTP2 Length-Prefixed-Message
//	│ deliver.go   completions → callbacks, no lock held     │
//	│ window.go    flow control credit,      RFC 9113 §5.2   │
//	│ headers.go   header blocks on streams, RFC 9113 §8     │
//	│ settings.go ping.go goaway.go          RFC 9113 §6     │
//	│ session.go   frames in → state and frames out, no I/O  │
//	├────────────────────────────────────────────────────────┤
//	│ conn.go      the connection as a transport.Transport   │
//	│ writer.go    combining flush: who appends first writes │
//	│ loops.go     the reading goroutine                     │
//	└────────────────┬───────────────────────▲───────────────┘
//	                 ▼ bytes                 │ bytes
//	                         net.Conn
//
// # Contract
//
//   - Up: package transport's, all of it.
//   - Down: any reliable, ordered net.Conn. One with a file descriptor is
//     written without blocking, every other by the flushing goroutine.
//   - A silent peer is given up, and a client that sends too many PINGs: who
//     asks when is package keepalive, gRFC A8; ping.go has the other PINGs.
//   - Not here: method, scheme, content-type (filters), compression, retries,
//     ages, load balancing, server push, priorities.
//
// # Goroutines
//
//	name        started by    ends when                 owns
//	readLoop    Connect, the  net.Conn read fails, or   the read buffer, the
//	            Accept op     the peer broke a rule     header block in progress
//	flushLoop   flush, when a write would block         the batch it writes;
//	                          ends when all is written
//	lingerLoop  a draining conn.'s last stream ends; ends when it is closed
//	wake        the timer, when something is due; ends at once
//	shut        the end: writes what is left, waits for a peer at
//	            fault and closes the net.Conn
//
// Close returns when all of them are gone.
//
// # Locks
//
// conn.mu guards the session and every stream of the connection. It is the
// only lock. It is not held across I/O or a callback; a trace sink is told of
// frames while it is held.
//
// # Reading order
//
// ../frame/frame.go, window.go, bdp/bdp.go, stream.go, message.go,
// coding/doc.go, headerblock/doc.go, headers.go, early/early.go, send.go,
// alarm/alarm.go, budget/budget.go, session.go, settings.go,
// keepalive/keepalive.go, ping.go, goaway.go, deliver.go, outbox/outbox.go,
// writer.go, input/input.go, loops.go, conn.go, wiretrace/wiretrace.go.
package http2
