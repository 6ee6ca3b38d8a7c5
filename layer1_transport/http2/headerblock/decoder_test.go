package headerblock

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

func TestMalformedCompression(t *testing.T) {
	for _, tc := range []struct {
		name  string
		block []byte
	}{
		{"index 0", []byte{0x80}},
		{"an index behind the table", index(62)},
		{"an index far behind the table", index(1 << 40)},
		{"an index of 70 bits", []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
		{"an index that ends early", []byte{0x82, 0xff, 0x80}},
		{"a name index behind the table", join(integer(0x40, 6, 62), text("v"))},
		{"a literal without a name", []byte{0x40}},
		{"a name that ends early", []byte("\x40\x05ab")},
		{"a literal without a value", join([]byte{0x40}, text("x"))},
		{"a value that ends early", join([]byte{0x00}, text("x"), []byte("\x05ab"))},
		{"a length of 4 GiB", join([]byte{0x10}, text("x"), integer(0, 7, 1<<32))},
		{"a length of 70 bits", join([]byte{0x10}, text("x"), []byte("\x7f\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"))},
		{"Huffman code padded with zeros", join([]byte{0x00}, text("x"), []byte{0x81, 0x00})},
		{"Huffman code that holds EOS", join([]byte{0x00}, text("x"), []byte{0x84, 0xff, 0xff, 0xff, 0xff})},
		{"a table size above ours", resize(4097)},
		{"a table size behind a field", join(block("x: 1"), resize(0))},
		{"a table size behind an indexed field", join(index(2), resize(100), block("x: 1"))},
		{"three table sizes", join(resize(0), resize(1), resize(2))},
		{"a table size that ends early", []byte{0x3f, 0x80}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := decodeBad(t, NewDecoder(wide), Trailers, tc.block)
			if e.StreamOnly || e.Code != status.HTTP2CompressionError {
				t.Errorf("got %+v, want a connection error COMPRESSION_ERROR", *e)
			}
		})
	}
}

// TestTruncatedBlock: whatever a block is cut to, the decoder does not panic,
// and a cut inside a field is an error of the connection.
func TestTruncatedBlock(t *testing.T) {
	whole := join(block(aRequest...), plain("x", "1"), never("y-bin", "AA"), index(62))
	for n := range whole {
		var list metadata.List
		err := NewDecoder(wide).Decode(whole[:n], Request, &list, t0)
		if _, ok := err.(*BlockError); err != nil && !ok {
			t.Fatalf("cut to %d bytes: %T", n, err)
		}
	}
}

