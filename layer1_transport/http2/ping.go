package http2

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// A server counts the PINGs that come too early and ends the connection of a
// client that goes on, so whoever sends one as a client keeps to these rules.
//
//   - Keepalive sends what the user has asked for; too many for the server is
//     then a matter of configuration, and the channel doubles the time.
//   - A PING that measures the path (window.go) is sent after DATA that came
//     since the answer to the last one: the server has forgotten what it has
//     counted when it sent that DATA.
//   - A PING for an operation is sent if the server has more than one to
//     forgive afterwards. Else it shares the answer of one that is on its way,
//     or the operation fails.
//   - The answer to a PING is none, and nobody counts those of a server.
//
// HEADERS and DATA of the server excuse the next PING, and here WINDOW_UPDATE
// as well, as in gRPC's C core and unlike grpc-go: a client that only sends a
// long stream gets nothing else, and it has paid with a quarter of a window.

// pings are the PING frames of ours that have no answer yet. The payload is a
// number that grows, so that an answer finds its question. RFC 9113 §6.7.
type pings struct {
	last    uint64
	waiting []waitingPing

	alive     keepalive.Pinger
	alivePing uint64 // the number of its last PING
	// abuse counts, on a server, the PINGs of the client, and on a client
	// those that it has sent, as far as it can tell how the server counts.
	abuse keepalive.Enforcer
}

func newPings(r role, cfg *Config) pings {
	if r == server {
		return pings{alive: keepalive.NewPinger(cfg.Keepalive.Server()), abuse: keepalive.NewEnforcer(cfg.Enforcement)}
	}
	p := cfg.Keepalive.Client()
	return pings{alive: keepalive.NewPinger(p), abuse: keepalive.NewEnforcer(p.Assumed())}
}

type waitingPing struct {
	number uint64
	onAck  transport.Done // nil if nobody waits
	sent   time.Time      // with a trace: when it was sent
}

// ping sends a PING and returns its number.
func (s *session) ping(onAck transport.Done) uint64 {
	p := &s.control.pings
	if s.role == client {
		p.abuse.Ping(time.Now(), len(s.streams) > 0)
	}
	p.last++
	ping := waitingPing{number: p.last, onAck: onAck}
	if s.trace.On() {
		ping.sent = time.Now()
	}
	p.waiting = append(p.waiting, ping)
	s.appendPing(false, binary.BigEndian.AppendUint64(nil, p.last))
	return p.last
}

// pingFor sends a PING for an operation, or lets it share one.
func (s *session) pingFor(onAck transport.Done) error {
	p := &s.control.pings
	if s.role == server || p.abuse.Spare(time.Now(), len(s.streams) > 0) {
		s.ping(onAck)
		return nil
	}
	if n := len(p.waiting); n > 0 {
		p.waiting = append(p.waiting, waitingPing{number: p.waiting[n-1].number, onAck: onAck})
		return nil
	}
	return s.newError(status.ResourceExhausted, "another PING so soon, with no call in between, would count as abuse at the server")
}

// sentForCall notes that a frame for a call is sent. A server then excuses the
// client's next PING.
func (s *session) sentForCall() {
	if s.role == server {
		s.control.pings.abuse.Excuse()
	}
}

// receivedForCall notes that HEADERS or DATA came. With no PING on its way the
// server has sent them after it took the last one.
func (s *session) receivedForCall() {
	if p := &s.control.pings; s.role == client && len(p.waiting) == 0 {
		p.abuse.Excuse()
	}
}

// checkAlive sends a PING if the peer was silent for too long. It reports false
// if the peer is dead. It is called when alarmKeepalive is due, and when a
// stream begins after there were none: its PING then follows its HEADERS in
// one write, because a server that sees the PING first sees it without a
// stream, which it may not permit.
func (s *session) checkAlive(now time.Time) bool {
	action, next := s.control.pings.alive.Check(now, s.now, len(s.streams) > 0)
	if action == keepalive.Ping {
		p := &s.control.pings // a peer that does not answer the last one has sent something else
		p.waiting = slices.DeleteFunc(p.waiting, func(w waitingPing) bool { return w.number == p.alivePing && w.onAck == nil })
		p.alivePing = s.ping(nil)
	}
	if next.IsZero() {
		s.control.alarms.Disarm(alarmKeepalive)
	} else {
		s.control.alarms.Arm(alarmKeepalive, next)
	}
	return action != keepalive.Dead
}

// deadPeer is the end of a connection whose peer has not answered. The peer is
// told, in case that it is only slow.
func (s *session) deadPeer() error {
	s.appendGoAway(s.lastSeen(), frame.CodeNoError, "keepalive timeout")
	timeout := s.control.pings.alive.Timeout()
	return s.newError(status.Unavailable, fmt.Sprintf("keepalive: no sign of life for %v after a PING", timeout))
}

// onPing answers a PING, or finds whom an answer is for. RFC 9113 §6.7.
func (s *session) onPing(h frame.Header, p []byte) error {
	f, err := frame.ParsePing(h, p)
	if err != nil {
		return err
	}
	if !f.Ack {
		if s.role == server && s.control.pings.abuse.Ping(s.now, len(s.streams) > 0) {
			return connError(frame.CodeEnhanceYourCalm, keepalive.TooManyPings)
		}
		s.appendPing(true, f.Data[:])
		return nil
	}
	number := binary.BigEndian.Uint64(f.Data[:])
	w := &s.control.pings.waiting
	found := false
	*w = slices.DeleteFunc(*w, func(ping waitingPing) bool {
		if ping.number != number {
			return false
		}
		if s.trace.On() && !ping.sent.IsZero() {
			s.trace.Connection("ping.rtt", trace.DirRecv, s.trace.Last(), time.Since(ping.sent).String())
		}
		if found = true; ping.onAck != nil {
			s.control.events = append(s.control.events, event{done: ping.onAck})
		}
		return true
	})
	if found {
		s.answered(number)
	}
	return nil
}

// answered goes on with what has waited for the answer to a PING.
func (s *session) answered(number uint64) {
	if number == s.control.drainPing {
		s.finalGoAway()
	}
	if number == s.flow.probe {
		s.growWindows()
	}
}

// failPings ends the pings that will never be answered.
func (s *session) failPings() {
	for _, p := range s.control.pings.waiting {
		if p.onAck != nil {
			err := s.wrapError(status.Unavailable, "connection closed before the ping was answered", s.control.closed)
			s.control.events = append(s.control.events, event{done: p.onAck, err: err})
		}
	}
	s.control.pings.waiting = nil
}

func (s *session) appendPing(ack bool, data []byte) {
	s.out.Append(func(b []byte) []byte {
		start := len(b)
		b = frame.AppendPing(b, ack, [8]byte(data))
		s.traceSent(b, start, "")
		return b
	})
}
