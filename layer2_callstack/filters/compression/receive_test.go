package compression_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"strings"
	"testing"
	"testing/synctest"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// limit is what the messages of TestMessages may have.
const limit = 64 << 10

// zeros returns n zero bytes in gzip, of which a thousand take one.
func zeros(t testing.TB, n int) *transport.Buffer {
	return compressed(t, encoding.Gzip{Level: 1}, strings.Repeat("\x00", n))
}

// edited returns b after edit has changed its bytes.
func edited(b *transport.Buffer, edit func([]byte) []byte) *transport.Buffer {
	out := buffer(string(edit(bytes.Clone(b.Bytes()))))
	out.Compressed = true
	b.Release()
	return out
}

// members returns text as n gzip members, one behind the other.
func members(t testing.TB, n int, text string) *transport.Buffer {
	var out bytes.Buffer
	for range n {
		w := gzip.NewWriter(&out)
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	b := buffer(out.String())
	b.Compressed = true
	return b
}

// withDictionary returns a message in zlib's format that needs a dictionary.
func withDictionary(t testing.TB) *transport.Buffer {
	var out bytes.Buffer
	w, err := zlib.NewWriterLevelDict(&out, 6, []byte("compress"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(long))
	_ = w.Close()
	b := buffer(out.String())
	b.Compressed = true
	return b
}

func flagged(text string) *transport.Buffer {
	b := buffer(text)
	b.Compressed = true
	return b
}

func TestMessages(t *testing.T) {
	const client, server = callstacktest.Client, callstacktest.Server
	gz, zl := encoding.Gzip{}, encoding.Deflate{}
	ours := config{Compressors: []encoding.Compressor{rot{name: "panics", panics: true}, rot{name: "same"}}}
	for _, tc := range []struct {
		name     string
		side     callstacktest.Side
		cfg      config
		encoding string
		msg      *transport.Buffer
		text     string      // that goes up, if code is OK
		code     status.Code // of the call otherwise
		want     string      // part of the error
	}{
		{"plain", client, config{}, "", buffer("x"), "x", 0, ""},
		{"plain, identity by name", server, config{}, "identity", buffer("x"), "x", 0, ""},
		{"plain, from a peer that named a coding", client, config{}, "gzip", buffer("x"), "x", 0, ""},
		{"plain, from a server with a coding that nobody knows", client, config{}, "br", buffer("x"), "x", 0, ""},
		{"gzip", client, config{}, "gzip", compressed(t, gz, long), long, 0, ""},
		{"deflate", server, config{}, "deflate", compressed(t, zl, long), long, 0, ""},
		{"an empty message in gzip", server, config{}, "gzip", compressed(t, gz, ""), "", 0, ""},
		{"several members", server, config{}, "gzip", members(t, 3, "abc"), "abcabcabc", 0, ""},
		{"a coding of the user's own", server, ours, "same", flagged("x"), "x", 0, ""},
		{"exactly the limit", server, config{}, "gzip", zeros(t, limit), strings.Repeat("\x00", limit), 0, ""},

		{"the flag without grpc-encoding", client, config{}, "", flagged("x"), "", status.Internal, "the peer named no grpc-encoding"},
		{"the flag with identity", server, config{}, "identity", flagged("x"), "", status.Internal, "the peer named no grpc-encoding"},
		{"a coding that was not offered", client, config{}, "br", flagged("x"), "", status.Internal,
			`grpc-encoding "br", which was not offered, "gzip,deflate" and "identity" are`},
		{"a coding that is switched off", client, config{Compressors: []encoding.Compressor{zl}}, "gzip", compressed(t, gz, long), "", status.Internal,
			`grpc-encoding "gzip", which was not offered, "deflate" and "identity" are`},
		{"one byte beyond the limit", server, config{}, "gzip", zeros(t, limit+1), "", status.ResourceExhausted,
			"bytes passes the receive limit of 65536 bytes once inflated (option Test)"},
		{"a bomb", client, config{}, "gzip", zeros(t, 8<<20), "", status.ResourceExhausted, "once inflated (option Test)"},
		{"a bomb of many members", server, config{}, "gzip", members(t, 100, strings.Repeat("a", 1000)), "", status.ResourceExhausted, "once inflated"},
		{"a bomb in a bomb, of which one is opened", client, config{}, "gzip", compressed(t, gz, string(zeros(t, 1<<20).Bytes())), string(zeros(t, 1<<20).Bytes()), 0, ""},
		{"nothing at all", server, config{}, "gzip", flagged(""), "", status.Internal, "the gzip data of the message is cut off"},
		{"cut off in the header", server, config{}, "gzip", edited(compressed(t, gz, long), func(p []byte) []byte { return p[:5] }), "", status.Internal, "is cut off"},
		{"cut off in the data", server, config{}, "gzip", edited(compressed(t, gz, long), func(p []byte) []byte { return p[:20] }), "", status.Internal, "is cut off"},
		{"cut off before the checksum", server, config{}, "gzip", edited(compressed(t, gz, long), func(p []byte) []byte { return p[:len(p)-8] }), "", status.Internal, "is cut off"},
		{"deflate that is cut off", client, config{}, "deflate", edited(compressed(t, zl, long), func(p []byte) []byte { return p[:len(p)-1] }), "", status.Internal, "the deflate data of the message is cut off"},
		{"a wrong checksum", server, config{}, "gzip", edited(compressed(t, gz, long), func(p []byte) []byte { p[len(p)-6] ^= 1; return p }), "", status.Internal, "gzip: invalid checksum"},
		{"a wrong length", server, config{}, "gzip", edited(compressed(t, gz, long), func(p []byte) []byte { p[len(p)-1] ^= 1; return p }), "", status.Internal, "gzip: invalid checksum"},
		{"a wrong checksum of deflate", client, config{}, "deflate", edited(compressed(t, zl, long), func(p []byte) []byte { p[len(p)-1] ^= 1; return p }), "", status.Internal, "zlib: invalid checksum"},
		{"something behind the end of gzip", server, config{}, "gzip", edited(compressed(t, gz, long), func(p []byte) []byte { return append(p, "more"...) }), "", status.Internal, "is cut off"},
		{"much behind the end of gzip", server, config{}, "gzip", edited(compressed(t, gz, long), func(p []byte) []byte { return append(p, "and much more"...) }), "", status.Internal, "gzip: invalid header"},
		{"something behind the end of deflate", client, config{}, "deflate", edited(compressed(t, zl, long), func(p []byte) []byte { return append(p, "more"...) }), "", status.Internal, "4 of the"},
		{"text that is no gzip", client, config{}, "gzip", flagged(long), "", status.Internal, "the gzip data of the message is broken: gzip: invalid header"},
		{"gzip that is called deflate", server, config{}, "deflate", compressed(t, gz, long), "", status.Internal, "the deflate data of the message is broken: zlib: invalid header"},
		{"the bare format of RFC 1951", server, config{}, "deflate", edited(compressed(t, zl, long), func(p []byte) []byte { return p[2 : len(p)-4] }), "", status.Internal, "is broken"},
		{"a dictionary that nobody has", server, config{}, "deflate", withDictionary(t), "", status.Internal, "zlib: invalid dictionary"},
		{"a compressor that panics", client, ours, "panics", flagged("x"), "", status.Internal, `compressor "panics" panicked: on purpose`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { receive(t, tc.side, tc.cfg, tc.encoding, tc.msg, tc.text, tc.code, tc.want) })
		})
	}
}

