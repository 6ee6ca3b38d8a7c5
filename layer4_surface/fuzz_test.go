package surface

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/strata-grpc/strata/layer1_transport/frame"
)

// A fuzzClient turns bytes into what a client sends: mostly frames that make
// sense, in an order that may not, and some that do not.
type fuzzClient struct {
	in     []byte
	out    bytes.Buffer
	block  bytes.Buffer
	enc    *hpack.Encoder
	stream uint32 // the last that was opened
}

// maxFuzzInput bounds the memory and time of one run.
const maxFuzzInput = 2 << 10

func newFuzzClient(in []byte) *fuzzClient {
	c := &fuzzClient{in: in[:min(len(in), maxFuzzInput)]}
	c.enc = hpack.NewEncoder(&c.block)
	return c
}

// take returns the next n bytes of the input, fewer at its end.
func (c *fuzzClient) take(n int) []byte {
	n = min(n, len(c.in))
	p := c.in[:n]
	c.in = c.in[n:]
	return p
}

func (c *fuzzClient) byte() byte {
	if p := c.take(1); len(p) == 1 {
		return p[0]
	}
	return 0
}

var fuzzPaths = []string{"/registered/bar", "/a/b", "/stuck", "/big", "no-slash", ""}

// request opens a stream.
func (c *fuzzClient) request(path string, end bool) {
	c.block.Reset()
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", "a"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		_ = c.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // to memory
	}
	c.stream += 2
	flags := frame.FlagEndHeaders
	if end {
		flags |= frame.FlagEndStream
	}
	c.frame(frame.TypeHeaders, flags, c.stream-1, c.block.Bytes())
}

func (c *fuzzClient) frame(t frame.Type, flags frame.Flags, stream uint32, payload []byte) {
	c.out.Write([]byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), byte(t), byte(flags),
		byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)})
	c.out.Write(payload)
}

// next makes the next piece of what the client sends, and says how long it
// waits afterwards. It returns nothing at the end of the input.
func (c *fuzzClient) next() (piece []byte, pause time.Duration) {
	for c.out.Reset(); len(c.in) > 0; {
		op := c.byte()
		id := c.stream - uint32(op>>5)*2 + 1 // one of the last streams, or the next
		if op>>5 > 0 || c.stream > 0 {
			id -= 2
		}
		switch op & 15 {
		case 0, 1, 2:
			c.request(fuzzPaths[int(c.byte())%len(fuzzPaths)], op&16 != 0)
		case 3, 4, 5:
			body := c.take(int(c.byte() & 31))
			msg := append([]byte{0, 0, 0, 0, byte(len(body))}, body...)
			c.frame(frame.TypeData, frame.Flags(op>>4&1), id, msg)
		case 6:
			c.frame(frame.TypeData, frame.Flags(c.byte()), id, c.take(int(c.byte())))
		case 7:
			c.frame(frame.TypeRSTStream, 0, id, []byte{0, 0, 0, c.byte()})
		case 8:
			c.frame(frame.TypeWindowUpdate, 0, id, []byte{c.byte(), 0, 0, 1})
		case 9:
			c.frame(frame.TypeSettings, frame.Flags(op>>4&1), 0, nil)
		case 10:
			c.frame(frame.TypePing, frame.Flags(op>>4&1), 0, make([]byte, 8))
		case 11:
			c.frame(frame.TypeGoAway, 0, 0, make([]byte, 8))
		case 12:
			c.frame(frame.Type(c.byte()), frame.Flags(c.byte()), uint32(c.byte()), c.take(int(c.byte()&63)))
		case 13:
			c.out.Write(c.take(int(c.byte() & 63)))
		default:
			return c.out.Bytes(), time.Duration(op>>4) * time.Second / 4
		}
	}
	return c.out.Bytes(), 0
}

// The bits of FuzzServerRequests' first argument.
const (
	fuzzSlow     = 1 << iota // the application takes its time between calls
	fuzzSilent               // the client stays, where it else closes the connection
	fuzzPrompt               // the server ends at once, where it else waits for calls
	fuzzNoPrefix             // the input begins the connection
	fuzzAllocate             // allocators hand out the slots
)

// FuzzServerRequests gives a whole server, with an application that answers what
// it is told of, whatever a client can say. However that goes, each call that
// was published ends, every block comes back, other clients are served, and the
// server ends in the time that it is given.
func FuzzServerRequests(f *testing.F) {
	two := []byte{0x10, 1, 0, 0, 0x13, 3, 'a', 'b', 'c', 0x1e}
	for mode := range uint8(32) {
		f.Add(mode, two)
		f.Add(mode, []byte{0, 2, 0x0f, 0, 0, 3, 31, 1, 2, 3, 7, 8, 0x4e, 0x20, 0})
		f.Add(mode, []byte{0, 0, 0x03, 200, 'x', 0x1f, 0x07, 8, 0, 1, 0x23, 0, 0x2e, 0x1b})
		f.Add(mode, append([]byte{13, 63}, frame.ClientPreface...))
		f.Add(mode, []byte{1, 3, 0x30, 3, 12, 9, 0xff, 1, 3, 0, 0, 0, 10, 9, 0x19, 11, 0x13, 0})
	}
	f.Fuzz(func(t *testing.T, mode uint8, in []byte) {
		synctest.Test(t, func(t *testing.T) {
			var slow time.Duration
			if mode&fuzzSlow != 0 {
				slow = 300 * time.Millisecond
			}
			var b *badClientServer
			if mode&fuzzAllocate != 0 {
				b = newAllocatingServer(t)
			} else {
				b = newBadClientServer(t, slow, WithPendingLimits(PendingLimits{Soft: 3, Hard: 6, MaxWait: time.Second}))
			}
			nc, err := b.lis.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				_, _ = io.Copy(io.Discard, nc) // until the server or this side closes
				close(ended)
			}()
			if mode&fuzzNoPrefix == 0 {
				_, _ = nc.Write(frame.AppendSettings([]byte(frame.ClientPreface))) // it may be closed
			}
			for c := newFuzzClient(in); len(c.in) > 0; {
				piece, pause := c.next()
				if _, err := nc.Write(piece); err != nil {
					break
				}
				time.Sleep(pause)
			}
			if mode&fuzzSilent == 0 {
				nc.Close()
				<-ended
			}
			limit := time.Minute
			if mode&(fuzzSilent|fuzzPrompt) != 0 {
				limit = time.Millisecond // calls that the client does not end never do
			}
			start := time.Now()
			b.end(limit)
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("the end took %v", took)
			}
			nc.Close()
			<-ended
		})
	})
}
