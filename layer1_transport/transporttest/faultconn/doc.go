// Package faultconn has a net.Conn on which things go wrong, as a plan says:
// the octets come late, in pieces, changed, or not at all.
//
//	   whoever uses the connection
//	          │ Read, Write         ▲ octets, errors
//	┌─────────▼─────────────────────┴──────────────────┐
//	│ plan.go       what goes wrong, and at which octet │
//	│ schedule.go   where one direction stands in it    │
//	│ half.go       one direction: turns and waiting    │
//	│ faultconn.go  the net.Conn                        │
//	└─────────┬─────────────────────▲──────────────────┘
//	          ▼                     │
//	   any net.Conn: memconn, TCP, Unix
//
// # Contract
//
//   - The plan alone, with its seed, decides where pieces end, how long they
//     wait and at which octet a fault strikes. How the caller slices its reads
//     and writes does not matter. So a failure is replayed by its seed.
//   - Everything that blocks does so durably, in the sense of
//     testing/synctest, if the connection below does. Time is that of package
//     time: in a bubble it is exact.
//   - All methods may be called at once from any number of goroutines, and a
//     Write is never mixed with another. Deadlines and Close end every wait.
//   - A plan without faults changes nothing but timing and sizes: it passes
//     the tests of package nettest.
//   - Not here: syscall.Conn. A connection with faults is written through
//     Write, as one with TLS is. Nor loss or reordering of packets: what is
//     above TCP sees them as delay.
//
// # Goroutines
//
// None of its own. A wait and a pending deadline are timers; Close stops them.
//
// # Locks
//
// half.mu, one for each direction. No two are held at once, and none while
// the connection below is called.
//
// # Reading order
//
// plan.go, faultconn.go, half.go, schedule.go.
package faultconn
