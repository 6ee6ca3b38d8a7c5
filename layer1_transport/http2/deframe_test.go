package http2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// A deframed is what a reader gets of a stream: messages, and then the end.
type deframed struct {
	messages []string
	code     status.Code // OK for the end of the stream in good order
}

// wholeMessages is deframing as simple as it can be: all bytes are there.
// gRPC-HTTP2 Length-Prefixed-Message.
func wholeMessages(p []byte, limit int) (want deframed) {
	for len(p) > 0 {
		if len(p) < prefixLen {
			want.code = status.Internal
			return want
		}
		length := int64(binary.BigEndian.Uint32(p[1:]))
		switch {
		case p[0] > 1:
			want.code = status.Internal
			return want
		case length > int64(limit):
			want.code = status.ResourceExhausted
			return want
		case length > int64(len(p)-prefixLen):
			want.code = status.Internal
			return want
		}
		want.messages = append(want.messages, string(p[0])+string(p[prefixLen:prefixLen+length]))
		p = p[prefixLen+length:]
	}
	return want
}

// A deframer reads the one stream of a server to its end.
type deframer struct {
	s    *script
	st   *stream
	b    transport.StreamOpBatch
	busy bool
	over bool
	got  deframed
}

func (d *deframer) read(limit int) {
	if d.busy || d.over {
		return
	}
	d.busy = true
	d.b = transport.StreamOpBatch{Ops: transport.OpRecvMessage, RecvMessage: transport.RecvMessage{Limit: limit, Ready: d}}
	d.s.c.s.perform(d.st, &d.b)
	d.s.settle()
}

func (d *deframer) Run(err error) {
	d.busy = false
	m := d.b.RecvMessage.Message
	switch e := (*transport.Error)(nil); {
	case errors.As(err, &e):
		d.over, d.got.code = true, e.Code
	case m == nil:
		d.over = true
	default:
		flag := "\x00"
		if m.Compressed {
			flag = "\x01"
		}
		d.got.messages = append(d.got.messages, flag+string(m.Bytes()))
		m.Release()
	}
}

// FuzzDeframe: however a stream is cut into DATA frames, and whenever its
// reader comes, it has the messages that its bytes say, and the same end; and a
// message that is announced claims no more memory than what has come of it.
func FuzzDeframe(f *testing.F) {
	message := func(flag byte, n int) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(n)), bytes.Repeat([]byte("m"), n)...)
	}
	f.Add(join(message(0, 3), message(1, 0), message(0, 300)), []byte{2, 3, 1, 255, 8, 9}, uint16(400))
	f.Add(join(message(0, 3), message(2, 1), message(0, 1)), []byte{1}, uint16(400))
	f.Add(join(message(0, 3), message(0, 500)), []byte{0, 2, 90}, uint16(400))
	f.Add(message(0, 9000)[:8000], []byte{250, 251}, uint16(9000))
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff}, []byte{0}, uint16(65535))
	f.Add([]byte{0, 0, 0}, []byte{}, uint16(1))
	f.Fuzz(func(t *testing.T, p, cuts []byte, most uint16) {
		if len(p) > 1<<15 {
			return
		}
		limit := int(most) + 1 // 0 is no limit
		s := play(t, "server stream_window=1048576\nrecv SETTINGS\nrecv HEADERS stream=1 :method=POST :scheme=http :path=/s/m")
		d := &deframer{s: s, st: s.calls["s1"].st}
		send := func(part []byte, flags frame.Flags) {
			h := frame.Header{Length: uint32(len(part)), Type: frame.TypeData, Flags: flags, StreamID: 1}
			if err := s.c.s.step(h, part); err != nil {
				t.Fatal(err)
			}
			s.settle()
			if m := d.st.recv.in.msg; m != nil && m.Cap() > 16<<10+8*m.Len() {
				t.Fatalf("%d bytes of memory for a message of which %d have come", m.Cap(), m.Len())
			}
		}
		rest := p
		for i := 0; len(rest) > 0; i++ {
			n := len(rest)
			if i < len(cuts) {
				n = min(n, int(cuts[i]>>1)) // an empty frame is one too
				if cuts[i]&1 == 1 {
					d.read(limit)
				}
			}
			n = min(n, frame.MinMaxFrameSize)
			send(rest[:n], 0)
			rest = rest[n:]
		}
		send(nil, frame.FlagEndStream)
		for !d.over {
			d.read(limit)
			if d.busy {
				t.Fatal("the stream has ended and its reader waits")
			}
		}
		if want := wholeMessages(p, limit); d.got.code != want.code || !slices.Equal(d.got.messages, want.messages) {
			t.Fatalf("got %d messages and %v, want %d and %v", len(d.got.messages), d.got.code, len(want.messages), want.code)
		}
		if s.c.s.flow.unread != 0 {
			t.Fatalf("%d bytes count as unread", s.c.s.flow.unread)
		}
	})
}
