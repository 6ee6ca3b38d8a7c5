// Package strata is gRPC for Go in five layers, from the wire up.
//
// Import this package to use it; read the layers bottom-up to understand it:
//
//	layer5_stubs       typed calls, service registration, generated code's runtime
//	layer4_surface     Channel, Call, StartBatch with eight ops, Server and request matching
//	layer3_cq          completion queues: begin, end, Next, Pluck, callback, shutdown
//	layer2_callstack   channel stacks, call stacks, filters; client_channel
//	layer1_transport   transport contract; HTTP/2, in-process; flow control
//	------------------ net.Conn
//
// What most programs need is here. The other options, such as stubs.ServerAuth,
// stubs.CallLimit and stubs.WithIdleTimeout, are in layer5_stubs, package stubs; the
// types are the same, so they go into NewClient and NewServer of this package.
package strata