// receive has a call receive msg, and checks what goes up.
func receive(t *testing.T, side callstacktest.Side, cfg config, enc string, msg *transport.Buffer, text string, code status.Code, want string) {
	c, b, st := begin(t, side, cfg)
	b.RecvMessage.Limit, b.RecvMessage.LimitName = limit, "option Test"
	st.Headers(headers(side, enc, "gzip"), nil)
	wire := msg.Len()
	wasCompressed := msg.Compressed
	msg.Ref() // the test's own, to see whether the other is dropped
	st.Message(msg, nil)
	synctest.Wait()
	err := b.GotMessage.Err()
	if got := b.RecvMessage.Message; code == status.OK {
		if err != nil || got == nil || string(got.Bytes()) != text {
			t.Fatalf("recv_message ended with %v and %v, want %d bytes", got, err, len(text))
		}
		if want := map[bool]int{true: wire}[wasCompressed]; got.Compressed || got.WireLen != want {
			t.Errorf("Compressed = %v and WireLen = %d, want false and %d", got.Compressed, got.WireLen, want)
		}
		got.Release()
		st.Trailers(side.FillTrailers, nil)
	} else {
		if status.CodeOf(err) != code || !strings.Contains(err.Error(), want) {
			t.Errorf("recv_message ended with %v %v, want %v with %q", status.CodeOf(err), err, code, want)
		}
		if got != nil {
			t.Error("the message went up with the error")
		}
		if b.GotTrailers.Err() != err || st.Canceled() != err {
			t.Errorf("recv_trailing_metadata ended with %v and the cancel was %v, want %v", b.GotTrailers.Err(), st.Canceled(), err)
		}
	}
	wantLastReference(t, msg)
	c.Unref()
	if c.Recycled() != 1 {
		t.Error("the block was not recycled")
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

// TestWhatGoesUp: codings are this filter's business, but a server's
// application chooses among those that its client accepts.
func TestWhatGoesUp(t *testing.T) {
	for _, tc := range []struct {
		name        string
		side        callstacktest.Side
		cfg         config
		enc, accept string
	}{
		{"client", callstacktest.Client, config{}, "", ""},
		{"server", callstacktest.Server, config{}, "", "gzip,br"},
		{"client that keeps messages compressed", callstacktest.Client, config{KeepCompressed: true}, "gzip", ""},
		{"server that keeps messages compressed", callstacktest.Server, config{KeepCompressed: true}, "gzip", "gzip,br"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, b, st := begin(t, tc.side, tc.cfg)
			st.Headers(headers(tc.side, "gzip", "gzip,br"), nil)
			if md := &b.RecvHeaders; md.Encoding != tc.enc || md.AcceptEncoding != tc.accept {
				t.Errorf("codings %q and %q went up, want %q and %q", md.Encoding, md.AcceptEncoding, tc.enc, tc.accept)
			}
			raw := compressed(t, encoding.Gzip{}, long)
			want := string(raw.Bytes())
			if !tc.cfg.KeepCompressed {
				want = long
			}
			st.Message(raw, nil)
			if got := b.RecvMessage.Message; string(got.Bytes()) != want || got.Compressed != tc.cfg.KeepCompressed {
				t.Errorf("a message of %d bytes with flag %v went up, want %d and %v", got.Len(), got.Compressed, len(want), tc.cfg.KeepCompressed)
			}
			b.RecvMessage.Message.Release()
			st.Trailers(tc.side.FillTrailers, nil)
			c.Unref()
		})
	}
}

// TestUnknownRequestEncoding: the client learns at once which codings there are.
func TestUnknownRequestEncoding(t *testing.T) {
	for _, tc := range []struct {
		name, encoding string
		cfg            config
		accept, want   string
	}{
		{"a coding that nobody knows", "br", config{}, "gzip,deflate", `grpc-encoding "br" is not supported, "gzip,deflate" and "identity" are`},
		{"a coding that is switched off", "gzip", config{Compressors: []encoding.Compressor{encoding.Deflate{}}}, "deflate",
			`grpc-encoding "gzip" is not supported, "deflate" and "identity" are`},
		{"none is switched on", "gzip", config{Compressors: []encoding.Compressor{}}, "identity", `grpc-encoding "gzip" is not supported, only "identity" is`},
		{"another case", "GZIP", config{}, "gzip,deflate", `grpc-encoding "GZIP" is not supported`},
		{"a long name with control characters", "\x01" + strings.Repeat("x", 100), config{}, "gzip,deflate",
			`grpc-encoding "\x01` + strings.Repeat("x", 63) + `\u2026" is not supported`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, b, st := begin(t, callstacktest.Server, tc.cfg)
			st.Headers(headers(callstacktest.Server, tc.encoding, ""), nil)
			err := b.GotHeaders.Err()
			if status.CodeOf(err) != status.Unimplemented || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("recv_initial_metadata ended with %v, want UNIMPLEMENTED with %q", err, tc.want)
			}
			got := st.SentTrailers()
			known := metadata.Known{HTTPStatus: "200", ContentType: "application/grpc", AcceptEncoding: tc.accept}
			if got.Known != known || got.Status != uint32(status.Unimplemented) || !strings.Contains(got.Message, tc.want) {
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
		})
	}
}

