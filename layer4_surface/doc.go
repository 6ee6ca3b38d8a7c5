// Package surface turns batches of operations with a tag into stream
// operations, and their ends into one event in a completion queue: gRPC core's
// channel, call and server, without generated code.
//
//	   layer 5, or a program      ops, tag │      ▲ cq.Event
//	┌──────────────────────────────────────▼──────┴────────────┐
//	│ surface.go       the eight operations and their errors   │
//	│ call.go          Call, the handle; cancel and children   │
//	│ block.go         what is behind it, used call after call │
//	│ batch.go         ops checked, claimed, turned into one   │
//	│                  stream batch                            │
//	│ complete.go      steps counted, the event                │
//	│ status.go        how a call ended                        │
//	│ channel.go connectivity.go   the client                  │
//	│ server.go listener.go        the server, its connections │
//	│ serverfilter.go match.go     from headers to a request   │
//	│ options.go observer.go       configuration, traces       │
//	└──────────┬──────────────────────────────────▲────────────┘
//	           ▼ StreamOpBatch                     │ Done
//	   layer 2, a CallStack             layer 3, EndOp
//
// # Contract
//
//   - Up: a batch, watch or ping that is accepted posts its tag exactly once; one
//     that is refused has started nothing. Errors and their order are gRPC core's;
//     deviations.md lists every difference of batches, with its reason.
//   - Up: every call ends with one status; the first one counts. The event of
//     recv_status_on_client is the last of the receiving ones.
//   - Up: handles are values that know which use of their memory they belong
//     to; after Release they are harmless.
//   - Down: a batch's memory is kept until its event is dequeued, the block of a
//     call until nobody refers to it. A unary call allocates nothing here.
//   - Not here: messages with types, handlers, contexts (layer 5); which
//     connection a call takes, how messages are compressed (layer 2); per-call
//     credentials; the HTTP verbs and compression flags that gRPC core has
//     removed or keeps to itself; its init and shutdown: nothing is global.
//
// # Goroutines
//
//	name        started by   ends when                    owns
//	acceptLoop  Serve's caller  the listener is closed    nothing; it is Serve
//	handshake   acceptLoop   preface read or timeout      the new connection
//	finish      OnState      the transport is closed      a connection that ended
//
// Callbacks and closures run on the goroutines of the transports. Server.Close
// and Shutdown wait for all of these unless one of them calls; Channel.Close waits
// for those of the channel.
//
// # Locks
//
// Server.mu, Life.mu, matcher.mu, listener.mu, family.mu and stateTracker.mu are
// leaves: none is held while another is taken. None is held across user code, a
// completion or a call into another layer. A call itself has one atomic word.
//
// # Reading order
//
// surface.go, call.go, block.go, batch.go, complete.go, status.go, channel.go, connectivity.go, internal/watch, server.go, internal/lifetime, listener.go, internal/accepting, internal/handshakes, serverfilter.go, match.go, options.go, observer.go, internal/queuetrace, internal/roster, internal/poison.
package surface
