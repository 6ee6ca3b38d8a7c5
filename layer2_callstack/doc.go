// Package callstack turns one call's batches of operations into the same
// batches as each filter leaves them, on their way down to a transport and
// back up.
//
//	        layer 4, the surface call
//	             │ StreamOpBatch              ▲ Done
//	┌────────────▼────────────────────────────┴────────────┐
//	│ callstack.go  the contract: Filter, ChannelElem,     │
//	│               CallElem; how a filter ends a call     │
//	│ stack.go      ChannelStack and CallStack             │
//	│ builder.go    filters and constraints in, stack out  │
//	│ sort.go       the order that constraints ask for     │
//	│ block.go      the references of pooled call memory   │
//	│ hold.go       how a filter lets a call wait          │
//	│ combiner.go   and tells of it from elsewhere         │
//	│ probe.go      what a trace sees between two filters  │
//	│ guard.go      a filter of a user's, contained        │
//	├──────────────────────────────────────────────────────┤
//	│ filters/      one folder each                        │
//	│ stacks/       the standard stacks                    │
//	│ clientchannel/  resolver, balancer, subchannel       │
//	└────────────┬────────────────────────────▲────────────┘
//	             ▼                            │
//	        layer 1, a transport.Stream
//
// # Contract
//
//   - Down: every batch that enters a stack leaves it at the bottom, is failed
//     by a filter, or is kept by one until a cancel. A cancel passes everyone.
//   - Up: each operation ends exactly once; callbacks of one call never run at
//     the same time as each other, and no lock is held while one runs.
//   - A filter that finds a fault on the way up reports it in the callback at
//     hand and in recv_trailing_metadata, and cancels the call below itself.
//   - A stack's memory is made once for each block and used for one call after
//     another; a call allocates nothing here.
//   - A user's filter breaks at most the call at hand: see guard.go.
//   - Not here: what a batch means to an application (layer 4), bytes (layer 1).
//
// # Goroutines
//
// None but the timer of a guard that waits for a filter after a cancel. Batches run
// on the goroutine that starts them, callbacks on the one that completes them.
//
// # Locks
//
// The mutexes of [Hold], [Combiner], a probe and a guard are leaves. References and
// generations of a [Block] are one atomic word, and so are a guard's [ways].
//
// # Reading order
//
// callstack.go, stack.go, builder.go, sort.go, block.go, hold.go, combiner.go,
// probe.go; then filters/doc.go, how to write a filter, filters/authority, the
// smallest one, and filters/httpclient, which works in both directions; then stacks.
// Last guard.go, ways.go, guardcall.go, floor.go, fault.go, grace.go.
package callstack
