package transporttest

import (
	"bytes"
	"math/rand/v2"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// messageCases are about single messages and the room for them.
var messageCases = []testCase{
	{name: "a message may be empty", test: testEmptyMessage},
	{name: "messages of all sizes arrive whole", test: testMessageSizes},
	{name: "messages of many windows arrive whole", needs: []Capability{Bulk}, test: testLargeMessages},
	{name: "a message above the limit of recv_message is refused by the client", test: testLimitOfClient},
	{name: "a message above the limit of recv_message is refused by the server", test: testLimitOfServer},
	{name: "a message as long as the limit is received", test: testLimitReached},
	{name: "a second message where one may come fails the client with UNIMPLEMENTED", test: testOnlyOfClient},
	{name: "a second message where one may come is refused by the server with UNIMPLEMENTED", test: testOnlyOfServer},
	{name: "a receiver that does not read stops its sender", needs: []Capability{FlowControl}, test: testBackPressure},
	{name: "a message that may wait completes at once, and arrives before the next one", test: testBufferHint},
	{name: "headers that may wait complete at once, and arrive with the half-close", test: testCorked},
	{name: "a half-closed client still receives", test: testHalfClose},
	{name: "a server may send before the client has half-closed", test: testFullDuplex},
}

// noise returns n bytes that differ from those of another seed.
func noise(seed uint64, n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, n)
	_, _ = r.Read(b) // a generator does not fail
	return b
}

func testEmptyMessage(e *env) {
	e.unary(nil, nil)
	c, s := e.call()
	e.sent(c.Batch().SendMessage(nil).Start())
	e.sent(c.Batch().SendMessage([]byte("x")).Start())
	e.sent(c.Batch().SendMessage(nil).HalfClose().Start())
	e.gotHeaders(s.Batch().RecvHeaders().Start())
	for _, want := range []string{"", "x", ""} {
		e.gotMessage(s.Batch().RecvMessage(0).Start(), []byte(want))
	}
	e.noMessage(s.Batch().RecvMessage(0).Start())
	e.sent(s.Batch().SendTrailers(TrailersOnly(status.OK, "")).Start())
	e.gotStatus(c.Batch().RecvTrailers().Start(), status.OK, "")
}

// testMessageSizes goes around the sizes at which something changes: of a
// frame and of a window.
func testMessageSizes(e *env) {
	for i, size := range []int{1, 16384 - 5, 16384, 16385, 65535 - 5, 65535, 65536} {
		e.unary(noise(uint64(2*i), size), noise(uint64(2*i+1), size))
	}
}

func testLargeMessages(e *env) {
	for i, size := range []int{1 << 20, 5<<20 + 7} {
		e.unary(noise(uint64(2*i), size), noise(uint64(2*i+1), size))
	}
}

func testLimitOfClient(e *env) {
	c, s := e.call()
	end := s.Batch().RecvHeaders().RecvTrailers().Start()
	b := c.Batch().RecvHeaders().RecvMessage(100).RecvTrailers().Start()
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).Start())
	e.gotHeaders(b)
	s.Batch().SendMessage(noise(1, 101)).Start()
	_, ok, err := b.WaitMessage()
	if ok {
		e.Error("recv_message gave a message above its limit")
	}
	e.failed("recv_message", err, status.ResourceExhausted)
	_, err = b.WaitTrailers()
	e.failed("recv_trailing_metadata", err, status.ResourceExhausted)
	if _, err := end.WaitTrailers(); err == nil {
		e.Error("recv_trailing_metadata of the server: no error, want that the client has reset the stream")
	}
}

func testOnlyOfClient(e *env) {
	c, s := e.call()
	s.Batch().RecvHeaders().RecvTrailers().Start()
	b := c.Batch().RecvHeaders().RecvOnlyMessage().RecvTrailers().Start()
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).Start())
	e.sent(s.Batch().SendMessage([]byte("one")).Start())
	e.gotMessage(b, []byte("one"))
	s.Batch().SendMessage([]byte("two")).Start()
	_, err := b.WaitTrailers()
	e.failed("recv_trailing_metadata", err, status.Unimplemented)
}

func testOnlyOfServer(e *env) {
	c, s := e.call()
	end := s.Batch().RecvHeaders().RecvOnlyMessage().RecvTrailers().Start()
	b := c.Batch().RecvHeaders().RecvTrailers().Start()
	e.sent(c.Batch().SendMessage([]byte("one")).Start())
	e.gotMessage(end, []byte("one"))
	c.Batch().SendMessage([]byte("two")).Start()
	_, err := end.WaitTrailers()
	e.failed("recv_trailing_metadata of the server", err, status.Unimplemented)
	if got := StatusOf(b.WaitTrailers()); got.Code() != status.Unimplemented {
		e.Errorf("the client got %v, want UNIMPLEMENTED", got)
	}
}

func testLimitOfServer(e *env) {
	c, s := e.call()
	end := s.Batch().RecvHeaders().RecvMessage(100).RecvTrailers().Start()
	b := c.Batch().RecvHeaders().RecvTrailers().Start()
	c.Batch().SendMessage(noise(1, 1<<20)).Start()
	_, ok, err := end.WaitMessage()
	if ok {
		e.Error("recv_message gave a message above its limit")
	}
	e.failed("recv_message", err, status.ResourceExhausted)
	_, err = end.WaitTrailers()
	e.failed("recv_trailing_metadata of the server", err, status.ResourceExhausted)
	if got := StatusOf(b.WaitTrailers()); got.Code() != status.ResourceExhausted {
		e.Errorf("the client got %v, want RESOURCE_EXHAUSTED", got)
	}
}

