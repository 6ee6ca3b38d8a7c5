package headerblock

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// blockCases are the rules for what a block may hold. A row with err breaks
// one of them, the others show what a peer may do.
var blockCases = []struct {
	name   string
	kind   Kind
	fields []string
	want   string // show of the list
	err    string // part of the reason
	field  bool   // gRPC's rule, not HTTP/2's
}{
	{name: "the least request", kind: Request, fields: aRequest, want: ":method=POST :scheme=http :path=/s/m"},
	{name: "the least response", kind: Response, fields: aResponse, want: ":status=200"},
	{name: "empty trailers", kind: Trailers},
	{name: "every field with a slot", kind: Request,
		fields: with(aRequest, ":authority: a:1", "content-type: application/grpc", "user-agent: u", "te: trailers",
			"grpc-encoding: gzip", "grpc-accept-encoding: gzip,identity", "grpc-timeout: 5S"),
		want: ":method=POST :scheme=http :path=/s/m :authority=a:1 content-type=application/grpc user-agent=u te=trailers grpc-encoding=gzip grpc-accept-encoding=gzip,identity deadline=5s"},
	{name: "trailers with a status", kind: Trailers, fields: []string{"grpc-status: 5", "grpc-message: not%20there", "x: 1"},
		want: `status=true/5/"not there" x:"1"`},
	{name: "Trailers-Only", kind: Response, fields: with(aResponse, "content-type: application/grpc", "grpc-status: 0"),
		want: `:status=200 content-type=application/grpc status=true/0/""`},

	// RFC 9113 §8.3: pseudo-header fields.
	{name: "a pseudo-header field behind a regular one", kind: Request, fields: []string{":method: POST", ":scheme: http", "x: 1", ":path: /"}, err: "follows a regular field"},
	{name: "an unknown pseudo-header field", kind: Request, fields: with(aRequest, ":protocol: websocket"), err: `":protocol" does not belong`},
	{name: ":status in a request", kind: Request, fields: with(aRequest, ":status: 200"), err: `":status" does not belong`},
	{name: ":path in a response", kind: Response, fields: with(aResponse, ":path: /"), err: `":path" does not belong`},
	{name: "a pseudo-header field in trailers", kind: Trailers, fields: []string{":status: 200"}, err: `":status" does not belong`},
	{name: ":method twice", kind: Request, fields: with(aRequest, ":method: POST"), err: `":method" stands twice`},
	{name: ":scheme twice", kind: Request, fields: with(aRequest, ":scheme: http"), err: `":scheme" stands twice`},
	{name: ":path twice", kind: Request, fields: with(aRequest, ":path: /x"), err: `":path" stands twice`},
	{name: ":authority twice, the first one empty", kind: Request, fields: with(aRequest, ":authority: ", ":authority: a"), err: `":authority" stands twice`},
	{name: ":status twice", kind: Response, fields: with(aResponse, ":status: 200"), err: `":status" stands twice`},
	{name: "no :method", kind: Request, fields: []string{":scheme: http", ":path: /"}, err: "a request needs"},
	{name: "no :scheme", kind: Request, fields: []string{":method: POST", ":path: /"}, err: "a request needs"},
	{name: "no :path", kind: Request, fields: []string{":method: POST", ":scheme: http"}, err: "a request needs"},
	{name: "an empty request", kind: Request, err: "a request needs"},
	{name: "no :status", kind: Response, fields: []string{"content-type: application/grpc"}, err: "a response needs"},
	{name: "an empty :path", kind: Request, fields: []string{":method: POST", ":scheme: http", ":path: "}, err: `":path" is empty`},
	{name: "a :status of two digits", kind: Response, fields: []string{":status: 20"}, err: "three digits"},
	{name: "a :status that is no number", kind: Response, fields: []string{":status: 2x0"}, err: "three digits"},
	{name: "a :status below 100", kind: Response, fields: []string{":status: 099"}, err: "three digits"},

	// RFC 9113 §8.2.1: names and values.
	{name: "a name with a capital letter", kind: Request, fields: with(aRequest, "X-a: 1"), err: `"X-a" is no field name`},
	{name: "a name with a space", kind: Request, fields: with(aRequest, "x a: 1"), err: "is no field name"},
	{name: "a name with a colon inside", kind: Request, fields: with(aRequest, "x\x00a: 1"), err: "is no field name"},
	{name: "a name that is no metadata key", kind: Request, fields: with(aRequest, "x!a: 1"), want: `:method=POST :scheme=http :path=/s/m x!a:"1"`},
	{name: "a value with CR and LF", kind: Request, fields: with(aRequest, "x: a\r\nb"), err: "forbids"},
	{name: "a value with NUL", kind: Request, fields: with(aRequest, "x: a\x00b"), err: "forbids"},
	{name: "a pseudo-header field with LF", kind: Request, fields: []string{":method: POST", ":scheme: http", ":path: /\n"}, err: "forbids"},
	{name: "a value that gRPC would not send", kind: Request, fields: with(aRequest, "x: caf\xc3\xa9"), want: `:method=POST :scheme=http :path=/s/m x:"café"`},
	{name: "an empty value", kind: Trailers, fields: []string{"x: "}, want: `x:""`},

	// RFC 9113 §8.2.2: fields of one connection.
	{name: "connection", kind: Request, fields: with(aRequest, "connection: close"), err: `"connection" is not allowed`},
	{name: "keep-alive", kind: Response, fields: with(aResponse, "keep-alive: 5"), err: `"keep-alive" is not allowed`},
	{name: "proxy-connection", kind: Request, fields: with(aRequest, "proxy-connection: close"), err: `"proxy-connection" is not allowed`},
	{name: "transfer-encoding", kind: Trailers, fields: []string{"transfer-encoding: chunked"}, err: `"transfer-encoding" is not allowed`},
	{name: "upgrade", kind: Request, fields: with(aRequest, "upgrade: h2c"), err: `"upgrade" is not allowed`},
	{name: "te with something else", kind: Request, fields: with(aRequest, "te: gzip"), err: "te holds"},

	// RFC 9113 §8.1.1: content-length.
	{name: "content-length", kind: Request, fields: with(aRequest, "content-length: 12"), want: ":method=POST :scheme=http :path=/s/m length=12"},
	{name: "content-length 0", kind: Request, fields: with(aRequest, "content-length: 0"), want: ":method=POST :scheme=http :path=/s/m length=0"},
	{name: "two equal content-lengths", kind: Request, fields: with(aRequest, "content-length: 1", "content-length: 1"), want: ":method=POST :scheme=http :path=/s/m length=1"},
	{name: "two different content-lengths", kind: Request, fields: with(aRequest, "content-length: 1", "content-length: 2"), err: "content-length stands twice"},
	{name: "an empty content-length", kind: Request, fields: with(aRequest, "content-length: "), err: "content-length is no number"},
	{name: "a negative content-length", kind: Request, fields: with(aRequest, "content-length: -1"), err: "content-length is no number"},
	{name: "a content-length past an int64", kind: Request, fields: with(aRequest, "content-length: 9223372036854775808"), err: "content-length is no number"},

	// gRFC A41: host.
	{name: "host in place of :authority", kind: Request, fields: with(aRequest, "host: h"), want: ":method=POST :scheme=http :path=/s/m :authority=h"},
	{name: "host beside :authority", kind: Request, fields: with(aRequest, ":authority: a", "host: h"), want: ":method=POST :scheme=http :path=/s/m :authority=a"},
	{name: "user information in :authority", kind: Request, fields: with(aRequest, ":authority: user@a"), err: "holds user information"}, // RFC 9113 §8.3.1
	{name: "user information in host", kind: Request, fields: with(aRequest, "host: user@a"), err: "holds user information"},
	{name: "host twice, the first one empty", kind: Request, fields: with(aRequest, "host: ", "host: h"), err: "host stands twice"},
	{name: "content-type twice in a request", kind: Request, fields: with(aRequest, "content-type: ", "content-type: a"), err: "content-type stands twice"},
	{name: "content-type twice in a response", kind: Response, fields: with(aResponse, "content-type: a", "content-type: b"), want: ":status=200 content-type=b"},

	// gRPC-HTTP2 Timeout.
	{name: "a timeout of years", kind: Request, fields: with(aRequest, "grpc-timeout: 99999999H"), want: ":method=POST :scheme=http :path=/s/m deadline=2562047h47m16.854775807s"},
	{name: "a timeout of nothing", kind: Request, fields: with(aRequest, "grpc-timeout: 0n"), want: ":method=POST :scheme=http :path=/s/m deadline=0s"},
	{name: "the last of two timeouts counts", kind: Request, fields: with(aRequest, "grpc-timeout: 1S", "grpc-timeout: 2S"), want: ":method=POST :scheme=http :path=/s/m deadline=2s"},
	{name: "two timeouts in one", kind: Request, fields: with(aRequest, "grpc-timeout: 1S,1S"), err: "malformed grpc-timeout", field: true},
	{name: "a negative timeout", kind: Request, fields: with(aRequest, "grpc-timeout: -1S"), err: "malformed grpc-timeout", field: true},
	{name: "a timeout without a unit", kind: Request, fields: with(aRequest, "grpc-timeout: 1"), err: "malformed grpc-timeout", field: true},
	{name: "a timeout with an unknown unit", kind: Request, fields: with(aRequest, "grpc-timeout: 1X"), err: "malformed grpc-timeout", field: true},
	{name: "a timeout of nine digits", kind: Request, fields: with(aRequest, "grpc-timeout: 999999999S"), err: "malformed grpc-timeout", field: true},
	{name: "an empty timeout", kind: Request, fields: with(aRequest, "grpc-timeout: "), err: "malformed grpc-timeout", field: true},
	{name: "a timeout in a response", kind: Response, fields: with(aResponse, "grpc-timeout: soon"), want: ":status=200"},

	// gRPC-HTTP2 Status.
	{name: "a status past the codes", kind: Trailers, fields: []string{"grpc-status: 99"}, want: `status=true/99/""`},
	{name: "the same status twice", kind: Trailers, fields: []string{"grpc-status: 5", "grpc-status: 5"}, want: `status=true/5/""`},
	{name: "two statuses", kind: Trailers, fields: []string{"grpc-status: 0", "grpc-status: 5"}, want: `status=true/2/"malformed grpc-status"`},
	{name: "a negative status", kind: Trailers, fields: []string{"grpc-status: -1"}, want: `status=true/2/"malformed grpc-status"`},
	{name: "a status past an int32", kind: Trailers, fields: []string{"grpc-status: 99999999999"}, want: `status=true/2/"malformed grpc-status"`},
	{name: "an empty status with a message", kind: Trailers, fields: []string{"grpc-status: ", "grpc-message: m"}, want: `status=true/2/"malformed grpc-status: m"`},
	{name: "a message before a status that is none", kind: Trailers, fields: []string{"grpc-message: m", "grpc-status: x"}, want: `status=true/2/"malformed grpc-status: m"`},
	{name: "a status in a request", kind: Request, fields: with(aRequest, "grpc-status: 0"), want: ":method=POST :scheme=http :path=/s/m"},
	{name: "a message with bad escapes", kind: Trailers, fields: []string{"grpc-status: 2", "grpc-message: %zz%4%FF%"}, want: "status=true/2/\"%zz%4\ufffd%\""},

	// gRPC-HTTP2 Custom-Metadata.
	{name: "repeated keys keep their order", kind: Trailers, fields: []string{"a: 1", "b: 2", "a: 3"}, want: `a:"1" b:"2" a:"3"`},
	{name: "fields above the transport", kind: Trailers, fields: []string{"grpc-previous-rpc-attempts: 1", "grpc-retry-pushback-ms: 2", "grpc-status-details-bin: AA"},
		want: `grpc-previous-rpc-attempts:"1" grpc-retry-pushback-ms:"2" grpc-status-details-bin:"\x00"`},
	{name: "grpc-message-type is dropped", kind: Trailers, fields: []string{"grpc-message-type: m"}},
	{name: "base64 without padding", kind: Trailers, fields: []string{"x-bin: AA"}, want: `x-bin:"\x00"`},
	{name: "base64 with padding", kind: Trailers, fields: []string{"x-bin: AA=="}, want: `x-bin:"\x00"`},
	{name: "base64 that a proxy joined", kind: Trailers, fields: []string{"x-bin: AA,AQ, Ag=="}, want: `x-bin:"\x00" x-bin:"\x01" x-bin:"\x02"`},
	{name: "no base64", kind: Trailers, fields: []string{"x-bin: !!!"}, err: `"x-bin" is not base64`, field: true},
	{name: "base64 of one character", kind: Trailers, fields: []string{"x-bin: A"}, err: `"x-bin" is not base64`, field: true},
	{name: "base64 with a space inside", kind: Trailers, fields: []string{"x-bin: A A"}, err: `"x-bin" is not base64`, field: true},
}

