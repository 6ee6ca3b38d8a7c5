// Package stress tests Strata under load and under faults, over loopback TCP:
// many channels with many callers each, while connections are cut, servers are
// stopped and restarted, connections grow old, channels are closed in mid-call, and
// handlers panic, vanish and oversleep.
//
// A call carries its caller's name and a job for its handler, so that each
// side knows all that the other one may do. What is checked:
//
//   - Each body, header and trailer names the caller that it is for.
//   - No message is missing where a side was told that there are no more.
//   - A call ends with a code that its handler gave, or with UNAVAILABLE,
//     CANCELLED or DEADLINE_EXCEEDED; the library invents no other.
//   - No call outlasts its deadline, and none is told of it before it passed.
//   - At the end all calls, handlers and goroutines are gone.
//   - A server that drains loses no call that waits for a server.
//
// The run is short with -short, and a minute without. A run that hangs ends
// with the stacks of all goroutines.
//
// # Reading order
//
// stress_test.go, channel_test.go, call_test.go, kinds_test.go, job_test.go,
// service_test.go, verdict_test.go, faults_test.go; graceful_test.go.
package stress
