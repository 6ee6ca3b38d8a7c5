package security

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"golang.org/x/net/http2/hpack"

	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// forbidden are the pairs that may not be sent, whatever they come from. The
// value of each holds a word by which it would be found. Those that HTTP and
// gRPC write themselves are left out, since an application has them that passes
// on all it was sent; with the others the call fails.
var forbidden = []struct {
	name, key, value string
	leftOut          bool
}{
	{"a line break in the value", "x", "SECRET\r\ny: z", false},
	{"a line feed in the value", "x", "SECRET\n", false},
	{"NUL in the value", "x", "SECRET\x00", false},
	{"a tab in the value", "x", "SECRET\t.", false},
	{"a letter beyond ASCII in the value", "x", "SECRETé", false},
	{"a line break in the key", "x\r\ny", "SECRET", false},
	{"a letter beyond ASCII in the key", "é", "SECRET", false},
	{"a blank in the key", "a b", "SECRET", false},
	{"an empty key", "", "SECRET", false},
	{"a pseudo-header field", ":path", "SECRET", false},
	{"an unknown pseudo-header field", ":x", "SECRET", false},
	{"grpc-status", "grpc-status", "SECRET", true},
	{"grpc-timeout", "grpc-timeout", "SECRET", true},
	{"content-type", "content-type", "SECRET", true},
	{"te", "te", "SECRET", true},
	{"host", "host", "SECRET", true},
	{"connection", "connection", "SECRET", true},
	{"content-length", "content-length", "SECRET", true},
	{"transfer-encoding", "transfer-encoding", "SECRET", true},
}

// TestForbiddenFieldsOfAClient: the call ends with INTERNAL on this side, the
// error names the key and not the value, and no HEADERS frame is written. The
// connection goes on.
func TestForbiddenFieldsOfAClient(t *testing.T) {
	for _, f := range forbidden {
		for kind, do := range kinds {
			t.Run(strings.ReplaceAll(f.name, " ", "_")+"/"+kind, func(t *testing.T) {
				lis, wire := listenTCP(t), new(tap)
				serve(t, lis, nil)
				cc := dial(t, lis.Addr().String(), tapDialer(wire))
				if err := cc.Ready(within(t)); err != nil {
					t.Fatal(err)
				}
				ctx := metadata.NewOutgoingContext(within(t), metadata.MD{f.key: {f.value}})
				err, want := do(ctx, cc), 0
				if f.leftOut {
					want = 1
				}
				wantInternal(t, err, f.leftOut)
				if n := headers(wire.bytes(), true); n != want {
					t.Errorf("%d HEADERS frames were written, want %d", n, want)
				}
				if onWire(wire.bytes()) {
					t.Error("the value is on the wire")
				}
				if err := do(within(t), cc); err != nil {
					t.Errorf("the next call: %v", err)
				}
			})
		}
	}
}

// onWire reports whether the word of a forbidden value was sent, as it is or in
// Huffman code, whose last byte is shared with what follows.
func onWire(sent []byte) bool {
	code := hpack.AppendHuffmanString(nil, "SECRET")
	return bytes.Contains(sent, []byte("SECRET")) || bytes.Contains(sent, code[:len(code)-1])
}

func wantInternal(t *testing.T, err error, leftOut bool) {
	t.Helper()
	switch {
	case leftOut && err != nil:
		t.Errorf("the call ended with %v", err)
	case !leftOut && status.CodeOf(err) != status.Internal:
		t.Errorf("the call ended with %v, want INTERNAL", err)
	}
	if err != nil && strings.Contains(err.Error(), "SECRET") {
		t.Errorf("the error holds the value: %v", err)
	}
}

// TestAllowedFieldsAreSeen: the tap finds what is sent.
func TestAllowedFieldsAreSeen(t *testing.T) {
	lis, wire := listenTCP(t), new(tap)
	serve(t, lis, nil)
	cc := dial(t, lis.Addr().String(), tapDialer(wire))
	if err := call(metadata.AppendToOutgoingContext(within(t), "x", "SECRET."), cc); err != nil {
		t.Fatal(err)
	}
	if n := headers(wire.bytes(), true); n != 1 || !onWire(wire.bytes()) {
		t.Errorf("%d HEADERS frames, and the value is on the wire: %v", n, onWire(wire.bytes()))
	}
}

