// Package trace is how every layer tells what it does, when somebody asks.
//
// A [Sink] is given to a channel or a server. Without one each place that
// could emit costs a nil check and nothing else. With one, each event names
// its layer, what happened, and the event that caused it, so that the path of
// a call through the layers can be drawn.
//
// # Contract
//
//   - A [Sink] is set once, when a channel or server is made; without one
//     nothing is emitted and nothing is allocated, BenchmarkNoSink.
//   - At [LevelEvents] events hold no secrets. The other two levels are asked
//     for by name.
//   - A [Recorder] keeps events in memory and pairs what one end received with
//     what the other sent; [WriteJSON] writes them for a viewer.
//   - Not here: spans across processes, sampling, metrics.
//
// # Locks
//
// Recorder.mu. Nothing is called while it is held.
//
// # Reading order
//
// trace.go, recorder.go, pairing.go, json.go.
package trace
