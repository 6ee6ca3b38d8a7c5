package http2

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
)

// stalled is three calls that wait with a message each: the windows of their
// streams are wide, that of the connection is used up by a fourth.
const stalled = `client
recv SETTINGS initial_window=1000000
z start
z message len=65530
a start
b start
c start
a message len=100
b message len=100
c message len=100
`

// TestRemoveStreamFromStalledLists: a call that waits for the connection's
// window may end in any way meanwhile. It leaves the queue, sends nothing, and
// the others have their turn. gRPC core's test of that name.
func TestRemoveStreamFromStalledLists(t *testing.T) {
	ends := map[string]string{
		"cancelled":          "%s cancel status=1 message=enough",
		"reset by the peer":  "recv RST_STREAM stream=%d code=8",
		"ended by the peer":  "recv HEADERS stream=%d END_STREAM :status=200 grpc-status=0",
		"failed by a window": "recv WINDOW_UPDATE stream=%d incr=2147483647",
	}
	names := map[string]string{"a": "3", "b": "5", "c": "7"}
	for how, line := range ends {
		for gone, id := range names {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, stalled)
				s.step(strings.NewReplacer("%s", gone, "%d", id).Replace(line))
				out := s.step("recv WINDOW_UPDATE incr=100000")
				for name, id := range names {
					if sent := strings.Contains(out, "send DATA stream="+id+" len=105"); sent != (name != gone) {
						t.Errorf("%s was %s: it is %v that %s has sent its message, in\n%s", gone, how, sent, name, out)
					}
				}
				if q := s.c.s.queues.data; q.head != nil || q.tail != nil {
					t.Errorf("%s was %s: the queue is not empty", gone, how)
				}
				s.step(gone + " reset")
				if refs := s.calls[gone].refs; refs != 0 {
					t.Errorf("%s was %s: %d references are left", gone, how, refs)
				}
			})
		}
	}
}

// TestStalledBySettings: a stream that lost its window while it waited for the
// connection's leaves the queue, and comes back with its window.
func TestStalledBySettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, stalled+"recv SETTINGS initial_window=0")
		if out := s.step("recv WINDOW_UPDATE incr=100000"); strings.Contains(out, "DATA") {
			t.Errorf("without windows of their own the streams sent %s", out)
		}
		if out := s.step("recv WINDOW_UPDATE stream=5 incr=50"); !strings.Contains(out, "send DATA stream=5 len=50") {
			t.Errorf("with a window of 50 one sent %q", out)
		}
		if out := s.step("recv SETTINGS initial_window=1000000"); strings.Count(out, "send DATA") != 3 {
			t.Errorf("with all windows back they sent\n%s", out)
		}
	})
}

// TestTurns: streams that wait for the connection's window take turns of a
// frame each, so that a long message does not keep the others waiting.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, `client
recv SETTINGS initial_window=1000000
z start
z message len=65530
a start
b start
c start
a message len=40000
b message len=40000
c message len=40000`)
		out := s.step("recv WINDOW_UPDATE incr=200000")
		var order []string
		for line := range strings.Lines(out) {
			if words := strings.Fields(line); words[1] == "DATA" {
				order = append(order, strings.TrimPrefix(words[2], "stream="))
			}
		}
		if got, want := strings.Join(order, " "), "3 5 7 3 5 7 3 5 7"; got != want {
			t.Errorf("DATA went out on streams %s, want %s", got, want)
		}
	})
}

// TestStreamLeakWithQueuedFlowControlUpdate: credit for a stream that waits to
// be written does not keep the stream when it ends. gRPC core's test of that
// name.
func TestStreamLeakWithQueuedFlowControlUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, "client stream_window=65535\nrecv SETTINGS\na start\na close\nrecv HEADERS stream=1 :status=200"+
			"\nrecv DATA stream=1 message=16000\na read\nrecv DATA stream=1 message=3000")
		c := s.calls["a"]
		// With this message a quarter of the window is owed. Without settle
		// nothing is written: the update stays in the outbox.
		s.call("a", "read", nil)
		if s.c.s.out.Len() == 0 {
			t.Fatal("no WINDOW_UPDATE waits: the test is of no use")
		}
		rst := frame.AppendRSTStream(nil, 1, frame.CodeCancel)
		if err := s.c.s.step(frame.ParseHeader(rst), rst[frame.HeaderLen:]); err != nil {
			t.Fatal(err)
		}
		s.settle()
		c.st.Reset()
		if len(s.c.s.streams) != 0 || c.refs != 0 || s.c.s.flow.unread != 0 {
			t.Errorf("%d streams, %d references and %d unread bytes are left", len(s.c.s.streams), c.refs, s.c.s.flow.unread)
		}
	})
}

// TestNotStalledYet: a stream that waits for the socket when SETTINGS take its
// window has all of its time from then on, though nobody has noted when its
// wait for the peer began.
func TestNotStalledYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, "client\nrecv SETTINGS initial_window=1000\na start")
		st, now := s.calls["a"].st, time.Now()
		st.send.message = transport.WrapBuffer(make([]byte, 100))
		s.c.s.queues.data.push(st, queueData)
		if err := s.c.s.resizeWindows(0); err != nil { // and the socket takes nothing
			t.Fatal(err)
		}
		s.c.s.endStalled(now)
		if st.err != nil {
			t.Fatalf("the stream ended at once: %v", st.err)
		}
		if got, want := s.c.s.control.alarms.Next(), now.Add(s.c.s.cfg.SendStall); got.After(want) || !got.After(now) {
			t.Errorf("it is looked at again at %v, want until %v", got, want)
		}
	})
}
