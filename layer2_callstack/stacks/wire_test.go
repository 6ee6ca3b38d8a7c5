package stacks_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// A wire is a client's and a server's stack with a connection between them.
type wire struct {
	t              *testing.T
	clientT        transport.Transport
	serverT        transport.Transport
	client, server *callstack.ChannelStack

	calls []*serverCall // accepted so far; read when the bubble is idle
}

// A serverCall is a call that the server accepted, with the batch that waits
// for its headers and its end.
type serverCall struct {
	*callstacktest.Call
	first *callstacktest.Batch
}

// newWire connects the two builders over HTTP/2, or in the process.
func newWire(t *testing.T, overHTTP bool, client, server *callstack.Builder) *wire {
	t.Helper()
	w := &wire{t: t}
	if overHTTP {
		w.connectHTTP2()
	} else {
		w.clientT, w.serverT = inproc.Pair(inproc.Config{})
	}
	var err error
	if w.client, err = client.Build(callstack.ChannelArgs{Transport: w.clientT}); err != nil {
		t.Fatal(err)
	}
	if w.server, err = server.Build(callstack.ChannelArgs{Transport: w.serverT}); err != nil {
		t.Fatal(err)
	}
	w.server.StartTransportOp(&transport.Op{Accept: w})
	return w
}

func (w *wire) connectHTTP2() {
	c, s := memconn.Pipe()
	done := make(chan error, 1)
	go func() {
		var err error
		w.serverT, err = http2.Accept(context.Background(), s, nil, http2.Config{})
		done <- err
	}()
	var err error
	if w.clientT, err = http2.Connect(context.Background(), c, nil, http2.Config{}); err == nil {
		err = <-done
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// AcceptStream begins a call of the server's stack.
func (w *wire) AcceptStream(_ transport.Transport, accepted transport.Accepted) {
	c := &serverCall{Call: callstacktest.NewCall(w.server)}
	if err := c.Begin(callstack.CallArgs{Accepted: accepted}); err != nil {
		w.t.Errorf("Init on the server: %v", err)
	}
	c.first = c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
	w.calls = append(w.calls, c)
}

// call starts a whole unary call of the client and waits for the bubble.
func (w *wire) call(args callstack.CallArgs, edit func(*callstacktest.Batch)) (*callstacktest.Call, *callstacktest.Batch) {
	c := callstacktest.NewCall(w.client)
	if err := c.Begin(args); err != nil {
		w.t.Fatalf("Init on the client: %v", err)
	}
	b := c.Do(transport.OpsSend|transport.OpsRecv, func(b *callstacktest.Batch) {
		b.SendHeaders.Path, b.SendHeaders.Deadline = "/service/method", args.Deadline
		b.SendMessage.Buf.Append([]byte("question"))
		if edit != nil {
			edit(b)
		}
	})
	synctest.Wait()
	return c, b
}

// close ends both ends and checks that all blocks came back.
func (w *wire) close(client *callstacktest.Call) {
	w.t.Helper()
	w.clientT.Close()
	w.serverT.Close()
	synctest.Wait()
	client.Unref()
	if client.Recycled() != 1 {
		w.t.Error("the client's block was not recycled")
	}
	for _, c := range w.calls {
		c.Unref()
		if c.Recycled() != 1 {
			w.t.Error("a server's block was not recycled")
		}
	}
	w.client.Destroy()
	w.server.Destroy()
}

func TestUnaryOverTheWire(t *testing.T) {
	for _, tc := range []struct {
		name     string
		overHTTP bool
		client   *callstack.Builder
	}{
		{"HTTP/2, as a subchannel", true, stacks.ClientSubchannel(stacks.Options{Authority: "host"})},
		{"HTTP/2, direct", true, stacks.ClientDirect(stacks.Options{Authority: "host"}, true)},
		{"in the process", false, stacks.ClientDirect(stacks.Options{Authority: "host"}, false)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(t, tc.overHTTP, tc.client, stacks.Server(top, stacks.Options{}))
				c, b := w.call(callstack.CallArgs{Deadline: time.Now().Add(time.Minute)}, nil)
				s := w.calls[0]
				if md := &s.first.RecvHeaders; md.Path != "/service/method" || md.Authority != "host" || md.Deadline.IsZero() {
					t.Errorf("the server got path %q, authority %q and deadline %v", md.Path, md.Authority, md.Deadline)
				}
				rm := s.Do(transport.OpRecvMessage)
				s.Do(transport.OpsSend, func(b *callstacktest.Batch) {
					b.SendMessage.Buf.Append([]byte("answer"))
					b.SendTrailers.SetStatus(uint32(status.OK), "")
				})
				synctest.Wait()
				if err := s.first.GotTrailers.Err(); s.first.GotTrailers.Count() != 1 || err != nil {
					t.Errorf("the server's call ended %d times with %v", s.first.GotTrailers.Count(), err)
				}
				if err := b.GotTrailers.Err(); err != nil || !b.RecvTrailers.HasStatus || b.RecvTrailers.Status != 0 {
					t.Errorf("the client's call ended with %v and status %d", err, b.RecvTrailers.Status)
				}
				for want, m := range map[string]*transport.Buffer{"question": rm.RecvMessage.Message, "answer": b.RecvMessage.Message} {
					if m == nil || string(m.Bytes()) != want {
						t.Errorf("message %q did not arrive", want)
					}
					m.Release()
				}
				for _, md := range []*metadata.List{&b.RecvHeaders, &b.RecvTrailers} {
					if md.Known != (metadata.Known{}) {
						t.Errorf("fields of HTTP went up on the client: %+v", md.Known)
					}
				}
				w.close(c)
			})
		})
	}
}

