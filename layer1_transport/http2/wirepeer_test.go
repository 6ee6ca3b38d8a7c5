package http2

import (
	"github.com/strata-grpc/strata/layer1_transport/frame"
)

// A wirePeer is what a peer knows of a session: what it has sent, and what it
// has got back. It finds the frames that a correct peer would have to punish.
type wirePeer struct {
	w       *wireFuzz
	initial int64            // the stream window that this peer has announced
	conn    int64            // what the session may still send on the connection
	room    map[uint32]int64 // and on each stream
	ended   map[uint32]bool  // END_STREAM came
	reset   map[uint32]bool  // RST_STREAM came
	last    uint32           // the last stream that a client has opened
	block   uint32           // the stream of a block that is not complete
	left    uint32           // what the last GOAWAY named
	unacked [][]int64        // the stream windows of each SETTINGS that has no receipt yet
	pongs   int              // PINGs that have no answer yet
}

func newWirePeer(w *wireFuzz) *wirePeer {
	return &wirePeer{w: w, initial: frame.DefaultWindow, conn: frame.DefaultWindow, left: frame.MaxStreamID,
		room: map[uint32]int64{}, ended: map[uint32]bool{}, reset: map[uint32]bool{}}
}

// sent notes a frame that the session has taken.
func (p *wirePeer) sent(h frame.Header, payload []byte) {
	switch h.Type {
	case frame.TypeSettings:
		f, err := frame.ParseSettings(h, payload)
		if err != nil || f.Ack {
			return
		}
		var windows []int64
		for i := range f.Len() {
			if s := f.At(i); s.ID == frame.SettingInitialWindowSize {
				windows = append(windows, int64(s.Val))
			}
		}
		p.unacked = append(p.unacked, windows)
	case frame.TypePing:
		if !h.Flags.Has(frame.FlagAck) {
			p.pongs++
		}
	case frame.TypeWindowUpdate:
		f, err := frame.ParseWindowUpdate(h, payload)
		if err != nil {
			return
		}
		if h.StreamID == 0 {
			p.conn += int64(f.Increment)
		} else if _, ok := p.room[h.StreamID]; ok {
			p.room[h.StreamID] += int64(f.Increment)
		}
	case frame.TypeHeaders:
		if _, ok := p.room[h.StreamID]; !ok && p.w.s.role == server {
			p.room[h.StreamID] = p.initial
		}
	}
}

// acked applies the oldest SETTINGS that had no receipt: what the session has
// written before that was right by those before. RFC 9113 §6.5.3.
func (p *wirePeer) acked() {
	if len(p.unacked) == 0 {
		p.w.t.Fatal("the session acknowledged SETTINGS that it has not got")
	}
	for _, window := range p.unacked[0] {
		for id := range p.room {
			p.room[id] += window - p.initial
		}
		p.initial = window
	}
	p.unacked = p.unacked[1:]
}

// got checks the bytes that the session has written.
func (p *wirePeer) got(b []byte) {
	for len(b) > 0 {
		h := frame.ParseHeader(b)
		end := frame.HeaderLen + int(h.Length)
		if end > len(b) || h.CheckLength(frame.MinMaxFrameSize) != nil {
			p.w.t.Fatalf("the session sent %v in %d bytes", h, len(b))
		}
		p.frame(h, b[frame.HeaderLen:end])
		b = b[end:]
	}
}

func (p *wirePeer) frame(h frame.Header, payload []byte) {
	t, id := p.w.t, h.StreamID
	if (h.Type == frame.TypeContinuation) != (p.block != 0) || p.block != 0 && p.block != id {
		t.Fatalf("the session sent %v while the block of stream %d is open", h, p.block)
	}
	var err error
	switch h.Type {
	case frame.TypeHeaders:
		p.headers(h)
		_, err = frame.ParseHeaders(h, payload)
	case frame.TypeContinuation:
		if h.Flags.Has(frame.FlagEndHeaders) {
			p.block = 0
		}
	case frame.TypeData:
		p.speaks(h)
		p.room[id] -= int64(h.Length)
		p.conn -= int64(h.Length)
		if h.Length > 0 && (p.room[id] < 0 || p.conn < 0) {
			t.Fatalf("the session sent %v beyond the windows, by %d and %d bytes", h, -p.room[id], -p.conn)
		}
		p.ended[id] = p.ended[id] || h.Flags.Has(frame.FlagEndStream)
	case frame.TypeRSTStream:
		_, err = frame.ParseRSTStream(h, payload)
		p.reset[id] = true
	case frame.TypeWindowUpdate:
		_, err = frame.ParseWindowUpdate(h, payload)
		if p.reset[id] {
			t.Fatalf("the session sent %v after RST_STREAM", h)
		}
	case frame.TypeSettings:
		_, err = frame.ParseSettings(h, payload)
		if h.Flags.Has(frame.FlagAck) {
			p.acked()
		}
	case frame.TypePing:
		if h.Flags.Has(frame.FlagAck) {
			p.pongs--
		}
	case frame.TypeGoAway:
		f, e := frame.ParseGoAway(h, payload)
		if err = e; f.LastStreamID > p.left {
			t.Fatalf("GOAWAY names stream %d after %d", f.LastStreamID, p.left)
		}
		p.left = f.LastStreamID
	default:
		t.Fatalf("the session sent %v", h)
	}
	if err != nil || p.pongs < 0 {
		t.Fatalf("the session sent %v: %v; %d answers to PING are owed", h, err, p.pongs)
	}
}

// headers checks who may open streams and in which order. RFC 9113 §5.1.1.
func (p *wirePeer) headers(h frame.Header) {
	if _, known := p.room[h.StreamID]; !known {
		if p.w.s.role == server || h.StreamID%2 == 0 || h.StreamID <= p.last {
			p.w.t.Fatalf("the session opened stream %d after %d", h.StreamID, p.last)
		}
		p.last = h.StreamID
		p.room[h.StreamID] = p.initial
	}
	p.speaks(h)
	if !h.Flags.Has(frame.FlagEndHeaders) {
		p.block = h.StreamID
	}
	p.ended[h.StreamID] = h.Flags.Has(frame.FlagEndStream)
}

// speaks checks that the session may send on the stream. RFC 9113 §5.1.
func (p *wirePeer) speaks(h frame.Header) {
	if _, known := p.room[h.StreamID]; !known || p.ended[h.StreamID] || p.reset[h.StreamID] {
		p.w.t.Fatalf("the session sent %v: the stream is known: %v, ended: %v, reset: %v",
			h, known, p.ended[h.StreamID], p.reset[h.StreamID])
	}
}

// settled checks that nothing is owed once everything is written.
func (p *wirePeer) settled() {
	if len(p.unacked) != 0 || p.pongs != 0 || p.block != 0 {
		p.w.t.Fatalf("%d receipts and %d answers to PING are owed, a block is open on stream %d", len(p.unacked), p.pongs, p.block)
	}
}
