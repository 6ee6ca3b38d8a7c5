package http2

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2/alarm"
	"github.com/strata-grpc/strata/layer1_transport/http2/budget"
	"github.com/strata-grpc/strata/layer1_transport/http2/early"
	"github.com/strata-grpc/strata/layer1_transport/http2/headerblock"
	"github.com/strata-grpc/strata/layer1_transport/http2/outbox"
	"github.com/strata-grpc/strata/layer1_transport/http2/wiretrace"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// A role is which end of the connection this is. The differences are few: who
// sends the preface, whose stream identifiers are odd, who sends trailers.
type role uint8

const (
	client role = iota
	server
)

// layerName stands in errors and traces.
const layerName = "http2"

// A session is the protocol state of one connection. It does no I/O and starts
// no goroutines: frames go in through step, operations through perform, and
// what is to be sent collects in out. Guarded by conn.mu, all of it.
type session struct {
	// Set by newSession, read-only afterwards.
	role     role
	cfg      Config
	peerInfo *peer.Peer
	peerName string

	out     outbox.Outbox
	enc     *headerblock.Encoder
	dec     *headerblock.Decoder
	scratch []byte // memory for one encoded block

	streams map[uint32]*stream
	slots   slots
	ids     streamIDs
	peer    peerSettings
	flow    connFlow
	queues  streamQueues
	control connControl
	block   blockState
	in      incoming
	now     time.Time // of the last read, or when the session began

	trace    wiretrace.Tracer
	decoding uint32 // the stream of the block that is being decoded
}

// slots are what counts against MaxStreams, on a server.
type slots struct {
	used  int
	early early.Set // those of streams that were answered before their end
}

// streamIDs are where the numbering of streams stands. RFC 9113 §5.1.1.
type streamIDs struct {
	next     uint32 // the next that a client opens
	lastPeer uint32 // the last that the peer opened
}

// streamQueues are lists of streams, linked through the streams themselves.
type streamQueues struct {
	idle                 queue // clients: operations wait for headers
	opening              queue // clients: waiting for MAX_CONCURRENT_STREAMS or the socket
	data                 queue // waiting for the connection's window or the socket
	dirtyHead, dirtyTail *stream
}

func newSession(r role, p *peer.Peer, cfg Config) *session {
	s := &session{
		role: r, cfg: cfg, peerInfo: p, peerName: p.String(),
		enc:     headerblock.NewEncoder(),
		dec:     headerblock.NewDecoder(headerblock.Limits{ListSize: int(cfg.MaxHeaderList), Fields: maxHeaderFields}),
		streams: map[uint32]*stream{},
		ids:     streamIDs{next: cfg.FirstStreamID},
		control: connControl{peerLast: frame.MaxStreamID},
		peer:    initialPeerSettings(),
		flow:    newConnFlow(&cfg),
		now:     time.Now(),
	}
	s.enc.LimitTable(uint32(max(0, cfg.EncoderTable)))
	s.dec.AllowTable(uint32(max(0, cfg.DecoderTable)))
	s.control.faults = budget.New(cfg.FaultBurst, max(1, cfg.FaultBurst/faultRefill))
	atOnce := max(cfg.RapidResets, int(min(cfg.MaxStreams, math.MaxInt32)))
	s.control.resets = budget.New(atOnce, cfg.RapidResets)
	s.control.pings = newPings(r, &cfg)
	return s
}

// What a session waits for with time. The file in brackets has the rule.
const (
	alarmDrainPing   alarm.Kind = iota // the answer to the PING of a graceful end (goaway.go)
	alarmSendStall                     // the peer's windows (window.go)
	alarmEarly                         // the end of streams that were answered early (headers.go)
	alarmKeepalive                     // a sign of life of the peer (ping.go)
	alarmSettingsAck                   // the receipt for our SETTINGS (settings.go)
	alarmPause                         // the end of a pause in reading (stream.go)
	alarmDeferred                      // more to be written (writer.go)
)

