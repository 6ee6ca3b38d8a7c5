// Package consumer tests Strata as those get it who depend on it: as a module
// of a proxy, without this repository beside it.
//
// The library's module is packed as a proxy would serve it, the code generator
// is installed from there with "go install …@version", and a module elsewhere
// generates a service, builds, and runs. What that links is looked at then:
// nothing of it may be net/http, nor anything that keeps the linker from
// dropping methods that nobody calls.
//
// # Reading order
//
// consumer_test.go, proxy_test.go, generate_test.go, linked_test.go.
package consumer
