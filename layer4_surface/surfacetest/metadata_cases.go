package surfacetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// metadataCases are about what calls carry besides messages.
func metadataCases() []testCase {
	frames := []Capability{HTTP2}
	limit := surface.WithHTTP2(http2.Config{MaxHeaderList: headerLimit})
	cases := []testCase{
		{file: "simple_metadata", name: "SimpleMetadata", test: func(r *rig) { metadataBothWays(r, "", "val") }},
		{file: "binary_metadata", name: "BinaryMetadataServerHttp2FallbackClientHttp2Fallback", test: binaryMetadata},
		{file: "trailing_metadata", name: "TrailingMetadata", test: trailingMetadata},
		{file: "filtered_metadata", name: "ContentLengthIsFiltered", test: contentLengthIsFiltered},
		{file: "large_metadata", name: "RequestWithLargeMetadataUnderSoftLimit", needs: frames,
			channel: []surface.ChannelOption{limit}, test: func(r *rig) { largeMetadata(r, headerLimit*3/4, true) }},
		{file: "large_metadata", name: "RequestWithLargeMetadataAboveHardLimit", needs: frames,
			channel: []surface.ChannelOption{limit}, test: func(r *rig) { largeMetadata(r, headerLimit*5/4, false) }},
		{file: "large_metadata", name: "RequestWithLargeMetadataHardLimitBelowDefaultHard", needs: frames,
			channel: []surface.ChannelOption{surface.WithHTTP2(http2.Config{MaxHeaderList: 4 << 10})},
			test:    func(r *rig) { largeMetadata(r, 5<<10, false) }},
		{file: "ours/metadata", name: "RequestAboveTheLimitOfTheServer", needs: frames,
			server: []surface.ServerOption{limit}, test: largeRequestMetadata},
		{file: "ours/metadata", name: "EveryByteInABinaryValue", test: everyByte},
		{file: "ours/metadata", name: "BinaryValuesOfAllLengths", test: allLengths},
		{file: "ours/metadata", name: "DuplicateKeysKeepTheirOrder", test: duplicateKeys},
	}
	sizes := []int{0, 100, 1000, 4096, 32768, 4194304}
	for _, encode := range sizes {
		for _, decode := range sizes {
			cases = append(cases, testCase{file: "hpack_size", name: fmt.Sprintf("Encode%dDecode%d", encode, decode), needs: frames,
				channel: []surface.ChannelOption{surface.WithHTTP2(http2.Config{EncoderTable: orNone(encode), DecoderTable: orNone(decode)})},
				server:  []surface.ServerOption{surface.WithHTTP2(http2.Config{EncoderTable: orNone(encode), DecoderTable: orNone(decode)})},
				test:    hpackSize})
		}
	}
	return cases
}

// headerLimit is a limit of header lists that is above the default.
const headerLimit = 16 << 10

