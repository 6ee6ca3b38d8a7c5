// Package surfacetest is gRPC core's end2end suite as a test kit: what a
// channel, a server and everything between them do, seen through batches and
// one completion queue.
//
//	        a fixture: how channels find a server
//	              │ Open
//	┌─────────────▼───────────────────────────────────────────────┐
//	│ fixture.go    Fixture and Link; those in memory             │
//	│ kit.go        Run: every case over every fixture            │
//	│ rig.go        a server, a channel, a queue; events awaited  │
//	│ call.go       the two ends of a call and their operations   │
//	│ *_cases.go    the cases, by file and name of gRPC core      │
//	│ internal/     wire: what an end sends, changed by frames    │
//	│               tunnel: an HTTP proxy; traced: traces judged  │
//	│ waiting.go    the names without a case, and why             │
//	│ report.go     the table name × fixture                      │
//	└─────────────────────────────────────────────────────────────┘
//
// Whoever has a transport, a dialer, credentials or filters of their own makes
// a [Fixture] of them and calls [Run]. tests/end2end does so with sockets and
// TLS, and keeps the table.
//
// A case is a row in the list that begins a *_cases.go file, and a function of
// the rig. What gRPC core has no test for stands in a file "ours/…". A new file of
// cases goes into suite in kit.go, a new case into the table (go test ./end2end
// -update in tests), and a fault that it finds into defects in judge_test.go.
//
// # Contract
//
//   - Up: a case has the file and name of the test in gRPC core 1.65 that it
//     mirrors, testdata/names.txt, and expects the events that one expects, or
//     says where it differs and why.
//   - Up: a case that a fixture cannot have is marked in the table, and so is
//     one that waits for a part of this project.
//   - Up: at the end of a case everything that was begun has posted its event
//     and, in a bubble, no goroutine is left.
//   - Up: where time is real, a case whose deadline passes before it has done
//     what comes first is run again with more time.
//   - Down: only what package surface exports, and filters of layer 2.
//   - Not here: what single functions do, which is tested where they are; what
//     cannot be a case over all fixtures, such as the tests that speak raw
//     bytes to a server.
//
// # Goroutines
//
//	name         started by  ends when
//	Serve        Link.Serve  the server has closed
//	runShutdown  a case      Shutdown has returned
//
// # Locks
//
// inProcess.mu and memory.mu are leaves.
//
// # Reading order
//
// basic_cases.go, call.go, rig.go, kit.go, fixture.go; then the other cases; waiting.go, report.go.
//
//bars:allow folder-size a file of cases for each subject, all of which need the rig
package surfacetest
