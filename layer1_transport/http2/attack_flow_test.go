package http2

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// An answerer sends a message on each stream, and notes how and when that ends.
type answerer struct {
	size int

	mu    sync.Mutex
	calls []*answer
}

type answer struct {
	st    transport.Stream
	batch transport.StreamOpBatch
	ended time.Time
	err   error
	from  *answerer
}

func (*answer) Ref()   {}
func (*answer) Unref() {}
func (a *answer) Run(err error) {
	a.from.mu.Lock()
	defer a.from.mu.Unlock()
	a.ended, a.err = time.Now(), err
}

func (s *answerer) AcceptStream(tr transport.Transport, in transport.Accepted) {
	a := &answer{st: tr.NewStream(), from: s}
	a.st.Init(a, in)
	s.mu.Lock()
	s.calls = append(s.calls, a)
	s.mu.Unlock()
	a.batch = transport.StreamOpBatch{Ops: transport.OpSendInitialMetadata | transport.OpSendMessage, OnComplete: a,
		SendInitialMetadata: transport.SendInitialMetadata{MD: &metadata.List{Known: metadata.Known{HTTPStatus: "200"}}},
		SendMessage:         transport.SendMessage{Buf: transport.WrapBuffer(make([]byte, s.size))}}
	a.st.PerformBatch(&a.batch)
}

// check checks that all calls ended at the same time with an error.
func (s *answerer) check(t *testing.T, n int, at time.Time, code status.Code) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) != n {
		t.Fatalf("%d calls, want %d", len(s.calls), n)
	}
	for i, a := range s.calls {
		if !a.ended.Equal(at) || status.CodeOf(a.err) != code {
			t.Fatalf("call %d ended at %v with %v, want %v with %v", i, a.ended, a.err, at, code)
		}
	}
}

// askers opens n streams with the given window for each, and a wide one for
// the connection.
func askers(nc net.Conn, n int, window uint32) {
	b := frame.AppendSettings(nil, frame.Setting{ID: frame.SettingInitialWindowSize, Val: window})
	b = frame.AppendWindowUpdate(b, 0, 1<<30)
	for i := range n {
		b = request(b, uint32(2*i+1), frame.FlagEndStream)
	}
	nc.Write(b)
}

// TestDribble: attacks C1 and B4, CVE-2019-9511 and CVE-2026-49975. A client
// asks for much and takes a byte each second; five minutes later its calls end.
func TestDribble(t *testing.T) {
	const streams, size = 100, 64 << 10
	synctest.Test(t, func(t *testing.T) {
		s := &answerer{size: size}
		c, theirs := accepted(t, 64<<10, s, Config{SettingsTimeout: -1})
		var resets int
		var reader sync.WaitGroup
		reader.Go(func() { resets = countResets(theirs, frame.CodeCancel) })
		before := heap()
		start := time.Now()
		askers(theirs, streams, 1)
		for range 310 {
			time.Sleep(time.Second)
			var b []byte
			for i := range streams {
				b = frame.AppendWindowUpdate(b, uint32(2*i+1), 1)
			}
			theirs.Write(b)
		}
		s.check(t, streams, start.Add(defaultSendStall), status.Unavailable)
		if grown := heap() - before; !raceDetector && grown > streams*8<<10 {
			t.Errorf("%d KiB are left of calls that have ended", grown>>10)
		}
		c.Close()
		theirs.Close()
		reader.Wait()
		if resets != streams {
			t.Errorf("%d streams were reset with CANCEL, want %d", resets, streams)
		}
	})
}

// countResets reads to the end and counts RST_STREAM frames with that code.
func countResets(nc net.Conn, code frame.ErrCode) (n int) {
	b, _ := io.ReadAll(nc)
	for len(b) >= frame.HeaderLen {
		h := frame.ParseHeader(b)
		end := min(frame.HeaderLen+int(h.Length), len(b))
		if f, err := frame.ParseRSTStream(h, b[frame.HeaderLen:end]); h.Type == frame.TypeRSTStream && err == nil && f.Code == code {
			n++
		}
		b = b[end:]
	}
	return n
}