// TestForbiddenFieldsOfAServer: nothing of the pair reaches the wire or the
// client, whose call fails with INTERNAL; the connection goes on.
func TestForbiddenFieldsOfAServer(t *testing.T) {
	for source, set := range map[string]func(context.Context, metadata.MD) error{
		"header": stubs.SetHeader, "sent_header": stubs.SendHeader, "trailer": stubs.SetTrailer,
	} {
		for _, f := range forbidden {
			for kind, do := range kinds {
				t.Run(source+"/"+strings.ReplaceAll(f.name, " ", "_")+"/"+kind, func(t *testing.T) {
					lis := tapListener{listenTCP(t), new(tap)}
					var good atomic.Bool
					serve(t, lis, func(ctx context.Context) error {
						if !good.Load() {
							return set(ctx, metadata.MD{f.key: {f.value}})
						}
						return nil
					})
					cc := dial(t, lis.Addr().String())
					var header, trailer metadata.MD
					wantInternal(t, do(within(t), cc, stubs.Header(&header), stubs.Trailer(&trailer)), f.leftOut)
					if onWire(lis.tap.bytes()) || len(header.Get(f.key))+len(trailer.Get(f.key)) > 0 {
						t.Errorf("the pair was sent: header %v, trailer %v", header, trailer)
					}
					good.Store(true)
					if err := do(within(t), cc); err != nil {
						t.Errorf("the next call: %v", err)
					}
				})
			}
		}
	}
}

// TestStatusTexts: whatever a handler says arrives as text, or nearly, and
// never as another field.
func TestStatusTexts(t *testing.T) {
	for name, text := range map[string]string{
		"a line break": "a\r\ngrpc-status: 0\r\n\r\n", "NUL": "a\x00b", "a letter beyond ASCII": "é", "a percent sign": "100%41",
		"blanks": "  a  ", "bytes that are no UTF-8": "\xff\xfe", "a long text": strings.Repeat("x", 3000),
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			lis := listenTCP(t)
			serve(t, lis, func(context.Context) error {
				st := status.New(status.NotFound, text)
				if detailed, err := st.WithDetails(wrapperspb.String("details")); err == nil {
					st = detailed
				}
				return st.Err()
			})
			cc := dial(t, lis.Addr().String())
			for kind, do := range kinds {
				var trailer metadata.MD
				err := do(within(t), cc, stubs.Trailer(&trailer))
				st := status.Convert(err)
				want := strings.ToValidUTF8(text, "\ufffd")
				if st.Code() != status.NotFound || st.Message() != want && name != "bytes that are no UTF-8" {
					t.Errorf("%s: the call ended with %v %q, want %q", kind, st.Code(), st.Message(), want)
				}
				for key := range trailer {
					if key != "grpc-status-details-bin" {
						t.Errorf("%s: a trailer %q came", kind, key)
					}
				}
			}
		})
	}
}

// TestBlanksAtTheEnds: they would not survive the wire, RFC 9113 §8.2.1, and are
// removed; those inside stay.
func TestBlanksAtTheEnds(t *testing.T) {
	lis := listenTCP(t)
	got := make(chan string, 10)
	serve(t, lis, func(ctx context.Context) error {
		md, _ := metadata.FromIncomingContext(ctx)
		got <- strings.Join(md.Get("x"), "|")
		return nil
	})
	if err := call(metadata.AppendToOutgoingContext(within(t), "X", "  a b  "), dial(t, lis.Addr().String())); err != nil {
		t.Fatal(err)
	}
	if v := <-got; v != "a b" {
		t.Errorf("the value is %q", v)
	}
}

// request returns what a client writes for one call with an empty message.
func request(fields ...string) []byte {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range fields {
		i := strings.Index(f[1:], ": ") + 1
		_ = enc.WriteField(hpack.HeaderField{Name: f[:i], Value: f[i+2:]}) // a bytes.Buffer takes every write
	}
	b := append([]byte(frame.ClientPreface), 0, 0, 0, 4, 0, 0, 0, 0, 0)
	b = append(b, 0, byte(block.Len()>>8), byte(block.Len()), 1, 4, 0, 0, 0, 1)
	b = append(b, block.Bytes()...)
	return append(b, 0, 0, 5, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0)
}

