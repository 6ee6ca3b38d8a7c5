package http2

import (
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2/bdp"
)

// play runs lines of a script and returns the script.
func play(t *testing.T, lines string) *script {
	s := &script{t: t, calls: map[string]*scriptCall{}}
	for line := range strings.SplitSeq(strings.TrimSpace(lines), "\n") {
		s.step(line)
	}
	return s
}

const beginServer = `server stream_window=33554432
recv SETTINGS
recv HEADERS stream=1 :method=POST :scheme=http :path=/s/m
`

// flood gives stream 1 n bytes that nobody reads, beyond what the connection's
// window would let pass.
func (s *script) flood(n int) {
	for ; n > 0; n -= 16384 {
		s.c.s.flow.recv.avail = frame.MaxWindow
		s.step("recv DATA stream=1 len=16384")
	}
}

// TestHeldCreditIsGivenBack: when too much was unread, reading gives the credit
// of the connection back at once.
func TestHeldCreditIsGivenBack(t *testing.T) {
	s := play(t, beginServer+"recv DATA stream=1 prefix=2097152")
	s.flood(s.c.s.flow.budget() + 1<<20)
	if s.c.s.flow.held == 0 {
		t.Fatal("no credit was held")
	}
	if out := s.step("s1 read"); !strings.Contains(out, "s1: message len=2097152") {
		t.Fatalf("reading gave %q", out)
	}
	if f := s.c.s.flow; f.held != 0 {
		t.Errorf("%d bytes are unread, within the budget, and %d bytes of credit are held", f.unread, f.held)
	}
}

// TestFailedStreamGivesCreditBack: what a stream that failed has left unread is
// forgotten at once, also while its handler lingers.
func TestFailedStreamGivesCreditBack(t *testing.T) {
	s := play(t, beginServer)
	s.flood(s.c.s.flow.budget() + 1<<20)
	out := s.step("recv RST_STREAM stream=1 code=8")
	if f := s.c.s.flow; f.unread != 0 || f.held != 0 || !strings.Contains(out, "send WINDOW_UPDATE") {
		t.Errorf("%d bytes are unread and %d held after RST_STREAM, which sent %q", f.unread, f.held, out)
	}
}

// TestExtendStaysLegal: RFC 9113 §6.9.1, a window is at most 2^31-1.
func TestExtendStaysLegal(t *testing.T) {
	w := newRecvWindow(1 << 20)
	n := w.extend(frame.MaxWindow, 4<<20)
	w.widen(3 << 20)
	if w.avail > frame.MaxWindow || n > frame.MaxWindow {
		t.Errorf("extend gave %d, the window is %d", n, w.avail)
	}
}

// TestLongTrailersKeepTheCode: a peer that takes short header lists still
// learns the code of a call whose message is long.
func TestLongTrailersKeepTheCode(t *testing.T) {
	s := play(t, `server
recv SETTINGS max_header_list=4096
recv HEADERS stream=1 END_STREAM :method=POST :scheme=http :path=/s/m`)
	out := s.step("s1 finish status=5 only message=" + strings.Repeat("x", 9000))
	if !strings.Contains(out, "grpc-status=5") || strings.Contains(out, strings.Repeat("x", 2000)) {
		t.Errorf("the trailers are %.200q", out)
	}
}

// TestRaisedHeaderLimit: a block that the raised limit allows takes as many
// CONTINUATION frames as it needs.
func TestRaisedHeaderLimit(t *testing.T) {
	s := play(t, "server max_header_list=1048576\nrecv SETTINGS")
	// '~' has 13 bits in the code of HPACK, so it is sent as it is.
	out := s.step("recv HEADERS stream=1 split=16384 :method=POST :scheme=http :path=/s/m x-long=" + strings.Repeat("~", 200<<10))
	if !strings.Contains(out, "s1: accepted") {
		t.Errorf("a list of 200 KiB under a limit of 1 MiB: %.300q", out)
	}
}

