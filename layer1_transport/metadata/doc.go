// Package metadata holds the key-value pairs that travel with a call: headers
// before the first message and trailers after the last.
//
// There are two forms. [MD] is the map that applications see. [List] is the
// ordered list in which metadata travels through the layers; an MD is built
// from it only when somebody asks.
//
// # Contract
//
//   - Names and meanings of [MD] and of the contexts are those of grpc-go's
//     package of the same name, to whose MD ours converts without copying.
//   - Values are secrets: nothing that prints an [MD], a [List], a [Pair] or a
//     context that carries one shows them, whatever the verb.
//   - Not here: base64 of "-bin" keys, percent-encoding, which keys may be
//     sent. These belong to the transport.
//
// # Reading order
//
// md.go, context.go, list.go.
package metadata
