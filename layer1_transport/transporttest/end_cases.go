package transporttest

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// endCases are about headers, trailers, and how a stream ends by itself.
var endCases = []testCase{
	{name: "the request's path, authority and metadata arrive", test: testRequestHeaders},
	{name: "values of -bin keys are any bytes, in headers and trailers", test: testBinaryMetadata},
	{name: "values of one key keep their order", test: testDuplicateKeys},
	{name: "metadata that the wire cannot carry fails the call with INTERNAL", test: testInvalidMetadata},
	{name: "a status travels with its message and details", test: testStatusDetails},
	{name: "Trailers-Only gives no headers and says so", test: testTrailersOnly},
	{name: "headers and trailers without a message are not Trailers-Only", test: testHeadersAndTrailers},
	{name: "a deadline travels", test: testDeadline},
	{name: "the peer is known to both ends", test: testPeer},
	{name: "a server may end before the client has half-closed", test: testEarlyEnd},
	{name: "a message to a peer that has ended is dropped and does not fail", test: testWriteClosed},
	{name: "Sent is set when the trailers were sent", test: testSent},
}

func testRequestHeaders(e *env) {
	_, s := e.call("x-test", "a value", "x-empty", "")
	h := e.gotHeaders(s.Batch().RecvHeaders().Start())
	if h.Path != Path || h.Authority != Authority {
		e.Errorf("path %q, authority %q; want %q, %q", h.Path, h.Authority, Path, Authority)
	}
	want := []metadata.Pair{{Key: "x-test", Value: "a value"}, {Key: "x-empty", Value: ""}}
	if !slices.Equal(h.Pairs(), want) {
		e.Errorf("metadata %q, want %q", h.Pairs(), want)
	}
}

// everyByte is what a value of a -bin key may hold.
func everyByte() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

func testBinaryMetadata(e *env) {
	for _, value := range []string{"", "\x00", "\x00\x01", ",", everyByte()} {
		c, s := e.call("x-bin", value)
		b := c.Batch().RecvHeaders().RecvTrailers().Start()
		check := func(what string, l *metadata.List) {
			e.Helper()
			if got, ok := l.Get("x-bin"); !ok || got != value {
				e.Errorf("%s: x-bin is %q, %v; want %q", what, got, ok, value)
			}
		}
		check("request headers", e.gotHeaders(s.Batch().RecvHeaders().Start()))
		e.sent(s.Batch().SendHeaders(ResponseHeaders("x-bin", value)).SendTrailers(Trailers(status.OK, "", "x-bin", value)).Start())
		check("response headers", e.gotHeaders(b))
		check("trailers", e.gotStatus(b, status.OK, ""))
	}
}

func testDuplicateKeys(e *env) {
	kv := []string{"x-a", "1", "x-b", "2", "x-a", "3", "x-c-bin", "\x01", "x-a", "1", "x-c-bin", "\x00"}
	check := func(what string, l *metadata.List) {
		e.Helper()
		md := l.MD()
		if !slices.Equal(md["x-a"], []string{"1", "3", "1"}) || !slices.Equal(md["x-c-bin"], []string{"\x01", "\x00"}) {
			e.Errorf("%s: values %q and %q are not those that were sent, in order", what, md["x-a"], md["x-c-bin"])
		}
	}
	c, s := e.call(kv...)
	b := c.Batch().RecvHeaders().RecvTrailers().Start()
	check("request headers", e.gotHeaders(s.Batch().RecvHeaders().Start()))
	e.sent(s.Batch().SendHeaders(ResponseHeaders(kv...)).SendTrailers(Trailers(status.OK, "", kv...)).Start())
	check("response headers", e.gotHeaders(b))
	check("trailers", e.gotStatus(b, status.OK, ""))
}

func testInvalidMetadata(e *env) {
	for _, kv := range [][2]string{
		{"", "no key"}, {"Upper", "x"}, {"with space", "x"}, {":path", "/other"}, {"x-\x7f", "x"},
		{"x-text", "line\nbreak"}, {"x-text", "caf\u00e9"}, {"x-text", "\x00"},
	} {
		c := e.newClient()
		b := c.Batch().SendHeaders(RequestHeaders(kv[0], kv[1])).RecvTrailers().Start()
		e.failed("sending headers", b.WaitSent(), status.Internal)
		_, err := b.WaitTrailers()
		e.failed("recv_trailing_metadata", err, status.Internal)
		c.WaitGone()
	}
	// The server's mistake is told to the client.
	c, s := e.call()
	b := c.Batch().RecvHeaders().RecvTrailers().Start()
	e.failed("sending headers", s.Batch().SendHeaders(ResponseHeaders("Bad Key", "x")).Start().WaitSent(), status.Internal)
	if got := StatusOf(b.WaitTrailers()); got.Code() != status.Internal {
		e.Errorf("the client got %v, want INTERNAL", got)
	}
}

func testStatusDetails(e *env) {
	st, err := status.New(status.NotFound, "no such thing: 50% \u00fc \n").WithDetails(durationpb.New(7 * time.Second))
	if err != nil {
		e.Fatal(err)
	}
	details, err := proto.Marshal(st.Proto())
	if err != nil {
		e.Fatal(err)
	}
	const key = "grpc-status-details-bin"
	c, s := e.call()
	e.sent(s.Batch().SendTrailers(TrailersOnly(st.Code(), st.Message(), key, string(details))).Start())
	md := e.gotStatus(c.Batch().RecvTrailers().Start(), st.Code(), st.Message())
	if got, ok := md.Get(key); !ok || got != string(details) {
		e.Errorf("%s is %q, %v; want %q", key, got, ok, details)
	}
}

