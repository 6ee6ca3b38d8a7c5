// Command h2spec runs the conformance suites of HTTP/2 against Strata.
//
//	h2spec server -tool ../bin/h2spec      146 cases of h2spec, a server's side
//	h2spec client -tool ../bin/h2specd     57 cases of h2specd, a client's side
//	h2spec serve [-full] [-tls] [-addr A]  one of the servers, to be tried by hand
//	h2spec probe http://HOST:PORT/         one call, which is what h2specd runs
//
// `make h2spec` and `make h2specd` build the suites, which tools/h2spec pins,
// and call it. The servers are these:
//
//	layer1       the transport alone, with an answer "ok" to whatever is asked
//	layer1-tls   the same over TLS, with a certificate made on the spot
//	grpc         the whole server, with the interop test service
//
// # Contract
//
//   - Every case must pass. What does not stands in exceptions.txt with its
//     outcome and the reason, and must be as it stands there: a listed case
//     that passes is a fault of the list.
//   - A suite that runs fewer cases than it has is a failure.
//   - Exit status 0 if and only if everything was as it must be.
//   - Ports are chosen by the system, for h2specd below 32768: a client's own
//     port must not take one of those that it listens on.
//   - Not here: what HTTP/2 leaves to gRPC (tests/interop, tests/peers).
//
// # Goroutines
//
//	name         started by    ends when
//	acceptLoop   serveLayer1   the listener is closed
//	setUp        acceptLoop    the connection is set up
//
// # Locks
//
// layer1Server.mu guards what Stop closes. It is a leaf.
//
// # Reading order
//
// main.go, suite.go, report.go, exceptions.go, layer1.go, servers.go, probe.go.
package main
