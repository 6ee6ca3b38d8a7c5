// Package cases is the client side of the official gRPC interoperability
// tests: each case makes the calls that its description prescribes and checks
// what comes back.
//
// The names, sizes and strings are those of the document "gRPC Interop Test
// Case Descriptions". The cases know nothing of the server: the tests of this
// module run them against grpc-go and against Strata, the command
// interop/client against whatever its flags name.
//
// # Contract
//
//   - Up: [All] and [Find]; Case.Run returns nil if and only if the case passed.
//   - Down: the generated client of grpc.testing.TestService.
//   - Not here: connections, flags, and cases that need credentials for single
//     calls.
//
// # Goroutines
//
// None. Each case ends its calls before it returns.
//
// # Locks
//
// None.
//
// # Reading order
//
// cases.go, unary.go, streaming.go, compressed.go, cancellation.go,
// statuses.go, echo.go.
package cases