// TestZeroWindow: attack C2. A send that waits for a window ends at once when
// its call is cancelled, and after the time that the user has set.
func TestZeroWindow(t *testing.T) {
	for _, tc := range []struct {
		stall  time.Duration
		cancel bool
	}{{0, true}, {time.Minute, false}, {-1, true}} {
		synctest.Test(t, func(t *testing.T) {
			s := &answerer{size: 1000}
			c, theirs := accepted(t, 64<<10, s, Config{SendStall: tc.stall, SettingsTimeout: -1, Keepalive: keepalive.Params{Time: keepalive.Never}})
			go io.Copy(io.Discard, theirs)
			askers(theirs, 100, 0)
			synctest.Wait()
			at, code := time.Now().Add(tc.stall), status.Unavailable
			if tc.cancel {
				if tc.stall < 0 {
					time.Sleep(24 * time.Hour)
				}
				at, code = time.Now(), status.Canceled
				for _, a := range s.calls {
					a.st.PerformBatch(&transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: status.Error(status.Canceled, "enough")})
				}
			}
			time.Sleep(time.Hour)
			s.check(t, 100, at, code)
			c.Close()
			theirs.Close()
		})
	}
}

// TestWindowFlips: attack C4. Whatever the peer makes of its windows while a
// message is sent, no byte more is sent than they allow, and all of it in the
// end.
func TestWindowFlips(t *testing.T) {
	const size = 10 << 20
	a := newAttacker(t, server, Config{FaultBurst: 2000})
	window, conn, got := int64(frame.DefaultWindow), int64(frame.DefaultWindow), int64(0)
	initial := window
	send := func(b []byte) {
		t.Helper()
		if err := a.send(b); err != nil {
			t.Fatal(err)
		}
		// What the session sends may be more than one batch holds.
		for before := int64(-1); before != a.dataSent; {
			before = a.dataSent
			a.s.pumpWaiting()
			a.settle()
		}
		window, conn, got = window-(a.dataSent-got), conn-(a.dataSent-got), a.dataSent
		if conn < 0 || window < 0 && window < initial-frame.MaxWindow {
			t.Fatalf("%d bytes were sent, the windows are %d and %d", got, window, conn)
		}
	}
	set := func(w int64) {
		t.Helper()
		before := a.dataSent
		window += w - initial
		initial = w
		allowed := max(0, min(window, conn))
		send(frame.AppendSettings(nil, frame.Setting{ID: frame.SettingInitialWindowSize, Val: uint32(w)}))
		if n := a.dataSent - before; n > allowed {
			t.Fatalf("%d bytes were sent where %d were allowed", n, allowed)
		}
	}
	grant := func(n int64) {
		conn += n
		send(frame.AppendWindowUpdate(nil, 0, uint32(n)))
	}
	send(request(nil, 1, frame.FlagEndStream))
	h := a.handlers[0]
	b := &transport.StreamOpBatch{Ops: transport.OpSendInitialMetadata | transport.OpSendMessage, OnComplete: h,
		SendInitialMetadata: transport.SendInitialMetadata{MD: &metadata.List{Known: metadata.Known{HTTPStatus: "200"}}},
		SendMessage:         transport.SendMessage{Buf: transport.WrapBuffer(make([]byte, size))}}
	a.s.perform(h.st, b)
	send(nil)
	for round := range int64(200) {
		set(1)
		grant(20000)
		set(0)
		grant(1)
		set(frame.DefaultWindow + round*1000)
		set(0)
		set(round)
		grant(50000)
	}
	set(16 << 20)
	grant(size)
	if got != size+prefixLen {
		t.Errorf("%d bytes were sent of %d", got, size+prefixLen)
	}
}

// TestPeerIgnoresWindows: attack C5. RFC 9113 §6.9.1.
func TestPeerIgnoresWindows(t *testing.T) {
	full := strings.Repeat("x", frame.MinMaxFrameSize)
	t.Run("of a stream", func(t *testing.T) {
		a := newAttacker(t, server, Config{})
		b := request(nil, 1, 0)
		for range defaultStreamWindow/len(full) + 1 {
			b = data(b, 1, 0, full)
		}
		if err := a.send(b); err != nil || a.sent[frame.TypeRSTStream] != 1 || a.s.flow.unread != 0 {
			t.Errorf("error %v, %v was sent, %d bytes are kept", err, a.sent, a.s.flow.unread)
		}
	})
	t.Run("of the connection", func(t *testing.T) {
		a := newAttacker(t, server, Config{StreamWindow: 64 << 10, ConnWindow: 128 << 10})
		n, err := a.repeat(2000, 1, func(id uint32) []byte { // 32 KiB on each stream
			return data(data(request(nil, id, 0), id, 0, full), id, 0, full)
		})
		wantCode(t, err, frame.CodeFlowControl)
		// Unread bytes get their credit back up to the budget, and no further.
		if least, most := maxUnread/(32<<10)-1, maxUnread/(32<<10)+1; n < least || n > most {
			t.Errorf("%d streams of 32 KiB were taken, want %d to %d", n, least, most)
		}
	})
}