// TestQueueRemoveFromAnywhere: a queue stays whole when streams leave it in any
// order.
func TestQueueRemoveFromAnywhere(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}, {0, 2, 1}} {
		var q queue
		sts := []*stream{{}, {}, {}}
		for _, st := range sts {
			q.push(st, queueData)
		}
		for _, i := range order {
			q.remove(sts[i])
		}
		if q.head != nil || q.tail != nil {
			t.Errorf("removing %v left %v and %v", order, q.head, q.tail)
		}
		q.push(sts[1], queueData)
		q.push(sts[0], queueData)
		if q.pop() != sts[1] || q.pop() != sts[0] || q.head != nil {
			t.Errorf("after removing %v the queue is out of order", order)
		}
	}
}

// TestSlowReaderKeepsLittle: a stream that is never read empty does not keep
// the memory of what was read of it.
func TestSlowReaderKeepsLittle(t *testing.T) {
	const size = 64 << 10
	var r messageReader
	frameOf := func() []byte { return append([]byte{0, 0, 1, 0, 0}, make([]byte, size)...) }
	r.keep(frameOf())
	for range 1000 { // 64 MiB, of which never more than two messages are unread
		r.keep(frameOf())
		n, err := r.fill(r.raw[r.from:], &transport.RecvMessage{})
		if err != nil || !r.ready {
			t.Fatalf("fill took %d bytes: %v", n, err)
		}
		r.from += n
		r.take().Release()
	}
	if cap(r.raw) > 8*size {
		t.Errorf("%d bytes of memory for %d unread", cap(r.raw), r.unread())
	}
}

// TestTinyFramesTakeLittle: CVE-2026-84304. A payload of 64 KiB in frames of one
// byte that nobody reads takes what it takes in one piece, and room to grow.
func TestTinyFramesTakeLittle(t *testing.T) {
	const bytes = 65535
	s := play(t, beginServer)
	for range bytes {
		if err := s.c.s.step(frame.Header{Length: 1, Type: frame.TypeData, StreamID: 1}, []byte{0}); err != nil {
			t.Fatal(err)
		}
	}
	r := &s.calls["s1"].st.recv.in
	if r.unread() != bytes || cap(r.raw) > 2*bytes {
		t.Errorf("%d unread bytes take %d, want at most %d", r.unread(), cap(r.raw), 2*bytes)
	}
	if s.calls["s1"].st.Reset(); cap(r.raw) > keepRaw {
		t.Errorf("%d bytes are kept for the next call, want at most %d", cap(r.raw), keepRaw)
	}
}

// TestWhatWasReadKeepsLittle: a stream that had much unread once does not keep
// the memory until its end, be it read empty or but for a little.
func TestWhatWasReadKeepsLittle(t *testing.T) {
	for _, left := range []string{"", "recv DATA stream=1 prefix=100\n"} {
		s := play(t, beginServer+"recv DATA stream=1 prefix=1000000\n"+
			strings.Repeat("recv DATA stream=1 len=10000\n", 100)+left+"s1 read")
		r := &s.calls["s1"].st.recv.in
		if cap(r.raw) > keepUnread {
			t.Errorf("%d bytes of memory for %d unread", cap(r.raw), r.unread())
		}
	}
}

// TestNarrowWindowsCatchUp: streams whose windows are wide again get what the
// windows have grown to while they were narrow.
func TestNarrowWindowsCatchUp(t *testing.T) {
	s := play(t, beginServer+"recv DATA stream=1 prefix=33554432")
	f := &s.c.s.flow
	s.flood(f.limit/2 + 1)
	if f.narrowed == 0 {
		t.Fatal("the windows are not narrow")
	}
	const grown = 64 << 20
	f.growth = bdp.New(bdp.Windows{Stream: grown, Conn: f.recv.size}, f.most)
	for f.receipts < f.settings {
		s.step("recv SETTINGS ACK")
	}
	if out := s.step("s1 read"); f.stream != grown || !strings.Contains(out, "SETTINGS_INITIAL_WINDOW_SIZE=67108864") {
		t.Errorf("the windows are %d, and the peer was told %q", f.stream, out)
	}
}

// TestAnyNumberOfStreams: the largest MaxStreams there is means no limit, also
// where an int has 32 bits.
func TestAnyNumberOfStreams(t *testing.T) {
	s := play(t, "server max_streams=4294967295\nrecv SETTINGS")
	if out := s.step("recv HEADERS stream=1 END_STREAM " + aRequest); !strings.Contains(out, "s1: accepted") {
		t.Errorf("the first request: %q", out)
	}
}