// TestAuthoritiesOnTheWire: a handler sees exactly one authority, or the call
// never reaches it. gRFC A41, RFC 9113 §8.3.1.
func TestAuthoritiesOnTheWire(t *testing.T) {
	base := []string{":method: POST", ":scheme: http", ":path: " + unaryMethod, "content-type: application/grpc", "te: trailers"}
	for _, tc := range []struct {
		name   string
		pseudo string // ":authority"
		fields []string
		want   string // empty: refused
	}{
		{"an authority", "a.test", nil, "a.test"},
		{"a host in its place", "", []string{"host: h.test"}, "h.test"},
		{"both", "a.test", []string{"host: h.test"}, "a.test"},
		{"two hosts", "", []string{"host: h.test", "host: i.test"}, ""},
		{"two hosts beside an authority", "a.test", []string{"host: h.test", "host: i.test"}, ""},
		{"user information", "user@a.test", nil, ""},
		{"user information in host", "", []string{"host: user@h.test"}, ""},
		{"a connection field", "a.test", []string{"connection: host"}, ""},
	} {
		t.Run(strings.ReplaceAll(tc.name, " ", "_"), func(t *testing.T) {
			seen := make(chan []string, 1)
			lis := listenTCP(t)
			serve(t, lis, func(ctx context.Context) error {
				md, _ := metadata.FromIncomingContext(ctx)
				seen <- append(md.Get(":authority"), md.Get("host")...)
				return nil
			})
			fields := append([]string(nil), base...)
			if tc.pseudo != "" {
				fields = append([]string{":authority: " + tc.pseudo}, fields...)
			}
			c := rawDial(t, lis)
			if _, err := c.Write(request(append(fields, tc.fields...)...)); err != nil {
				t.Fatal(err)
			}
			if tc.want != "" {
				select {
				case got := <-seen:
					if len(got) != 1 || got[0] != tc.want {
						t.Errorf("the handler sees %q, want %q", got, tc.want)
					}
				case <-time.After(patience):
					t.Error("no handler runs")
				}
				return
			}
			// The end of the stream is what a refused call has in common.
			buf := make([]byte, 4096)
			var all []byte
			for !ended(all) {
				n, err := c.Read(buf)
				all = append(all, buf[:n]...)
				if err != nil {
					break
				}
			}
			select {
			case got := <-seen:
				t.Errorf("a handler runs and sees %q", got)
			default:
			}
		})
	}
}

// ended reports whether the frames of a server end stream 1: with END_STREAM,
// RST_STREAM or GOAWAY.
func ended(b []byte) bool {
	for len(b) >= 9 {
		kind, flags := b[3], b[4]
		if kind == 3 || kind == 7 || kind <= 1 && flags&1 != 0 {
			return true
		}
		b = b[min(len(b), 9+int(b[0])<<16+int(b[1])<<8+int(b[2])):]
	}
	return false
}

func rawDial(t *testing.T, lis net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience)) // a connection has deadlines
	return c
}

// TestReservedFieldsOnTheWire: fields of HTTP and gRPC that a client sends are
// not shown to handlers as metadata, nor are trailers of a client.
func TestReservedFieldsOnTheWire(t *testing.T) {
	seen := make(chan metadata.MD, 1)
	lis := listenTCP(t)
	serve(t, lis, func(ctx context.Context) error {
		md, _ := metadata.FromIncomingContext(ctx)
		seen <- md
		return nil
	})
	c := rawDial(t, lis)
	if _, err := c.Write(request(":method: POST", ":scheme: http", ":path: "+unaryMethod, ":authority: a.test", "content-type: application/grpc", "te: trailers",
		"user-agent: u", "grpc-status: 0", "grpc-message: hello", "grpc-message-type: x", "grpc-accept-encoding: identity", "grpc-encoding: identity", "grpc-timeout: 10S", "own: 1")); err != nil {
		t.Fatal(err)
	}
	select {
	case md := <-seen:
		for key := range md {
			if key != ":authority" && key != "user-agent" && key != "own" {
				t.Errorf("the handler sees %q", key)
			}
		}
	case <-time.After(patience):
		t.Error("no handler runs")
	}
}

// TestOtherProtocols: bytes of HTTP/1 reach no handler and get no upgrade, before
// the preface or behind it.
func TestOtherProtocols(t *testing.T) {
	for name, says := range map[string]string{
		"an upgrade to h2c":        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
		"a request behind upgrade": "POST " + unaryMethod + " HTTP/1.1\r\nHost: a.test\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\n" + string(request(":method: POST")),
		"a request of HTTP/1":      "POST " + unaryMethod + " HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/grpc\r\nContent-Length: 5\r\n\r\n\x00\x00\x00\x00\x00",
		"HTTP/1 behind a preface":  frame.ClientPreface + "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
		"a preface of HTTP/2.1":    "PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n",
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			ran := make(chan struct{}, 10)
			lis := listenTCP(t)
			serve(t, lis, func(context.Context) error { ran <- struct{}{}; return nil })
			c := rawDial(t, lis)
			if _, err := io.WriteString(c, says); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Error("the server keeps the connection")
			}
			if bytes.Contains(got, []byte("101 Switching")) {
				t.Errorf("the server upgrades: %q", got)
			}
			select {
			case <-ran:
				t.Error("a handler runs")
			default:
			}
		})
	}
}
