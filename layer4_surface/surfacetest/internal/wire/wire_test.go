package wire

import (
	"io"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// TestConn: however frames are cut into writes, those that are kept arrive
// whole, and injected ones between them.
func TestConn(t *testing.T) {
	settings := string(frame.AppendSettings(nil))
	ping := string(frame.AppendPing(nil, false, [8]byte{1}))
	ack := string(frame.AppendPing(nil, true, [8]byte{2}))
	injected := string(frame.AppendPing(nil, false, [8]byte{3}))
	for _, preface := range []string{"", frame.ClientPreface} {
		sent := preface + settings + ack + ping + ack + settings
		for _, step := range []int{1, 2, 7, 17, len(sent)} {
			a, b := memconn.Pipe()
			c := &Conn{Conn: a, Keep: func(h frame.Header) bool { return h.Type != frame.TypePing || !h.Flags.Has(frame.FlagAck) }}
			for i := 0; i < len(sent); i += step {
				if _, err := io.WriteString(c, sent[i:min(i+step, len(sent))]); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Inject([]byte(injected)); err != nil {
				t.Fatal(err)
			}
			c.Close()
			got, err := io.ReadAll(b)
			if want := preface + settings + ping + settings + injected; string(got) != want || err != nil {
				t.Errorf("writes of %d: %q, %v; want %q", step, got, err, want)
			}
			if _, err := io.WriteString(c, settings); err == nil {
				t.Error("a connection that is closed takes frames")
			}
		}
	}
}

// TestListener: what is accepted is changed.
func TestListener(t *testing.T) {
	m := memconn.Listen()
	l := &Listener{m, func(frame.Header) bool { return false }}
	peer, err := m.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(frame.AppendSettings(nil)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got, err := io.ReadAll(peer); len(got) > 0 || err != nil {
		t.Errorf("%q arrived, %v", got, err)
	}
	l.Close()
	if _, err := l.Accept(); err == nil {
		t.Error("a listener that is closed accepts")
	}
}
