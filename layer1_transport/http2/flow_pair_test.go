package http2

import (
	"math/rand/v2"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// A flowPair is two sessions that talk to each other without a connection: what
// one wants to send is carried to the other, some frames at a time, so that
// every order of events comes up and none depends on a scheduler.
type flowPair struct {
	t     *testing.T
	r     *rand.Rand
	ends  [2]*flowEnd // by role
	open  [2][]*flowCall
	now   time.Time
	stats struct {
		ended, cancelled, padded int
		narrowed                 [2]int // frames delivered to narrow windows, by role
	}
}

// A flowEnd is one session, and what was counted on the wire to it.
type flowEnd struct {
	p      *flowPair
	c      *conn
	s      *session
	wire   []byte // frames on their way to this end
	data   int64  // DATA that was delivered, padding included
	credit int64  // connection credit that this end has sent
	first  int64  // the connection's window at the beginning
}

func newFlowPair(t *testing.T, seed uint64, cfg Config, limit int) *flowPair {
	p := &flowPair{t: t, r: rand.New(rand.NewPCG(seed, 0)), now: time.Unix(0, 0)}
	for r := range p.ends {
		e := &flowEnd{p: p, c: bareConn(newSession(role(r), nil, cfg.withDefaults()))}
		e.c.w.held = true // nothing is written
		e.s = e.c.s
		if limit > 0 {
			e.s.flow.limit = limit
		}
		e.first = e.s.flow.recv.size
		e.s.greet()
		p.ends[r] = e
	}
	return p
}

// carry puts what an end wants to send on the wire to the other.
func (p *flowPair) carry(from *flowEnd) {
	to := p.ends[1-from.s.role]
	batch := from.s.out.Take()
	var b []byte
	for _, piece := range batch.Buffers(0) {
		b = append(b, piece...)
	}
	from.s.out.Recycle(batch)
	if len(b) >= len(frame.ClientPreface) && string(b[:len(frame.ClientPreface)]) == frame.ClientPreface {
		b = b[len(frame.ClientPreface):]
	}
	for len(b) > 0 {
		h := frame.ParseHeader(b)
		end := frame.HeaderLen + int(h.Length)
		if h.Type == frame.TypeWindowUpdate && h.StreamID == 0 {
			f, _ := frame.ParseWindowUpdate(h, b[frame.HeaderLen:end])
			from.credit += int64(f.Increment)
		}
		if f, err := frame.ParseRSTStream(h, b[frame.HeaderLen:end]); h.Type == frame.TypeRSTStream && err == nil && f.Code == frame.CodeFlowControl {
			p.t.Fatalf("the %s thinks that its peer has passed a window", from.s.roleName())
		}
		to.wire = append(to.wire, from.pad(h, b[:end])...)
		b = b[end:]
	}
	from.s.openWaiting()
	from.s.pumpWaiting()
}

// pad makes a padded frame of some DATA frames, as far as the windows allow.
func (e *flowEnd) pad(h frame.Header, b []byte) []byte {
	st, n := e.s.streams[h.StreamID], e.p.r.IntN(256)
	if h.Type != frame.TypeData || st == nil || e.p.r.IntN(4) > 0 ||
		n >= min(e.s.flow.send.room(), st.send.window.room(), frame.MinMaxFrameSize-int(h.Length)) {
		return b
	}
	e.p.stats.padded++
	e.s.flow.send.take(n + 1)
	st.send.window.take(n + 1)
	padded := frame.AppendHeader(nil, int(h.Length)+n+1, h.Type, h.Flags|frame.FlagPadded, h.StreamID)
	padded = append(append(padded, byte(n)), b[frame.HeaderLen:]...)
	return append(padded, make([]byte, n)...)
}

// deliver gives an end the next frame on its wire.
func (e *flowEnd) deliver() bool {
	if len(e.wire) == 0 {
		return false
	}
	h := frame.ParseHeader(e.wire)
	end := frame.HeaderLen + int(h.Length)
	if h.Type == frame.TypeData {
		e.data += int64(h.Length)
	}
	e.p.now = e.p.now.Add(10 * time.Microsecond)
	e.s.now = e.p.now
	err := e.s.step(h, e.wire[frame.HeaderLen:end])
	e.wire = e.wire[end:]
	if err != nil {
		e.p.t.Fatalf("the %s was sent something that ends the connection: %v", e.s.roleName(), err)
	}
	if e.s.in.waiting {
		e.p.newCall(e, &e.s.in)
	}
	deliverAll(e.s.takeDirty())
	if e.s.flow.isNarrow() {
		e.p.stats.narrowed[e.s.role]++
	}
	return true
}

// settle carries and delivers until nothing is on the way.
func (p *flowPair) settle() {
	for moved := true; moved; {
		moved = false
		for _, e := range p.ends {
			for e.s.out.Len() > 0 {
				p.carry(e)
			}
			for p.ends[1-e.s.role].deliver() {
				moved = true
			}
		}
	}
}

// A flowCall is one end of a call, with a mind of its own.
type flowCall struct {
	e      *flowEnd
	st     *stream
	refs   int
	left   int  // messages to send
	large  bool // they may be larger than any window
	reads  bool
	cancel int // turns until it is cancelled

	first, last, sent     metadata.List
	read                  *transport.StreamOpBatch
	began, finished, over bool
	sending, reading      bool
}

// newCall begins a call, or takes one that the client has begun.
func (p *flowPair) newCall(e *flowEnd, in transport.Accepted) {
	c := &flowCall{
		e: e, st: e.c.NewStream().(*stream), refs: 1, left: p.r.IntN(3), large: p.r.IntN(25) == 0,
		reads: p.r.IntN(6) > 0, cancel: 200 + p.r.IntN(200),
	}
	if p.r.IntN(8) == 0 {
		c.cancel = 1 + p.r.IntN(30)
	}
	if p.r.IntN(20) == 0 {
		c.left = 0 // ends at once
	}
	p.open[e.s.role] = append(p.open[e.s.role], c)
	c.st.Init(c, in)
	c.perform(&transport.StreamOpBatch{Ops: transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata,
		RecvInitialMetadata:  transport.RecvInitialMetadata{MD: &c.first, Ready: nothing{}},
		RecvTrailingMetadata: transport.RecvTrailingMetadata{MD: &c.last, Ready: (*flowEnded)(c)}})
	if e.s.role == client {
		c.sent.Known = metadata.Known{Method: "POST", Scheme: "http", Path: "/s/m"}
		c.began = true
		c.perform(&transport.StreamOpBatch{Ops: transport.OpSendInitialMetadata, OnComplete: nothing{},
			SendInitialMetadata: transport.SendInitialMetadata{MD: &c.sent}})
	}
}

// Ref and Unref count as a call block does.
func (c *flowCall) Ref() { c.refs++ }

func (c *flowCall) Unref() {
	if c.refs--; c.refs == 0 {
		c.st.Reset()
	}
}

type nothing struct{}

func (nothing) Run(error) {}

type (
	flowSent  flowCall
	flowRead  flowCall
	flowEnded flowCall
)

func (c *flowSent) Run(error) { c.sending = false }

func (c *flowEnded) Run(error) { c.over = true }

func (c *flowRead) Run(error) {
	c.reading = false
	c.read.RecvMessage.Message.Release()
}

func (c *flowCall) perform(b *transport.StreamOpBatch) {
	c.e.s.perform(c.st, b)
	deliverAll(c.e.s.takeDirty())
}

// turn lets a call do one thing. It reports whether the call is gone.
func (c *flowCall) turn() bool {
	r := c.e.p.r
	c.cancel--
	switch {
	case c.over && !c.sending && !c.reading:
		c.Unref()
		return true
	case c.over:
		// what it has started ends by itself
	case c.cancel == 0:
		c.e.p.stats.cancelled++
		c.reads = true
		c.perform(&transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: status.Error(status.Canceled, "enough")})
	case !c.began: // a server
		c.began = true
		c.sent.HTTPStatus = "200"
		c.perform(&transport.StreamOpBatch{Ops: transport.OpSendInitialMetadata, OnComplete: nothing{},
			SendInitialMetadata: transport.SendInitialMetadata{MD: &c.sent}})
	case c.reads && !c.reading && r.IntN(2) == 0:
		c.reading = true
		c.read = &transport.StreamOpBatch{Ops: transport.OpRecvMessage, RecvMessage: transport.RecvMessage{Ready: (*flowRead)(c)}}
		c.perform(c.read)
	case !c.sending && c.left > 0:
		c.left--
		c.sending = true
		size := r.IntN(1 << r.IntN(14))
		if c.large {
			size = r.IntN(1 << 19)
		}
		c.perform(&transport.StreamOpBatch{Ops: transport.OpSendMessage, OnComplete: (*flowSent)(c),
			SendMessage: transport.SendMessage{Buf: transport.WrapBuffer(make([]byte, size))}})
	case !c.sending && !c.finished:
		c.finished = true
		c.sending = true
		md := new(metadata.List)
		if c.e.s.role == server {
			md.SetStatus(0, "")
		}
		c.perform(&transport.StreamOpBatch{Ops: transport.OpSendTrailingMetadata, OnComplete: (*flowSent)(c),
			SendTrailingMetadata: transport.SendTrailingMetadata{MD: md}})
	}
	return false
}

// turnOf gives a call of that role its turn.
func (p *flowPair) turnOf(r role) {
	if n := len(p.open[r]); n > 0 {
		i := p.r.IntN(n)
		if p.open[r][i].turn() {
			p.stats.ended++
			p.open[r][i] = p.open[r][n-1]
			p.open[r] = p.open[r][:n-1]
		}
	}
}
