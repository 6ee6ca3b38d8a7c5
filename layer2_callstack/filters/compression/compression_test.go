package compression_test

import (
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
)

func TestContract(t *testing.T) {
	for name, side := range map[string]callstacktest.Side{"client": callstacktest.Client, "server": callstacktest.Server} {
		t.Run(name, func(t *testing.T) { callstacktest.Run(t, side, compression.New()) })
	}
}

// begin starts a call that waits for headers, a message and trailers.
func begin(t testing.TB, side callstacktest.Side) (*callstacktest.Call, *callstacktest.Batch, *callstacktest.Stream) {
	t.Helper()
	tr := &callstacktest.Transport{}
	c := callstacktest.NewCall(callstacktest.Build(t, tr, compression.New()))
	if err := c.Begin(side.Args()); err != nil {
		t.Fatal(err)
	}
	return c, c.Do(transport.OpsRecv), tr.Streams()[0]
}

func headers(side callstacktest.Side, encoding string) func(*transport.RecvInitialMetadata) {
	return func(rim *transport.RecvInitialMetadata) {
		side.FillHeaders(rim)
		rim.MD.Encoding, rim.MD.AcceptEncoding = encoding, "gzip"
	}
}

func TestMessages(t *testing.T) {
	for _, tc := range []struct {
		name       string
		side       callstacktest.Side
		encoding   string
		compressed bool
		want       string // part of the error; empty: the message goes up
	}{
		{"plain", callstacktest.Client, "", false, ""},
		{"plain, identity by name", callstacktest.Server, "identity", false, ""},
		{"plain, from a server that named a coding", callstacktest.Client, "gzip", false, ""},
		{"compressed without grpc-encoding", callstacktest.Client, "", true, "the peer named no grpc-encoding"},
		{"compressed with identity", callstacktest.Server, "identity", true, "the peer named no grpc-encoding"},
		{"compressed in a coding that was not offered", callstacktest.Client, "gzip", true, `grpc-encoding "gzip", which was not offered`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, b, st := begin(t, tc.side)
			defer c.Unref()
			st.Headers(headers(tc.side, tc.encoding), nil)
			if md := &b.RecvHeaders; md.Encoding != "" || md.AcceptEncoding != "" {
				t.Errorf("codings %q and %q went up", md.Encoding, md.AcceptEncoding)
			}
			buf := transport.NewBuffer(1)
			buf.Append([]byte("x"))
			buf.Compressed = tc.compressed
			buf.Ref() // the test's own, to see whether the other is dropped
			st.Message(buf, nil)
			if tc.want == "" {
				if b.GotMessage.Err() != nil || b.RecvMessage.Message != buf {
					t.Fatalf("recv_message ended with %v", b.GotMessage.Err())
				}
				buf.Release()
				buf.Release()
				st.Trailers(nil, nil)
				return
			}
			err := b.GotMessage.Err()
			if status.CodeOf(err) != status.Internal || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("recv_message ended with %v, want INTERNAL with %q", err, tc.want)
			}
			if b.RecvMessage.Message != nil {
				t.Error("the message went up with the error")
			}
			if b.GotTrailers.Err() != err || st.Canceled() != err {
				t.Errorf("recv_trailing_metadata ended with %v and the cancel was %v, want %v", b.GotTrailers.Err(), st.Canceled(), err)
			}
			wantLastReference(t, buf)
		})
	}
}

// wantLastReference checks that the test has the only reference of buf.
func wantLastReference(t *testing.T, buf *transport.Buffer) {
	t.Helper()
	buf.Release()
	defer func() {
		if recover() == nil {
			t.Error("the message was not released by the filter")
		}
	}()
	buf.Release()
}

func TestUnknownRequestEncoding(t *testing.T) {
	c, b, st := begin(t, callstacktest.Server)
	st.Headers(headers(callstacktest.Server, "br"), nil)
	err := b.GotHeaders.Err()
	const want = `grpc-encoding "br" is not supported, only "identity" is`
	if status.CodeOf(err) != status.Unimplemented || !strings.Contains(err.Error(), want) {
		t.Errorf("recv_initial_metadata ended with %v, want UNIMPLEMENTED with %q", err, want)
	}
	got := st.SentTrailers()
	known := metadata.Known{HTTPStatus: "200", ContentType: "application/grpc", AcceptEncoding: "identity"}
	if got.Known != known || got.Status != uint32(status.Unimplemented) || got.Message != want {
		t.Errorf("answered %+v with %d %q, want %+v with UNIMPLEMENTED", got.Known, got.Status, got.Message, known)
	}
	st.Trailers(nil, nil)
	if b.GotTrailers.Err() != err {
		t.Errorf("recv_trailing_metadata ended with %v, want %v", b.GotTrailers.Err(), err)
	}
	c.Unref()
	if c.Recycled() != 1 {
		t.Error("the block was not recycled")
	}
}

// TestOtherProtocolsGoUp leaves a request that is not gRPC to http_server.
func TestOtherProtocolsGoUp(t *testing.T) {
	c, b, st := begin(t, callstacktest.Server)
	defer c.Unref()
	st.Headers(func(rim *transport.RecvInitialMetadata) {
		rim.MD.ContentType, rim.MD.Encoding = "text/html", "br"
	}, nil)
	if err := b.GotHeaders.Err(); err != nil || st.Sent(transport.OpSendTrailingMetadata) {
		t.Errorf("recv_initial_metadata ended with %v", err)
	}
	st.Trailers(nil, nil)
}

// FuzzMessage checks that every message either goes up or ends the call with
// INTERNAL, and that only plain ones go up.
func FuzzMessage(f *testing.F) {
	f.Add("gzip", true, []byte("x"), true)
	f.Add("identity", true, []byte{}, false)
	f.Add("", false, []byte("abc"), false)
	f.Fuzz(func(t *testing.T, encoding string, compressed bool, data []byte, server bool) {
		side := callstacktest.Client
		if server {
			side = callstacktest.Server
		}
		c, b, st := begin(t, side)
		st.Headers(headers(side, encoding), nil)
		buf := transport.WrapBuffer(data)
		buf.Compressed = compressed
		st.Message(buf, nil)
		if m := b.RecvMessage.Message; m != nil && m.Compressed {
			t.Error("a compressed message went up")
		}
		if compressed && b.GotTrailers.Count() == 0 && b.GotHeaders.Err() == nil {
			t.Error("a compressed message did not end the call")
		}
		st.Trailers(nil, nil)
		if got := strings.Join(b.Order(), " "); got != "headers message trailers" {
			t.Errorf("callbacks ran in the order %q", got)
		}
		c.Unref()
		if c.Recycled() != 1 {
			t.Error("the block was not recycled")
		}
	})
}
