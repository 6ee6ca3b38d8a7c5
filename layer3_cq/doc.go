// Package cq turns the completions of operations into events for whoever waits.
//
//	           layer 4, the surface: StartBatch, RequestCall
//	                │ BeginOp     EndOp │         ▲ Event, Functor.Run
//	┌───────────────▼───────────────────▼─────────┴─────────┐
//	│ queue.go     counting, and the list of what completed │
//	│ next.go      NEXT: the oldest event, to any caller    │
//	│ pluck.go     PLUCK: the event of one tag              │
//	│ callback.go  CALLBACK: the tag is run where it ended  │
//	│ waiter.go    goroutines parked, and how they wake     │
//	│ shutdown.go  the end, and draining                    │
//	│ alarm.go     a completion at a point in time          │
//	└───────────────────────────────────────────────────────┘
//
// A tag exists in C because one thread serves many calls and must be told which
// of them an event belongs to. In Go the goroutine is the tag: each call has a
// goroutine that waits for its own event and knows what it was about. So the
// stubs wait in Pluck on a queue inside the call, and Next is for programs
// that drive many calls from one loop. BenchmarkNext, BenchmarkPluckReady and
// BenchmarkPluckParked show the cost of a queue, next to BenchmarkChannel and
// BenchmarkDirectWake, the same hand-over without one.
//
// # Contract
//
//   - Up: each operation begun is delivered exactly once, to one caller, with
//     its tag and success; on a Next queue in the order of the EndOps.
//   - Up: what is there is delivered whatever the deadline; then comes
//     QueueShutdown, then QueueTimeout. One event wakes one waiter that wants it.
//   - Up: the count starts at one, which Shutdown gives up. At zero the queue
//     has shut down: BeginOp fails, and every call, waiting or later, returns
//     QueueShutdown when no event is left for it.
//   - Up: finalizers, functors and observers run without a lock, a finalizer
//     when its event is dequeued. Nothing is allocated for an event.
//   - Down: nothing. The memory of an event comes from whoever ends the
//     operation. Misuse, such as Next on a Pluck queue, panics.
//   - Not here: pollsets and polling types (the Go runtime polls the network),
//     the thread-local cache of one event (goroutines have no such storage), an
//     executor (functors run inline; layer 5 has workers), contexts.
//
// # Goroutines
//
//	name    started by              ends when            owns
//	expire  the timer of an Alarm   its EndOp returned   nothing
//
// # Locks
//
// Queue.mu and Alarm.mu are leaves: no other lock is taken under either, and
// none is held across a channel operation, a callback or user code.
//
// # Reading order
//
// cq.go, queue.go, next.go, waiter.go, pluck.go, callback.go, shutdown.go, alarm.go, observer.go.
package cq
