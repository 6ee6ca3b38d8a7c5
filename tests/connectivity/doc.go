// Package connectivity watches channels that connect over loopback TCP: gRPC
// core's concurrent_connectivity_test and sequential_connectivity_test.
//
// What a watch has to say is tested beside layer 4, where time is exact. Here are
// the sockets, many goroutines, and the race detector.
//
// # Reading order
//
// peers_test.go, concurrent_test.go, sequential_test.go.
package connectivity
