// Package keepalive says when an end of a connection asks a silent peer for a
// sign of life, and how often a peer may ask. gRFC A8, gRFC A9.
//
// A connection whose peer has lost its power looks like one on which nobody
// has anything to say. A [Pinger] sends a PING into the silence, and gives the
// connection up if the silence goes on. PINGs cost the peer work and keep its
// radio awake, so a server counts those that come too often: an [Enforcer].
//
//	Pinger    asleep ──a stream begins──▶ watching ──silent for Time──▶ asked
//	             ▲───no streams──────────────┘  ▲──something was read─────┘ │
//	                                                     silent for Timeout ▼
//	                                                                      dead
//
// # Contract
//
//   - Both are plain data without I/O, clock or lock: the time comes in with
//     each call, and the times at which to call again go out. Their methods are
//     called under the lock of their owner.
//   - Anything that was read is a sign of life, not only the answer to the PING.
//   - The zero Pinger asks for nothing.
//   - Not here: PING frames, timers, and how old a connection may become.
//
// # Goroutines
//
// None.
//
// # Locks
//
// None.
//
// # Reading order
//
// keepalive.go, pinger.go, enforcer.go.
package keepalive