// onAlarms does what is due. conn calls it when the time has come that
// alarms.Next told. An error ends the connection.
func (s *session) onAlarms(now time.Time) error {
	for {
		kind, ok := s.control.alarms.Due(now)
		if !ok || s.control.closed != nil {
			return nil
		}
		switch kind {
		case alarmDrainPing:
			s.finalGoAway()
		case alarmSendStall:
			s.endStalled(now)
		case alarmEarly:
			s.endEarly(now)
		case alarmKeepalive:
			if !s.checkAlive(now) {
				return s.deadPeer()
			}
		case alarmSettingsAck:
			return connError(frame.CodeSettingsTimeout, "no SETTINGS acknowledgement for %v", s.cfg.SettingsTimeout) // RFC 9113 §6.5.3
		case alarmDeferred:
			s.out.Hurry()
		case alarmPause: // whoever asks whether it is armed is told that something has changed
		}
	}
}

// step applies one received frame; p is its payload, valid during the call. An
// error ends the connection. Errors of one stream are dealt with inside.
func (s *session) step(h frame.Header, p []byte) error {
	if s.trace.On() {
		s.trace.Received(h, p)
	}
	err := s.dispatch(h, p)
	if e, ok := err.(*frame.Error); ok && e.StreamID != 0 {
		err = s.onStreamError(e)
	}
	s.trace.Applied()
	if err == nil {
		err = s.control.tooMany
	}
	return err
}

func (s *session) dispatch(h frame.Header, p []byte) error {
	if s.block.open && h.Type != frame.TypeContinuation {
		return connError(frame.CodeProtocol, "%v within a header block", h.Type) // RFC 9113 §6.2
	}
	if !s.peer.received && h.Type != frame.TypeSettings {
		return connError(frame.CodeProtocol, "the first frame is %v, must be SETTINGS", h.Type) // RFC 9113 §3.4
	}
	switch h.Type {
	case frame.TypeData:
		return s.onData(h, p)
	case frame.TypeHeaders:
		return s.onHeaders(h, p)
	case frame.TypePriority:
		_, err := frame.ParsePriority(h, p) // RFC 9113 §5.3.2: checked and ignored
		return err
	case frame.TypeRSTStream:
		return s.onRSTStream(h, p)
	case frame.TypeSettings:
		return s.onSettings(h, p)
	case frame.TypePushPromise:
		return connError(frame.CodeProtocol, "PUSH_PROMISE, which is switched off") // RFC 9113 §8.4
	case frame.TypePing:
		return s.onPing(h, p)
	case frame.TypeGoAway:
		return s.onGoAway(h, p)
	case frame.TypeWindowUpdate:
		return s.onWindowUpdate(h, p)
	case frame.TypeContinuation:
		return s.onContinuation(h, p)
	default:
		return nil // unknown types are ignored, RFC 9113 §4.1
	}
}

// onStreamError ends the stream that broke a rule of one frame.
func (s *session) onStreamError(e *frame.Error) error {
	if err := s.idleCheck(e.StreamID, "a malformed frame"); err != nil {
		return err
	}
	st := s.streams[e.StreamID]
	s.spend(streamFaults)
	if st == nil {
		s.wasEarly(e.StreamID, s.slots.early.Reset(e.StreamID))
		s.resetID(e.StreamID, e.Code)
		return nil
	}
	s.reset(st, e.Code)
	s.fail(st, s.wrapError(status.Internal, "the peer broke a rule of HTTP/2", e))
	return nil
}

// breach ends a stream whose peer broke a rule of HTTP/2, which costs the peer
// a token: to make us reset streams is an attack (CVE-2025-8671).
// RFC 9113 §5.4.2.
func (s *session) breach(st *stream, code frame.ErrCode, reason string) {
	s.spend(streamFaults)
	s.reset(st, code)
	s.fail(st, s.newError(status.Internal, reason))
}

// breachID is breach where no call has to learn of it.
func (s *session) breachID(id uint32, code frame.ErrCode) {
	s.spend(streamFaults)
	s.resetID(id, code)
}