func TestBlockRules(t *testing.T) {
	for _, tc := range blockCases {
		t.Run(tc.name, func(t *testing.T) {
			d := NewDecoder(wide)
			if tc.err == "" {
				if got := decodeOK(t, d, tc.kind, block(tc.fields...)); got != tc.want {
					t.Errorf("got  %s\nwant %s", got, tc.want)
				}
				return
			}
			e := decodeBad(t, d, tc.kind, block(tc.fields...))
			want := BlockError{StreamOnly: true, Code: status.HTTP2ProtocolError, Field: tc.field, Reason: e.Reason}
			if *e != want || !strings.Contains(e.Reason, tc.err) {
				t.Errorf("got %+v, want %+v with %q", *e, want, tc.err)
			}
		})
	}
}

// TestRejectedBlockKeepsTable: whatever is wrong with a block, the fields
// before and after the fault are in the table for the next one.
// RFC 9113 §4.3.
func TestRejectedBlockKeepsTable(t *testing.T) {
	for _, tc := range blockCases {
		if tc.err == "" {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			d, reference := NewDecoder(wide), hpack.NewDecoder(tableSize, func(hpack.HeaderField) {})
			bad := join(block(tc.fields...), inserted("x-after", "1"))
			if e := decodeBad(t, d, tc.kind, bad); !e.StreamOnly {
				t.Fatalf("a connection error: %v", e)
			}
			if _, err := reference.DecodeFull(bad); err != nil {
				t.Fatal(err)
			}
			sameTables(t, d, reference, len(tc.fields)+1)
			if got, want := decodeOK(t, d, Request, join(block(aRequest...), index(65))), `:method=POST :scheme=http :path=/s/m x-after:"1"`; got != want {
				t.Errorf("the next block decodes as %s, want %s", got, want)
			}
		})
	}
}

