// Package filters is the folder of all filters, and the page on how to write one.
//
// A call is batches of operations that go down a stack of filters to a connection,
// and callbacks that come up. A filter sees both: callstack.CallElem. What operations
// carry is in transport.StreamOpBatch. The method of a client's call is in CallArgs,
// that of a server's comes with recv_initial_metadata.
//
//	made by    how often                         and then
//	NewChannel once a connection, or a channel   Destroy, after the last call
//	NewCall    a few times: blocks are reused    Init, StartBatch…, callbacks…, Reset: for each call
//
// # Shapes
//
// Four, each an example that runs: look at what goes down (example_down_test.go),
// look at what comes up (up), end a call (end), keep a call and go on later (hold).
// Copy one, or folder template, which has options, state of all connections, tests.
//
// # Rules
//
//   - Pass each batch on once, with Next.StartBatch as the last thing you do with
//     it; one that is dropped is a call that hangs. A cancel passes at once.
//   - In the place of a callback, run that one, once, as the last thing you do.
//     Then the batch is gone, and the call may be; copy what you need later.
//   - Do not wait, sleep or block: StartBatch runs on the application's goroutine,
//     callbacks run on the one that reads the connection, for all of its calls.
//   - Callbacks of a call never run at the same time; batches do, beside callbacks
//     and each other. What both use is atomic or has a lock, not held while calling.
//   - To end a call, callstack.Cancel it from Next and pass the batch on. Failing
//     the batch yourself would run its callbacks beside others.
//   - A fault found on the way up is the error of that callback, of the one of
//     recv_trailing_metadata, and a cancel: the application, its end, and the peer.
//   - A timer or goroutine refers to args.Owner until it is done, or the block is
//     another call's by then. It cancels from args.Top, in Start (callstack.Starter) at
//     the earliest. If it runs callbacks see callstack.Combiner, and Stopper.
//   - Reset forgets everything, also what was never answered.
//   - An error is a transport.Error with your filter's name and what to do, else it
//     is UNKNOWN; values of metadata and messages stay out of errors and logs.
//   - A field that you add is checked when it is sent: a bad one ends the call, and on
//     a server only a trace says which. Check it in Validate, as template does.
//
// # Place
//
//	WithChannelFilter        top of CLIENT_CHANNEL      once a call
//	WithFilter on a channel  each connection's stack    once an attempt
//	WithFilter on a server   each connection's stack    once a call
//
// Layers 4 and 5 have both. A stacks.Extra is the filter and its neighbours: After
// "server", to see a request first; Before "compression", to see messages as they were
// written, After it for what is on the wire. Package stacks has names and order; where
// nothing is said the name decides, and the trace event stack.build tells. What cannot
// be is an error of the channel, a panic of NewServer. What breaks a rule later, or
// panics, ends the call at hand, with INTERNAL and the names of filter and rule: see
// callstack.Registration.Contained.
//
// # Tests and reading order
//
// callstacktest.Run is these rules as a test, to be run under the race detector; its
// Transport lets a test play the peer. Each folder here has both. Read template,
// authority, messagesize, calllog, httpclient, deadline, compression.
package filters
