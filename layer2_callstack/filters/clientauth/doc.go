// Package clientauth is the filter that sends the credentials of a client's
// calls: those that the channel has for all of them, and those of the call.
//
//	send_initial_metadata ──▶ safe enough? ──▶ all answer at once? ──yes──▶ fields added, passed on
//	                             │ no              │ no                        ▲
//	                             ▼                 ▼                           │
//	                       UNAUTHENTICATED   batches are held, fetch asks ─────┘
//	                                               │
//	                                               └──▶ cancelled, or the connection is lost
//
// # Contract
//
//   - send_initial_metadata: the channel's credentials are asked first, then the
//     call's; both send. [credentials.CheckPerRPC] has to allow each of them on
//     this connection before anybody is asked; else the call ends with
//     UNAUTHENTICATED and nothing of it leaves.
//   - Credentials may take their time, and batches may be started where nobody
//     may wait; so they are asked on a goroutine of the call's own while the
//     call's batches are held. [credentials.NonBlocker] are asked in place.
//   - Their context has the deadline of the call, ends when the call is cancelled
//     or its connection is lost, and carries a [credentials.RequestInfo].
//   - The fields are in the list of the call while it is being sent, and not
//     after: the same batch may go to another connection, where credentials are
//     asked again.
//   - Which keys and values may be sent is checked by the transport, as for all.
//   - What fails ends the call. A status keeps its code, unless it is one that
//     gRFC A54 leaves to the server: then it is INTERNAL. Another error is
//     UNAUTHENTICATED, a panic INTERNAL. Errors and traces name the type of the
//     credentials and hold no value of a field.
//   - A call without credentials costs two loads.
//   - Not here: keeping tokens, renewing them, sharing a request among calls,
//     which is the credentials' own business.
//
// # Goroutines
//
//	name    started by                         ends when
//	fetch   a call whose credentials may block   they have answered
//
// Nobody waits for fetch. Credentials that ignore their context would hold up
// whoever closes the channel; so it is left behind with a reference of the
// call's block, and what it brings is dropped.
//
// # Locks
//
// channel.mu and call.mu are not held together. call.mu is taken before the one of
// its [callstack.Hold]. None is held while a batch is passed on or credentials
// are asked.
//
// # Reading order
//
// clientauth.go, ask.go, fetch.go, lost.go, errors.go.
package clientauth
