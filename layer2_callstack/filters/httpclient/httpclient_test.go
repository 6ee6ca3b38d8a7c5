package httpclient_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/httpclient"
)

func TestContract(t *testing.T) {
	callstacktest.Run(t, callstacktest.Client, httpclient.New(httpclient.Config{}))
}

// begin starts a call over a fresh transport.
func begin(t testing.TB, cfg httpclient.Config) (*callstacktest.Call, *callstacktest.Stream) {
	t.Helper()
	tr := &callstacktest.Transport{}
	c := callstacktest.NewCall(callstacktest.Build(t, tr, httpclient.New(cfg)))
	if err := c.Begin(callstacktest.Client.Args()); err != nil {
		t.Fatal(err)
	}
	return c, tr.Streams()[0]
}

func TestRequestFields(t *testing.T) {
	for _, tc := range []struct {
		name        string
		cfg         httpclient.Config
		contentType string
		want        metadata.Known
	}{
		{"the zero Config", httpclient.Config{}, "", metadata.Known{
			Method: "POST", Scheme: "http", TE: "trailers", ContentType: "application/grpc", UserAgent: httpclient.DefaultUserAgent,
		}},
		{"everything configured", httpclient.Config{Scheme: "https", UserAgent: "shop/2"}, "application/grpc+json", metadata.Known{
			Method: "POST", Scheme: "https", TE: "trailers", ContentType: "application/grpc+json", UserAgent: "shop/2 " + httpclient.DefaultUserAgent,
		}},
		{"spaces around the user agent go", httpclient.Config{UserAgent: "  "}, "", metadata.Known{
			Method: "POST", Scheme: "http", TE: "trailers", ContentType: "application/grpc", UserAgent: httpclient.DefaultUserAgent,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, st := begin(t, tc.cfg)
			defer c.Unref()
			c.Do(transport.OpSendInitialMetadata, func(b *callstacktest.Batch) { b.SendHeaders.ContentType = tc.contentType })
			if got := st.SentHeaders().Known; got != tc.want {
				t.Errorf("sent %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		cfg        httpclient.Config
	}{
		{"another scheme", `option Scheme is "ftp", want "http" or "https"`, httpclient.Config{Scheme: "ftp"}},
		{"a line break in the user agent", `option UserAgent is "a\nb", where byte 1 is not printable ASCII`, httpclient.Config{UserAgent: "a\nb"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.cfg.Validate(); err == nil || err.Error() != tc.want {
				t.Errorf("Validate failed with %v, want %q", err, tc.want)
			}
		})
	}
}

// TestResponses has the responses that are not gRPC, each as headers and as
// Trailers-Only, and those that are.
func TestResponses(t *testing.T) {
	for _, tc := range []struct {
		name                    string
		httpStatus, contentType string
		code                    status.Code // OK: the response is gRPC
		reason                  string
	}{
		{"gRPC", "200", "application/grpc", status.OK, ""},
		{"gRPC with a subtype", "200", "application/grpc+proto", status.OK, ""},
		{"gRPC with parameters", "200", "application/grpc;charset=utf-8", status.OK, ""},
		{"gRPC in capitals", "200", "Application/GRPC", status.OK, ""},
		{"gRPC with a status that is not 200", "503", "application/grpc", status.OK, ""},
		{"a page that does not exist", "404", "text/html", status.Unimplemented,
			`http_client: unexpected HTTP status 404 (Not Found); content-type "text/html" (peer 192.0.2.1:443)`},
		{"a gateway without a backend", "502", "", status.Unavailable,
			`http_client: unexpected HTTP status 502 (Bad Gateway); no content-type (peer 192.0.2.1:443)`},
		{"a page", "200", "text/html", status.Unknown,
			`http_client: unexpected HTTP status 200 (OK); content-type "text/html" (peer 192.0.2.1:443)`},
		{"another protocol", "200", "application/grpc-web", status.Unknown,
			`http_client: unexpected HTTP status 200 (OK); content-type "application/grpc-web" (peer 192.0.2.1:443)`},
		{"a code without a name", "299", "x", status.Unknown,
			`http_client: unexpected HTTP status 299; content-type "x" (peer 192.0.2.1:443)`},
		{"the least status", "100", "x", status.Unknown, `http_client: unexpected HTTP status 100; content-type "x" (peer 192.0.2.1:443)`},
		{"a status below that", "99", "x", status.Internal, `http_client: malformed HTTP status "99"; content-type "x" (peer 192.0.2.1:443)`},
		{"the greatest status", "999", "x", status.Unknown, `http_client: unexpected HTTP status 999; content-type "x" (peer 192.0.2.1:443)`},
		{"a status above that", "1000", "x", status.Internal, `http_client: malformed HTTP status "1000"; content-type "x" (peer 192.0.2.1:443)`},
		{"a status that is no number", "2x0", "x", status.Internal,
			`http_client: malformed HTTP status "2x0"; content-type "x" (peer 192.0.2.1:443)`},
	} {
		fill := func(md *metadata.List) { md.HTTPStatus, md.ContentType = tc.httpStatus, tc.contentType }
		t.Run(tc.name+", as headers", func(t *testing.T) {
			b, st := respond(t, func(st *callstacktest.Stream) {
				st.Headers(func(rim *transport.RecvInitialMetadata) { fill(rim.MD); storePeer(rim) }, nil)
				st.Trailers(func(md *metadata.List) { md.SetStatus(5, "theirs") }, nil)
			})
			if tc.code == status.OK {
				wantStatus(t, b, 5, "theirs")
				return
			}
			wantEnd(t, b, tc.code, tc.reason)
			if got := st.Canceled(); got != b.GotTrailers.Err() {
				t.Errorf("the stream was cancelled with %v, want %v", got, b.GotTrailers.Err())
			}
			if err := b.GotHeaders.Err(); err != b.GotTrailers.Err() {
				t.Errorf("recv_initial_metadata ended with %v, want %v", err, b.GotTrailers.Err())
			}
		})
		t.Run(tc.name+", as Trailers-Only without grpc-status", func(t *testing.T) {
			b, _ := respond(t, func(st *callstacktest.Stream) {
				st.Headers(func(rim *transport.RecvInitialMetadata) { rim.TrailersOnly = true; storePeer(rim) }, nil)
				st.Trailers(fill, nil)
			})
			if tc.code != status.OK {
				wantEnd(t, b, tc.code, tc.reason)
			} else if err := b.GotTrailers.Err(); err == nil || !strings.Contains(err.Error(), "; no grpc-status") {
				t.Errorf("recv_trailing_metadata ended with %v, want an error about grpc-status", err)
			}
		})
		t.Run(tc.name+", as Trailers-Only with grpc-status", func(t *testing.T) {
			b, _ := respond(t, func(st *callstacktest.Stream) {
				st.Trailers(func(md *metadata.List) { fill(md); md.SetStatus(5, "theirs") }, nil)
			})
			wantStatus(t, b, 5, "theirs")
		})
	}
}

// storePeer does what a transport does before Ready runs.
func storePeer(rim *transport.RecvInitialMetadata) {
	rim.Peer.Store((&callstacktest.Transport{}).Peer())
}

// respond runs a call against a response and returns what became of it.
func respond(t *testing.T, play func(*callstacktest.Stream)) (*callstacktest.Batch, *callstacktest.Stream) {
	t.Helper()
	c, st := begin(t, httpclient.Config{})
	b := c.Do(transport.OpSendInitialMetadata|transport.OpsRecv, func(b *callstacktest.Batch) {
		b.RecvInitialMetadata.Peer = new(transport.PeerSlot)
	})
	play(st)
	if got, want := b.Order(), []string{"sent", "headers", "message", "trailers"}; !slices.Equal(got, want) {
		t.Errorf("callbacks ran in the order %v, want %v", got, want)
	}
	for _, md := range []*metadata.List{&b.RecvHeaders, &b.RecvTrailers} {
		if md.Known != (metadata.Known{}) {
			t.Errorf("fields of HTTP went up: %+v", md.Known)
		}
	}
	return b, st
}

// wantStatus checks that the peer's status went up.
func wantStatus(t *testing.T, b *callstacktest.Batch, code uint32, message string) {
	t.Helper()
	md := &b.RecvTrailers
	if err := b.GotTrailers.Err(); err != nil || !md.HasStatus || md.Status != code || md.Message != message {
		t.Errorf("trailers ended with %v and status %d %q (%v), want %d %q", err, md.Status, md.Message, md.HasStatus, code, message)
	}
}

// wantEnd checks that the filter ended the call.
func wantEnd(t *testing.T, b *callstacktest.Batch, code status.Code, reason string) {
	t.Helper()
	var e *transport.Error
	if err := b.GotTrailers.Err(); !errors.As(err, &e) || e.Code != code || e.Error() != reason {
		t.Errorf("recv_trailing_metadata ended with %v %v, want %v %q", status.CodeOf(err), err, code, reason)
	}
}

func TestLongContentTypeIsCut(t *testing.T) {
	b, _ := respond(t, func(st *callstacktest.Stream) {
		st.Headers(func(rim *transport.RecvInitialMetadata) {
			rim.MD.HTTPStatus, rim.MD.ContentType = "200", strings.Repeat("\x01", 4096)
		}, nil)
	})
	if n := len(b.GotTrailers.Err().Error()); n > 400 {
		t.Errorf("a content-type of 4096 bytes made an error of %d bytes", n)
	}
}

// TestTransportErrorStays shows that the filter does not touch how a stream
// ended otherwise.
func TestTransportErrorStays(t *testing.T) {
	lost := &transport.Error{Code: status.Unavailable, Reason: "lost"}
	c, st := begin(t, httpclient.Config{})
	defer c.Unref()
	b := c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
	st.Headers(callstacktest.Client.FillHeaders, nil)
	st.Trailers(nil, lost)
	if err := b.GotTrailers.Err(); err != lost {
		t.Errorf("recv_trailing_metadata ended with %v, want %v", err, lost)
	}
}

// FuzzResponse checks that every response ends a call exactly once, and that
// no field of HTTP reaches the layers above.
func FuzzResponse(f *testing.F) {
	f.Add("200", "application/grpc", false)
	f.Add("404", "text/html", true)
	f.Add("", "", false)
	f.Add("-1", "application/grpc\xff", true)
	f.Fuzz(func(t *testing.T, httpStatus, contentType string, trailersOnly bool) {
		tr := &callstacktest.Transport{}
		c := callstacktest.NewCall(callstacktest.Build(t, tr, httpclient.New(httpclient.Config{})))
		if err := c.Begin(callstacktest.Client.Args()); err != nil {
			t.Fatal(err)
		}
		b := c.Do(transport.OpsRecv)
		st := tr.Streams()[0]
		fill := func(md *metadata.List) { md.HTTPStatus, md.ContentType = httpStatus, contentType }
		if trailersOnly {
			st.Trailers(fill, nil)
		} else {
			st.Headers(func(rim *transport.RecvInitialMetadata) { fill(rim.MD) }, nil)
			st.Trailers(nil, nil)
		}
		if got := strings.Join(b.Order(), " "); got != "headers message trailers" {
			t.Errorf("callbacks ran in the order %q", got)
		}
		if err := b.GotTrailers.Err(); err != nil && status.CodeOf(err) == status.OK {
			t.Errorf("the call ended with the error %v, which has no code", err)
		}
		c.Unref()
		if c.Recycled() != 1 {
			t.Error("the block was not recycled")
		}
	})
}

// deaf is a filter below that lets no cancel through, as if the stream had ended before.
var deaf = callstack.NewFilter("deaf", func(next callstack.CallElem) callstack.CallElem { return &deafCall{callstack.CallBase{Next: next}} })

type deafCall struct{ callstack.CallBase }

func (c *deafCall) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops != transport.OpCancelStream {
		c.Next.StartBatch(b)
	}
}

// TestEndBehindBadHeaders: the end of a call whose headers are not gRPC's says so, also
// if the stream has an end of its own.
func TestEndBehindBadHeaders(t *testing.T) {
	tr := &callstacktest.Transport{}
	c := callstacktest.NewCall(callstacktest.Build(t, tr, httpclient.New(httpclient.Config{}), deaf))
	if err := c.Begin(callstacktest.Client.Args()); err != nil {
		t.Fatal(err)
	}
	b := c.Do(transport.OpsRecv)
	st := tr.Streams()[0]
	st.Headers(func(rim *transport.RecvInitialMetadata) { rim.MD.ContentType = "text/html" }, nil)
	st.Trailers(callstacktest.Client.FillTrailers, nil)
	const want = `http_client: response without an HTTP status; content-type "text/html"`
	if err := b.GotHeaders.Err(); err == nil || err.Error() != want || b.GotTrailers.Err() != err {
		t.Errorf("the headers ended with %v, the call with %v", err, b.GotTrailers.Err())
	}
	c.Unref()
}

// TestTrailersAlone: an end that is not gRPC's is told to who asked for nothing else.
func TestTrailersAlone(t *testing.T) {
	c, st := begin(t, httpclient.Config{})
	defer c.Unref()
	b := c.Do(transport.OpRecvTrailingMetadata)
	st.Trailers(func(md *metadata.List) { md.HTTPStatus = "502" }, nil)
	if err := b.GotTrailers.Err(); err == nil || err.Error() != "http_client: unexpected HTTP status 502 (Bad Gateway); no content-type" {
		t.Errorf("the call ended with %v", err)
	}
}
