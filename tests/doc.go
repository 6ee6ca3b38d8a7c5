// Package tests holds what spans layers of Strata or needs a peer: the rule
// that keeps the layers apart, interoperation with other implementations,
// benchmarks side by side, soak tests and attacks.
//
// It is a module of its own, so that the peers it needs are never among the
// requirements of the library. Tests here may open loopback sockets and wait
// in real time; the tests beside the library's packages may not.
//
// # Reading order
//
// layers_test.go; then one folder a subject.
package tests
