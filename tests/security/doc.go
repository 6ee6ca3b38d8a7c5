// Package security tests what stands between Strata and those who mean it no
// good, through the front door and over real sockets: who is let in, what may
// be sent to whom, and which ways lead to a server.
//
//   - endpoints_test.go: TCP, Unix sockets, listeners and dialers of one's own.
//   - proxy_test.go: the proxies of the environment, honest and other ones.
//   - tls_test.go: certificates that are wrong, and that change; authorities of
//     single calls.
//   - fields_test.go: fields that may not be sent, from every source, and what
//     is on the wire of them; fields that clients should not send.
//   - token_test.go: credentials of calls, on connections that are safe enough
//     and on others, with fields that may be sent and others.
//   - accept_test.go: what happens to a server that is out of files, or whose
//     clients do not speak HTTP/2.
//
// # Reading order
//
// security_test.go has the service and the tap that all others use.
package security
