package http2

import (
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// unreadState is what a server holds that nobody has read.
func (c *conn) unreadState() (unread int, narrow bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s.flow.unread, c.s.flow.narrowed != 0
}

// TestUnreadStreamsStarveNobody: a thousand calls whose messages nobody reads
// are bounded in what they keep, and one more call goes on beside them.
func TestUnreadStreamsStarveNobody(t *testing.T) {
	for _, tc := range []struct {
		name   string
		stream int // how many calls
		size   int // of the message of each
	}{
		{"many that send little", 1000, 64 << 10},
		{"few that send much", 40, 2 << 20},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testUnread(t, tc.stream, tc.size) })
		})
	}
}

func testUnread(t *testing.T, streams, size int) {
	nc, ns := memconn.Pipe()
	client, server := connectBoth(t, nc, ns, Config{})
	defer server.Close()
	defer client.Close()
	acceptor := transporttest.NewAcceptor(t, server)
	var calls, unread []*transporttest.Call
	message := make([]byte, size)
	for range streams {
		c := transporttest.NewClientCall(t, client)
		c.Batch().SendHeaders(transporttest.RequestHeaders()).SendMessage(message).HalfClose().Start()
		calls, unread = append(calls, c), append(unread, acceptor.Accept())
	}
	synctest.Wait() // everything that may be sent is there
	n, narrow := server.unreadState()
	if most := maxUnread + streams*narrowWindow; n > most || !narrow {
		t.Errorf("%d bytes are unread, want at most %d; narrow windows: %v", n, most, narrow)
	}

	c := transporttest.NewClientCall(t, client)
	end := c.Batch().SendHeaders(transporttest.RequestHeaders()).SendMessage(make([]byte, 3<<20)).HalfClose().
		RecvHeaders().RecvMessage(0).RecvTrailers().Start()
	s := acceptor.Accept()
	if m, ok, err := s.Batch().RecvHeaders().RecvMessage(0).Start().WaitMessage(); len(m) != 3<<20 {
		t.Fatalf("the call beside them: message of %d bytes, %v, %v", len(m), ok, err)
	}
	s.Batch().SendHeaders(transporttest.ResponseHeaders()).SendTrailers(transporttest.Trailers(status.OK, "")).Start()
	if md, err := end.WaitTrailers(); transporttest.StatusOf(md, err).Code() != status.OK {
		t.Errorf("the call beside them ended with %v", transporttest.StatusOf(md, err))
	}

	for i, s := range unread { // who is slow is not lost
		if m, _, err := s.Batch().RecvHeaders().RecvMessage(0).Start().WaitMessage(); len(m) != size || err != nil {
			t.Fatalf("call %d, read at last: message of %d bytes, %v", i, len(m), err)
		}
	}
	synctest.Wait()
	if n, narrow := server.unreadState(); n != 0 || narrow {
		t.Errorf("when all is read %d bytes are unread; narrow windows: %v", n, narrow)
	}
	for _, c := range append(append(calls, unread...), c, s) {
		c.Release()
	}
}

// TestConnectionWindowIsEnforced: a peer that takes no notice of windows and of
// SETTINGS is stopped by the window of the connection.
func TestConnectionWindowIsEnforced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		theirs, ours := memconn.Pipe()
		go func() {
			b := frame.AppendSettings([]byte(frame.ClientPreface))
			for id := uint32(1); id < 2*24; id += 2 {
				b = request(b, id, 0)
				for range 1 << 20 / frame.MinMaxFrameSize {
					b = data(b, id, 0, string(make([]byte, frame.MinMaxFrameSize)))
				}
			}
			theirs.Write(b) // fails when the server has closed
		}()
		tr, err := Accept(t.Context(), ours, nil, Config{})
		if err != nil {
			t.Fatal(err)
		}
		acceptor := transporttest.NewAcceptor(t, tr)
		answer, _ := io.ReadAll(theirs)
		var goaway frame.GoAway
		for b := answer; len(b) >= frame.HeaderLen; {
			h := frame.ParseHeader(b)
			if h.Type == frame.TypeGoAway {
				goaway, _ = frame.ParseGoAway(h, b[frame.HeaderLen:frame.HeaderLen+int(h.Length)])
			}
			b = b[frame.HeaderLen+int(h.Length):]
		}
		if goaway.Code != frame.CodeFlowControl {
			t.Errorf("the server ended with %v %q, want GOAWAY FLOW_CONTROL_ERROR", goaway.Code, goaway.Debug)
		}
		tr.Close()
		theirs.Close()
		// 16 MiB is the limit: the first octet of the 17th call was too much.
		for range 17 {
			acceptor.Accept().WaitGone()
		}
	})
}

