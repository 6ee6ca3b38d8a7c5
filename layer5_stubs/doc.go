// Package stubs turns typed calls into batches of operations, and back.
//
//	        the application: generated clients and servers
//	            │ Invoke, NewStream      ▲ handlers
//	┌───────────▼────────────────────────┴─────────────────────┐
//	│ clientconn.go invoke.go    a unary call: one batch of six │
//	│ clientstream.go            a stream: a batch per message  │
//	│ codec.go                   messages ⇄ bytes               │
//	│ server.go handler.go       calls → handlers on workers    │
//	│ serverstream.go handlercontext.go   what a handler has    │
//	└───────────┬────────────────────────▲─────────────────────┘
//	            ▼ StartBatch             │ Pluck, functors
//	                   package surface
//
// # Contract
//
//   - Up: what generated code needs (stubs.go, stream.go), which follows
//     SemVer; names are those of grpc-go where the concept is the same.
//   - Every call ends with one status, which is an error if it is not OK. One
//     that ended with its context also matches the context's error and cause.
//   - Cardinality is kept: a message too few or too many is UNIMPLEMENTED.
//   - A handler that panics or ends its goroutine ends its own call only.
//   - Down: package surface. A client's call has a PLUCK queue of its own, in
//     which the caller's goroutine waits; a server has one CALLBACK queue.
//   - Not here: codecs other than protocol buffers; retries, hedging, service
//     config (layer 2 does not have them); when credentials of calls are asked
//     and how messages are compressed (layer 2), which options only choose.
//
// # Goroutines
//
//	name     started by             ends when
//	loop     the server, for a handler (internal/worker)   idle, or the server ends
//	finish   the end of a stream with OnFinish             the option's function returns
//	a context's AfterFunc, when the context of a stream ends before the call
//
// A unary call on a client starts none: its caller waits and unmarshals.
//
// # Locks
//
// Server.mu is taken before those of layer 4, while services are registered.
// handlerContext.mu is a leaf. Neither is held while a handler, an interceptor
// or a batch runs.
//
// # Reading order
//
// stubs.go, clientconn.go, clientoption.go, interceptor.go, invoke.go,
// codec.go, stream.go, clientstream.go, server.go, serveroption.go, handler.go,
// handlercontext.go, serverstream.go, observer.go.
package stubs
