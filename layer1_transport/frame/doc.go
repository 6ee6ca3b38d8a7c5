// Package frame turns the bytes of an HTTP/2 connection into frames, and back.
//
//	+-----------------------------------------------+
//	|                 Length (24)                   |
//	+---------------+---------------+---------------+
//	|   Type (8)    |   Flags (8)   |
//	+-+-------------+---------------+-------------------------------+
//	|R|                 Stream Identifier (31)                      |
//	+=+=============================================================+
//	|                   Frame Payload (0...)                      ...
//	+---------------------------------------------------------------+
//
// Every frame begins with the nine octets of [Header]; the type says how the
// rest is laid out. RFC 9113 §4.1. There is one file for each type, with its
// Parse function, its Append function where gRPC sends that type, and the
// rules that hold for the frame alone.
//
// # Contract
//
//   - Parse functions take a complete payload and read it in place: slices in
//     their results alias the payload and are valid while it is. They neither
//     allocate nor copy unless the frame is wrong.
//   - A frame that breaks a rule gives an [*Error], which says whether the
//     connection or one stream has to end and with which code. No input
//     makes them panic.
//   - Append functions add one complete frame to a buffer and return it. The
//     caller is trusted: what it asks for is what is written.
//   - Not here: rules that need more than one frame, such as the order of
//     HEADERS and CONTINUATION, stream states, windows, and what only one role
//     may send. They belong to package http2. Header compression is RFC 7541.
//
// # Goroutines and locks
//
// None. All functions are pure.
//
// # Why not the Framer of golang.org/x/net/http2
//
// Importing it links all of net/http, it allocates for most frames, and a
// reader that parses in place needs no reader inside. It is also more
// forgiving than RFC 9113: settings values pass unchecked, a frame too short
// for its own fields looks like the end of the connection, and HEADERS with
// too much padding ends a stream although its header block was never decoded.
// As an independent reading of the same document it is the oracle of this
// package's differential tests.
//
// # Reading order
//
// frame.go, errcode.go, then data.go, headers.go, settings.go and
// window_update.go; the others in any order.
package frame
