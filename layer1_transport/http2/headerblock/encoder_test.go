package headerblock

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// An oracle decodes what an encoder wrote with package hpack alone.
type oracle struct{ *hpack.Decoder }

func newOracle() oracle { return oracle{hpack.NewDecoder(4096, func(hpack.HeaderField) {})} }

// fields returns a block as "name: value" lines.
func (o oracle) fields(t testing.TB, p []byte) string {
	t.Helper()
	all, err := o.DecodeFull(p)
	if err != nil {
		t.Fatalf("block %x: %v", p, err)
	}
	var b strings.Builder
	for _, f := range all {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	return b.String()
}

// encode appends a list that must be in order.
func encode(t testing.TB, e *Encoder, list *metadata.List) []byte {
	t.Helper()
	p, err := e.Append(nil, list, t0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// call returns the headers of a client's call.
func call(path string, pairs ...string) *metadata.List {
	l := &metadata.List{Known: metadata.Known{Method: "POST", Scheme: "http", Path: path, Authority: "server:443",
		ContentType: "application/grpc", UserAgent: "strata", TE: "trailers"}}
	for i := 0; i < len(pairs); i += 2 {
		l.Append(pairs[i], pairs[i+1])
	}
	return l
}

func TestAppendOrder(t *testing.T) {
	l := call("/s/m", "a", "1", "b-bin", "\x00\x01", "a", "2")
	l.Encoding, l.AcceptEncoding = "gzip", "gzip,identity"
	l.Deadline = t0.Add(5 * time.Second)
	want := `:method: POST
:scheme: http
:path: /s/m
:authority: server:443
grpc-timeout: 5000000u
content-type: application/grpc
user-agent: strata
te: trailers
grpc-encoding: gzip
grpc-accept-encoding: gzip,identity
a: 1
b-bin: AAE
a: 2
`
	e, o := NewEncoder(), newOracle()
	for i := range 4 { // inserted, indexed, from the cache, again
		if got := o.fields(t, encode(t, e, l)); got != want {
			t.Fatalf("block %d:\n%s\nwant\n%s", i, got, want)
		}
	}
}

func TestAppendResponses(t *testing.T) {
	ok := &metadata.List{}
	ok.SetStatus(0, "")
	failed := &metadata.List{}
	failed.SetStatus(5, "50% of 世界")
	failed.Append("x", "1")
	trailersOnly := &metadata.List{Known: metadata.Known{HTTPStatus: "200", ContentType: "application/grpc"}}
	trailersOnly.SetStatus(12, "")
	e, o := NewEncoder(), newOracle()
	for i := range 3 {
		for _, tc := range []struct {
			list *metadata.List
			want string
		}{
			{ok, "grpc-status: 0\n"},
			{failed, "grpc-status: 5\ngrpc-message: 50%25 of %E4%B8%96%E7%95%8C\nx: 1\n"},
			{trailersOnly, ":status: 200\ncontent-type: application/grpc\ngrpc-status: 12\n"},
			{&metadata.List{}, ""},
		} {
			if got := o.fields(t, encode(t, e, tc.list)); got != tc.want {
				t.Errorf("round %d: got %q, want %q", i, got, tc.want)
			}
		}
	}
}

// TestAppendExtends: what dst holds stays.
func TestAppendExtends(t *testing.T) {
	e := NewEncoder()
	l := call("/s/m", "a", "1")
	l.Deadline = t0.Add(time.Second)
	for range 4 {
		plain := encode(t, NewEncoder(), l)
		if got, err := NewEncoder().Append([]byte("before"), l, t0); err != nil || string(got) != "before"+string(plain) {
			t.Errorf("got %q, %v", got, err)
		}
		got, err := e.Append([]byte("before"), l, t0)
		if err != nil || !bytes.HasPrefix(got, []byte("before")) {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// TestBlockSizes: a call costs a few bytes from the second time on.
func TestBlockSizes(t *testing.T) {
	e := NewEncoder()
	encode(t, e, call("/s/m"))
	if got := encode(t, e, call("/s/m")); len(got) != 7 || indexedPrefix(got) != 7 {
		t.Errorf("the second block is %x, want seven indexes", got)
	}
	ok := &metadata.List{}
	ok.SetStatus(0, "")
	encode(t, e, ok)
	if got := encode(t, e, ok); len(got) != 1 {
		t.Errorf("trailers that say OK are %x, want one index", got)
	}
}

// TestUserValues: a value is indexed when it comes again, and only then.
func TestUserValues(t *testing.T) {
	e, o := NewEncoder(), newOracle()
	send := func(pairs ...string) []byte {
		t.Helper()
		l := &metadata.List{}
		want := ""
		for i := 0; i < len(pairs); i += 2 {
			l.Append(pairs[i], pairs[i+1])
			want += pairs[i] + ": " + pairs[i+1] + "\n"
		}
		p := encode(t, e, l)
		if got := o.fields(t, p); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		return p
	}
	if p := send("authorization", "token"); !keepsTable(p) {
		t.Errorf("the first value is inserted: %x", p)
	}
	if p := send("authorization", "token"); keepsTable(p) {
		t.Errorf("the same value again is not inserted: %x", p)
	}
	if p := send("authorization", "token"); len(p) != 1 {
		t.Errorf("the third time is %x, want an index", p)
	}
	for i := range 100 {
		if p := send("x-request-id", fmt.Sprint("id-", i)); !keepsTable(p) {
			t.Fatalf("a value that changes is inserted: %x", p)
		}
	}
	if p := send("authorization", "token"); len(p) != 1 {
		t.Errorf("values that change pushed out one that does not: %x", p)
	}
	for range 3 { // half of the table is the most that one field gets
		if p := send("big", strings.Repeat("v", 2048)); !keepsTable(p) {
			t.Fatalf("a field of half the table is inserted: %.20x…", p)
		}
	}
	for i := range 3 * maxRemembered { // more keys than are remembered
		send(fmt.Sprint("k", i), "v")
	}
	if len(e.last) > maxRemembered {
		t.Errorf("%d keys are remembered", len(e.last))
	}
}

func TestValuesAreTrimmed(t *testing.T) {
	l := &metadata.List{}
	l.Append("x", "  a b ")
	l.Append("y", "   ")
	l.Append("z-bin", " ")
	if got, want := newOracle().fields(t, encode(t, NewEncoder(), l)), "x: a b\ny: \nz-bin: IA\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestRefusedFields: nothing is written for a list with a field that may not
// be sent, and the next block is as if that list had not been.
func TestRefusedFields(t *testing.T) {
	bad := func(k, v string) *metadata.List { return call("/other", "good", "1", k, v) }
	slot := func(set func(*metadata.Known)) *metadata.List {
		l := call("/other", "good", "1")
		set(&l.Known)
		return l
	}
	for _, tc := range []struct {
		name string
		list *metadata.List
	}{
		{"an empty key", bad("", "v")},
		{"a key with a capital letter", bad("Key", "v")},
		{"a key with a space", bad("a b", "v")},
		{"a key with a line feed", bad("a\nb", "v")},
		{"a key beyond ASCII", bad("ä", "v")},
		{"a pseudo-header field", bad(":path", "/admin")},
		{"content-type", bad("content-type", "text/html")},
		{"te", bad("te", "trailers")},
		{"host", bad("host", "h")},
		{"content-length", bad("content-length", "5")},
		{"connection", bad("connection", "close")},
		{"transfer-encoding", bad("transfer-encoding", "chunked")},
		{"grpc-status", bad("grpc-status", "0")},
		{"grpc-timeout", bad("grpc-timeout", "1S")},
		{"a value with a line feed", bad("x", "a\nb")},
		{"a value with NUL", bad("x", "a\x00b")},
		{"a value with a tab", bad("x", "a\tb")},
		{"a value beyond ASCII", bad("x", "ä")},
		{"a path with a line feed", slot(func(k *metadata.Known) { k.Path = "/a\r\nb" })},
		{"an authority with NUL", slot(func(k *metadata.Known) { k.Authority = "a\x00" })},
		{"a user-agent that ends in a space", slot(func(k *metadata.Known) { k.UserAgent = "u " })},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, same := NewEncoder(), NewEncoder()
			encode(t, e, call("/s/m", "x", "1"))
			encode(t, same, call("/s/m", "x", "1"))
			for range 3 {
				p, err := e.Append([]byte("before"), tc.list, t0)
				if err == nil || string(p) != "before" {
					t.Fatalf("Append = %q, %v", p, err)
				}
			}
			for range 3 {
				if got, want := encode(t, e, call("/s/m", "x", "1")), encode(t, same, call("/s/m", "x", "1")); !bytes.Equal(got, want) {
					t.Errorf("the next block is %x, without the refused list it is %x", got, want)
				}
			}
		})
	}
	for key, why := range map[string]string{"X-Key": "other than 0-9, a-z", "": "it is empty", "te": "one of HTTP/2 or gRPC"} {
		if _, err := NewEncoder().Append(nil, bad(key, "v"), t0); !strings.Contains(err.Error(), why) {
			t.Errorf("the error of key %q is %v, want %q", key, err, why)
		}
	}
	if _, err := NewEncoder().Append(nil, bad("x", "CANARY\n"), t0); strings.Contains(err.Error(), "CANARY") {
		t.Errorf("the error holds the value: %v", err)
	}
}

// TestSetMaxTableSize: the peer's setting is announced in the next block and
// kept to, whatever the caches hold. RFC 7541 §4.2.
func TestSetMaxTableSize(t *testing.T) {
	ok := &metadata.List{}
	ok.SetStatus(0, "")
	timeoutOnly := &metadata.List{Deadline: t0.Add(time.Second)}
	for _, n := range []uint32{0, 1, 100, 300, 4096, 1<<32 - 1} {
		for name, first := range map[string]*metadata.List{"headers": call("/s/m", "x", "1"), "trailers": ok, "timeout": timeoutOnly} {
			t.Run(fmt.Sprintf("size=%d/%s", n, name), func(t *testing.T) {
				e, o := NewEncoder(), newOracle()
				for range 3 {
					o.fields(t, encode(t, e, call("/s/m", "x", "1")))
					o.fields(t, encode(t, e, ok))
				}
				e.SetMaxTableSize(n)
				if got, want := e.hpack.MaxDynamicTableSize(), min(n, maxTableSize); got != want {
					t.Fatalf("the table has %d bytes, want %d", got, want)
				}
				p := encode(t, e, first)
				if !isSizeUpdate(p[0]) {
					t.Fatalf("the next block begins with %#x, want a size update", p[0])
				}
				o.SetAllowedMaxDynamicTableSize(min(n, maxTableSize))
				o.fields(t, p)
				for i := range 4 {
					if got := o.fields(t, encode(t, e, call("/s/m", "x", "1"))); !strings.HasSuffix(got, "x: 1\n") || !strings.HasPrefix(got, ":method: POST\n") {
						t.Errorf("block %d: %s", i, got)
					}
					if got := o.fields(t, encode(t, e, ok)); got != "grpc-status: 0\n" {
						t.Errorf("trailers %d: %s", i, got)
					}
				}
			})
		}
	}
}

// TestResizedTwice: both sizes are announced, and our own decoder takes both.
func TestResizedTwice(t *testing.T) {
	e, d := NewEncoder(), NewDecoder(wide)
	l := call("/s/m", "x", "1")
	want := show(l)
	for range 3 {
		decodeOK(t, d, Request, encode(t, e, l))
	}
	e.SetMaxTableSize(120)
	e.SetMaxTableSize(2000)
	for range 4 {
		if got := decodeOK(t, d, Request, encode(t, e, l)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestTableStaysSmall: a peer that allows 4 GiB does not get them.
func TestTableStaysSmall(t *testing.T) {
	e := NewEncoder()
	e.SetMaxTableSize(1<<32 - 1)
	for i := range 10_000 {
		l := &metadata.List{}
		l.Append(fmt.Sprint("key-", i), strings.Repeat("v", 1000))
		encode(t, e, l)
		encode(t, e, l)
	}
	if n := e.hpack.MaxDynamicTableSize(); n != maxTableSize || len(e.last) > maxRemembered {
		t.Errorf("a table of %d bytes, %d keys", n, len(e.last))
	}
	for i := range 3 * maxEncoded {
		encode(t, e, call(fmt.Sprint("/s/", i)))
		encode(t, e, call(fmt.Sprint("/s/", i)))
	}
	if len(e.cache) > maxEncoded {
		t.Errorf("%d blocks are kept", len(e.cache))
	}
	big := &metadata.List{}
	big.Append("x", strings.Repeat("v", 1<<20))
	encode(t, e, big)
	encode(t, e, call("/s/m", "a", "1"))
	if e.buf.Cap() > keepLimit {
		t.Errorf("a buffer of %d bytes is kept", e.buf.Cap())
	}
}

// TestCachedBlockFollowsTable: a block that was kept is not used when another
// one has moved the entries it refers to.
func TestCachedBlockFollowsTable(t *testing.T) {
	e, o := NewEncoder(), newOracle()
	first := o.fields(t, encode(t, e, call("/s/a")))
	for i := range 200 { // more paths than the table has room for
		path := fmt.Sprint("/some.longer.package.Service/Method", i)
		for range 2 {
			if got := o.fields(t, encode(t, e, call(path))); !strings.Contains(got, ":path: "+path+"\n") {
				t.Fatalf("%s: %s", path, got)
			}
		}
		if got := o.fields(t, encode(t, e, call("/s/a"))); got != first {
			t.Fatalf("after %s: %s", path, got)
		}
	}
}

func ExampleEncoder() {
	e := NewEncoder()
	var list metadata.List
	list.Known = metadata.Known{Method: "POST", Scheme: "http", Path: "/greeter.Greeter/SayHello", TE: "trailers"}
	for range 2 {
		p, err := e.Append(nil, &list, time.Now())
		fmt.Println(len(p), "bytes", err)
	}
	// Output:
	// 33 bytes <nil>
	// 4 bytes <nil>
}

// TestListSizeOfKnownFields: the size counts each field that is sent, as RFC
// 9113 §6.5.2 does.
func TestListSizeOfKnownFields(t *testing.T) {
	k := metadata.Known{
		HTTPStatus: "1", Method: "12", Scheme: "123", Path: "1234", Authority: "12345", ContentType: "123456",
		UserAgent: "1234567", TE: "12345678", Encoding: "123456789", AcceptEncoding: "1234567890",
	}
	want := int64(0)
	for _, f := range fields(&k) {
		want += int64(len(f.Name) + len(f.Value) + 32)
	}
	if got := ListSize(&metadata.List{Known: k}); got != want {
		t.Errorf("ListSize = %d, want %d", got, want)
	}
	if got := ListSize(&metadata.List{Known: metadata.Known{Path: "/"}}); got != 5+1+32 {
		t.Errorf("ListSize of a path alone = %d, want 38", got)
	}
}
