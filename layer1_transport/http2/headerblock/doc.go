// Package headerblock turns header blocks into metadata and back.
//
//	HPACK bytes ⇄ fields ⇄ metadata.List
//
// The compression is golang.org/x/net/http2/hpack's. Around it stand the rules
// of RFC 9113 §8 for what a block may hold, the codings of gRPC's own fields,
// and a cache for each direction.
//
// # The caches
//
// The blocks of one method are the same from call to call once their fields
// are in HPACK's dynamic table: a few bytes, each an index. An all-indexed
// block changes nothing in the table, so as long as nothing else does, the
// same bytes mean the same fields. A decoder forgets what it remembers with
// the first block that changes the table; an encoder counts the changes, and
// does not use what an older count made. A request with a timeout still hits:
// the timeout stands behind the pseudo-header fields, where gRPC-HTTP2 Requests
// wants it, as a literal that is not added to the table, and is looked past. A
// hit costs BenchmarkDecodeCached, 0.1 µs, where the plain way costs
// BenchmarkDecodePlain, 1 µs; BenchmarkEncodeCached and BenchmarkEncodePlain
// are likewise.
//
// # Contract
//
//   - Up: an [Encoder] and a [Decoder] for each connection, each used by one
//     goroutine at a time.
//   - Errors: [*BlockError] with StreamOnly condemns one stream and leaves the table
//     in step with the peer's; every other error ends the connection.
//   - Not here: HEADERS and CONTINUATION frames (package frame), the meaning
//     of method, scheme and content-type (layer 2), whether content-length is
//     the length of the DATA frames (package http2).
//
// # Reading order
//
// decoder.go, assembler.go, grpc.go, encoder.go; then the caches, scan.go and
// cache.go.
package headerblock
