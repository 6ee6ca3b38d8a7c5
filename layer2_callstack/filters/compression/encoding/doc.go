// Package encoding turns one message into its compressed form and back: the
// codings that grpc-encoding names, without the rules of when which is used.
//
//	bytes of a message ⇄ bytes of a message with the Compressed-Flag
//
// # Contract
//
//   - Up: a [Compressor] is a value, and a channel or server is handed a list of
//     them; [Defaults] is that of those which are handed none. Nothing is
//     registered.
//   - Up: [Inflate] checks the size while it inflates. Memory grows with the data. An
//     [Inflation] does the same a piece at a time, and can be stopped.
//   - Up: a compressor that fails or panics is an error of that message.
//   - Down: the state of package flate is pooled, as it is plain memory.
//   - Not here: header fields, flags, and when to compress (package compression).
//
// # Goroutines
//
// None.
//
// # Locks
//
// None.
//
// # Reading order
//
// encoding.go, gzip.go, message.go, inflation.go.
package encoding
