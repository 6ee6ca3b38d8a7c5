package http2

import (
	"encoding/binary"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// pings are the PING frames of ours that have no answer yet. The payload is a
// number that grows, so that an answer finds its question. RFC 9113 §6.7.
type pings struct {
	last    uint64
	waiting []waitingPing
}

type waitingPing struct {
	number uint64
	onAck  transport.Done // nil if nobody waits
}

// ping sends a PING and returns its number.
func (s *session) ping(onAck transport.Done) uint64 {
	p := &s.control.pings
	p.last++
	p.waiting = append(p.waiting, waitingPing{p.last, onAck})
	s.appendPing(false, binary.BigEndian.AppendUint64(nil, p.last))
	return p.last
}

// onPing answers a PING, or finds whom an answer is for. RFC 9113 §6.7.
func (s *session) onPing(h frame.Header, p []byte) error {
	f, err := frame.ParsePing(h, p)
	if err != nil {
		return err
	}
	if !f.Ack {
		s.appendPing(true, f.Data[:])
		return nil
	}
	number := binary.BigEndian.Uint64(f.Data[:])
	w := &s.control.pings.waiting
	for i, ping := range *w {
		if ping.number == number {
			*w = append((*w)[:i], (*w)[i+1:]...)
			s.answered(ping)
			break
		}
	}
	return nil
}

// answered notes the end of a ping for whoever waits for it.
func (s *session) answered(p waitingPing) {
	if p.onAck != nil {
		s.control.events = append(s.control.events, event{done: p.onAck})
	}
	if p.number == s.control.drainPing {
		s.finalGoAway()
	}
	if p.number == s.flow.probe {
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
