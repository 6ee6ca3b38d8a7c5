// Package inproc is the transport within one process: messages of one stream
// end ⇄ messages of the other, handed over as they are, without bytes between.
//
//	           package transport (the contract)
//	                │ ops                   ▲ completions
//	┌───────────────▼───────────────────────┴──────────────────┐
//	│ stream.go     one end of a call: its outstanding ops     │
//	│ link.go       one call: what each end sent, how it ended │
//	│ transition.go what an op or a lost connection changes    │
//	│ deliver.go    which callback is next, and the token      │
//	│ metadata.go   the rules that a wire would enforce        │
//	│ conn.go       the streams of a connection and its end    │
//	│ events.go     accepting, watching, pings: one by one     │
//	└──────────────────────────────────────────────────────────┘
//
// # Contract
//
//   - Up: package transport's, all of it. Errors, status codes and validity of
//     metadata are as they would be over HTTP/2.
//   - Up: back-pressure. A message counts as sent once what the receiver has
//     not taken fits into a window, so that a receiver which does not read
//     stops its sender, as RFC 9113 §5.2 does.
//   - Up: callbacks may run inside PerformBatch, on either end's goroutine.
//   - Down: nothing.
//   - Up: a message is not copied. The reference that send_message gives away is
//     the one that recv_message hands out; the receiver may change the bytes
//     only if the sender has kept none. Config.CopyMessages is for programs that
//     cannot promise that.
//   - Not here: codings of the wire, compression. A program connects its layers
//     with what takes a transport: surface.NewDirectChannel or stubs.NewClientOn
//     with one end, Server.ServeTransport with the other.
//
// # Goroutines
//
// None. Whoever changes the state of a call runs the callbacks that follow,
// those of the other end included; Close waits for callbacks under way.
//
// # Locks
//
// link.mu < conn.mu: take link.mu first. A link's is shared by both ends of
// one call. None is held while a callback, an acceptor, a watcher or a sink
// runs.
//
// # Reading order
//
// inproc.go, link.go, stream.go, transition.go, deliver.go, conn.go.
package inproc
