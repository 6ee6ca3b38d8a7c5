// Command protoc-gen-go-strata is the protoc plugin that writes typed clients and servers.
//
// It turns each service of a .proto file into Go code over package stubs, in
// a file named <file>_strata.pb.go beside the message code that protoc-gen-go
// writes. The names it declares equal those of protoc-gen-go-grpc, so that
// code written for one compiles against the other. The result imports context,
// package stubs and the packages of the messages, and nothing else.
//
//	protoc --go_out=. --go-strata_out=. --go-strata_opt=paths=source_relative echo.proto
//
// # Contract
//
//   - Options of its own: require_unimplemented_servers (default true),
//     package_suffix (default none).
//   - Options of every Go plugin: paths, module, M<file>=<import path>.
//   - Syntax: proto2, proto3 and editions up to 2024.
//   - The flag -version prints the version and exits.
//   - Not here: message code, which is protoc-gen-go's.
//
// package_suffix=xyz writes into the sub-package <package>xyz, where the code
// can stand beside that of protoc-gen-go-grpc, which declares the same names.
//
// # Goroutines
//
// None: one request is read from standard input, one response written to
// standard output.
//
// # Locks
//
// None.
//
// # Reading order
//
// main.go, plugin.go, file.go, imports.go, client.go, server.go, desc.go.
package main