// TestUnreadIsBounded: a thousand streams whose windows are 1 MiB each hold no
// more than the budget, and reading them gives all of it back.
func TestUnreadIsBounded(t *testing.T) {
	const streams = defaultMaxStreams
	a := newAttacker(t, server, Config{})
	a.deaf = true
	if _, err := a.repeat(streams, 1, func(id uint32) []byte { return request(nil, id, 0) }); err != nil {
		t.Fatal(err)
	}
	full := strings.Repeat("\x00", frame.MinMaxFrameSize)
	sent := 0
	for round := range 64 {
		for i := range streams {
			if a.s.flow.recv.avail < int64(len(full)) {
				break // a client that keeps to the window
			}
			if err := a.send(data(nil, uint32(2*i+1), 0, full)); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			sent += len(full)
			if f := &a.s.flow; int64(f.unread)+f.recv.avail > max(maxUnread, f.most.Conn) {
				t.Fatalf("%d bytes are unread and %d more may come", f.unread, f.recv.avail)
			}
		}
	}
	if sent != a.s.flow.unread || sent < maxUnread-len(full) || sent > maxUnread {
		t.Errorf("%d bytes were sent and %d are unread, the budget is %d", sent, a.s.flow.unread, maxUnread)
	}
	for _, h := range a.handlers {
		a.s.perform(h.st, &transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: errClosed})
	}
	if f := &a.s.flow; f.unread != 0 || f.held != 0 || f.recv.avail+f.recv.owed != f.recv.size {
		t.Errorf("after the end of all streams %d are unread, %d held, and the window is %+v", f.unread, f.held, f.recv)
	}
}

// drip writes the nine bytes of b that may be a frame header, and then one a
// second, until it cannot.
func drip(nc net.Conn, b []byte) {
	nc.Write(b[:frame.HeaderLen])
	for i := frame.HeaderLen; i < len(b); i++ {
		if _, err := nc.Write(b[i : i+1]); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// TestSlowloris: attacks C8 and C9, CVE-2026-56853. A byte a second keeps no
// handshake and no header block open.
func TestSlowloris(t *testing.T) {
	settings := frame.AppendSettings(nil, frame.Setting{ID: frame.SettingInitialWindowSize, Val: 1}, frame.Setting{ID: frame.SettingMaxFrameSize, Val: 1 << 14})
	long := strings.Repeat("x", 1000)
	headers := append(frame.AppendHeader(nil, len(long), frame.TypeHeaders, frame.FlagEndHeaders, 1), long...)
	continuation := append(frame.AppendHeader(nil, len(long), frame.TypeContinuation, 0, 1), long...)
	preface := append([]byte(frame.ClientPreface), settings...)
	for _, tc := range []struct {
		name         string
		quick, slow  []byte
		late         time.Duration // when the slow part begins
		client       bool
		want         string
		neverAccepts bool
	}{
		{name: "a client's preface", slow: preface, want: "preface", neverAccepts: true},
		{name: "a client's SETTINGS", quick: preface[:len(frame.ClientPreface)], slow: settings, want: "no SETTINGS"},
		{name: "a server's SETTINGS", slow: settings, client: true, want: "no SETTINGS", neverAccepts: true},
		{name: "HEADERS", quick: preface, slow: headers, late: time.Hour, want: "header block"},
		{name: "CONTINUATION", quick: append(preface[:len(preface):len(preface)], frame.AppendHeader(nil, 0, frame.TypeHeaders, 0, 1)...), slow: continuation, want: "header block"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := memconn.Pipe()
				var peer sync.WaitGroup
				start := time.Now().Add(tc.late)
				peer.Go(func() {
					theirs.Write(tc.quick)
					time.Sleep(tc.late)
					drip(theirs, tc.slow)
				})
				begin := Accept
				if tc.client {
					begin = Connect
				}
				tr, err := begin(context.Background(), ours, nil, Config{SendStall: -1, SettingsTimeout: -1})
				if (err != nil) != tc.neverAccepts {
					t.Fatalf("error %v", err)
				}
				if err == nil {
					tr.PerformOp(&transport.Op{Accept: refuseAll{}})
					c := tr.(*conn)
					<-c.done
					err = c.s.control.closed
					tr.Close()
				}
				if took := time.Since(start); took != 10*time.Second {
					t.Errorf("it took %v, want 10s", took)
				}
				if !strings.Contains(fmt.Sprint(err), tc.want) {
					t.Errorf("error %v, want one that says %q", err, tc.want)
				}
				theirs.Close()
				peer.Wait()
			})
		})
	}
}
