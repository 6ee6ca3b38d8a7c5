// Package framescript plays one end of an HTTP/2 connection from a script: a
// peer that says exactly what the test wants to be said, right or wrong.
//
//	script (text) ─ Parse ─▶ steps ─ Run ─▶ frames ⇄ net.Conn ⇄ who is tested
//
//	client
//	send PREFACE
//	send SETTINGS initial_window=0
//	answer SETTINGS PING
//	# A request whose response may not contain a byte of DATA.
//	send HEADERS stream=1 END_STREAM request=/pkg.Service/Method
//	await HEADERS stream=1 :status=200
//	expect nothing within=1s
//
// # Contract
//
//   - A step a line. testdata/tour_client.txt and tour_server.txt show and
//     explain every step there is; the tests play them against each other.
//   - Up: a failed step names script:line, what was wanted and what came. What
//     came and was sent is in the Record, whether or not the script failed.
//   - Down: any net.Conn, in a testing/synctest bubble or not. Run closes it
//     when the script ends; a script whose peer must read everything first ends
//     with "await close".
//   - DATA of the peer is checked against the windows that the script gave it.
//   - Not here: TLS (give Run a tls.Conn), and an opinion about frames: what
//     comes is shown to the script, which judges.
//
// The package is for tests and nothing links it: the Framer of
// golang.org/x/net/http2 brings net/http along.
//
// # Goroutines
//
//	name        started by   ends when               owns
//	readLoop    Run          the connection ends     the HPACK decoder
//	writeLoop   Run          the run ends            the write in progress
//	acceptLoop  Serve        the listener is closed
//	serve       acceptLoop   its script ends, or Close
//
// Run and Close return when those they started are gone.
//
// # Locks
//
// monitor.mu guards what the goroutines of a run share, Server.mu the list of
// runs. Neither is held across I/O; Options.Log is called with monitor.mu.
//
// # Reading order
//
// framescript.go, kinds.go, value.go, parse.go, steps.go, peer.go, output.go,
// input.go, event.go, credit.go, block.go, send.go, expect.go, serve.go.
package framescript