// TestOtherProtocolsGoUp leaves a request that is not gRPC to http_server.
func TestOtherProtocolsGoUp(t *testing.T) {
	c, b, st := begin(t, callstacktest.Server, config{})
	defer c.Unref()
	st.Headers(func(rim *transport.RecvInitialMetadata) {
		rim.MD.ContentType, rim.MD.Encoding = "text/html", "br"
	}, nil)
	if err := b.GotHeaders.Err(); err != nil || st.Sent(transport.OpSendTrailingMetadata) {
		t.Errorf("recv_initial_metadata ended with %v", err)
	}
	st.Trailers(nil, nil)
}

// FuzzMessage checks that every message either goes up as it was meant, within
// the limit, or ends the call with INTERNAL or RESOURCE_EXHAUSTED.
func FuzzMessage(f *testing.F) {
	f.Add("gzip", true, []byte("x"), true)
	f.Add("identity", true, []byte{}, false)
	f.Add("", false, []byte("abc"), false)
	for _, b := range []*transport.Buffer{compressed(f, encoding.Gzip{}, long), zeros(f, 1<<20), members(f, 20, "a")} {
		f.Add("gzip", true, b.Bytes(), true)
	}
	f.Add("deflate", true, compressed(f, encoding.Deflate{}, long).Bytes(), false)
	f.Fuzz(func(t *testing.T, enc string, flag bool, data []byte, server bool) {
		synctest.Test(t, func(t *testing.T) { fuzzMessage(t, enc, flag, data, server) })
	})
}

func fuzzMessage(t *testing.T, enc string, flag bool, data []byte, server bool) {
	side := callstacktest.Client
	if server {
		side = callstacktest.Server
	}
	c, b, st := begin(t, side, config{})
	b.RecvMessage.Limit = limit
	st.Headers(headers(side, enc, ""), nil)
	buf := transport.WrapBuffer(data)
	buf.Compressed = flag
	st.Message(buf, nil)
	synctest.Wait()
	switch m, code := b.RecvMessage.Message, status.CodeOf(b.GotMessage.Err()); {
	case m != nil && (m.Compressed || flag && m.Len() > limit):
		t.Errorf("a message of %d bytes with flag %v went up", m.Len(), m.Compressed)
	case m == nil && b.GotHeaders.Err() == nil && code != status.Internal && code != status.ResourceExhausted:
		t.Errorf("recv_message ended with %v", b.GotMessage.Err())
	}
	b.RecvMessage.Message.Release()
	st.Trailers(nil, nil)
	if got := strings.Join(b.Order(), " "); got != "headers message trailers" {
		t.Errorf("callbacks ran in the order %q", got)
	}
	c.Unref()
	if c.Recycled() != 1 {
		t.Error("the block was not recycled")
	}
}