// What costs a token, as a GOAWAY names it. What gRPC answers with a status
// costs none: an application at the peer may ask for it without end.
const (
	streamFaults  = "errors on streams"
	settingsFlood = "SETTINGS frames"
)

// spend takes a token for what the peer did. When there is none left the
// connection ends, see step.
func (s *session) spend(what string) {
	if !s.control.faults.Spend(s.now) && s.control.tooMany == nil {
		s.control.tooMany = connError(frame.CodeEnhanceYourCalm, "too many %s", what)
	}
}

// idleCheck is called for a frame on a stream that is not in the map: on one
// that was never opened it is an error of the connection. RFC 9113 §5.1.
func (s *session) idleCheck(id uint32, what string) error {
	idle := id > s.ids.lastPeer
	if s.role == client {
		idle = id >= s.ids.next
	}
	if idle || id%2 == 0 {
		return connError(frame.CodeProtocol, "%s on the idle stream %d", what, id)
	}
	return nil
}

// appendWindowUpdate sends WINDOW_UPDATE, unless there is nothing to give.
func (s *session) appendWindowUpdate(id, increment uint32) {
	if increment > 0 {
		s.sentForCall()
		s.out.Commit(s.windowUpdate(s.out.Small(), id, increment))
	}
}

func (s *session) windowUpdate(b []byte, id, increment uint32) []byte {
	start := len(b)
	b = frame.AppendWindowUpdate(b, id, increment)
	if s.trace.On() {
		s.traceSent(b, start, fmt.Sprintf("increment=%d", increment))
	}
	return b
}

// traceSent tells of the frame that stands in b from start on, where b is the
// buffer of the outbox before it is committed.
func (s *session) traceSent(b []byte, start int, text string) {
	if s.trace.On() {
		s.trace.Sent(0, s.out.Total()+int64(start-len(s.out.Small())), b[start:], text)
	}
}

// closeAll fails every stream; nothing is sent or opened after it.
func (s *session) closeAll(cause error) {
	if s.control.closed != nil {
		return
	}
	s.control.closed = cause
	code := status.Unavailable
	if e, ok := cause.(*transport.Error); ok {
		code = e.Code // of a disconnect by this side, which may say CANCELLED
	}
	for s.queues.idle.head != nil {
		s.fail(s.queues.idle.pop(), s.notSent("connection closed before the call was sent", cause))
	}
	for s.queues.opening.head != nil {
		s.fail(s.queues.opening.pop(), s.notSent("connection closed before the call was sent", cause))
	}
	for _, id := range s.openStreams() {
		s.fail(s.streams[id], s.wrapError(code, "connection closed", cause))
	}
	s.failPings()
	s.notify()
}

// openStreams lists the streams in the order in which they began.
func (s *session) openStreams() []uint32 { return slices.Sorted(maps.Keys(s.streams)) }

// newError returns how a stream failed.
func (s *session) newError(code status.Code, reason string) *transport.Error {
	return &transport.Error{Code: code, Layer: layerName, Peer: s.peerName, Reason: reason}
}

func (s *session) wrapError(code status.Code, reason string, cause error) *transport.Error {
	e := s.newError(code, reason)
	e.Cause = cause
	return e
}

// notSent is the failure of a call of which no byte has left.
func (s *session) notSent(reason string, cause error) *transport.Error {
	e := s.wrapError(status.Unavailable, reason, cause)
	e.Progress = transport.ProgressNotSent
	return e
}

// streamError is newError for code that does not know the session.
func streamError(code status.Code, format string, args ...any) *transport.Error {
	return &transport.Error{Code: code, Layer: layerName, Reason: fmt.Sprintf(format, args...)}
}

// connError is a rule whose breach ends the connection. RFC 9113 §5.4.1.
func connError(code frame.ErrCode, format string, args ...any) error {
	return &frame.Error{Code: code, Reason: fmt.Sprintf(format, args...)}
}