// TestInitialWindowFlips is a peer that plays with SETTINGS_INITIAL_WINDOW_SIZE
// while 10 MB are sent: never more than it allows, and everything at last.
func TestInitialWindowFlips(t *testing.T) {
	const total = 10 << 20
	m := newSendModel(t)
	m.open()
	m.send(0, total)
	flips := []int64{1, 0, frame.MaxWindow, 0}
	for i := 0; m.streams[0].sent < total; i++ {
		if i > 1000 {
			t.Fatalf("stalled after %d bytes: %+v", m.streams[0].sent, *m.streams[0])
		}
		m.settings(flips[i%len(flips)])
		m.grant(0, 100_000)
		if i%3 == 0 {
			m.grant(1, 30_000) // which a window of 0 and all before it may swallow
		}
	}
}

// FuzzFlowControl holds the sending side of a session against a model: windows
// are numbers that are added to and taken from. What is sent never passes them,
// what may be sent is, and what overflows is an error of who is at fault.
// RFC 9113 §5.2, §6.9.
func FuzzFlowControl(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 200, 12, 2, 1, 0, 2, 0, 0, 2, 255, 23, 2, 0, 0})
	f.Add([]byte{0, 0, 0, 1, 255, 10, 0, 0, 0, 9, 255, 9, 3, 255, 10, 11, 20, 12, 4, 0, 0})
	f.Add([]byte{3, 255, 23, 3, 255, 23})
	f.Add([]byte{0, 0, 0, 1, 255, 14, 2, 255, 23, 11, 255, 23})
	f.Add([]byte{0, 0, 0, 1, 255, 14, 0, 0, 0, 9, 255, 14, 5, 0, 0, 3, 100, 12})
	f.Fuzz(func(t *testing.T, ops []byte) {
		m := newSendModel(t)
		for turns := 0; len(ops) >= 3 && !m.ended && turns < 300; turns++ {
			op, which := ops[0]%8, int(ops[0]>>3)
			n := min(int64(ops[1])<<(ops[2]%24), frame.MaxWindow)
			ops = ops[3:]
			switch op {
			case 0:
				m.open()
			case 1:
				m.send(which, int(n)%(1<<18))
			case 2:
				m.settings(n)
			case 3:
				m.grant(0, max(n, 1))
			case 4:
				m.grant(m.id(which), max(n, 1))
			case 5:
				m.reset(which, true)
			case 6:
				m.reset(which, false)
			}
		}
		m.finish()
	})
}

// A sendModel is a client's session and what ought to be true of it.
type sendModel struct {
	t       *testing.T
	e       *flowEnd
	conn    int64 // the window of the connection
	initial int64
	streams []*modelStream
	ended   bool // by an error of the connection
}

// A modelStream is what ought to be true of a stream.
type modelStream struct {
	c            *flowCall
	id           uint32
	window, sent int64
	left         int64 // bytes that wait to be sent
	gone         bool
}

func newSendModel(t *testing.T) *sendModel {
	e := newFlowPair(t, 1, Config{}, 0).ends[client]
	m := &sendModel{t: t, e: e, conn: frame.DefaultWindow, initial: frame.DefaultWindow}
	m.take(frame.AppendSettings(nil))
	return m
}

// take gives the session a frame of the peer's, and looks at what it sends.
func (m *sendModel) take(b []byte) (err error) {
	h := frame.ParseHeader(b)
	err = m.e.s.step(h, b[frame.HeaderLen:])
	m.look()
	return err
}

// look checks what the session has sent against the windows.
func (m *sendModel) look() {
	s := m.e.s
	deliverAll(s.takeDirty())
	for s.out.Len() > 0 {
		batch := s.out.Take()
		var b []byte
		for _, piece := range batch.Buffers(0) {
			b = append(b, piece...)
		}
		s.out.Recycle(batch)
		if len(b) > len(frame.ClientPreface) && string(b[:len(frame.ClientPreface)]) == frame.ClientPreface {
			b = b[len(frame.ClientPreface):]
		}
		for len(b) > 0 {
			h := frame.ParseHeader(b)
			if h.Type == frame.TypeData {
				m.sent(h.StreamID, int64(h.Length))
			}
			b = b[frame.HeaderLen+int(h.Length):]
		}
		s.pumpWaiting()
		deliverAll(s.takeDirty())
	}
	if m.ended {
		return
	}
	if s.flow.send.avail != m.conn {
		m.t.Fatalf("the window of the connection is %d, want %d", s.flow.send.avail, m.conn)
	}
	for _, st := range m.streams {
		switch {
		case st.gone:
		case st.c.st.send.window.avail != st.window:
			m.t.Fatalf("the window of stream %d is %d, want %d", st.id, st.c.st.send.window.avail, st.window)
		case st.left > 0 && st.window > 0 && m.conn > 0:
			m.t.Fatalf("stream %d waits with %d bytes, a window of %d and one of the connection of %d", st.id, st.left, st.window, m.conn)
		}
	}
}

