// Package canary looks for secrets where they must not be: a word is planted in
// all that may be one, calls are made that succeed and that fail in every way,
// at most verbose logging, and then nothing that a human or a file could see may
// hold the word.
//
// The word is in metadata and credentials of calls, in binary values, good and
// malformed, in details of statuses, in the password of a proxy's URL, in the
// path and the bytes of TLS keys, in messages, and in what peers send that speak
// no HTTP/2. What is looked through are logs, traces at their default level,
// the texts of errors and panics, and every public type, printed in every way
// that package fmt has.
//
// The message of a status is the one text that its caller may see; it may not be
// in logs and traces. Another word stands for it.
//
// # Reading order
//
// canary_test.go has the words and where they are looked for, calls_test.go the
// calls, tokens_test.go those with credentials, gate_test.go those that a server's
// hook or limit decides about, peers_test.go the peers that are not ours,
// values_test.go the values that are printed.
package canary
