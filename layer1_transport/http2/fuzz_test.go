package http2

import (
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// FuzzServerWire feeds a server whatever a client may send, and lets a handler
// read, answer and give up in between, and time pass. FuzzClientWire does so
// for a client. Nothing may panic, windows stay legal, what is buffered stays
// within the windows, what is sent is what a strict peer would take, and in the
// end every operation has ended once and nothing refers to a stream any more.
func FuzzServerWire(f *testing.F) { fuzzWire(f, server) }

// FuzzClientWire is FuzzServerWire in the other role.
func FuzzClientWire(f *testing.F) { fuzzWire(f, client) }

func fuzzWire(f *testing.F, r role) {
	s := &script{t: &testing.T{}, calls: map[string]*scriptCall{}}
	s.begin("server", nil)
	request := s.frame("HEADERS", parseArgs([]string{"stream=1", ":method=POST", ":scheme=http", ":path=/s/m"}))
	response := s.frame("HEADERS", parseArgs([]string{"stream=1", ":status=200"}))
	trailers := s.frame("HEADERS", parseArgs([]string{"stream=1", "END_STREAM", "grpc-status=0"}))
	data := s.frame("DATA", parseArgs([]string{"stream=1", "message=9", "pad=3"}))
	settings := s.frame("SETTINGS", parseArgs([]string{"initial_window=3", "max_streams=2"}))
	f.Add(join(settings, request, data, trailers), []byte{1, 2, 3})
	f.Add(join(settings, response, data, trailers), []byte{0, 4, 5})
	f.Add(join(settings, frame.AppendGoAway(nil, 1, 0, "x"), frame.AppendRSTStream(nil, 1, 8)), []byte{6})
	f.Add(join(settings, frame.AppendWindowUpdate(nil, 1, 1<<30), frame.AppendPing(nil, false, [8]byte{})), []byte{7, 0})
	f.Add(join(settings, request, frame.AppendGoAway(nil, 0, 0, "x"), trailers, data), []byte{12, 4, 5})
	// Messages longer than the window of the connection, then of the stream.
	wide := frame.AppendSettings(nil, frame.Setting{ID: frame.SettingInitialWindowSize, Val: 1 << 20})
	credit := join(frame.AppendWindowUpdate(nil, 0, 1<<20), settings, frame.AppendWindowUpdate(nil, 1, 7))
	f.Add(join(wide, request, credit), []byte{0, 0xfc, 0, 0xfb, 0xfc})
	f.Add(join(wide, response, credit), []byte{0xfc, 0xfb, 0, 0xfc, 0xfb})
	f.Fuzz(func(t *testing.T, wire, acts []byte) {
		w := newWireFuzz(t, r)
		for len(wire) >= frame.HeaderLen && !w.ended {
			h := frame.ParseHeader(wire)
			end := frame.HeaderLen + int(h.Length)
			if h.CheckLength(frame.MinMaxFrameSize) != nil || end > len(wire) {
				break
			}
			w.frame(h, wire[frame.HeaderLen:end])
			wire = wire[end:]
			if len(acts) > 0 {
				w.act(acts[0])
				acts = acts[1:]
			}
			if !w.full {
				w.write()
			}
			w.check()
		}
		w.finish()
	})
}

func join(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// A wireFuzz is a session with calls on it that do as a byte says.
type wireFuzz struct {
	t     *testing.T
	s     *session
	c     *conn
	calls []*fuzzCall
	peer  *wirePeer
	full  bool // the socket takes nothing, so that bytes pile up
	ended bool
}

func newWireFuzz(t *testing.T, r role) *wireFuzz {
	w := &wireFuzz{t: t, c: bareConn(newSession(r, nil, Config{StreamWindow: 70000, ConnWindow: 70000, MaxStreams: 5}.withDefaults()))}
	w.s = w.c.s
	w.peer = newWirePeer(w)
	w.s.flow.limit = 72_000 // so that the windows of streams become narrow
	if r == client {
		for range 3 {
			c := w.newCall(nil)
			c.perform(transport.StreamOpBatch{Ops: transport.OpSendInitialMetadata,
				SendInitialMetadata: transport.SendInitialMetadata{MD: &c.sent}})
		}
	}
	return w
}

// A fuzzCall counts what it is owed.
type fuzzCall struct {
	w         *wireFuzz
	st        *stream
	refs      int
	owed      int // callbacks
	sent      metadata.List
	got       [2]metadata.List
	reading   bool
	read      *transport.StreamOpBatch
	sending   bool
	begun     bool // a server has sent its headers
	finishing bool
}

func (c *fuzzCall) Ref()   { c.refs++ }
func (c *fuzzCall) Unref() { c.refs-- }

func (c *fuzzCall) Run(error) { c.owed-- }

// zeros is what messages are made of.
var zeros = make([]byte, 256*500)

// message sends a message, and before the first one of a server the headers.
func (c *fuzzCall) message(n int) {
	b := transport.StreamOpBatch{Ops: transport.OpSendMessage, SendMessage: transport.SendMessage{Buf: transport.WrapBuffer(zeros[:n])}}
	if c.w.s.role == server && !c.begun {
		c.begun = true
		c.sent.HTTPStatus = "200"
		b.Ops |= transport.OpSendInitialMetadata
		b.SendInitialMetadata.MD = &c.sent
	}
	c.perform(b)
}

type fuzzSent fuzzCall

func (c *fuzzSent) Run(error) { c.owed--; c.sending = false }

type fuzzRead fuzzCall

func (c *fuzzRead) Run(err error) {
	c.owed--
	c.reading = false
	if m := c.read.RecvMessage.Message; m != nil {
		m.Release()
	}
}

func (w *wireFuzz) newCall(in transport.Accepted) *fuzzCall {
	c := &fuzzCall{w: w, st: w.c.NewStream().(*stream)}
	w.calls = append(w.calls, c)
	c.st.Init(c, in)
	c.owed += 2
	c.perform(transport.StreamOpBatch{Ops: transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata,
		RecvInitialMetadata:  transport.RecvInitialMetadata{MD: &c.got[0], Ready: c},
		RecvTrailingMetadata: transport.RecvTrailingMetadata{MD: &c.got[1], Ready: c}})
	return c
}

// perform starts a batch; send operations end in fuzzSent.
func (c *fuzzCall) perform(b transport.StreamOpBatch) *transport.StreamOpBatch {
	if b.Ops.Has(transport.OpsSend) {
		c.owed++
		c.sending = true
		b.OnComplete = (*fuzzSent)(c)
	}
	c.w.s.perform(c.st, &b)
	return &b
}

func (w *wireFuzz) frame(h frame.Header, p []byte) {
	if w.s.step(h, p) != nil {
		w.ended = true
		return
	}
	w.peer.sent(h, p)
	if in := &w.s.in; in.waiting {
		if len(w.calls)%4 == 3 {
			in.waiting = false // refused
		} else {
			w.newCall(in)
		}
	}
	deliverAll(w.s.takeDirty())
}

// act lets one call do something.
func (w *wireFuzz) act(b byte) {
	if len(w.calls) == 0 {
		return
	}
	c := w.calls[int(b>>4)%len(w.calls)]
	switch b % 8 {
	case 0, 1, 2:
		if !c.reading {
			c.reading, c.owed = true, c.owed+1
			c.read = &transport.StreamOpBatch{Ops: transport.OpRecvMessage}
			c.read.RecvMessage = transport.RecvMessage{Limit: 1 << 12 * int(b%3), Only: b%3 == 1, Ready: (*fuzzRead)(c)}
			w.s.perform(c.st, c.read)
		}
	case 3, 4:
		if !c.sending && !c.finishing {
			c.message(int(b) * 500)
		}
	case 5:
		if !c.sending && !c.finishing {
			c.finishing = true
			c.sent.HTTPStatus = ""
			c.sent.SetStatus(3, "enough")
			c.perform(transport.StreamOpBatch{Ops: transport.OpSendTrailingMetadata,
				SendTrailingMetadata: transport.SendTrailingMetadata{MD: &c.sent}})
		}
	case 6:
		c.perform(transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: status.Error(status.Canceled, "enough")})
	case 7:
		w.act7(b)
	}
	deliverAll(w.s.takeDirty())
}

// act7 is what happens to the connection rather than to a call.
func (w *wireFuzz) act7(b byte) {
	switch b >> 4 {
	case 0, 1, 2, 3:
		w.write()
	case 4, 5:
		w.full = !w.full
	case 6:
		w.s.startGoAway(&transport.Goaway{Debug: "bye"})
	case 7:
		w.s.ping(nil)
	default:
		if at := w.s.control.alarms.Next(); !at.IsZero() && w.s.onAlarms(at) != nil {
			w.ended = true
		}
	}
}

// write takes what the session has to send to its peer, until it is done.
func (w *wireFuzz) write() {
	for {
		w.s.pumpWaiting()
		if w.s.out.Len() == 0 {
			return
		}
		batch := w.s.out.Take()
		var b []byte
		for _, p := range batch.Buffers(0) {
			b = append(b, p...)
		}
		w.peer.got(b)
		w.s.out.Recycle(batch)
	}
}

// check states the invariants of window.go and of what is buffered.
func (w *wireFuzz) check() {
	f := &w.s.flow
	if f.send.avail > frame.MaxWindow || f.recv.avail < 0 || f.unread < 0 || f.held < 0 {
		w.t.Fatalf("connection windows broken: %+v", *f)
	}
	if got := f.recv.avail + f.recv.owed + int64(f.held); got != f.recv.size {
		w.t.Fatalf("the connection window lost credit: %d of %d", got, f.recv.size)
	}
	unread := 0
	for _, c := range w.calls {
		if c.owed < 0 {
			w.t.Fatalf("an operation of stream %d ended twice", c.st.id)
		}
		unread += c.st.recv.in.unread()
		if c.st.recv.window.avail < 0 && w.s.flow.narrowed == 0 || c.st.send.window.avail > frame.MaxWindow {
			w.t.Fatalf("windows of stream %d broken: %+v %+v", c.st.id, c.st.recv.window, c.st.send.window)
		}
	}
	if unread != f.unread {
		w.t.Fatalf("%d bytes are unread, %d are counted", unread, f.unread)
	}
}

// finish closes the connection: every operation ends, nothing is referred to.
func (w *wireFuzz) finish() {
	if !w.ended {
		w.write()
		w.peer.settled()
	}
	w.s.closeAll(errClosed)
	for _, c := range w.calls { // as whoever does not read to the end must
		c.w.s.perform(c.st, &transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: errClosed})
	}
	deliverAll(w.s.takeDirty())
	for i, c := range w.calls {
		if c.owed != 0 || c.refs != 0 {
			w.t.Fatalf("call %d of %d: %d callbacks are owed, %d references are left (state %v, err %v)",
				i, len(w.calls), c.owed, c.refs, c.st.state, c.st.err)
		}
		c.st.Reset()
	}
	if w.s.slots.used != w.s.slots.early.Len() || len(w.s.streams) != 0 || w.s.flow.unread != 0 {
		w.t.Fatalf("%d slots, %d streams and %d unread bytes are left", w.s.slots.used, len(w.s.streams), w.s.flow.unread)
	}
	batch := w.s.out.Take()
	batch.Release()
}
