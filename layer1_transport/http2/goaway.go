package http2

import (
	"fmt"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2/alarm"
	"github.com/strata-grpc/strata/layer1_transport/http2/budget"
	"github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// The end of a connection, in order: open, draining (no new streams), drained
// (no streams), closed.
//
// A server ends gracefully in two steps. The first GOAWAY names the largest
// identifier there is, so that requests on their way are still served, and a
// PING follows it. When the client has answered it has seen the GOAWAY, and
// the second names the last stream that was really seen. RFC 9113 §6.8.

// connControl is the state of the connection as a whole.
type connControl struct {
	closed   error // why the connection is closed; nil while it is not
	draining bool  // no new streams
	cause    error // why it is draining
	final    bool  // our last GOAWAY was sent, and names last
	last     uint32
	peerLast uint32 // what the peer's last GOAWAY names
	drained  bool   // draining, and no stream is left

	credited time.Time // when the peer of a drained connection last said that it reads

	drainPing uint64 // the PING after our first GOAWAY, 0 for none
	pings     pings
	alarms    alarm.Set
	watchers  []connectivity.Watcher
	events    []event // to be told when the lock is released

	faults  budget.Bucket // what the peer may still do that costs us much
	resets  budget.Bucket // on a server: streams that the client may still open and reset
	tooMany error         // why faults were too many; ends the connection
	recent  []uint32      // on a server: streams that it has reset, see resetID

	ended [endedStreams]uint32 // on a client: streams that the server has ended, see peerClosed
}

// An event is something to be told to whoever is outside of the session: the
// answer to a ping, or a change of state to a watcher.
type event struct {
	done    transport.Done
	watcher connectivity.Watcher
	state   connectivity.State
	err     error
}

func (e event) tell() {
	if e.done != nil {
		e.done.Run(e.err)
		return
	}
	e.watcher.OnState(e.state, e.err)
}

// state returns what a watcher is told.
func (s *session) state() (connectivity.State, error) {
	switch c := &s.control; {
	case c.closed != nil:
		return connectivity.Shutdown, c.closed
	case c.draining:
		return connectivity.Idle, c.cause
	case !s.peer.received:
		return connectivity.Connecting, nil
	default:
		return connectivity.Ready, nil
	}
}

// notify tells every watcher the present state.
func (s *session) notify() {
	state, err := s.state()
	if s.trace.On() {
		s.trace.State(state.String(), err)
	}
	for _, w := range s.control.watchers {
		s.control.events = append(s.control.events, event{watcher: w, state: state, err: err})
	}
}

// drain refuses new streams from now on. Queued ones fail unsent.
func (s *session) drain(cause error) {
	if s.control.draining || s.control.closed != nil {
		return
	}
	s.control.draining, s.control.cause = true, cause
	s.out.Hurry()
	for s.queues.opening.head != nil {
		s.fail(s.queues.opening.pop(), s.notSent("connection is draining", cause))
	}
	s.notify()
	s.maybeDrained()
}

// maybeDrained notes the moment when a draining connection has no streams, and
// no request that is about to become one.
func (s *session) maybeDrained() {
	c := &s.control
	if c.draining && len(s.streams) == 0 && !s.in.waiting && (s.role == client || c.final) {
		c.drained = true
	}
}

// startGoAway begins the graceful end from this side.
func (s *session) startGoAway(g *transport.Goaway) {
	c := &s.control
	if c.closed != nil || c.final || c.drainPing != 0 {
		return
	}
	if s.role == client {
		s.appendGoAway(0, g.Code, g.Debug)
		c.final = true
		s.drain(s.newError(status.Unavailable, endedHere(g.Debug)))
		return
	}
	s.appendGoAway(frame.MaxStreamID, g.Code, g.Debug)
	c.drainPing = s.ping(nil)
	s.control.alarms.Arm(alarmDrainPing, time.Now().Add(drainPingTime))
	c.cause = s.newError(status.Unavailable, endedHere(g.Debug))
}

// endedHere words the graceful end from this side.
func endedHere(reason string) string {
	if reason == "" {
		return "connection ended by this side"
	}
	return "connection ended by this side: " + reason
}

// finalGoAway is the second step of a server.
func (s *session) finalGoAway() {
	c := &s.control
	if c.final || c.closed != nil {
		return
	}
	c.final, c.last = true, s.ids.lastPeer
	s.control.alarms.Disarm(alarmDrainPing)
	s.appendGoAway(c.last, frame.CodeNoError, "")
	s.drain(c.cause)
	s.maybeDrained()
}

// unseen reports whether a client opened the stream after the last one that
// our GOAWAY names: the client knows, or learns from it, that nobody looks at
// its frames. RFC 9113 §6.8.
func (s *session) unseen(id uint32) bool {
	return s.role == server && s.control.final && id > s.control.last
}

// lastSeen is the stream that a GOAWAY of ours names: the last of the peer, and
// never one above what an earlier GOAWAY has named. RFC 9113 §6.8.
func (s *session) lastSeen() uint32 {
	if s.role == server && s.control.final {
		return s.control.last
	}
	return s.ids.lastPeer
}

func (s *session) appendGoAway(last uint32, code frame.ErrCode, debug string) {
	s.out.Append(func(b []byte) []byte {
		start := len(b)
		b = frame.AppendGoAway(b, last, code, debug)
		s.traceSent(b, start, fmt.Sprintf("last=%d %v %q", last, code, debug))
		return b
	})
	if s.trace.On() {
		s.trace.Connection("goaway", trace.DirSend, 0, fmt.Sprintf("%v: %d streams are open", code, len(s.streams)))
	}
}

// onGoAway takes the peer's farewell: streams that it has not seen fail, and
// may be tried elsewhere. RFC 9113 §6.8.
func (s *session) onGoAway(h frame.Header, p []byte) error {
	f, err := frame.ParseGoAway(h, p)
	if err != nil {
		return err
	}
	cause := s.newError(status.Unavailable, fmt.Sprintf("connection ended by the peer with GOAWAY %v %q", f.Code, clipDebug(f.Debug)))
	cause.HTTP2, cause.HasHTTP2 = f.Code, true
	if f.Code == frame.CodeEnhanceYourCalm && string(f.Debug) == keepalive.TooManyPings {
		cause.Cause = keepalive.ErrTooManyPings
	}
	if s.role == server {
		// A client that leaves should open no more streams. Our own GOAWAY
		// tells it what becomes of one that it opens all the same.
		if s.control.cause == nil {
			s.control.cause = cause
		}
		s.finalGoAway()
		return nil
	}
	if f.LastStreamID != 0 && f.LastStreamID%2 == 0 {
		return connError(frame.CodeProtocol, "GOAWAY names stream %d, which this client cannot have opened", f.LastStreamID)
	}
	if f.LastStreamID > s.control.peerLast {
		return connError(frame.CodeProtocol, "GOAWAY names stream %d after it named %d", f.LastStreamID, s.control.peerLast)
	}
	s.control.peerLast = f.LastStreamID
	if s.trace.On() {
		s.trace.Connection("goaway", trace.DirRecv, s.trace.Last(), fmt.Sprintf("%v: of %d open streams those after %d were not seen", f.Code, len(s.streams), f.LastStreamID))
	}
	s.drain(cause)
	for _, id := range s.openStreams() {
		if st := s.streams[id]; id > f.LastStreamID {
			e := *cause
			e.Progress = st.unprocessed()
			s.fail(st, &e)
		}
	}
	s.maybeDrained()
	return nil
}

// leftGracefully reports whether the peer has ended the connection without an
// error.
func (s *session) leftGracefully() bool {
	e, ok := s.control.cause.(*transport.Error)
	return ok && s.control.draining && e.HasHTTP2 && e.HTTP2 == frame.CodeNoError
}

// clipDebug bounds what of a peer's text goes into errors.
func clipDebug(p []byte) string {
	const most = 256
	return string(p[:min(len(p), most)])
}
