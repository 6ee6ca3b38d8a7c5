package surfacetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/status"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// shorter is a limit that "hello world" passes.
const shorter = 5

// basicCases are calls with a message each way at the most: one batch of the
// client's, and an answer.
func basicCases() []testCase {
	named := []Capability{HTTP2, ClientChannel}
	narrow := surface.WithHTTP2(http2.Config{StreamWindow: 1 << 16, ConnWindow: 1 << 16})
	long := surface.WithMaxRecvMessageSize(-1)
	return []testCase{
		{file: "no_op", name: "NoOp", test: func(*rig) {}},
		{file: "empty_batch", name: "EmptyBatch", test: emptyBatch},
		{file: "simple_request", name: "SimpleRequest", test: simpleRequest},
		{file: "simple_request", name: "SimpleRequest10", test: func(r *rig) {
			for range 10 {
				simpleRequest(r)
			}
		}},
		{file: "request_with_payload", name: "RequestWithPayload", test: requestWithPayload},
		{file: "payload", name: "RequestResponseWithPayload", test: requestResponseWithPayload},
		{file: "payload", name: "RequestResponseWithPayload10Times", test: requestResponseWithPayload10Times},
		{file: "invoke_large_request", name: "InvokeLargeRequest", needs: []Capability{HTTP2, Bulk},
			server: []surface.ServerOption{narrow, long}, channel: []surface.ChannelOption{narrow, long}, test: invokeLargeRequest},
		{file: "registered_call", name: "InvokeRegisteredCall", test: func(r *rig) { registeredCalls(r, 1) }},
		{file: "registered_call", name: "Invoke10RegisteredCalls", test: func(r *rig) { registeredCalls(r, 10) }},
		{file: "ours/request", name: "OldestWaitingCallFirst", test: oldestWaitingFirst},
		{file: "call_host_override", name: "CallHostOverride", needs: named, test: callHostOverride},
		{file: "default_host", name: "DefaultHost", needs: named, test: defaultHost},
		highInitialSeqno(16777213),
		highInitialSeqno(2147483645),
		{file: "max_message_length", name: "MaxMessageLengthOnClientOnRequestViaChannelArg",
			channel: []surface.ChannelOption{surface.WithMaxSendMessageSize(shorter)}, test: tooLongForClientToSend},
		{file: "max_message_length", name: "MaxMessageLengthOnServerOnRequestViaChannelArg",
			server: []surface.ServerOption{surface.WithMaxRecvMessageSize(shorter)}, test: tooLongForServerToRead},
		{file: "max_message_length", name: "MaxMessageLengthOnClientOnResponseViaChannelArg",
			channel: []surface.ChannelOption{surface.WithMaxRecvMessageSize(shorter)},
			test:    func(r *rig) { tooLongAnswer(r, "client option WithMaxRecvMessageSize") }},
		{file: "max_message_length", name: "MaxMessageLengthOnServerOnResponseViaChannelArg",
			server: []surface.ServerOption{surface.WithMaxSendMessageSize(shorter)},
			test:   func(r *rig) { tooLongAnswer(r, "server option WithMaxSendMessageSize") }},
		badFlags("SendInitialMetadata", surface.SendInitialMetadata),
		badFlags("SendMessage", surface.SendMessage),
		badFlags("SendCloseFromClient", surface.SendCloseFromClient),
		badFlags("RecvInitialMetadata", surface.RecvInitialMetadata),
		badFlags("RecvStatusOnClient", surface.RecvStatusOnClient),
		goodFlags("WriteBufferInt", transport.FlagBufferHint),
		goodFlags("WriteNoCompress", transport.FlagNoCompress),
		goodFlags("WriteBufferHintAndNoCompress", transport.FlagBufferHint|transport.FlagNoCompress),
	}
}

// flagsOf starts a call of five operations, of which the one of type on has flags.
func (c *clientCall) flagsOf(on surface.OpType, flags uint32) surface.CallError {
	c.r.Helper()
	ops := []surface.Op{sendHeaders(), sendMessage("hello world"), sendClose(), c.recvHeaders(), c.recvStatus()}
	for i := range ops {
		if ops[i].Type == on {
			ops[i].Flags = flags
		}
	}
	return c.StartBatch(ops, 1)
}

// badFlags: a flag that the operation does not know has the batch refused, and
// nothing is started.
func badFlags(name string, on surface.OpType) testCase {
	return testCase{file: "request_with_flags", name: "BadFlagsOn" + name, test: func(r *rig) {
		c := r.call()
		if fault := c.flagsOf(on, 0xDEADBEEF); fault != surface.CallErrorInvalidFlags {
			r.Errorf("StartBatch: %v, want %v", fault, surface.CallErrorInvalidFlags)
		}
		r.quiet()
	}}
}

