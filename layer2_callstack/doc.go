// Package callstack turns one call's batches of operations into the same
// batches as each filter leaves them, on their way down to a transport and
// back up.
//
//	        layer 4, the surface call
//	             │ StreamOpBatch              ▲ Done
//	┌────────────▼────────────────────────────┴────────────┐
//	│ callstack.go  the contract: Filter, ChannelElem,     │
//	│               CallElem                               │
//	│ stack.go      ChannelStack and CallStack             │
//	│ builder.go    filters and constraints in, stack out  │
//	│ sort.go       the order that constraints ask for     │
//	│ block.go      the references of pooled call memory   │
//	│ cancel.go     how a filter ends a call               │
//	│ probe.go      what a trace sees between two filters  │
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
//   - Not here: what a batch means to an application (layer 4), bytes (layer 1).
//
// # Goroutines
//
// None. Batches run on the goroutine that starts them, callbacks on the one
// that completes them. A filter with a timer says so in its own doc.
//
// # Locks
//
// None. Elements keep what belongs to different operations apart; references
// and generations of a [Block] are one atomic word.
//
// # Reading order
//
// callstack.go, stack.go, builder.go, sort.go, block.go, cancel.go, probe.go;
// then filters/doc.go, how to write a filter, filters/authority, the smallest one,
// and filters/httpclient, which works in both directions; then stacks.
package callstack
