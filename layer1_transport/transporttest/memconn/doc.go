// Package memconn has a net.Conn in memory: two ends, a buffer each way.
//
// It behaves as TCP does over loopback, as far as a transport can tell: writes
// return once the octets are in the peer's buffer, reads return what is there,
// deadlines work, and what was written before Close is still read after it.
// net.Pipe has no buffers, so that two ends that both write first, as both
// peers of HTTP/2 do, deadlock.
//
// # Contract
//
//   - Everything that blocks does so durably, in the sense of
//     testing/synctest: inside a bubble, time goes on when all goroutines wait
//     on connections. A connection is used in the bubble it was made in.
//   - All methods may be called at once from any number of goroutines. A
//     Write is never mixed with another.
//   - Not here: latency and faults, which package faultconn adds to any
//     connection; reset of unread data, addresses that say more than which end
//     it is, syscall.Conn.
//
// # Goroutines
//
// None of its own. A pending deadline is a timer, which Close stops.
//
// # Locks
//
// stream.mu and Listener.mu. No two are held at once, and none while waiting.
//
// # Reading order
//
// memconn.go, stream.go, ring.go, listener.go, onebyte.go.
package memconn
