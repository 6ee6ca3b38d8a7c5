package peers

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/code"
)

// pattern returns n bytes of which no two stretches are alike, so that a
// frame lost, repeated or swapped shows.
func pattern(n int) []byte {
	b := make([]byte, n)
	x := uint32(n)*2654435761 + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// TestMessageSizes sends messages around the sizes of frames and windows, and
// several megabytes, both ways.
func TestMessageSizes(t *testing.T) {
	const limit = 16 << 20
	sizes := []int{0, 1, 100, 16<<10 - 10, 16 << 10, 16<<10 + 1, 65535, 65536, 1 << 20, 4<<20 + 1, 8 << 20}
	eachPairing(t, func(t *testing.T, p pairing) {
		s := p.server.serve(t, handlers{}, serverOptions{maxRecv: limit})
		c := p.client.dial(t, s.addr, clientOptions{maxRecv: limit, maxSend: limit})
		t.Run("unary", func(t *testing.T) {
			for _, n := range sizes {
				want := pattern(n)
				got, err := c.unary(testContext(t), want, nil)
				if err != nil {
					t.Fatalf("%d bytes: %v", n, err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%d bytes came back as %d others", n, len(got))
				}
			}
		})
		t.Run("stream", func(t *testing.T) {
			s, err := c.stream(testContext(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			// Sent from another goroutine: the echo of one message has to flow
			// while the next one is on its way, or both windows fill up.
			sent := make(chan error, 1)
			go func() {
				for _, n := range sizes {
					if err := s.SendMsg(&message{Value: pattern(n)}); err != nil {
						sent <- err
						return
					}
				}
				sent <- s.CloseSend()
			}()
			for _, n := range sizes {
				got := new(message)
				if err := s.RecvMsg(got); err != nil {
					t.Fatalf("%d bytes: %v", n, err)
				}
				if !bytes.Equal(got.GetValue(), pattern(n)) {
					t.Errorf("%d bytes came back as %d others", n, len(got.GetValue()))
				}
			}
			if err := await(t, "the sender", sent); err != nil {
				t.Error(err)
			}
			finishReceiving(t, s)
		})
	})
}

// finishReceiving expects the end of a stream that is half-closed already.
func finishReceiving(t *testing.T, s clientStream) {
	t.Helper()
	if err := s.RecvMsg(new(message)); err == nil || err.Error() != "EOF" {
		t.Errorf("after the last message: %v, want EOF", err)
	}
}

// TestMessageLimits: whoever's limit is exceeded, the call ends with
// RESOURCE_EXHAUSTED and the connection stays usable.
func TestMessageLimits(t *testing.T) {
	const limit, size = 1 << 10, 2 << 20
	for _, tc := range []struct {
		name   string
		server serverOptions
		client clientOptions
	}{
		{"the server receives", serverOptions{maxRecv: limit}, clientOptions{}},
		{"the client receives", serverOptions{}, clientOptions{maxRecv: limit}},
		{"the client sends", serverOptions{}, clientOptions{maxSend: limit}},
	} {
		t.Run(strings.ReplaceAll(tc.name, " ", "_"), func(t *testing.T) {
			eachPairing(t, func(t *testing.T, p pairing) {
				s := p.server.serve(t, handlers{}, tc.server)
				c := p.client.dial(t, s.addr, tc.client)
				for range 3 {
					_, err := c.unary(testContext(t), pattern(size), nil)
					wantCode(t, p.client, err, code.Code_RESOURCE_EXHAUSTED)
					if _, err := c.unary(testContext(t), pattern(100), nil); err != nil {
						t.Fatalf("a small message afterwards: %v", err)
					}
				}
			})
		})
	}
}
