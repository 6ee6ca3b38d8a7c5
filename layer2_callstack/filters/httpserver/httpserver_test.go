package httpserver_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/strata-grpc/strata/internal/quote"
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/httpserver"
	"github.com/strata-grpc/strata/layer2_callstack/filters/internal/contenttype"
)

func TestContract(t *testing.T) { callstacktest.Run(t, callstacktest.Server, httpserver.New()) }

// receive starts a call, takes its headers and the end of the stream.
func receive(t testing.TB, fill func(*metadata.List)) (*callstacktest.Call, *callstacktest.Batch, *callstacktest.Stream) {
	t.Helper()
	tr := &callstacktest.Transport{}
	c := callstacktest.NewCall(callstacktest.Build(t, tr, httpserver.New()))
	if err := c.Begin(callstacktest.Server.Args()); err != nil {
		t.Fatal(err)
	}
	b := c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
	st := tr.Streams()[0]
	st.Headers(func(rim *transport.RecvInitialMetadata) {
		callstacktest.Server.FillHeaders(rim)
		if fill != nil {
			fill(rim.MD)
		}
	}, nil)
	return c, b, st
}

func TestRequests(t *testing.T) {
	for _, tc := range []struct {
		name       string
		fill       func(*metadata.List)
		httpStatus string // empty: the request is accepted
		code       status.Code
		message    string
	}{
		{"gRPC", nil, "", 0, ""},
		{"gRPC with a subtype", func(md *metadata.List) { md.ContentType = "application/grpc+proto" }, "", 0, ""},
		{"gRPC over TLS", func(md *metadata.List) { md.Scheme = "https" }, "", 0, ""},
		{"a proxy dropped te", func(md *metadata.List) { md.TE = "" }, "", 0, ""},
		{"a form", func(md *metadata.List) { md.ContentType = "text/plain" }, "415", status.Unknown,
			`content-type "text/plain" is not gRPC's, want "application/grpc"`},
		{"no content-type", func(md *metadata.List) { md.ContentType = "" }, "415", status.Unknown,
			`content-type "" is not gRPC's, want "application/grpc"`},
		{"gRPC-Web", func(md *metadata.List) { md.ContentType = "application/grpc-web" }, "415", status.Unknown,
			`content-type "application/grpc-web" is not gRPC's, want "application/grpc"`},
		{"a GET", func(md *metadata.List) { md.Method = "GET" }, "405", status.Unknown,
			`method "GET" is not gRPC's, want "POST"`},
		{"another scheme", func(md *metadata.List) { md.Scheme = "ftp" }, "400", status.Internal,
			`scheme "ftp" is neither "http" nor "https"`},
		{"a path without a slash", func(md *metadata.List) { md.Path = "service/method" }, "404", status.Unimplemented,
			`path "service/method" does not begin with "/"`},
		{"no path", func(md *metadata.List) { md.Path = "" }, "404", status.Unimplemented,
			`path "" does not begin with "/"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, b, st := receive(t, tc.fill)
			md := &b.RecvHeaders
			if md.Method != "" || md.Scheme != "" || md.TE != "" || md.ContentType != "" {
				t.Errorf("fields of HTTP went up: %+v", md.Known)
			}
			if tc.httpStatus == "" {
				if err := b.GotHeaders.Err(); err != nil || md.Path != "/service/method" {
					t.Errorf("recv_initial_metadata ended with %v and path %q", err, md.Path)
				}
				if st.Sent(transport.OpSendTrailingMetadata) {
					t.Error("the call was answered")
				}
				st.Trailers(nil, nil)
				return
			}
			var e *transport.Error
			if err := b.GotHeaders.Err(); !errors.As(err, &e) || e.Code != tc.code || e.Reason != tc.message {
				t.Errorf("recv_initial_metadata ended with %v, want %v %q", err, tc.code, tc.message)
			}
			got := st.SentTrailers()
			if got.HTTPStatus != tc.httpStatus || got.ContentType != "application/grpc" {
				t.Errorf("answered :status %q and content-type %q, want %q and \"application/grpc\"", got.HTTPStatus, got.ContentType, tc.httpStatus)
			}
			if !got.HasStatus || got.Status != uint32(tc.code) || got.Message != tc.message {
				t.Errorf("answered status %d %q, want %d %q", got.Status, got.Message, tc.code, tc.message)
			}
			allow, ok := got.Get("allow")
			if ok != (tc.httpStatus == "405") || ok && allow != "POST" {
				t.Errorf("answered allow %q (%v)", allow, ok)
			}
			st.Trailers(nil, nil)
			if err := b.GotTrailers.Err(); err != b.GotHeaders.Err() {
				t.Errorf("recv_trailing_metadata ended with %v, want %v", err, b.GotHeaders.Err())
			}
			c.Unref()
			if c.Recycled() != 1 {
				t.Error("the block was not recycled")
			}
		})
	}
}

// TestAnswerInText: whoever does not take trailers gets what it can show.
func TestAnswerInText(t *testing.T) {
	for _, tc := range []struct {
		name        string
		fill        func(*metadata.List)
		httpStatus  string
		contentType string
		text        string // empty: Trailers-Only
	}{
		{"a GET of a browser", func(md *metadata.List) { md.Method, md.ContentType = "GET", "" }, "415", "text/plain; charset=utf-8",
			"content-type \"\" is not gRPC's, want \"application/grpc\"\n"},
		{"a PUT of gRPC", func(md *metadata.List) { md.Method = "PUT" }, "405", "text/plain; charset=utf-8",
			"method \"PUT\" is not gRPC's, want \"POST\"\n"},
		{"a HEAD", func(md *metadata.List) { md.Method, md.ContentType = "HEAD", "" }, "415", "application/grpc", ""},
		{"gRPC with a bad path", func(md *metadata.List) { md.Path = "x" }, "404", "application/grpc", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, b, st := receive(t, func(md *metadata.List) {
				md.TE = ""
				tc.fill(md)
			})
			defer c.Unref()
			if b.GotHeaders.Err() == nil {
				t.Error("the request was accepted")
			}
			first, trailers := st.SentHeaders(), st.SentTrailers()
			if tc.text == "" {
				first = trailers
			}
			if first.HTTPStatus != tc.httpStatus || first.ContentType != tc.contentType {
				t.Errorf("answered :status %q and content-type %q, want %q and %q", first.HTTPStatus, first.ContentType, tc.httpStatus, tc.contentType)
			}
			if allow, ok := first.Get("allow"); ok != (tc.httpStatus == "405") {
				t.Errorf("answered allow %q", allow)
			}
			if got, _ := st.SentMessage(); got != tc.text || st.Sent(transport.OpSendMessage) != (tc.text != "") {
				t.Errorf("answered %q, want %q", got, tc.text)
			}
			if !trailers.HasStatus {
				t.Error("the trailers have no status")
			}
			st.Trailers(nil, nil)
		})
	}
}

// TestAnswerKeepsTheBlock shows that a call whose answer is not written yet is
// not used for another.
func TestAnswerKeepsTheBlock(t *testing.T) {
	tr := &callstacktest.Transport{HoldSends: true}
	c := callstacktest.NewCall(callstacktest.Build(t, tr, httpserver.New()))
	if err := c.Begin(callstacktest.Server.Args()); err != nil {
		t.Fatal(err)
	}
	c.Do(transport.OpRecvInitialMetadata)
	st := tr.Streams()[0]
	st.Headers(nil, nil)
	c.Unref()
	if c.Recycled() != 0 {
		t.Fatal("the block was recycled before its answer was sent")
	}
	st.CompleteSends(nil)
	if c.Recycled() != 1 {
		t.Error("the block was not recycled after its answer was sent")
	}
}

func TestResponseFields(t *testing.T) {
	for _, tc := range []struct {
		name    string
		request string // content-type
		ops     []transport.OpSet
		headers metadata.Known
		trailer metadata.Known
	}{
		{"headers, then trailers", "application/grpc",
			[]transport.OpSet{transport.OpSendInitialMetadata, transport.OpSendTrailingMetadata},
			metadata.Known{HTTPStatus: "200", ContentType: "application/grpc"}, metadata.Known{}},
		{"both in one batch, with a subtype", "application/grpc+json;x=y",
			[]transport.OpSet{transport.OpSendInitialMetadata | transport.OpSendTrailingMetadata},
			metadata.Known{HTTPStatus: "200", ContentType: "application/grpc+json"}, metadata.Known{}},
		{"Trailers-Only", "application/grpc+proto",
			[]transport.OpSet{transport.OpSendTrailingMetadata},
			metadata.Known{}, metadata.Known{HTTPStatus: "200", ContentType: "application/grpc+proto"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, _, st := receive(t, func(md *metadata.List) { md.ContentType = tc.request })
			defer c.Unref()
			for _, ops := range tc.ops {
				c.Do(ops)
			}
			if got := st.SentHeaders().Known; got != tc.headers {
				t.Errorf("sent headers %+v, want %+v", got, tc.headers)
			}
			if got := st.SentTrailers().Known; got != tc.trailer {
				t.Errorf("sent trailers %+v, want %+v", got, tc.trailer)
			}
			st.Trailers(nil, nil)
		})
	}
}

// TestResetForgetsTheResponse runs Trailers-Only after a call with headers in
// the same memory.
func TestResetForgetsTheResponse(t *testing.T) {
	c, _, st := receive(t, func(md *metadata.List) { md.ContentType = "application/grpc+json" })
	c.Do(transport.OpSendInitialMetadata | transport.OpSendTrailingMetadata)
	st.Trailers(nil, nil)
	c.Unref()
	if err := c.Begin(callstacktest.Server.Args()); err != nil {
		t.Fatal(err)
	}
	defer c.Unref()
	c.Do(transport.OpSendTrailingMetadata)
	want := metadata.Known{HTTPStatus: "200", ContentType: "application/grpc"}
	if got := st.SentTrailers().Known; got != want {
		t.Errorf("sent trailers %+v, want %+v", got, want)
	}
}

// FuzzRequest checks that each request is either answered or goes up, and that
// only requests with a path that begins with "/" go up; and of a content-type
// that it stays valid without its parameters, and is quoted short and printable.
func FuzzRequest(f *testing.F) {
	f.Add("POST", "http", "/a/b", "application/grpc", "trailers")
	f.Add("GET", "https", "", "text/html", "")
	f.Add("POST", "http", "*", "application/grpc;", "x")
	f.Add("POST", "http", "/a/b", "APPLICATION/gRPC+json ; x=y", "")
	f.Add("POST", "http", "/a/b", "a\r\nb\xff"+strings.Repeat("a", 65), "")
	f.Fuzz(func(t *testing.T, method, scheme, path, contentType, te string) {
		c, b, st := receive(t, func(md *metadata.List) {
			md.Known = metadata.Known{Method: method, Scheme: scheme, Path: path, ContentType: contentType, TE: te}
		})
		checkContentType(t, contentType)
		err := b.GotHeaders.Err()
		if answered := st.Sent(transport.OpSendTrailingMetadata); answered != (err != nil) {
			t.Errorf("answered: %v, recv_initial_metadata ended with %v", answered, err)
		}
		if err == nil && (path == "" || path[0] != '/' || method != "POST") {
			t.Errorf("%s %q went up", method, path)
		}
		st.Trailers(nil, nil)
		if got := b.Order(); !slices.Equal(got, []string{"headers", "trailers"}) {
			t.Errorf("callbacks ran in the order %v", got)
		}
		c.Unref()
		if c.Recycled() != 1 {
			t.Error("the block was not recycled")
		}
	})
}

func checkContentType(t *testing.T, s string) {
	if media := contenttype.Media(s); contenttype.Valid(s) && !contenttype.Valid(media) {
		t.Errorf("%q is valid, but %q is not", s, media)
	}
	q := quote.Text(s)
	if len(q) > 300 { // 64 bytes, each of them as \xff at the most
		t.Errorf("Quote of %d bytes has %d", len(s), len(q))
	}
	for _, r := range q {
		if r < ' ' || r > '~' {
			t.Errorf("Quote(%q) has %q", s, r)
		}
	}
}

// TestHeadersBeforeTheRequest: what a server sends before it has read the headers has
// the plain content-type.
func TestHeadersBeforeTheRequest(t *testing.T) {
	tr := &callstacktest.Transport{}
	c := callstacktest.NewCall(callstacktest.Build(t, tr, httpserver.New()))
	if err := c.Begin(callstacktest.Server.Args()); err != nil {
		t.Fatal(err)
	}
	defer c.Unref()
	c.Do(transport.OpSendInitialMetadata)
	if md := tr.Streams()[0].SentHeaders(); md.ContentType != contenttype.GRPC || md.HTTPStatus != "200" {
		t.Errorf("sent %+v", md.Known)
	}
}

// TestTrailersOnlyInTheNextCall: that the call before in the block sent headers is
// nothing to the next one.
func TestTrailersOnlyInTheNextCall(t *testing.T) {
	c, _, st := receive(t, nil)
	c.Do(transport.OpSendInitialMetadata)
	c.Do(transport.OpSendTrailingMetadata)
	if md := st.SentTrailers(); md.HTTPStatus != "" {
		t.Errorf("trailers behind headers have the status %q", md.HTTPStatus)
	}
	st.Trailers(nil, nil)
	c.Unref()
	if err := c.Begin(callstacktest.Server.Args()); err != nil {
		t.Fatal(err)
	}
	c.Do(transport.OpSendTrailingMetadata)
	if md := st.SentTrailers(); md.HTTPStatus != "200" || md.ContentType != contenttype.GRPC {
		t.Errorf("Trailers-Only are %+v", md.Known)
	}
	c.Unref()
}
