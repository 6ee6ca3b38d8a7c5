// Package compression is the filter that knows how messages are coded: it
// compresses what is sent and inflates what is received, by the rules of the
// gRPC compression document.
//
//	        messages as they are
//	            │ send_message           ▲ recv_message
//	┌───────────▼────────────────────────┴──────────────────┐
//	│ compression.go  Config, the filter, its place in a call │
//	│ send.go         which coding, and when                  │
//	│ receive.go      codings checked, messages inflated      │
//	│ hold.go         a message before the headers waits      │
//	│ trace.go        what it tells of a message: lengths     │
//	│ encoding/       gzip, deflate and those of users        │
//	└───────────┬────────────────────────▲──────────────────┘
//	            ▼                        │
//	     messages, each with the Compressed-Flag or not
//
// # Contract
//
//   - send_initial_metadata: the Encoding slot is the application's wish for this
//     call, empty for the channel's or server's default. What goes down in it
//     is what messages are coded with: on a server never a coding that the
//     client's grpc-accept-encoding lacks, and nothing for identity.
//     AcceptEncoding lists what this end knows.
//   - send_message: compressed unless there is no coding, FlagNoCompress is set,
//     it is shorter than MinSize, it is compressed already, or it would not get
//     shorter. One that comes before the headers is kept until they are known.
//   - recv_initial_metadata on a server: a request in a coding that is not
//     known is answered with UNIMPLEMENTED and the codings that are. The slot of
//     grpc-accept-encoding stays, for those who choose a coding by it.
//   - recv_message: a message with the Compressed-Flag is inflated, up to its
//     Limit, which bounds it on the wire as well. What cannot be read ends the
//     call with INTERNAL, what gets too long with RESOURCE_EXHAUSTED. One that
//     is asked for before the headers waits for them.
//   - Not here: a limit of what is sent, which counts the message as it is
//     (message_size); compressed streams, an experiment of gRPC core.
//
// Secrets and what an attacker chooses should not be compressed together: the
// length tells of both (CRIME). Nothing is compressed unless somebody asks for
// it, and a server does not follow its client in that unless told to.
//
// # Goroutines
//
// None. A message is compressed by the goroutine that sends it and inflated by
// the one that delivers it, for which the other streams of the connection wait: with
// 4 MiB of zeros for 1 ms, with records of that length, which a peer has sent 700 KB
// for, 10 ms (BenchmarkInflateLongest). In return no connection occupies more than
// one processor with it.
//
// # Locks
//
// call.mu is a leaf: it is not held while a batch is passed on.
//
// # Reading order
//
// compression.go, send.go, receive.go, hold.go, trace.go; then encoding.
package compression
