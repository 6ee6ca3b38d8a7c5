package compression_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// long is a message that is worth compressing.
var long = strings.Repeat("compress me, ", 80)

// noise returns n bytes that nothing makes shorter.
func noise(n int) string {
	p := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(p)
	return string(p)
}

func TestSending(t *testing.T) {
	const client, server = callstacktest.Client, callstacktest.Server
	half := config{Compressors: []encoding.Compressor{rot{name: "half"}, encoding.Gzip{}}, Send: "half"}
	for _, tc := range []struct {
		name   string
		side   callstacktest.Side
		cfg    config
		peer   [2]string // grpc-encoding and grpc-accept-encoding, of a client
		wish   string    // of the call
		flags  uint32
		text   string
		coding string // grpc-encoding that is sent
		plain  bool   // the message is sent as it is
	}{
		{"nothing is compressed unless asked for", client, config{}, [2]string{}, "", 0, long, "", true},
		{"the channel's default", client, config{Send: "gzip"}, [2]string{}, "", 0, long, "gzip", false},
		{"the call's own coding", client, config{}, [2]string{}, "gzip", 0, long, "gzip", false},
		{"the call's own coding before the default", client, config{Send: "gzip"}, [2]string{}, "deflate", 0, long, "deflate", false},
		{"a call that wants none", client, config{Send: "gzip"}, [2]string{}, "identity", 0, long, "", true},
		{"identity as the default", client, config{Send: "identity"}, [2]string{}, "", 0, long, "", true},
		{"a message that is not to be compressed", client, config{Send: "gzip"}, [2]string{}, "", transport.FlagNoCompress, long, "gzip", true},
		{"an empty message", client, config{Send: "gzip", MinSize: -1}, [2]string{}, "", 0, "", "gzip", true},
		{"a message below the least length", client, config{Send: "gzip"}, [2]string{}, "", 0, long[:255], "gzip", true},
		{"a message of the least length", client, config{Send: "gzip"}, [2]string{}, "", 0, long[:256], "gzip", false},
		{"a message of a least length of one's own", client, config{Send: "gzip", MinSize: 100}, [2]string{}, "", 0, long[:100], "gzip", false},
		{"no least length", client, config{Send: "gzip", MinSize: -1}, [2]string{}, "", 0, strings.Repeat("a", 200), "gzip", false},
		{"a message that would not get shorter", client, config{Send: "gzip"}, [2]string{}, "", 0, noise(300), "gzip", true},
		{"a coding of the user's own", client, half, [2]string{}, "", 0, long, "half", false},

		{"a server does not follow its client", server, config{}, [2]string{"gzip", "gzip"}, "", 0, long, "", true},
		{"unless told to", server, config{Mirror: true}, [2]string{"gzip", "gzip"}, "", 0, long, "gzip", false},
		{"and then only to what the client accepts", server, config{Mirror: true}, [2]string{"gzip", "deflate"}, "", 0, long, "", true},
		{"a default goes before following", server, config{Mirror: true, Send: "deflate"}, [2]string{"gzip", "gzip,deflate"}, "", 0, long, "deflate", false},
		{"a request without a coding is followed too", server, config{Mirror: true}, [2]string{"", "gzip"}, "", 0, long, "", true},
		{"the server's default", server, config{Send: "gzip"}, [2]string{"", "deflate, GZIP"}, "", 0, long, "gzip", false},
		{"the server's default, which the client does not accept", server, config{Send: "gzip"}, [2]string{"", "br,deflate"}, "", 0, long, "", true},
		{"the server's default, and the client says nothing", server, config{Send: "gzip"}, [2]string{"", ""}, "", 0, long, "", true},
		{"a coding of the call's that the client does not accept", server, config{}, [2]string{"", "deflate"}, "gzip", 0, long, "", true},
		{"a coding of the call's, not that of the request", server, config{}, [2]string{"gzip", "gzip,deflate"}, "deflate", 0, long, "deflate", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, _, st := begin(t, tc.side, tc.cfg)
			defer c.Unref()
			if tc.side == server {
				st.Headers(headers(tc.side, tc.peer[0], tc.peer[1]), nil)
			}
			b := c.Do(transport.OpsSend, func(b *callstacktest.Batch) {
				b.SendHeaders.Encoding, b.SendMessage.Flags = tc.wish, tc.flags
				b.SendMessage.Buf.Append([]byte(tc.text))
			})
			if err := b.Sent.Err(); err != nil {
				t.Fatal(err)
			}
			set, _ := tc.cfg.Set()
			md := st.SentHeaders()
			if md.Encoding != tc.coding || md.AcceptEncoding != set.Accept() {
				t.Errorf("sent grpc-encoding %q and grpc-accept-encoding %q, want %q and %q", md.Encoding, md.AcceptEncoding, tc.coding, set.Accept())
			}
			got, flag := st.SentMessage()
			switch {
			case flag == tc.plain:
				t.Errorf("the Compressed-Flag is %v, want %v", flag, !tc.plain)
			case tc.plain && got != tc.text:
				t.Errorf("sent %d bytes, want the %d as they are", len(got), len(tc.text))
			case tc.coding == "half" && got != tc.text[:len(tc.text)/2]:
				t.Errorf("sent %d bytes, want the %d of the user's compressor", len(got), len(tc.text)/2)
			case !tc.plain && tc.coding != "half" && inflated(t, set.Find(tc.coding), got) != tc.text:
				t.Error("what was sent is not the message")
			}
			st.Trailers(tc.side.FillTrailers, nil)
		})
	}
}

