package surfacetest

import (
	"strings"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// A compressedCall is a case of compressed_payload: what is configured, and
// what the messages must be coded with.
type compressedCall struct {
	name string

	client, server string         // the defaults of the ends
	wish           string         // of the client's call: grpc-internal-encoding-request
	flags          uint32         // of the client's messages
	level          encoding.Level // of the server's answer, if not 0
	early          bool           // the first message comes before the headers

	request, response string // expected, empty for identity
}

func compressedCalls() []compressedCall {
	return []compressedCall{
		{name: "ExceptionallyUncompressedPayload", client: "gzip", server: "gzip", flags: transport.FlagNoCompress, response: "gzip"},
		{name: "UncompressedPayload"},
		{name: "CompressedPayload", client: "gzip", server: "gzip", request: "gzip", response: "gzip"},
		{name: "SendMessageBeforeInitialMetadata", client: "gzip", server: "gzip", early: true, request: "gzip", response: "gzip"},
		{name: "ServerLevel", level: encoding.LevelHigh, response: "deflate"},
		{name: "CompressedPayloadMetadataOverrideNoneToGzip", wish: "gzip", request: "gzip"},
		{name: "CompressedPayloadMetadataOverrideDeflateToGzip", client: "deflate", wish: "gzip", request: "gzip"},
		{name: "CompressedPayloadMetadataOverrideDeflateToIdentity", client: "deflate", wish: "identity"},
	}
}

// compressionCases are the tests about compressed messages. "Core" inflates
// where that is the filter's business, "App" where compression.Config has
// KeepCompressed.
func compressionCases() []testCase {
	needs := []Capability{HTTP2}
	cases := []testCase{
		{file: "max_message_length", name: "MaxMessageLengthOnServerOnRequestWithCompression", needs: needs,
			server: []surface.ServerOption{surface.WithMaxRecvMessageSize(5)},
			test:   func(r *rig) { longCompressedRequest(r, "a message of ") }},
		{file: "max_message_length", name: "MaxMessageLengthOnClientOnResponseWithCompression", needs: needs,
			channel: []surface.ChannelOption{surface.WithMaxRecvMessageSize(5)},
			test:    func(r *rig) { longCompressedResponse(r, "a message of ") }},
		{file: "ours/max_message_length", name: "RequestIsShortOnTheWireAndLongInflated", needs: needs,
			server: []surface.ServerOption{surface.WithMaxRecvMessageSize(1023)},
			test:   func(r *rig) { longCompressedRequest(r, "passes the receive limit of 1023 bytes once inflated") }},
		{file: "ours/max_message_length", name: "ResponseIsShortOnTheWireAndLongInflated", needs: needs,
			channel: []surface.ChannelOption{surface.WithMaxRecvMessageSize(1023)},
			test:    func(r *rig) { longCompressedResponse(r, "passes the receive limit of 1023 bytes once inflated") }},
	}
	cases = append(cases, testCase{file: "ours/compression", name: "MessageIsAskedForBeforeTheHeaders", needs: needs, test: askedBeforeHeaders})
	for _, kept := range []bool{false, true} {
		where := "DecompressInCore"
		if kept {
			where = "DecompressInApp"
		}
		onlyDeflate := compression.Config{Compressors: []encoding.Compressor{encoding.Deflate{}}, KeepCompressed: kept}
		cases = append(cases, testCase{file: "compressed_payload", name: "DisabledAlgorithm" + where, needs: needs, test: disabledAlgorithm,
			server:  []surface.ServerOption{surface.WithCompression(onlyDeflate)},
			channel: []surface.ChannelOption{surface.WithCompression(compression.Config{Send: "gzip"})}})
		for _, cc := range compressedCalls() {
			cases = append(cases, testCase{
				file: "compressed_payload", name: "RequestWith" + cc.name + where, needs: needs,
				server:  []surface.ServerOption{surface.WithCompression(compression.Config{Send: cc.server, KeepCompressed: kept})},
				channel: []surface.ChannelOption{surface.WithCompression(compression.Config{Send: cc.client, KeepCompressed: kept})},
				test:    cc.run,
			})
		}
	}
	return cases
}

// disabledAlgorithm: a request in a coding that the server has switched off is
// answered with UNIMPLEMENTED and what there is. gRPC core tells the application
// of such a call and fails its recv_message; here it never hears of it.
func disabledAlgorithm(r *rig) {
	c := r.call()
	s := r.request(101)
	c.start(1, sendHeaders(), sendMessage(strings.Repeat("x", 1024)), sendClose(), c.recvHeaders(), c.recvStatus())
	r.verify(ok(1))
	c.wantStatus(status.Unimplemented, `grpc-encoding "gzip" is not supported, "deflate" and "identity" are`)
	r.server.Close()
	r.verify(fails(101))
	if s.Call.Valid() {
		r.Error("the server was told of the call")
	}
}

// run has two messages go each way, and looks at how they came.
func (cc compressedCall) run(r *rig) {
	question, answer := strings.Repeat("x", 1024), strings.Repeat("y", 1024)
	ask := surface.Op{Type: surface.SendMessage, Flags: cc.flags}
	c := r.call()
	if cc.early {
		ask.Message = message(question)
		c.start(2, ask)
	}
	c.start(1, sendHeadersIn(cc.wish), c.recvHeaders(), c.recvStatus())
	s := r.request(100)
	events := []expected{ok(100)}
	if cc.early {
		events = append(events, ok(2))
	}
	r.verify(events...)
	for _, name := range []string{"gzip", "deflate"} {
		if !encoding.Accepts(s.Metadata.AcceptEncoding, name) {
			r.Errorf("the client does not accept %q: %q", name, s.Metadata.AcceptEncoding)
		}
	}
	level := ""
	if cc.level != encoding.LevelNone {
		level = s.Call.EncodingForLevel(cc.level)
	}
	s.start(101, sendHeadersIn(level), s.recvClose())
	for i := range 2 {
		events := []expected{ok(102)}
		if i > 0 || !cc.early {
			ask.Message = message(question)
			c.start(2, ask)
			events = append(events, ok(2))
		}
		s.start(102, s.recvMessage())
		r.verify(events...)
		r.wantCoded("the request", s.message, s.Metadata, cc.request, question)
		s.start(103, sendMessage(answer))
		c.start(3, c.recvMessage())
		r.verify(ok(103), ok(3))
		r.wantCoded("the response", c.message, &c.initial, cc.response, answer)
	}
	c.start(4, sendClose())
	s.start(104, sendStatus(status.OK, "xyz"))
	r.verify(ok(1), ok(4), ok(101), ok(104))
	c.wantStatus(status.OK, "xyz")
	s.wantCancelled(false)
}

// sendHeadersIn is send_initial_metadata with a wish for the coding of messages.
func sendHeadersIn(coding string) surface.Op {
	return surface.Op{Type: surface.SendInitialMetadata, SendMetadata: &metadata.List{Known: metadata.Known{Encoding: coding}}}
}

// wantCoded checks that b is text and came in the coding. It inflates b where
// the filter has left that to the application.
func (r *rig) wantCoded(what string, b *transport.Buffer, headers *metadata.List, coding, text string) {
	r.Helper()
	if b == nil {
		r.Fatalf("there is no %s", what)
	}
	if b.Compressed {
		if headers.Encoding != coding {
			r.Errorf("%s came in %q, want %q", what, headers.Encoding, coding)
		}
		c := map[string]encoding.Compressor{"gzip": encoding.Gzip{}, "deflate": encoding.Deflate{}}[headers.Encoding]
		if c == nil {
			r.Fatalf("%s came compressed in %q", what, headers.Encoding)
		}
		plain, err := encoding.Inflate(c, b, len(text))
		if err != nil {
			r.Fatal(err)
		}
		defer plain.Release()
		r.wantText(what, plain, text)
		return
	}
	if compressed := b.WireLen > 0; compressed != (coding != "") {
		r.Errorf("%s came compressed: %v, want coding %q", what, compressed, coding)
	}
	r.wantText(what, b, text)
}

// longCompressedRequest: a request that is longer than its server takes, whether
// on the wire or once it is inflated, fails recv_message and ends the call.
func longCompressedRequest(r *rig, want string) {
	c := r.call()
	c.start(1, sendHeadersIn("gzip"), sendMessage(strings.Repeat("a", 1024)), sendClose(), c.recvHeaders(), c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, s.recvMessage())
	s.start(103, s.recvClose())
	r.verify(fails(102), ok(103), ok(1))
	r.wantTooLong(c, want)
	s.wantCancelled(true)
}

// longCompressedResponse is the same for a response.
func longCompressedResponse(r *rig, want string) {
	c := r.call()
	c.start(1, sendHeaders(), sendClose(), c.recvHeaders(), c.recvMessage(), c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, s.recvClose(), sendHeadersIn("gzip"), sendMessage(strings.Repeat("a", 1024)), sendStatus(status.OK, "xyz"))
	r.verify(ok(1), ok(102))
	r.wantTooLong(c, want)
}

// wantTooLong checks that the call ended because a message was too long.
func (r *rig) wantTooLong(c *clientCall, want string) {
	r.Helper()
	c.wantCode(status.ResourceExhausted)
	if !strings.Contains(c.status.Message, want) {
		r.Errorf("status message = %q, want %q in it", c.status.Message, want)
	}
	if c.message != nil {
		r.Error("the message was received")
	}
}

// askedBeforeHeaders: a compressed message that is asked for before the headers
// comes when they do.
func askedBeforeHeaders(r *rig) {
	c := r.call()
	c.start(1, sendHeaders(), sendClose(), c.recvStatus())
	c.start(2, c.recvMessage())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, sendHeadersIn("gzip"), sendMessage(strings.Repeat("a", 1024)))
	r.verify(ok(102))
	r.quiet()
	c.start(3, c.recvHeaders())
	r.verify(ok(2), ok(3))
	r.wantText("the response", c.message, strings.Repeat("a", 1024))
	s.start(103, s.recvClose(), sendStatus(status.OK, "xyz"))
	r.verify(ok(103), ok(1))
	c.wantStatus(status.OK, "xyz")
}