// sameTables compares the first n entries of two dynamic tables.
func sameTables(t testing.TB, d *Decoder, reference *hpack.Decoder, n int) {
	t.Helper()
	d.hpack.SetEmitEnabled(true)
	for i := range uint64(n) {
		got, gotErr := d.hpack.DecodeFull(index(62 + i))
		want, wantErr := reference.DecodeFull(index(62 + i))
		if !slices.Equal(got, want) || (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("entry %d of the table: got %v %v, want %v %v", i, got, gotErr, want, wantErr)
		}
	}
}

func TestLimits(t *testing.T) {
	huffman := func(n int) []byte { // 'a' has five bits, so 8 bytes are 5
		return append(integer(0x80, 7, uint64(n*5)), []byte(strings.Repeat("\x18\xc6\x31\x8c\x63", n))...)
	}
	for _, tc := range []struct {
		name   string
		limits Limits
		block  []byte
		ok     bool
	}{
		{"exactly the size", Limits{ListSize: 32 + 2, Fields: 9}, block("x: 1"), true},
		{"one byte more", Limits{ListSize: 32 + 1, Fields: 9}, block("x: 1"), false},
		{"exactly the number", Limits{ListSize: 1 << 20, Fields: 2}, block("x: 1", "x: 2"), true},
		{"one field more", Limits{ListSize: 1 << 20, Fields: 1}, block("x: 1", "x: 2"), false},
		{"a value above the whole limit", Limits{ListSize: 100, Fields: 9}, block("x: " + strings.Repeat("v", 9000)), false},
		{"a value that Huffman coding hides", Limits{ListSize: 9000, Fields: 9}, join([]byte{0}, text("x"), huffman(1200)), false},
		{"a name above the whole limit", Limits{ListSize: 100, Fields: 9}, block(strings.Repeat("n", 9000) + ": x"), false},
		{"a string of 2 MiB", Limits{ListSize: 8 << 10, Fields: 9}, block("x: " + strings.Repeat("v", 2<<20)), false},
		{"a string of 2 MiB within the limit", Limits{ListSize: 16 << 20, Fields: 9}, block("x: " + strings.Repeat("v", 2<<20)), true},
		{"base64 values joined by commas", Limits{ListSize: 8 << 10, Fields: 100}, block("x-bin: " + strings.Repeat(",", 5000)), false},
		{"as many joined values as fields", Limits{ListSize: 8 << 10, Fields: 4}, block("x-bin: ,,,"), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := NewDecoder(tc.limits)
			if tc.ok {
				decodeOK(t, d, Trailers, tc.block)
				return
			}
			e := decodeBad(t, d, Trailers, tc.block)
			if !e.StreamOnly || !e.TooLarge || e.Code != status.HTTP2EnhanceYourCalm {
				t.Errorf("got %+v, want a stream error that says too large", *e)
			}
		})
	}
}