// orNone is the size of a table as package http2 has it.
func orNone(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// exchangePairs makes a call with a message each way on which client and
// server send the pairs given, and returns its ends.
func exchangePairs(r *rig, request, response, trailers []string) (*clientCall, *serverCall) {
	r.Helper()
	c := r.call()
	c.start(1, sendHeaders(request...), sendMessage("hello world"), sendClose(), c.recvHeaders(), c.recvMessage(), c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, sendHeaders(response...), s.recvMessage())
	r.verify(ok(102))
	r.wantText("the request", s.message, "hello world")
	s.start(103, s.recvClose(), sendMessage("hello you"), sendStatus(status.OK, "xyz", trailers...))
	r.verify(ok(103), ok(1))
	r.wantText("the response", c.message, "hello you")
	c.wantStatus(status.OK, "xyz")
	s.wantCancelled(false)
	r.wantPairs("headers of the client", s.Metadata, request...)
	r.wantPairs("headers of the server", &c.initial, response...)
	r.wantPairs("trailers", &c.trailing, trailers...)
	return c, s
}

// metadataBothWays: headers go both ways, and trailers come back. The keys end
// in suffix, and the values begin with prefix.
func metadataBothWays(r *rig, suffix, prefix string) {
	kv := func(first int) (list []string) {
		for i := first; i < first+2; i++ {
			list = append(list, fmt.Sprintf("key%d%s", i, suffix), prefix+fmt.Sprint(i))
		}
		return list
	}
	exchangePairs(r, kv(1), kv(3), kv(5))
}

// allBytes are the 256 values of a byte.
func allBytes() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

// binaryMetadata: a value whose key ends in -bin holds any bytes.
func binaryMetadata(r *rig) { metadataBothWays(r, "-bin", allBytes()) }

// trailingMetadata: trailers come with the status, behind a message.
func trailingMetadata(r *rig) {
	exchangePairs(r, nil, nil, []string{"key5", "val5", "key6", "val6"})
}

// contentLengthIsFiltered: the length that an application gives is not sent on,
// in neither direction.
func contentLengthIsFiltered(r *rig) {
	c := r.call()
	c.start(1, sendHeaders("content-length", "45", "key1", "val1"), sendClose(), c.recvHeaders(), c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, sendHeaders("content-length", "51", "key2", "val2"), s.recvClose(), sendStatus(status.Unimplemented, "xyz"))
	r.verify(ok(102), ok(1))
	c.wantStatus(status.Unimplemented, "xyz")
	s.wantCancelled(false)
	r.wantPairs("headers of the client", s.Metadata, "key1", "val1")
	r.wantPairs("headers of the server", &c.initial, "key2", "val2")
	for _, l := range []*metadata.List{s.Metadata, &c.initial} {
		if v, have := l.Get("content-length"); have {
			r.Errorf("content-length %q has come through", v)
		}
	}
}

// largeMetadata: a server answers with headers of n bytes, which come if the
// client's limit has room for them, and else end the call.
func largeMetadata(r *rig, n int, fits bool) {
	r.connect() // the limit is known then
	c := r.call()
	c.start(1, sendHeaders(), sendClose(), c.recvHeaders(), c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	large := strings.Repeat("v", n)
	s.start(102, sendHeaders("key", large), sendStatus(status.OK, "xyz"), s.recvClose())
	r.verify(ok(102), ok(1))
	if !fits {
		c.wantCode(status.ResourceExhausted)
		if n := c.initial.Len(); n > 0 {
			r.Errorf("%d pairs of headers have come", n)
		}
		return
	}
	c.wantStatus(status.OK, "xyz")
	r.wantPairs("headers", &c.initial, "key", large)
	s.wantCancelled(false)
}

// largeRequestMetadata: a client does not send headers that the server has said
// it will not take; the connection goes on.
func largeRequestMetadata(r *rig) {
	r.connect()
	c := r.call()
	c.start(1, sendHeaders("key", strings.Repeat("v", headerLimit+1)), sendClose(), c.recvHeaders(), c.recvStatus())
	r.verify(ok(1))
	c.wantCode(status.ResourceExhausted)
	exchangePairs(r, []string{"key", strings.Repeat("v", headerLimit/2)}, nil, nil)
}

// everyByte: each byte there is, alone in a value, is the same at the other
// end, and so is what is printable in a plain value.
func everyByte(r *rig) {
	const each = 32 // a header list holds no more than 128
	for first := 0; first < 256; first += each {
		var kv []string
		for b := first; b < first+each; b++ {
			kv = append(kv, fmt.Sprintf("k%d-bin", b), string([]byte{byte(b)}))
			if ' ' < b && b <= '~' {
				kv = append(kv, fmt.Sprintf("k%d", b), string(rune(b)))
			}
		}
		exchangePairs(r, kv, kv, kv)
	}
}

// allLengths: base64 has no room to lose the last bytes in, whatever the length.
func allLengths(r *rig) {
	var kv []string
	for n := range 33 {
		kv = append(kv, fmt.Sprintf("k%d-bin", n), noise(n, byte(n)))
	}
	exchangePairs(r, kv, kv, kv)
}

// duplicateKeys: the values of a key keep their order, and none is lost where
// two are the same.
func duplicateKeys(r *rig) {
	kv := []string{
		"k", "1", "k-bin", "\x00a", "other", "x", "k", "2", "k", "1", "k-bin", "b,c", "k", "", "k-bin", "", "k-bin", "\x00a", "k", "3, 4",
	}
	c, s := exchangePairs(r, kv, kv, kv)
	for _, l := range []*metadata.List{s.Metadata, &c.initial, &c.trailing} {
		if md := l.MD(); len(md["k"]) != 5 || len(md["k-bin"]) != 4 {
			r.Errorf("%d and %d values, want 5 and 4", len(md["k"]), len(md["k-bin"]))
		}
	}
}

// hpackSize: however small the tables of header compression are, the pairs of
// one call after another come through. Each value comes twice: only then has a
// table a use for it.
func hpackSize(r *rig) {
	calls := 40
	_, isTraced := r.link.(*tracedLink)
	switch {
	case r.lacks(Bulk) && testing.Short():
		calls = 6
	case r.lacks(Bulk) || isTraced || !r.fixture.Virtual:
		calls = 10 // which fill the smaller tables; the bytes are the same everywhere
	}
	for i := range calls {
		name, value := fmt.Sprintf("key-%d", i/2%10), fmt.Sprintf("value-%0*d", 50*(i/2%10), i/2)
		kv := []string{name, value, "same", "value"}
		c := r.call()
		c.start(1, sendHeaders(kv...), sendClose(), c.recvHeaders(), c.recvStatus())
		s := r.request(101)
		r.verify(ok(101))
		s.start(102, sendHeaders(kv...), sendStatus(status.Unimplemented, "xyz", kv...), s.recvClose())
		r.verify(ok(102), ok(1))
		c.wantStatus(status.Unimplemented, "xyz")
		s.wantCancelled(false)
		r.wantPairs("headers of the client", s.Metadata, kv...)
		r.wantPairs("headers of the server", &c.initial, kv...)
		r.wantPairs("trailers", &c.trailing, kv...)
	}
}
