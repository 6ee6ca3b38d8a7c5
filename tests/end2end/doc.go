// Package end2end runs gRPC core's end2end suite, package surfacetest, over
// everything that channels and servers meet in use, and keeps the table.
//
//	inproc   the in-process transport
//	memconn  HTTP/2 on a connection in memory
//	traced   the same with a trace of both ends, which has to be in order
//	onebyte  memconn, each read and each write one byte long
//	tcp      loopback
//	tls      loopback with TLS
//	unix     a unix socket
//
// make end2end prints the table, which is table.txt: TestEnd2End fails where
// the two differ, and with -update writes the file.
//
// # Contract
//
//   - The first four need no socket and run in bubbles of package synctest;
//     the others wait in real time.
//   - Not here: the cases. They are in package surfacetest.
//
// # Goroutines
//
// None of its own.
//
// # Locks
//
// socket.mu is a leaf.
//
// # Reading order
//
// fixtures.go, end2end_test.go.
package end2end