// TestLimitedBlockKeepsTable: a block past a limit is decoded to its end.
func TestLimitedBlockKeepsTable(t *testing.T) {
	d := NewDecoder(Limits{ListSize: 200, Fields: 3})
	bad := join(block("a: 1", "b: 2", "c: 3", "d: 4"), plain("x", strings.Repeat("v", 5000)), inserted("last", "5"))
	if e := decodeBad(t, d, Trailers, bad); !e.TooLarge {
		t.Fatalf("got %+v", *e)
	}
	if got, want := decodeOK(t, d, Trailers, join(index(62), index(63), index(66))), `last:"5" d:"4" a:"1"`; got != want {
		t.Errorf("the next block decodes as %s, want %s", got, want)
	}
}

// TestManyIndexedFields is the seed of the "HTTP/2 bomb": one entry in the
// table, then thousands of references of one byte each.
func TestManyIndexedFields(t *testing.T) {
	d := NewDecoder(wide)
	var list metadata.List
	bomb := join(inserted("x", ""), []byte(strings.Repeat("\xbe", 16_000)))
	for range 3 {
		list.Reset()
		err := d.Decode(bomb, Trailers, &list, t0)
		if e, ok := err.(*BlockError); !ok || !e.TooLarge {
			t.Fatalf("got %v", err)
		}
		if list.Len() > wide.Fields {
			t.Fatalf("the list holds %d pairs", list.Len())
		}
		bomb = bomb[len(inserted("x", "")):] // all-indexed: what a cache could keep
	}
	if d.cache.cost != 0 {
		t.Errorf("the cache holds %d bytes of a block that was refused", d.cache.cost)
	}
}

// TestReasonsHoldNoValues: the text of an error goes to logs and to the peer.
func TestReasonsHoldNoValues(t *testing.T) {
	const canary = "CANARY-4711"
	for _, f := range []string{
		":path: " + canary, ":status: " + canary, "x: " + canary + "\n", "x-bin: " + canary + "!", "te: " + canary,
		"grpc-timeout: " + canary, "content-length: " + canary, "connection: " + canary, "host: " + canary,
	} {
		for kind := Request; kind <= Trailers; kind++ {
			for _, fields := range [][]string{{f}, with(aRequest, f), with(aRequest, f, f), with(aResponse, f, f)} {
				var list metadata.List
				err := NewDecoder(wide).Decode(block(fields...), kind, &list, t0)
				if err != nil && strings.Contains(err.Error(), canary) {
					t.Errorf("%q as kind %d: the error holds the value: %v", fields, kind, err)
				}
			}
		}
	}
}

func TestReasonIsClipped(t *testing.T) {
	e := decodeBad(t, NewDecoder(wide), Trailers, block(strings.Repeat("N", 5000)+": x"))
	if len(e.Error()) > 200 {
		t.Errorf("an error text of %d bytes: %.80s…", len(e.Error()), e.Error())
	}
}