// TestLaterMessages has each message of a stream decide for itself.
func TestLaterMessages(t *testing.T) {
	c, _, st := begin(t, callstacktest.Client, config{Send: "gzip"})
	c.Do(transport.OpSendInitialMetadata)
	for _, tc := range []struct {
		text  string
		flags uint32
		want  bool
	}{{long, 0, true}, {long, transport.FlagNoCompress, false}, {"short", 0, false}, {long, 0, true}} {
		c.Do(transport.OpSendMessage, func(b *callstacktest.Batch) {
			b.SendMessage.Buf.Append([]byte(tc.text))
			b.SendMessage.Flags = tc.flags
		})
		if _, flag := st.SentMessage(); flag != tc.want {
			t.Errorf("the Compressed-Flag of %d bytes with flags %#x is %v, want %v", len(tc.text), tc.flags, flag, tc.want)
		}
	}
	st.Trailers(callstacktest.Client.FillTrailers, nil)
	c.Unref()
}

// TestCompressedAlready has a message that its application has compressed.
func TestCompressedAlready(t *testing.T) {
	for _, enc := range []string{"gzip", "zstd"} { // one that we know, and one that we do not
		c, _, st := begin(t, callstacktest.Client, config{KeepCompressed: true})
		raw := compressed(t, encoding.Gzip{}, long)
		want := string(raw.Bytes())
		c.Do(transport.OpsSend, func(b *callstacktest.Batch) {
			b.SendHeaders.Encoding = enc
			b.SendMessage.Buf.Release()
			b.SendMessage.Buf = raw
		})
		if got, flag := st.SentMessage(); got != want || !flag || st.SentHeaders().Encoding != enc {
			t.Errorf("a message in %s was sent as %d bytes with flag %v and grpc-encoding %q", enc, len(got), flag, st.SentHeaders().Encoding)
		}
		st.Trailers(callstacktest.Client.FillTrailers, nil)
		c.Unref()
	}
}

// TestFaultsOfSending end the call with INTERNAL: the program is at fault.
func TestFaultsOfSending(t *testing.T) {
	bad := config{Compressors: []encoding.Compressor{rot{name: "panics", panics: true}, rot{name: "fails", fails: true}}}
	for _, tc := range []struct {
		name string
		cfg  config
		wish string
		want string
	}{
		{"a coding that is not known", config{}, "br", `compressor "br" is not known, "gzip,deflate" and "identity" are`},
		{"a compressor that panics", bad, "panics", `compressor "panics" panicked: on purpose`},
		{"a compressor that fails", bad, "fails", `compressor "fails": io: read/write on closed pipe`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, recv, st := begin(t, callstacktest.Client, tc.cfg)
			b := c.Do(transport.OpsSend, func(b *callstacktest.Batch) {
				b.SendHeaders.Encoding = tc.wish
				b.SendMessage.Buf.Append([]byte(long))
			})
			err := recv.GotTrailers.Err()
			if status.CodeOf(err) != status.Internal || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the call ended with %v, want INTERNAL with %q", err, tc.want)
			}
			if st.Canceled() == nil || b.Sent.Err() == nil {
				t.Error("the call was not cancelled, or its batch did not fail")
			}
			c.Unref()
			if c.Recycled() != 1 {
				t.Error("the block was not recycled")
			}
		})
	}
}

// TestTextAnswers leaves an answer to something else than gRPC alone.
func TestTextAnswers(t *testing.T) {
	c, _, st := begin(t, callstacktest.Server, config{Send: "gzip"})
	st.Headers(headers(callstacktest.Server, "", "gzip"), nil)
	c.Do(transport.OpsSend, func(b *callstacktest.Batch) {
		b.SendMessage.Flags = transport.FlagUnframed | transport.FlagNoCompress
		b.SendMessage.Buf.Append([]byte(long))
	})
	if md := st.SentHeaders(); md.Encoding != "" || md.AcceptEncoding != "" {
		t.Errorf("sent grpc-encoding %q and grpc-accept-encoding %q", md.Encoding, md.AcceptEncoding)
	}
	st.Trailers(nil, nil)
	c.Unref()
}
