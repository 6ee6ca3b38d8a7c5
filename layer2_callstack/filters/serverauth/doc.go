// Package serverauth is the filter of a server that asks a hook of the
// application about every call before anybody above knows of it: gRPC core's auth
// metadata processor. The hook sees who the client is and what stands in its
// headers, and lets the call in or refuses it.
//
//	headers ──▶ asking ──▶ let in ──▶ the headers go up, with the principal
//	               │──▶ refused ──▶ recv_initial_metadata fails, the client is told
//	               └──▶ the call ended meanwhile: it fails with that, the answer is dropped
//
// # Contract
//
//   - recv_initial_metadata: goes up when the hook has let the call in. Until then
//     nothing above knows of the call and none of its messages is read. Headers
//     that do not arrive well are not asked about.
//   - A refusal cancels the call: the client gets the status of the hook's error,
//     with its details. An error that is no status is UNAUTHENTICATED, and its
//     text stays here: it goes to the log at level debug, for whoever is not known
//     is told only what was written for it. A status message is cut at 1024 bytes,
//     and is in no log and no trace.
//   - Of an error that wraps a status, the status alone is for the client, and of one
//     of this library the code alone: the hook may have asked another server.
//   - A hook that panics, or ends its goroutine, refuses with INTERNAL. The log has
//     the stack, at most once in 10 s, and the type of what it panicked with. The
//     client is not told what happened.
//   - A call that ends while the hook is asked ends at once: recv_initial_metadata
//     and recv_trailing_metadata fail with the reason, and ctx ends. The block of
//     the call stays in use until the hook returns, and with it, over HTTP/2, its
//     place among MaxStreams: a client that makes calls and resets them cannot
//     have more hooks running than that for each connection.
//   - What the hook leaves in [Request.Principal] is in CallArgs.Principal when the
//     headers go up. What it changes in the metadata is what the application reads.
//   - Not here: which methods a principal may call, unless the hook says so; the
//     handshake's own checks (credentials).
//
// # Goroutines
//
//	name   started by           ends when
//	ask    the headers          the hook returns
//
// There is none for an Inline hook, which runs where the headers arrive. A server
// that ends does not wait for a hook that ignores its context, as it does not wait
// for such a handler.
//
// # Locks
//
// async.mu guards what ends ctx. Nothing is called while it is held. Callbacks of a
// call with a goroutine go through its [callstack.Combiner].
package serverauth
