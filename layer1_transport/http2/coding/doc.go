// Package coding has the byte-level codings of gRPC header fields: what stands
// on the wire ⇄ what the layers above say.
//
//	timeout.go  grpc-timeout                     ⇄ time.Duration
//	message.go  grpc-message, percent-encoded    ⇄ UTF-8 text
//	bin.go      fields named …-bin, base64       ⇄ octets
//	header.go   which names and values may stand in a header block
//
// # Contract
//
//   - Strict in what is sent. What is received is read as leniently as the
//     gRPC-HTTP2 document asks, and no input makes a function panic.
//   - Errors never quote the value: it may be a secret, and errors travel to
//     logs and to the peer.
//   - Values that need no coding come back as they are, without an allocation.
//   - Not here: HPACK, the order of fields, pseudo-header fields, what a value
//     means.
//
// # Goroutines and locks
//
// None. All functions are pure.
package coding