func (m *sendModel) sent(id uint32, n int64) {
	for _, st := range m.streams {
		if st.id != id {
			continue
		}
		if st.gone && n > 0 || n > st.window && n > 0 || n > m.conn {
			m.t.Fatalf("DATA of %d bytes on stream %d with a window of %d and of the connection of %d (gone: %v)", n, id, st.window, m.conn, st.gone)
		}
		st.window -= n
		st.sent += n
		st.left -= n
		m.conn -= n
	}
}

func (m *sendModel) open() {
	if len(m.streams) >= 5 {
		return
	}
	p := m.e.p
	p.newCall(m.e, nil)
	c := p.open[client][len(p.open[client])-1]
	m.streams = append(m.streams, &modelStream{c: c, id: c.st.id, window: m.initial})
	m.look()
}

// pick returns a stream that is there, or nil.
func (m *sendModel) pick(which int) *modelStream {
	if len(m.streams) == 0 || m.streams[which%len(m.streams)].gone {
		return nil
	}
	return m.streams[which%len(m.streams)]
}

func (m *sendModel) id(which int) uint32 {
	if st := m.pick(which); st != nil {
		return st.id
	}
	return 0
}

func (m *sendModel) send(which, size int) {
	st := m.pick(which)
	if st == nil || st.c.sending {
		return
	}
	st.left += prefixLen + int64(size)
	st.c.sending = true
	st.c.perform(&transport.StreamOpBatch{Ops: transport.OpSendMessage, OnComplete: (*flowSent)(st.c),
		SendMessage: transport.SendMessage{Buf: transport.WrapBuffer(make([]byte, size))}})
	m.look()
}

func (m *sendModel) settings(initial int64) {
	delta, overflow := initial-m.initial, false
	for _, st := range m.streams {
		if !st.gone {
			st.window += delta
			overflow = overflow || st.window > frame.MaxWindow
		}
	}
	m.initial, m.ended = initial, overflow
	err := m.take(frame.AppendSettings(nil, frame.Setting{ID: frame.SettingInitialWindowSize, Val: uint32(initial)}))
	m.expect(fmt.Sprintf("SETTINGS_INITIAL_WINDOW_SIZE %d", initial), err, overflow)
}

// grant is a WINDOW_UPDATE; id is 0 for the connection.
func (m *sendModel) grant(id uint32, n int64) {
	connOverflow := false
	if id == 0 {
		connOverflow = m.conn+n > frame.MaxWindow
		m.conn += n
	}
	m.ended = m.ended || connOverflow
	for _, st := range m.streams {
		if id != 0 && st.id == id {
			st.window += n
			st.gone = st.gone || st.window > frame.MaxWindow
		}
	}
	err := m.take(frame.AppendWindowUpdate(nil, id, uint32(n)))
	m.expect(fmt.Sprintf("WINDOW_UPDATE %d on stream %d", n, id), err, connOverflow)
}

// expect checks that an overflow, and nothing else, ends the connection.
func (m *sendModel) expect(what string, err error, overflow bool) {
	e, ok := err.(*frame.Error)
	if overflow != (err != nil) || err != nil && (!ok || e.Code != frame.CodeFlowControl) {
		m.t.Fatalf("%s: error %v, want FLOW_CONTROL_ERROR: %v", what, err, overflow)
	}
}

// reset ends a stream, from the peer or from this side.
func (m *sendModel) reset(which int, peer bool) {
	st := m.pick(which)
	if st == nil {
		return
	}
	st.gone = true
	if peer {
		if err := m.take(frame.AppendRSTStream(nil, st.id, frame.CodeCancel)); err != nil {
			m.t.Fatal(err)
		}
		return
	}
	st.c.perform(&transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: errClosed})
	m.look()
}

// finish ends the connection: every send has ended, and nothing is referred to.
func (m *sendModel) finish() {
	m.e.s.closeAll(errClosed)
	deliverAll(m.e.s.takeDirty())
	for _, st := range m.streams {
		if st.c.sending || st.c.refs != 1 {
			m.t.Fatalf("stream %d: sending %v, %d references are left", st.id, st.c.sending, st.c.refs)
		}
	}
}