func TestLiteralRepresentations(t *testing.T) {
	d := NewDecoder(wide)
	first := join(plain("a", "1"), never("b", "2"), inserted("c", "3"))
	if got, want := decodeOK(t, d, Trailers, first), `a:"1" b:"2" c:"3"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Only c was inserted; its name serves literals of all three kinds.
	second := join(index(62), join(integer(0x00, 4, 62), text("4")), join(integer(0x10, 4, 62), text("5")), join(integer(0x40, 6, 62), text("6")))
	if got, want := decodeOK(t, d, Trailers, second), `c:"3" c:"4" c:"5" c:"6"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := decodeOK(t, d, Trailers, join(index(62), index(63))), `c:"6" c:"3"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTableSizeUpdates(t *testing.T) {
	d := NewDecoder(wide)
	decodeOK(t, d, Trailers, block("a: 1", "b: 2"))
	// Room for b alone, then for everything again.
	if got, want := decodeOK(t, d, Trailers, join(resize(34), resize(4096), index(62))), `b:"2"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if e := decodeBad(t, d, Trailers, index(63)); e.StreamOnly {
		t.Errorf("the evicted entry is still there: %v", e)
	}
	d = NewDecoder(wide)
	decodeOK(t, d, Trailers, block("a: 1"))
	decodeOK(t, d, Trailers, join(resize(0)))
	if got, want := decodeOK(t, d, Trailers, join(resize(4096), block("c: 3"), index(62))), `c:"3" c:"3"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// request is the block that a client sends from its second call on: indexes,
// then the timeout as a literal that is not inserted.
func request(timeout string) []byte {
	p := join(index(62), index(63), index(64))
	if timeout != "" {
		p = append(p, plain("grpc-timeout", timeout)...)
	}
	return p
}

// primed returns a decoder whose table holds what request refers to.
func primed(t testing.TB) *Decoder {
	d := NewDecoder(wide)
	decodeOK(t, d, Request, block(":path: /s/m", ":scheme: http", ":method: POST"))
	return d
}

func TestCacheHits(t *testing.T) {
	d := primed(t)
	const least = ":method=POST :scheme=http :path=/s/m"
	for i, timeout := range []string{"", "1S", "2S", ""} {
		want := least
		if timeout != "" {
			want += " deadline=" + strings.ToLower(timeout)
		}
		if hit := d.cache.get(request(""), Request) != nil; hit != (i > 0) {
			t.Errorf("before block %d: known is %v", i, hit)
		}
		if got := decodeOK(t, d, Request, request(timeout)); got != want {
			t.Errorf("block %d: got %s, want %s", i, got, want)
		}
	}
}

// TestOwnTimeout: the short way for our own encoder's grpc-timeout means what
// HPACK would make of it, whatever stands around it.
func TestOwnTimeout(t *testing.T) {
	own := func(value string) []byte { return join(timeoutName, text(value)) }
	least := block(aRequest...)
	many := join(least, block(":authority: a"))
	for _, tc := range []struct {
		name string
		rest []byte
	}{
		{"alone", own("5S")},
		{"with fields behind it", join(own("5S"), plain("x", "1"), inserted("y", "2"))},
		{"behind a field", join(plain("x", "1"), own("5S"))},
		{"before a pseudo-header field", join(own("5S"), block(":authority: a"))},
		{"before a size update", join(own("5S"), resize(0))},
		{"twice", join(own("5S"), own("6S"))},
		{"malformed", own("5X")},
		{"with a line feed", own("5S\n")},
		{"with a space in front", own(" 5S")},
		{"empty", own("")},
		{"too long", own("123456789S")},
		{"cut off", own("5S")[:len(own("5S"))-1]},
		{"cut off before the value", timeoutName},
		{"in Huffman code", join(timeoutName, []byte{0x82, 0x6e, 0xef})},
		{"as the field past the limit", join([]byte(strings.Repeat("\xd0", wide.Fields-3)), own("5S"))},
		{"as the last field within the limit", join([]byte(strings.Repeat("\xd0", wide.Fields-4)), own("5S"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for kind := Request; kind <= Trailers; kind++ {
				first := least
				if kind == Response {
					first = block(aResponse...)
				} else if kind == Trailers {
					first = nil
				}
				blocks := [][]byte{join(first, tc.rest), join(least, tc.rest), join(many, tc.rest), tc.rest, join(index(62), index(63), index(64), tc.rest)}
				for i := range blocks {
					sameAsPlain(t, blocks[i:], func(int) Kind { return kind })
				}
				run := join(index(62), index(63), index(64)) // a hit, the second time
				sameAsPlain(t, [][]byte{least, run, join(run, tc.rest)}, func(int) Kind { return kind })
			}
		})
	}
}

// TestTimeoutBetweenRuns: where gRPC wants it, behind the pseudo-header fields,
// the timeout is looked past, and what stands on its two sides hits together.
func TestTimeoutBetweenRuns(t *testing.T) {
	own := func(value string) []byte { return join(timeoutName, text(value)) }
	d := NewDecoder(wide)
	decodeOK(t, d, Request, block(":path: /s/m", ":scheme: http", ":method: POST", "x: 1"))
	// The table holds, from 62 on: x, the method, the scheme, the path.
	pseudo, regular := join(index(63), index(64), index(65)), index(62)
	h, _ := cutHead(join(pseudo, own("1S"), regular), Request)
	for i, tc := range []struct {
		block []byte
		want  string
	}{
		{join(pseudo, own("1S"), regular), `:method=POST :scheme=http :path=/s/m deadline=1s x:"1"`},
		{join(pseudo, own("2S"), regular), `:method=POST :scheme=http :path=/s/m deadline=2s x:"1"`},
		{join(pseudo, regular), `:method=POST :scheme=http :path=/s/m x:"1"`},
		{join(pseudo, own("33S"), regular), `:method=POST :scheme=http :path=/s/m deadline=33s x:"1"`},
	} {
		if got := decodeOK(t, d, Request, tc.block); got != tc.want {
			t.Errorf("block %d: got %s, want %s", i, got, tc.want)
		}
		if d.cache.get(h.key(nil), Request) == nil {
			t.Errorf("after block %d nothing is remembered", i)
		}
	}
	late := join(index(63), index(64), own("1S"), index(65), regular)
	for range 2 {
		var list metadata.List
		if err := d.Decode(late, Request, &list, t0); err == nil {
			t.Error("a pseudo-header field behind the timeout was taken, since the same fields were known in order")
		}
	}
}

// TestOwnTimeoutCountsSize: the list may have its size exactly, and no byte more.
func TestOwnTimeoutCountsSize(t *testing.T) {
	p := join(block(aRequest...), timeoutName, text("5S"))
	size := len(":methodPOST:schemehttp:path/s/mgrpc-timeout5S") + 4*32
	run := join(index(62), index(63), index(64), timeoutName, text("5S"))
	for _, more := range []int{0, -1} {
		d := NewDecoder(Limits{ListSize: size + more, Fields: 4})
		for _, b := range [][]byte{p, run, run} {
			var list metadata.List
			err := d.Decode(b, Request, &list, t0)
			if e, _ := err.(*BlockError); (e == nil) != (more == 0) || e != nil && !e.TooLarge {
				t.Errorf("with a limit of %d%+d: %v", size, more, err)
			}
		}
	}
}

// TestCacheEntryIsNotShared: what a call does to its list is not seen by the next.
func TestCacheEntryIsNotShared(t *testing.T) {
	d := NewDecoder(wide)
	decodeOK(t, d, Trailers, block("a: 1", "b: 2"))
	var list metadata.List
	for range 3 {
		list.Reset()
		if err := d.Decode(join(index(62), index(63)), Trailers, &list, t0); err != nil {
			t.Fatal(err)
		}
		if got, want := show(&list), `b:"2" a:"1"`; got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
		list.Delete("b")
		list.Append("c", "3")
		list.SetStatus(5, "m")
		list.Pairs()[0].Value = "changed"
	}
}

// TestCacheForgets: after each of these blocks the same bytes mean something
// else, or nothing.
func TestCacheForgets(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change []byte
		want   string // what index(62) means afterwards; empty is an error
	}{
		{"a field is inserted", inserted("n", "9"), `n:"9"`},
		{"a field is inserted behind indexed ones", join(index(62), inserted("n", "9")), `n:"9"`},
		{"a field is inserted behind a plain one", join(plain("p", "8"), inserted("n", "9")), `n:"9"`},
		{"a field is inserted behind a fault", join(plain("P", "8"), inserted("n", "9")), `n:"9"`},
		{"the table is emptied", resize(0), ""},
		{"the table is emptied by a field that does not fit", inserted("n", strings.Repeat("v", 5000)), ""},
		{"the table shrinks and grows", join(resize(0), resize(4096), inserted("n", "9")), `n:"9"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := NewDecoder(wide)
			decodeOK(t, d, Trailers, block("a: 1"))
			for range 2 {
				if got, want := decodeOK(t, d, Trailers, index(62)), `a:"1"`; got != want {
					t.Fatalf("got %s, want %s", got, want)
				}
			}
			var list metadata.List
			_ = d.Decode(tc.change, Trailers, &list, t0) // some are refused, and count all the same
			if tc.want == "" {
				if e := decodeBad(t, d, Trailers, index(62)); e.StreamOnly {
					t.Errorf("got %+v", *e)
				}
			} else if got := decodeOK(t, d, Trailers, index(62)); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// TestCacheKnowsKinds: the same bytes can be in order as one kind of block and
// out of order as another.
func TestCacheKnowsKinds(t *testing.T) {
	d := primed(t)
	for range 2 {
		decodeOK(t, d, Request, request(""))
		if e := decodeBad(t, d, Trailers, request("")); !e.StreamOnly {
			t.Errorf("as trailers: %+v", *e)
		}
	}
}

// TestSizeUpdateBehindHit: a hit must not hide from HPACK that a field came first.
func TestSizeUpdateBehindHit(t *testing.T) {
	d := primed(t)
	decodeOK(t, d, Request, request(""))
	if e := decodeBad(t, d, Request, join(request(""), resize(100))); e.StreamOnly {
		t.Errorf("got %+v, want a connection error", *e)
	}
}

// TestCacheIsBounded: a peer that never repeats itself costs no more than one
// with few methods.
func TestCacheIsBounded(t *testing.T) {
	d := NewDecoder(wide)
	decodeOK(t, d, Trailers, block("a: "+strings.Repeat("v", 400), "b-bin: "+strings.Repeat("A", 400), "c: 3"))
	for n := range 5000 {
		run := join(index(62+uint64(n%3)), index(62+uint64(n/3%3)), index(62+uint64(n/9%3)), index(62+uint64(n/27%3)),
			index(62+uint64(n/81%3)), index(62+uint64(n/243%3)), index(62+uint64(n/729%3)), index(62+uint64(n/2187%3)))
		decodeOK(t, d, Trailers, run)
		sum := 0
		for key, e := range d.cache.entries {
			sum += entryCost + len(key) + e.sum.size
		}
		if d.cache.cost > maxCacheCost || d.cache.cost != sum {
			t.Fatalf("after %d blocks: cost %d of %d, entries that cost %d", n+1, d.cache.cost, maxCacheCost, sum)
		}
	}
	if len(d.cache.entries) < 10 {
		t.Errorf("only %d entries are kept", len(d.cache.entries))
	}
}

// TestDecoderLetsGoOfList: a list belongs to a call and is used again.
func TestDecoderLetsGoOfList(t *testing.T) {
	d := NewDecoder(wide)
	decodeOK(t, d, Trailers, block("a: 1"))
	decodeBad(t, d, Trailers, block("A: 1"))
	if d.asm.list != nil {
		t.Error("the decoder still refers to the list of its last block")
	}
}

// TestDecodeTime: twice the bytes take about twice the time, also for the
// blocks that are the most work. The bound is wide, because machines differ.
func TestDecodeTime(t *testing.T) {
	for _, tc := range []struct {
		name string
		unit []byte
	}{
		{"empty literals", []byte{0, 0, 0}},
		{"plain literals", plain("x", "1")},
		{"inserted literals", inserted("x", "1")},
		{"indexed fields", index(2)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			least := func(n int) time.Duration {
				best := time.Hour
				p := []byte(strings.Repeat(string(tc.unit), n))
				for range 5 {
					var list metadata.List
					start := time.Now()
					_ = NewDecoder(wide).Decode(p, Trailers, &list, t0)
					best = min(best, time.Since(start))
				}
				return best
			}
			one, ten := least(2000), least(20_000)
			if ten > 60*one+time.Millisecond {
				t.Errorf("2,000 fields take %v and 20,000 take %v", one, ten)
			}
		})
	}
}