func testTrailersOnly(e *env) {
	for _, code := range []status.Code{status.OK, status.Unimplemented} {
		c, s := e.call()
		b := c.Batch().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
		e.sent(s.Batch().SendTrailers(TrailersOnly(code, "at once", "x-trailer", "1")).Start())
		if h := e.gotHeaders(b); !b.TrailersOnly() || h.Len() != 0 {
			e.Errorf("recv_initial_metadata: %d pairs, TrailersOnly %v; want none, true", h.Len(), b.TrailersOnly())
		}
		e.noMessage(b)
		md := e.gotStatus(b, code, "at once")
		if v, _ := md.Get("x-trailer"); v != "1" {
			e.Errorf("x-trailer is %q, want 1", v)
		}
	}
}

func testHeadersAndTrailers(e *env) {
	c, s := e.call()
	b := c.Batch().RecvHeaders().RecvMessage(0).RecvTrailers().Start()
	e.sent(s.Batch().SendHeaders(ResponseHeaders("x-header", "1")).SendTrailers(Trailers(status.OK, "", "x-trailer", "2")).Start())
	if v, _ := e.gotHeaders(b).Get("x-header"); v != "1" || b.TrailersOnly() {
		e.Errorf("recv_initial_metadata: x-header %q, TrailersOnly %v; want 1, false", v, b.TrailersOnly())
	}
	e.noMessage(b)
	md := e.gotStatus(b, status.OK, "")
	if v, _ := md.Get("x-trailer"); v != "2" || md.Len() != 1 {
		e.Errorf("trailers %v with x-trailer %q, want only that, 2", md, v)
	}
}

func testDeadline(e *env) {
	deadline := time.Now().Add(time.Hour)
	headers := RequestHeaders()
	headers.Deadline = deadline
	c := e.newClient()
	e.sent(c.Batch().SendHeaders(headers).Start())
	h := e.gotHeaders(e.accept().Batch().RecvHeaders().Start())
	// On a wire it is rounded to a unit and lasts as long as the way does.
	if diff := h.Deadline.Sub(deadline).Abs(); h.Deadline.IsZero() || diff > time.Second {
		e.Errorf("the deadline is %v, off by %v; want at most a second", h.Deadline, diff)
	}
	_, s := e.call()
	if h := e.gotHeaders(s.Batch().RecvHeaders().Start()); !h.Deadline.IsZero() {
		e.Errorf("a call without a deadline arrived with %v", h.Deadline)
	}
}

func testPeer(e *env) {
	c := e.newClient()
	send := c.Batch().SendHeaders(RequestHeaders()).Start()
	e.sent(send)
	s := e.accept()
	recv := s.Batch().RecvHeaders().Start()
	e.gotHeaders(recv)
	if p := send.Peer.Load(); p != e.client.Peer() || p == nil {
		e.Errorf("send_initial_metadata set the peer %v, want the transport's, %v", p, e.client.Peer())
	}
	if p := recv.Peer.Load(); p != e.server.Peer() || p == nil {
		e.Errorf("recv_initial_metadata set the peer %v, want the transport's, %v", p, e.server.Peer())
	}
	for _, p := range []string{e.client.Peer().String(), e.server.Peer().String()} {
		if p == "" || p == "unknown" {
			e.Errorf("the peer is called %q, want an address", p)
		}
	}
}

func testEarlyEnd(e *env) {
	c, s := e.call()
	b := c.Batch().RecvHeaders().RecvTrailers().Start()
	end := s.Batch().RecvHeaders().RecvTrailers().Start()
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).SendTrailers(Trailers(status.FailedPrecondition, "not today")).Start())
	e.gotHeaders(b)
	e.gotStatus(b, status.FailedPrecondition, "not today")
	e.gotHeaders(end)
	e.endedWell(end)
	c.WaitGone()
	s.WaitGone()
}

func testWriteClosed(e *env) {
	c, s := e.call()
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).SendTrailers(Trailers(status.Aborted, "enough")).Start())
	b := c.Batch().RecvHeaders().RecvTrailers().Start()
	e.gotHeaders(b)
	e.gotStatus(b, status.Aborted, "enough")
	send := c.Batch().SendMessage([]byte("too late")).Start()
	e.sent(send)
	if !send.WriteClosed() {
		e.Error("WriteClosed is not set for a message that nobody will receive")
	}
	e.sent(c.Batch().HalfClose().Start())
	c.WaitGone()

	// The same at the server, whose peer has cancelled.
	c, s = e.call()
	end := s.Batch().RecvHeaders().RecvTrailers().Start()
	e.gotHeaders(end)
	c.Batch().Cancel(status.Error(status.Canceled, "enough")).Start()
	_, err := end.WaitTrailers()
	e.failed("recv_trailing_metadata of the server", err, status.Canceled)
	send = s.Batch().SendMessage([]byte("too late")).Start()
	e.sent(send)
	if !send.WriteClosed() {
		e.Error("WriteClosed is not set for a message to a client that has cancelled")
	}
	trailers := s.Batch().SendTrailers(Trailers(status.OK, "")).Start()
	if err := trailers.WaitSent(); err == nil || trailers.Sent.Load() {
		e.Errorf("trailers to a client that has cancelled: error %v, Sent %v; want an error, false", err, trailers.Sent.Load())
	}
}

func testSent(e *env) {
	c, s := e.call()
	end := s.Batch().RecvTrailers().Start()
	e.sent(c.Batch().HalfClose().Start())
	b := s.Batch().SendHeaders(ResponseHeaders()).SendTrailers(Trailers(status.OK, "")).Start()
	e.sent(b)
	e.endedWell(end)
	if !b.Sent.Load() {
		e.Error("Sent is not set for trailers that were sent")
	}
}
