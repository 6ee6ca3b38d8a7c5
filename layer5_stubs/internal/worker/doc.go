// Package worker runs handlers on goroutines that are used again.
//
// A fresh goroutine grows its stack while it decodes its first message: 32 % of
// a busy server's time. A worker has grown it already.
//
// # Contract
//
//   - Up: Go never blocks, and a task never waits for another one.
//   - Work goes to the worker that became idle last, whose stack is warmest;
//     so those at the other end of the list are the ones to spare.
//   - At most 256 wait for work, none of them for longer than a minute.
//   - Not here: a bound on how many tasks run at once. The limits on streams
//     and connections are that bound.
//
// # Goroutines
//
//	name    started by        ends when
//	loop    Go                it was idle for too long, or Close
//	sweep   the runtime's timer, while workers are idle
//
// # Locks
//
// Pool.mu, a leaf. It is not held while a task runs.
//
// # Reading order
//
// worker.go.
package worker
