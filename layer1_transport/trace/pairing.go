package trace

import "slices"

// A pairing finds for a frame that was received the event of its sending: the
// one at the same offset of the same connection. The two ends number their
// connections on their own, so it also finds out which two numbers are one
// connection: that of the first frame that only one of the peer's unpaired
// connections can have sent, the oldest if there are several.
type pairing struct {
	sent  map[wireKey]EventID
	peers map[connKey]uint64  // the number at the other end
	alone map[string][]uint64 // connections of an endpoint that have no peer yet, oldest first
}

// A connKey is one end of a connection.
type connKey struct {
	endpoint string
	conn     uint64
}

// A wireKey names a frame on the wire by the place of its first byte in what
// one end sent.
type wireKey struct {
	connKey
	offset int64
}

func newPairing() pairing {
	return pairing{sent: map[wireKey]EventID{}, peers: map[connKey]uint64{}, alone: map[string][]uint64{}}
}

// send notes the event of a sending.
func (p *pairing) send(at wireKey, id EventID) {
	p.sent[at] = id
	_, paired := p.peers[at.connKey]
	if alone := p.alone[at.endpoint]; !paired && !slices.Contains(alone, at.conn) {
		p.alone[at.endpoint] = append(alone, at.conn)
	}
}

// receive returns the event of the sending of what was received at a place,
// 0 if it is not known. A frame is received once.
func (p *pairing) receive(at wireKey, peer string) EventID {
	conn, paired := p.peers[at.connKey]
	if !paired {
		alone := p.alone[peer]
		i := slices.IndexFunc(alone, func(conn uint64) bool {
			_, ok := p.sent[wireKey{connKey{peer, conn}, at.offset}]
			return ok
		})
		if i < 0 {
			return 0
		}
		conn = alone[i]
		p.pair(at.connKey, connKey{peer, conn})
	}
	from := wireKey{connKey{peer, conn}, at.offset}
	id := p.sent[from]
	delete(p.sent, from)
	return id
}

// pair notes that a and b are the two ends of one connection.
func (p *pairing) pair(a, b connKey) {
	p.peers[a], p.peers[b] = b.conn, a.conn
	for _, k := range []connKey{a, b} {
		p.alone[k.endpoint] = slices.DeleteFunc(p.alone[k.endpoint], func(conn uint64) bool { return conn == k.conn })
	}
}
