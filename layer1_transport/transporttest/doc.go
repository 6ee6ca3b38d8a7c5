// Package transporttest turns the contract of package transport into tests:
// what every implementation does is what [Run] and [RunInBubbles] exercise.
//
//	        the tests of a transport, of a filter, of a fault-injecting double
//	              │ Run(t, pair)                 │ NewClientCall, NewAcceptor
//	┌─────────────▼──────────────────────────────▼───────────────────┐
//	│ kit.go         Run, the cases, what a pair may lack            │
//	│ call.go        one end of a call and the acceptor of a server  │
//	│ batch.go       a batch, and waiting for its callbacks          │
//	│ owner.go       the counting owner and the rules of callbacks   │
//	│ fields.go      the headers and trailers that the cases send    │
//	│ *_cases.go     the sentences of the contract                   │
//	└────────────────────────────────────────────────────────────────┘
//
// # Contract
//
//   - Up: a case takes a connected pair of transports and closes both.
//   - Up: each callback of a call is checked: it runs once, never beside
//     another one of its stream, after those it has to follow, and while the
//     owner is referred to.
//   - Down: package transport and the value types beside it, nothing else. What
//     a transport does on the wire is tested where the transport is.
//   - Not here: time. Deadlines are enforced above the transport.
//
// # Goroutines
//
// The cases of parallel calls start the goroutines that make the calls, and
// wait for them.
//
// # Locks
//
// Owner.mu guards the log of a call. No callback is run under it.
//
// # Reading order
//
// kit.go, order_cases.go, call.go, batch.go, owner.go; then the other cases.
// Connections to run a transport over are in memconn, and with faults in
// faultconn.
package transporttest
