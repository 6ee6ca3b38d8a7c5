// Package status holds the result of a call: a code, a message and details.
//
// Every call ends with exactly one status. On the client a status that is not
// OK reaches the application as an error; [FromError] gets the status back. On
// the server a handler returns such an error, made with [Error] or [Errorf].
//
// # Contract
//
//   - The numbers and names of [Code] are those of the gRPC status code
//     document; the error codes of HTTP/2 are those of RFC 9113 §7. http2.go
//     has every table between the two, and the one for answers of HTTP servers
//     that do not speak gRPC.
//   - A [Status] is immutable and may be shared.
//   - An error made with [Status.WithCause] wraps its cause, so that a call
//     that ended by its own context matches context.Canceled or
//     context.DeadlineExceeded under errors.Is.
//   - Not here: percent-encoding of the message and the base64 of the details,
//     which belong to the transport.
//
// # Reading order
//
// code.go, status.go, error.go, http2.go.
package status