// TestFaultsOverTheWire has calls that a filter ends, and what both ends learn.
func TestFaultsOverTheWire(t *testing.T) {
	long := func(b *callstacktest.Batch) { b.SendMessage.Buf.Append(make([]byte, 100)) }
	for _, tc := range []struct {
		name    string
		client  stacks.Options
		server  stacks.Options
		edit    func(*callstacktest.Batch)
		wait    time.Duration
		code    status.Code
		message string
		arrives bool // the call reaches the top of the server
	}{
		{"a content-type of something else", stacks.Options{}, stacks.Options{},
			func(b *callstacktest.Batch) { b.SendHeaders.ContentType = "text/plain" }, 0,
			status.Unknown, `content-type "text/plain" is not gRPC's`, false},
		{"a coding that the server does not know", stacks.Options{}, stacks.Options{Compression: compression.Config{Compressors: []encoding.Compressor{encoding.Deflate{}}}},
			func(b *callstacktest.Batch) { b.SendHeaders.Encoding = "gzip" }, 0,
			status.Unimplemented, `grpc-encoding "gzip" is not supported, "deflate" and "identity" are`, false},
		{"a coding that the client does not know", stacks.Options{}, stacks.Options{},
			func(b *callstacktest.Batch) { b.SendHeaders.Encoding = "br" }, 0,
			status.Internal, `compressor "br" is not known`, false},
		{"a message that is too long once it is inflated", stacks.Options{}, stacks.Options{MaxRecv: 5000},
			func(b *callstacktest.Batch) {
				b.SendHeaders.Encoding = "gzip"
				b.SendMessage.Buf.Append(make([]byte, 1<<20))
			}, 0, status.ResourceExhausted, "passes the receive limit of 5000 bytes once inflated", true},
		{"a compressed message without a coding", stacks.Options{}, stacks.Options{},
			func(b *callstacktest.Batch) { b.SendMessage.Buf.Compressed = true }, 0,
			status.Internal, "the peer named no grpc-encoding", true},
		{"a message that is too long to send", stacks.Options{MaxSend: 50}, stacks.Options{}, long, 0,
			status.ResourceExhausted, "a message of 108 bytes passes the send limit of 50 bytes (option MaxSend)", false},
		{"a message that is too long to receive", stacks.Options{}, stacks.Options{MaxRecv: 50}, long, 0,
			status.ResourceExhausted, "a message of 108 bytes passes the receive limit of 50 bytes (option MaxRecv)", true},
		{"a deadline that only the server watches", stacks.Options{}, stacks.Options{},
			func(b *callstacktest.Batch) { b.SendHeaders.Deadline = time.Now().Add(time.Second) }, 2 * time.Second,
			status.DeadlineExceeded, "deadline", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(t, true, stacks.ClientSubchannel(tc.client), stacks.Server(top, tc.server))
				c, b := w.call(callstack.CallArgs{}, tc.edit)
				arrived := len(w.calls) == 1 && w.calls[0].first.GotHeaders.Err() == nil
				if arrived != tc.arrives {
					t.Errorf("the call reached the top of the server: %v, want %v", arrived, tc.arrives)
				}
				if arrived {
					w.calls[0].Do(transport.OpRecvMessage, func(b *callstacktest.Batch) { b.RecvMessage.Ready = &dropMessage{b} })
				}
				time.Sleep(tc.wait)
				synctest.Wait()
				code, message := statusOf(b)
				if code != tc.code || !strings.Contains(message, tc.message) {
					t.Errorf("the client learned %v %q, want %v with %q", code, message, tc.code, tc.message)
				}
				if len(w.calls) == 1 && w.calls[0].first.GotTrailers.Err() == nil {
					t.Error("the server's call ended without an error")
				}
				w.close(c)
			})
		})
	}
}

// dropMessage receives a message that nobody wants.
type dropMessage struct{ b *callstacktest.Batch }

func (d *dropMessage) Run(error) { d.b.RecvMessage.Message.Release() }

// statusOf returns how a client's call ended: with the peer's status, or with
// an error from below.
func statusOf(b *callstacktest.Batch) (status.Code, string) {
	if err := b.GotTrailers.Err(); err != nil {
		return status.CodeOf(err), err.Error()
	}
	return status.Code(b.RecvTrailers.Status), b.RecvTrailers.Message
}
