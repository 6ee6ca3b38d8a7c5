// Package peers tests Strata against grpc-go: Strata's client with grpc-go's
// server, grpc-go's client with Strata's server, and Strata with itself, over
// loopback TCP.
//
// All that both libraries can do goes through the interface library in
// library_test.go, so that a test is written once and runs for each pairing.
// What only Strata promises, the text of its errors above all, is in
// failures_test.go.
//
// # Reading order
//
// library_test.go, strata_test.go, grpcgo_test.go; cases_test.go; then one
// file a subject.
package peers