// goodFlags: the operations of a batch whose message has known flags complete,
// here at the deadline, as no server answers.
func goodFlags(name string, flags uint32) testCase {
	return testCase{file: "request_with_flags", name: name + "AcceptedOnSendMessage", test: func(r *rig) {
		c := r.callWith(surface.CallParams{Method: method, Deadline: time.Now().Add(short)})
		if fault := c.flagsOf(surface.SendMessage, flags); fault != surface.CallOK {
			r.Fatalf("StartBatch: %v", fault)
		}
		r.verify(ok(1))
		c.wantCode(status.DeadlineExceeded)
	}}
}

// emptyBatch: a batch without operations posts its tag, on a call that was
// never begun.
func emptyBatch(r *rig) {
	c := r.call()
	c.start(1)
	r.verify(ok(1))
}

// simpleRequest: a call without messages is answered with UNIMPLEMENTED "xyz".
func simpleRequest(r *rig) {
	r.Helper()
	simply(r, r.call())
}

// simply carries out the call c, which was created.
func simply(r *rig, c *clientCall) {
	r.Helper()
	c.start(1, sendHeaders(), sendClose(), c.recvHeaders(), c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	if s.Call.Peer() == nil {
		r.Error("the server does not know its peer")
	}
	if s.Details.Method != method {
		r.Errorf("method = %q, want %q", s.Details.Method, method)
	}
	s.start(102, sendHeaders(), sendStatus(status.Unimplemented, "xyz"), s.recvClose())
	r.verify(ok(102), ok(1))
	c.wantStatus(status.Unimplemented, "xyz")
	s.wantCancelled(false)
	if c.Peer() == nil {
		r.Error("the client does not know its peer")
	}
}

// registeredCalls: calls to a method that was registered with the channel.
func registeredCalls(r *rig, n int) {
	registered, err := r.channel.RegisterCall(method, "")
	if err != nil {
		r.Fatal(err)
	}
	for range n {
		simply(r, r.own(r.channel.CreateRegisteredCall(registered, surface.CallParams{Queue: r.queue, Deadline: inFiveSeconds()})))
	}
}

// oldestWaitingFirst: calls that wait for the server to ask for them are given
// out in the order in which they came.
func oldestWaitingFirst(r *rig) {
	methods := []string{"/first", "/second", "/third"}
	r.connect()
	for i, m := range methods {
		c := r.callWith(surface.CallParams{Method: m, Deadline: inFiveSeconds()})
		c.start(1+i, sendHeaders(), sendClose(), c.recvStatus())
	}
	r.quiet() // all of them wait
	for i, m := range methods {
		s := r.request(101)
		r.verify(ok(101))
		if s.Details.Method != m {
			r.Errorf("request %d is given %q, want %q", i, s.Details.Method, m)
		}
		s.start(102, s.recvClose(), sendStatus(status.OK, "xyz"))
		r.verify(ok(102), ok(1+slices.Index(methods, s.Details.Method)))
	}
}

// requestWithPayload: the client sends one message, and the server reads it.
func requestWithPayload(r *rig) {
	c := r.call()
	c.start(1, sendHeaders(), sendMessage("hello world"), sendClose(), c.recvHeaders(), c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, s.recvMessage())
	r.verify(ok(102))
	r.wantText("the request", s.message, "hello world")
	s.start(103, s.recvClose(), sendHeaders(), sendStatus(status.OK, "xyz"))
	r.verify(ok(103), ok(1))
	c.wantStatus(status.OK, "xyz")
	s.wantCancelled(false)
}

// requestResponseWithPayload: a large message goes there, and another comes back.
func requestResponseWithPayload(r *rig) { exchange(r, r.bulk(1<<20), r.bulk(1<<20)) }

// requestResponseWithPayload10Times: the same with what is left of ten calls in
// windows, pools and tables.
func requestResponseWithPayload10Times(r *rig) {
	for i := range 10 {
		exchange(r, r.bulk(300<<10+i), r.bulk(200<<10-i))
	}
}

// invokeLargeRequest: messages of many windows go both ways.
func invokeLargeRequest(r *rig) { exchange(r, 3<<20, 2<<20) }

// exchange makes a call with messages of there and back bytes.
func exchange(r *rig, there, back int) {
	r.Helper()
	request, response := noise(there, 1), noise(back, 2)
	c := r.callWith(surface.CallParams{Method: method, Deadline: time.Now().Add(patience)})
	c.start(1, sendHeaders(), sendMessage(request), sendClose(), c.recvHeaders(), c.recvMessage(), c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, sendHeaders(), s.recvMessage())
	r.verify(ok(102))
	r.wantText("the request", s.message, request)
	s.start(103, s.recvClose(), sendMessage(response), sendStatus(status.OK, "xyz"))
	r.verify(ok(103), ok(1))
	r.wantText("the response", c.message, response)
	c.wantStatus(status.OK, "xyz")
	s.wantCancelled(false)
}

// hostOf makes a call for host and returns what the server is asked for.
func hostOf(r *rig, host string) string {
	r.Helper()
	c := r.callWith(surface.CallParams{Method: method, Host: host, Deadline: inFiveSeconds()})
	c.start(1, sendHeaders(), sendClose(), c.recvHeaders(), c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, sendHeaders(), sendStatus(status.OK, "xyz"), s.recvClose())
	r.verify(ok(102), ok(1))
	c.wantStatus(status.OK, "xyz")
	s.wantCancelled(false)
	return s.Details.Host
}

// callHostOverride: the server learns by which name this call knows it.
func callHostOverride(r *rig) {
	const host = Authority + ":1234"
	if got := hostOf(r, host); got != host {
		r.Errorf("the server is called %q, want %q", got, host)
	}
}

// defaultHost: a call that names no host is for what the channel's target says.
func defaultHost(r *rig) {
	got, target := hostOf(r, ""), r.channel.Target()
	_, endpoint, _ := strings.Cut(target, ":")
	want := []string{Authority, strings.TrimLeft(endpoint, "/")}
	if strings.HasPrefix(target, "unix") {
		want = append(want, "localhost")
	}
	if !slices.Contains(want, got) {
		r.Errorf("a channel to %q calls the server %q, want one of %q", target, got, want)
	}
}

// highInitialSeqno: ten calls whose streams have high numbers, from first on. A
// connection that has none left is followed by another, which begins there too.
func highInitialSeqno(first uint32) testCase {
	const calls = 10
	test := func(r *rig) {
		r.startServer()
		var mu sync.Mutex
		var got, want []uint32
		r.openChannelOverWire(func(h frame.Header) bool {
			if h.Type == frame.TypeHeaders {
				mu.Lock()
				got = append(got, h.StreamID)
				mu.Unlock()
			}
			return true
		}, surface.WithHTTP2(http2.Config{FirstStreamID: first}))
		for id := first; len(want) < calls; id += 2 {
			if id > frame.MaxStreamID {
				id = first
			}
			simpleRequest(r)
			want = append(want, id)
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(got, want) {
			r.Errorf("the streams are %d, want %d", got, want)
		}
	}
	return testCase{file: "high_initial_seqno", name: fmt.Sprint("HighInitialSeqno", first),
		needs: []Capability{HTTP2, ClientChannel, Raw}, bare: true, test: test}
}

// wantTooLong checks that the status tells of a message over the limit that the
// option sets.
func (c *clientCall) wantTooLong(option string) {
	c.r.Helper()
	c.wantCode(status.ResourceExhausted)
	for _, said := range []any{len("hello world"), shorter, option} {
		if !strings.Contains(c.status.Message, fmt.Sprint(said)) {
			c.r.Errorf("the status message %q does not say %v", c.status.Message, said)
		}
	}
}

// tooLongForClientToSend: a message over the client's limit is not sent.
func tooLongForClientToSend(r *rig) {
	c := r.call()
	c.start(1, sendHeaders(), sendMessage("hello world"), sendClose(), c.recvHeaders(), c.recvStatus())
	r.verify(ok(1))
	c.wantTooLong("client option WithMaxSendMessageSize")
}

// tooLongForServerToRead: a message over the server's limit ends the call.
func tooLongForServerToRead(r *rig) {
	c := r.call()
	c.start(1, sendHeaders(), sendMessage("hello world"), sendClose(), c.recvHeaders(), c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, s.recvClose(), s.recvMessage())
	r.verify(ok(102), ok(1))
	r.wantText("the request", s.message, "<nil>")
	c.wantTooLong("server option WithMaxRecvMessageSize")
	s.wantCancelled(true)
}

// tooLongAnswer: an answer over the limit of either end ends the call with
// another status than the server's.
func tooLongAnswer(r *rig, option string) {
	c := r.call()
	c.start(1, sendHeaders(), sendClose(), c.recvHeaders(), c.recvMessage(), c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, sendHeaders(), s.recvClose(), sendMessage("hello world"), sendStatus(status.OK, "xyz"))
	r.verify(ok(102), ok(1))
	r.wantText("the answer", c.message, "<nil>")
	c.wantTooLong(option)
}
