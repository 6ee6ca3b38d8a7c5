package http2

import (
	"reflect"
	"strings"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// TestStreamStates is the diagram of RFC 9113 §5.1: each state with each event.
func TestStreamStates(t *testing.T) {
	type result struct {
		next streamState
		ok   bool
	}
	for _, tc := range []struct {
		state            streamState
		recvEnd, sendEnd result
		mayRecv, maySend bool
	}{
		{stateIdle, result{stateIdle, false}, result{stateIdle, false}, false, false},
		{stateOpen, result{stateHalfClosedRemote, true}, result{stateHalfClosedLocal, true}, true, true},
		{stateHalfClosedLocal, result{stateClosed, true}, result{stateHalfClosedLocal, false}, true, false},
		{stateHalfClosedRemote, result{stateHalfClosedRemote, false}, result{stateClosed, true}, false, true},
		{stateClosed, result{stateClosed, false}, result{stateClosed, false}, false, false},
	} {
		t.Run(tc.state.String(), func(t *testing.T) {
			if next, ok := tc.state.recvEnd(); (result{next, ok}) != tc.recvEnd {
				t.Errorf("recvEnd() = %v, %v, want %v", next, ok, tc.recvEnd)
			}
			if next, ok := tc.state.sendEnd(); (result{next, ok}) != tc.sendEnd {
				t.Errorf("sendEnd() = %v, %v, want %v", next, ok, tc.sendEnd)
			}
			if got := tc.state.mayRecv(); got != tc.mayRecv {
				t.Errorf("mayRecv() = %v, want %v", got, tc.mayRecv)
			}
			if got := tc.state.maySend(); got != tc.maySend {
				t.Errorf("maySend() = %v, want %v", got, tc.maySend)
			}
		})
	}
}

// FuzzWindows checks the invariants of sendWindow under any credit, and of
// recvWindow whatever is received, consumed and credited in advance.
func FuzzWindows(f *testing.F) {
	f.Add(int64(65535), int64(-70000), 100, []byte{10, 20, 30, 200, 255})
	f.Add(int64(frame.MaxWindow), int64(1), 1<<30, []byte{})
	f.Fuzz(func(t *testing.T, grant1, grant2 int64, n int, steps []byte) {
		checkRecvWindow(t, steps)
		var w sendWindow
		for _, g := range []int64{grant1 % (frame.MaxWindow + 1), grant2 % (frame.MaxWindow + 1)} {
			before := w.avail
			if ok := w.grant(g); ok != (before+g <= frame.MaxWindow) {
				t.Fatalf("grant(%d) at %d = %v", g, before, ok)
			}
			if k := min(max(n, 0), w.room()); k > 0 {
				w.take(k)
			}
			if w.avail > frame.MaxWindow || w.room() < 0 {
				t.Fatalf("invariant broken: avail = %d", w.avail)
			}
		}
	})
}

// checkRecvWindow: no credit is lost or made, however the window grows.
func checkRecvWindow(t *testing.T, steps []byte) {
	w := newRecvWindow(1000)
	unread := int64(0)
	for _, b := range steps {
		n := int(b&0x3f) * 5
		switch b >> 6 {
		case 0, 1:
			if w.take(n) {
				unread += int64(n)
			} else if int64(n) <= w.avail {
				t.Fatalf("take(%d) was refused with %d available", n, w.avail)
			}
		case 2:
			n = int(min(int64(n), unread))
			unread -= int64(n)
			w.release(n)
		case 3:
			if b&1 != 0 {
				w.widen(int64(n))
				break
			}
			w.extend(n*10, w.size)
			if w.avail < int64(n*10) {
				t.Fatalf("after extend(%d) only %d may come", n*10, w.avail)
			}
		}
		if w.avail < 0 || w.avail+w.owed+unread != w.size {
			t.Fatalf("invariant broken: %+v, unread %d", w, unread)
		}
	}
}

func TestReleaseWaitsForAQuarter(t *testing.T) {
	w := newRecvWindow(1000)
	w.take(600)
	if got := w.release(249); got != 0 {
		t.Errorf("release(249) of a window of 1000 gave %d, want 0 as long as less than a quarter is owed", got)
	}
	if got := w.release(1); got != 250 {
		t.Errorf("release(1) after 249 gave %d, want 250", got)
	}
}

// TestResetForgetsTheCall: of a call nothing is left but memory.
func TestResetForgetsTheCall(t *testing.T) {
	s := &script{t: t, calls: map[string]*scriptCall{}}
	for line := range strings.SplitSeq(`server
recv SETTINGS
recv HEADERS stream=1 :method=POST :scheme=http :path=/s/m x-key=value grpc-timeout=1S
s1 read limit=10 only
recv DATA stream=1 message=5 len=3
s1 respond
s1 message len=100
recv RST_STREAM stream=1 code=8
s1 message len=100`, "\n") {
		s.step(line)
	}
	st := s.calls["s1"].st
	st.Reset()
	if st.callState != (callState{}) || st.recv.recvState != (recvState{}) || st.send != (sending{}) || st.ops != (pendingOps{}) {
		t.Errorf("Reset left %+v", st)
	}
	if st.recv.headers.Len() != 0 || st.recv.headers.Known != (metadata.Known{}) || !st.recv.headers.Deadline.IsZero() ||
		st.recv.trailerList().Len() != 0 || st.recv.in.unread() != 0 || st.recv.in.partial() {
		t.Errorf("Reset left %v, %v or unread bytes", st.recv.headers, st.recv.trailers)
	}
}

// TestStreamStaysSmall: an open call that waits costs this much here. The bound is
// a size of the allocator: one byte more costs up to a quarter.
func TestStreamStaysSmall(t *testing.T) {
	const bound = 768 // without the list for trailers
	if size := reflect.TypeFor[stream]().Size(); size > bound {
		t.Errorf("a stream has %d bytes, want at most %d", size, bound)
	}
}
