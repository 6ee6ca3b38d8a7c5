// Package transport turns the bytes of a connection into header blocks,
// messages and one status on streams, and back.
//
//	           layer 2, the bottom filter of a stack
//	                │ StreamOpBatch, Op        ▲ Done
//	┌───────────────▼──────────────────────────┴──────────┐
//	│ transport.go  the contract: Transport, Stream, Op   │
//	│ batch.go      what can be asked of a stream         │
//	│ buffer.go     the memory of one message             │
//	│ errors.go     how a stream ends without a status    │
//	│ outcome.go    and what the application hears of it  │
//	├─────────────────────────────────────────────────────┤
//	│ http2/   one connection of RFC 9113, either role    │
//	│ inproc/  two ends in one process, no bytes          │
//	└───────────────┬──────────────────────────▲──────────┘
//	                ▼                          │
//	                         net.Conn
//
// # Contract
//
//   - Up: at most one operation of each kind is outstanding on a stream. Each
//     started operation has exactly one end, the callbacks of one stream run
//     one after another, and recv_trailing_metadata is the last of the
//     receiving ones. Headers come before messages, messages in order.
//   - Up: a message longer than RecvMessage.Limit is refused at its prefix.
//   - Up: the transport holds a reference of the stream's owner while it may
//     still touch the stream.
//   - Down: any reliable, ordered net.Conn.
//   - Not here: method, scheme, content-type and user-agent (filters of layer
//     2), compression, retries, connection ages, load balancing. A transport
//     does not know that retries exist; it reports Progress.
//
// # Goroutines
//
// The contract starts none. Each transport lists its own; Close waits for them.
//
// # Locks
//
// None here. No transport holds a lock while it runs a callback.
//
// # Reading order
//
// transport.go, batch.go, buffer.go, errors.go, outcome.go; then metadata, status and
// trace, the values that all layers speak; then frame and http2.
package transport
