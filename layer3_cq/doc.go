// Package cq turns the completions of operations into events for whoever waits.
//
//	           layer 4, the surface: StartBatch, RequestCall
//	                │ BeginOp     EndOp │         ▲ Event, Functor.Run
//	┌───────────────▼───────────────────▼─────────┴─────────┐
//	│ queue.go  count.go  inbox.go  begin, end, and the list│
//	│ next.go      NEXT: the oldest event, to any caller    │
//	│ pluck.go     PLUCK: the event of one tag              │
//	│ callback.go  CALLBACK: the tag is run where it ended  │
//	│ waiter.go    goroutines parked, and how they wake     │
//	│ shutdown.go  the end    alarm.go  an end at a time    │
//	└───────────────────────────────────────────────────────┘
//
// In Go the goroutine is the tag. C needs one because a thread serves many
// calls; here each call has a goroutine that waits for its own event. So stubs
// wait in Pluck on a queue inside the call; Next is for programs that drive many
// calls from one loop. An operation begun, ended and taken costs 45 ns; handed
// to a parked goroutine 460, of which 340 are the wake-up (BenchmarkNext,
// BenchmarkPluckParked, BenchmarkDirectWake). Producers and consumers pay for an
// event what a roomy channel costs, 10 and 10 of them up to 1.4 times that, a third of
// an unbuffered one (BenchmarkThroughput). A unary call, ns (BenchmarkDelivery):
//
//	answered                            at once  other goroutine  6 callers
//	no queue, a closure and a channel       195             2367       2212
//	Pluck, the call's own queue             205             2578       2305
//	Pluck, one queue for all                204             2617       2305
//	Callback, and a channel                 213             2399       2192
//	Next, a poller and a channel            631             2645       2475
//
// # Contract
//
//   - Up: each operation begun is delivered exactly once, to one caller, with
//     its tag and success; on a Next queue in the order of the EndOps.
//   - Up: what is there is delivered whatever the deadline; then comes
//     QueueShutdown, then QueueTimeout. One event wakes one waiter that wants it.
//   - Up: the count starts at one, which Shutdown gives up. At zero the queue has
//     shut down: BeginOp fails, and all calls return QueueShutdown once nothing is left.
//   - Up: finalizers, functors and observers run without a lock, a finalizer
//     when its event is dequeued. Nothing is allocated for an event.
//   - Down: nothing. The memory of an event comes from who ends it. Misuse panics.
//   - Unlike gRPC core: a functor is counted until it returned, so OnShutdown comes
//     after the last; an Alarm on a queue that has shut down is not set.
//   - Not here: pollsets and polling types (the Go runtime polls the network), a
//     thread-local cache of one event (goroutines have no such storage), an
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
// cq.go, queue.go, count.go, inbox.go, next.go, waiter.go, pluck.go, callback.go, shutdown.go, alarm.go, observer.go.
package cq
