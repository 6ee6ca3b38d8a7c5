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
//	│ away.go line.go long ones elsewhere than by the reader  │
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
//	name  started by  ends when             owns
//	work  line.join   nothing waits for it  one message at a time
//
// A message is compressed by who sends it, and inflated by who reads the connection, or
// if it is long by these, which are as many as half of the processors: see line.go. A
// compressor that panics ends its call with INTERNAL and its name, wherever it runs.
//
// # Locks
//
// call.mu and line.mu are leaves: they are not held while anything is called.
//
// # Reading order
//
// compression.go, send.go, receive.go, away.go, line.go, hold.go, trace.go; then encoding.
package compression
