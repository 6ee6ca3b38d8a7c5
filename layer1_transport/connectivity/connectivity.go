// Package connectivity names the states of a channel and of its connections.
//
// The words are those of the gRPC connectivity semantics document. A channel
// moves between them as its load balancer says, a connection as its transport
// does; a [Watcher] of either is told of each move, in order.
package connectivity

// A State is how far a channel or a connection is from carrying calls.
type State uint8

// The states of the gRPC connectivity semantics document.
const (
	// Idle: not connected and not trying to be.
	Idle State = iota
	// Connecting: name resolution, dialling or a handshake is under way.
	Connecting
	// Ready: calls can be carried.
	Ready
	// TransientFailure: the last attempt failed; the next one waits for its backoff.
	TransientFailure
	// Shutdown: closed for good.
	Shutdown
)

var names = [...]string{"IDLE", "CONNECTING", "READY", "TRANSIENT_FAILURE", "SHUTDOWN"}

// String returns the name in the words of the document, such as "READY".
func (s State) String() string {
	if int(s) < len(names) {
		return names[s]
	}
	return "INVALID_STATE"
}

// A Watcher is told of each change of state, in order. cause is why the state
// is TransientFailure or Shutdown, or why a connection is Idle: it takes no new
// calls and ends with those that it has. Else cause is nil. It is called with
// no lock held and must not block.
type Watcher interface {
	OnState(s State, cause error)
}
