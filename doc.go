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
package strata
