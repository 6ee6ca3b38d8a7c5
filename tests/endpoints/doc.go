// Package endpoints tests where a server of layer 4 can be reached, over real
// sockets: gRPC core's server_test and server_chttp2_test as far as they bind
// addresses, dualstack_socket_test, h2_ssl_cert_test and
// h2_ssl_session_reuse_test.
//
//	gRPC core                        here
//	server_test bind_server_twice    TestBindTwice
//	server_test bind_server_to_addrs TestManyAddresses
//	server_chttp2_test               TestUnparsableAddress, TestSamePortTwice
//	dualstack_socket_test            TestDualstack
//	h2_ssl_cert_test                 TestClientCertificates
//	h2_ssl_session_reuse_test        TestSessionReuse
//
// A server here is given listeners, so that what gRPC core's add_http2_port
// refuses is refused by package net, before a server has anything to do with it.
//
// # Contract
//
//   - Loopback only, on ports that the system chooses.
//   - Not here: names and proxies, which are in package security, and the
//     endpoints of layer 5.
//
// # Goroutines
//
// Those of the servers under test, and one for each that answers its calls.
//
// # Locks
//
// None.
//
// # Reading order
//
// endpoints_test.go, bind_test.go, dualstack_test.go, tls_test.go.
package endpoints
