package http2

import (
	"bytes"
	"strings"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/frame"
)

// inMessage has a server read the beginning of a message of 100,000 bytes.
const inMessage = beginServer + `s1 read
recv DATA stream=1 prefix=100000 len=1000`

// TestDestinationIsTheMessage: bytes that were read into their place are not
// copied, and the message is whole.
func TestDestinationIsTheMessage(t *testing.T) {
	s := play(t, inMessage)
	buf, dst := s.c.s.destination(1, 60000)
	if len(dst) != 60000 {
		t.Fatalf("destination has room for %d bytes, want 60000", len(dst))
	}
	for i := range dst {
		dst[i] = byte(i)
	}
	want := bytes.Clone(dst)
	if err := s.c.s.step(frame.Header{Length: 60000, Type: frame.TypeData, StreamID: 1}, dst); err != nil {
		t.Fatal(err)
	}
	in := &s.calls["s1"].st.recv.in
	if got := in.msg.Bytes()[1000:]; in.msg != buf || &got[0] != &dst[0] || !bytes.Equal(got, want) {
		t.Error("the bytes were copied, or others")
	}
	buf.Release()
	if out := s.step("recv DATA stream=1 len=39000"); !strings.Contains(out, "s1: message len=100000") {
		t.Errorf("the rest of the message gave %q", out)
	}
}

// TestDestinationOutlivesTheStream: a read that is under way when the stream
// ends has its memory for itself.
func TestDestinationOutlivesTheStream(t *testing.T) {
	s := play(t, inMessage)
	buf, dst := s.c.s.destination(1, 60000)
	s.step("recv RST_STREAM stream=1 code=8")
	if buf.Len() != 1000 {
		t.Fatal("the memory of the message was given back while it was read into")
	}
	if err := s.c.s.step(frame.Header{Length: 60000, Type: frame.TypeData, StreamID: 1}, dst); err != nil {
		t.Fatal(err)
	}
	s.step("s1 reset")
	buf.Release() // panics if it was the second time
}

// TestNoDestination: where bytes have to wait, or are few, they are copied.
func TestNoDestination(t *testing.T) {
	for _, tc := range []struct {
		name, lines string
		n           int
	}{
		{"nobody reads", beginServer, 60000},
		{"no message has begun", beginServer + "s1 read", 60000},
		{"few bytes", inMessage, leastDirect - 1},
		{"the message needs few bytes", inMessage + "\nrecv DATA stream=1 len=98000", 60000},
		{"unread bytes come first", beginServer + "recv DATA stream=1 prefix=100000 len=1000", 60000},
		{"the stream has failed", inMessage + "\nrecv RST_STREAM stream=1 code=8", 60000},
	} {
		if buf, _ := play(t, tc.lines).c.s.destination(1, tc.n); buf != nil {
			t.Errorf("%s: there is a destination", tc.name)
		}
	}
}
