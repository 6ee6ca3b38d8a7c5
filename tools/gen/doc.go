// Command gen turns .proto files into Go code without protoc.
//
// It compiles the files itself (proto2, proto3, edition 2023) and feeds the
// result to two plugins, which it builds into ./bin of the repository first:
// protoc-gen-go, at the version this module pins, for messages, and
// protoc-gen-go-strata, from this repository, for services.
//
//	go run . -all                  regenerate every file of the repository
//	go run . -all -check           fail if a checked-in file would change
//	go run . -I dir -out dir -opt k=v file.proto...
//
// # Contract
//
//   - manifest.go lists all generated code of the repository; -all regenerates
//     exactly that, and the same sources always give the same bytes.
//   - Include directories are searched in order. -I virtual=dir makes the files
//     of dir importable below the path virtual.
//   - -private keeps the generated descriptors out of the protobuf runtime's
//     global registries; see private.go for why and how.
//   - Not here: go_package rules, option names and output paths, which are the plugins'.
//
// # Goroutines
//
// None of its own.
//
// # Locks
//
// None.
//
// # Reading order
//
// main.go, manifest.go, compile.go, plugins.go, private.go, output.go.
package main