// TestIndexedPrefix: what counts as a run of indexed fields.
func TestIndexedPrefix(t *testing.T) {
	for _, tc := range []struct {
		block []byte
		want  int
	}{
		{nil, 0},
		{[]byte{0x82, 0x83}, 2},
		{join(index(2), index(200), index(3)), 4},
		{join(index(2), plain("x", "1")), 1},
		{join(index(2), []byte{0xff}), 1},
		{join(index(2), []byte{0xff, 0x80}), 1},
		{[]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 0},
		{inserted("x", "1"), 0},
	} {
		if got := indexedPrefix(tc.block); got != tc.want {
			t.Errorf("indexedPrefix(%x) = %d, want %d", tc.block, got, tc.want)
		}
	}
}

func TestKeepsTable(t *testing.T) {
	for _, tc := range []struct {
		name  string
		block []byte
		want  bool
	}{
		{"nothing", nil, true},
		{"indexed fields", join(index(2), index(300)), true},
		{"literals that are not inserted", join(plain("x", "1"), never("y", strings.Repeat("v", 300)), integer(0x00, 4, 40), text("v")), true},
		{"a literal that is inserted", join(plain("x", "1"), inserted("x", "1")), false},
		{"a literal with an indexed name that is inserted", join(integer(0x40, 6, 5), text("v")), false},
		{"a table size", resize(0), false},
		{"a literal that ends early", []byte{0x00, 0x05, 'a'}, false},
		{"an index that ends early", []byte{0xff}, false},
	} {
		if got := keepsTable(tc.block); got != tc.want {
			t.Errorf("%s: keepsTable(%x) = %v, want %v", tc.name, tc.block, got, tc.want)
		}
	}
}

func ExampleDecoder() {
	d := NewDecoder(Limits{ListSize: 8 << 10, Fields: 128})
	var list metadata.List
	err := d.Decode(block(":status: 200", "grpc-status: 5", "grpc-message: no%20gopher", "x-bin: AAE"), Response, &list, time.Now())
	fmt.Println(err, list.HTTPStatus, list.Status, list.Message)
	fmt.Printf("%q\n", list.Pairs()[0].Value)
	// Output:
	// <nil> 200 5 no gopher
	// "\x00\x01"
}