func testLimitReached(e *env) {
	c, s := e.call()
	e.sent(c.Batch().SendMessage(noise(1, 100)).HalfClose().Start())
	b := s.Batch().RecvHeaders().RecvMessage(100).Start()
	e.gotMessage(b, noise(1, 100))
	e.sent(s.Batch().SendTrailers(TrailersOnly(status.OK, "")).Start())
	e.gotStatus(c.Batch().RecvTrailers().Start(), status.OK, "")
}

// testBackPressure sends until sending waits, and then reads everything.
func testBackPressure(e *env) {
	const size, most = 1 << 20, 256
	c, s := e.call()
	e.gotHeaders(s.Batch().RecvHeaders().Start())
	message := bytes.Repeat([]byte("m"), size)
	if !e.inBubble {
		// Whether a send waits can only be seen where time stands still.
		e.sendAndReceive(c, s, message, 4)
		return
	}
	var waiting *Batch
	sent := 0
	for ; sent < most; sent++ {
		waiting = c.Batch().SendMessage(message).Start()
		e.settled()
		if !waiting.IsSent() {
			break
		}
	}
	if sent == most {
		e.Fatalf("%d messages of %d bytes were accepted and nobody has read one", most, size)
	}
	for range sent + 1 {
		e.gotMessage(s.Batch().RecvMessage(0).Start(), message)
	}
	e.sent(waiting)
	e.sent(c.Batch().HalfClose().Start())
	e.noMessage(s.Batch().RecvMessage(0).Start())
	e.sent(s.Batch().SendTrailers(TrailersOnly(status.OK, "")).Start())
	e.gotStatus(c.Batch().RecvTrailers().Start(), status.OK, "")
}

// sendAndReceive sends n messages, each one received before the next is sent.
func (e *env) sendAndReceive(from, to *Call, message []byte, n int) {
	e.Helper()
	for range n {
		send := from.Batch().SendMessage(message).Start()
		e.gotMessage(to.Batch().RecvMessage(0).Start(), message)
		e.sent(send)
	}
}

// testBufferHint gives hints in both directions. Whether and how long a hinted
// message waits is the transport's affair.
func testBufferHint(e *env) {
	c, s := e.call()
	e.gotHeaders(s.Batch().RecvHeaders().Start())
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).Start())
	e.gotHeaders(c.Batch().RecvHeaders().Start())
	for _, way := range [][2]*Call{{c, s}, {s, c}} {
		from, to := way[0], way[1]
		e.sent(from.Batch().SendMessage([]byte("one")).Flags(transport.FlagBufferHint).Start())
		e.sent(from.Batch().SendMessage(noise(1, 1000)).Flags(transport.FlagBufferHint).Start())
		e.sent(from.Batch().SendMessage(nil).Start())
		for _, want := range [][]byte{[]byte("one"), noise(1, 1000), nil} {
			e.gotMessage(to.Batch().RecvMessage(0).Start(), want)
		}
		e.sent(from.Batch().SendMessage([]byte("last")).Flags(transport.FlagBufferHint).Start())
	}
	e.sent(c.Batch().HalfClose().Start())
	e.gotMessage(s.Batch().RecvMessage(0).Start(), []byte("last"))
	e.noMessage(s.Batch().RecvMessage(0).Start())
	e.sent(s.Batch().SendTrailers(Trailers(status.OK, "")).Start())
	e.gotMessage(c.Batch().RecvMessage(0).Start(), []byte("last"))
	e.gotStatus(c.Batch().RecvTrailers().Start(), status.OK, "")
}

func testCorked(e *env) {
	c := e.newClient()
	e.sent(c.Batch().SendHeaders(RequestHeaders("k", "v")).Flags(transport.FlagCorked).Start())
	e.sent(c.Batch().HalfClose().Start())
	s := e.accept()
	if v, _ := e.gotHeaders(s.Batch().RecvHeaders().Start()).Get("k"); v != "v" {
		e.Errorf("k = %q, want v", v)
	}
	e.noMessage(s.Batch().RecvMessage(0).Start())
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).Flags(transport.FlagCorked).Start())
	e.sent(s.Batch().SendTrailers(Trailers(status.OK, "")).Start())
	b := c.Batch().RecvHeaders().RecvTrailers().Start()
	e.gotHeaders(b)
	e.gotStatus(b, status.OK, "")
}

func testHalfClose(e *env) {
	c, s := e.call()
	e.sent(c.Batch().HalfClose().Start())
	recv := s.Batch().RecvHeaders().RecvMessage(0).Start()
	e.gotHeaders(recv)
	e.noMessage(recv)
	b := c.Batch().RecvHeaders().RecvTrailers().Start()
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).Start())
	e.sendAndReceive(s, c, []byte("still here"), 3)
	e.sent(s.Batch().SendTrailers(Trailers(status.OK, "")).Start())
	e.gotHeaders(b)
	e.gotStatus(b, status.OK, "")
}

func testFullDuplex(e *env) {
	c, s := e.call()
	cEnd := c.Batch().RecvHeaders().RecvTrailers().Start()
	sEnd := s.Batch().RecvHeaders().RecvTrailers().Start()
	e.sent(s.Batch().SendHeaders(ResponseHeaders()).Start())
	e.sendAndReceive(s, c, []byte("first"), 2)
	e.sendAndReceive(c, s, []byte("second"), 2)
	e.sent(c.Batch().HalfClose().Start())
	e.noMessage(s.Batch().RecvMessage(0).Start())
	e.sendAndReceive(s, c, []byte("third"), 2)
	e.sent(s.Batch().SendTrailers(Trailers(status.OK, "")).Start())
	e.gotHeaders(cEnd)
	e.gotStatus(cEnd, status.OK, "")
	e.gotHeaders(sEnd)
	e.endedWell(sEnd)
}
