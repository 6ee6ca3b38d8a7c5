package surfacetest

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	cq "github.com/strata-grpc/strata/layer3_cq"
	surface "github.com/strata-grpc/strata/layer4_surface"
	"github.com/strata-grpc/strata/layer4_surface/surfacetest/internal/tunnel"
)

// connectionCases are about what a call has to wait for: a connection, a
// stream, the peer's window.
func connectionCases() []testCase {
	named, frames, windows := []Capability{ClientChannel}, []Capability{HTTP2}, []Capability{HTTP2, Bulk}
	one := []surface.ServerOption{surface.WithHTTP2(http2.Config{MaxStreams: 1})}
	narrow := surface.WithHTTP2(http2.Config{StreamWindow: 1 << 16, ConnWindow: 1 << 16})
	return []testCase{
		{file: "simple_delayed_request", name: "SimpleDelayedRequestShort", needs: named, bare: true, test: simpleDelayedRequest},
		{file: "connectivity", name: "ConnectivityWatch", needs: named, bare: true, test: connectivityWatch},
		{file: "proxy_auth", name: "InvokeProxyAuth", needs: []Capability{ClientChannel, Raw, Insecure}, bare: true, test: invokeProxyAuth},
		{file: "max_concurrent_streams", name: "MaxConcurrentStreams", needs: frames, server: one, test: maxConcurrentStreams},
		{file: "max_concurrent_streams", name: "MaxConcurrentStreamsTimeoutOnFirst", needs: frames, server: one, test: timeoutOnFirst},
		{file: "max_concurrent_streams", name: "MaxConcurrentStreamsTimeoutOnSecond", needs: frames, server: one, test: timeoutOnSecond},
		{file: "ours/connection", name: "QueuedCallsAreServed", needs: named, bare: true, test: queuedCallsAreServed},
		{file: "ours/connection", name: "CancelWhileQueued", needs: named, bare: true, test: func(r *rig) { endWhileQueued(r, ending{}) }},
		{file: "ours/connection", name: "StatusIsLastOfAQueuedCall", needs: named, bare: true, test: statusIsLast},
		{file: "ours/connection", name: "DeadlineWhileQueued", needs: named, bare: true, test: func(r *rig) { endWhileQueued(r, ending{deadline: true}) }},
		{file: "ours/connection", name: "ChannelClosesWhileQueued", needs: named, bare: true, test: closeWhileQueued},
		{file: "ours/flow", name: "StatusWithoutReading", test: statusWithoutReading},
		{file: "ours/flow", name: "StatusWhileClientIsBlocked", needs: windows, server: []surface.ServerOption{narrow}, test: statusWhileBlocked},
		{file: "ours/flow", name: "CancelWhileClientIsBlocked", needs: windows, server: []surface.ServerOption{narrow}, test: cancelWhileBlocked},
		{file: "ours/flow", name: "CancelWhileServerIsBlocked", needs: windows, channel: []surface.ChannelOption{narrow}, test: cancelWhileServerIsBlocked},
	}
}

// waitingCall creates a call that waits for the channel to be ready.
func (r *rig) waitingCall() *clientCall {
	r.Helper()
	return r.callWith(surface.CallParams{Method: method, Deadline: time.Now().Add(patience), WaitForReady: true})
}

// simpleDelayedRequest: a call begins before there is a server, and ends well
// when one has come.
func simpleDelayedRequest(r *rig) {
	r.openChannel()
	c := r.waitingCall()
	c.start(1, sendHeaders(), sendClose(), c.recvHeaders(), c.recvStatus())
	r.quiet()
	r.startServer()
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, sendHeaders(), sendStatus(status.Unimplemented, "xyz"), s.recvClose())
	r.verify(ok(102), ok(1))
	c.wantStatus(status.Unimplemented, "xyz")
	s.wantCancelled(false)
}

// watch begins a watch of the channel's state.
func (r *rig) watch(last connectivity.State, deadline time.Time, tag cq.Tag) {
	r.Helper()
	if fault := r.channel.WatchConnectivityState(last, deadline, r.queue, tag); fault != surface.CallOK {
		r.Fatalf("WatchConnectivityState: %v", fault)
	}
}

// wantState checks the channel's state.
func (r *rig) wantState(want connectivity.State) {
	r.Helper()
	if got := r.channel.State(false); got != want {
		r.Errorf("the channel is %v, want %v", got, want)
	}
}

// awaitState watches the state until it is want.
func (r *rig) awaitState(want connectivity.State) {
	r.Helper()
	for got := r.channel.State(false); got != want; got = r.channel.State(false) {
		r.watch(got, time.Now().Add(patience), 900)
		r.verify(ok(900))
	}
}

// connectivityWatch: a channel is idle until it is asked to connect, fails
// without a server, is ready with one, and idle again without.
func connectivityWatch(r *rig) {
	r.openChannel()
	r.wantState(connectivity.Idle)
	end := time.Now().Add(short)
	r.watch(connectivity.Idle, end, 1)
	r.verify(fails(1))
	r.wantNow(end)
	r.wantState(connectivity.Idle)

	r.watch(connectivity.Idle, time.Now().Add(patience), 2)
	if got := r.channel.State(true); got != connectivity.Idle {
		r.Errorf("the channel is %v when it is asked to connect, want the old state", got)
	}
	r.verify(ok(2))
	r.awaitState(connectivity.TransientFailure)

	r.startServer()
	r.awaitState(connectivity.Ready)

	r.watch(connectivity.Ready, time.Now().Add(patience), 3)
	r.shutdownAndNotify(1000)
	r.verify(ok(3), ok(1000))
	r.wantState(connectivity.Idle)
}

// The proxy of invokeProxyAuth, and what opens it.
const (
	proxyAddress = "proxy.test:3128"
	proxyUser    = "user:pass word"
)

// throughProxy opens the channel to a server that only the proxy can reach.
func (r *rig) throughProxy(lis *memconn.Listener, user string) {
	r.Helper()
	ch, err := surface.NewChannel("dns:///"+Authority+":50051",
		surface.WithLogger(quiet()), surface.WithCredentials(credentials.NewInsecure()),
		surface.WithProxy("http://"+user+"@"+proxyAddress),
		surface.WithDialer(func(ctx context.Context, _, address string) (net.Conn, error) {
			if address != proxyAddress {
				return nil, errors.New("only the proxy is there, not " + address)
			}
			return lis.Dial(ctx)
		}))
	if err != nil {
		r.Fatal(err)
	}
	r.channel = ch
	r.Cleanup(ch.Close)
}

// invokeProxyAuth: a call goes through an HTTP proxy that wants credentials.
// With others the error says so, and holds none.
func invokeProxyAuth(r *rig) {
	r.startServer()
	lis := memconn.Listen()
	p := &tunnel.Proxy{User: proxyUser, Dial: func() (net.Conn, error) {
		return r.link.(RawLink).Dial(context.Background())
	}}
	p.Serve(lis)
	r.Cleanup(p.Close)
	r.throughProxy(lis, "user:pass%20word")
	simpleRequest(r)
	if got := p.Asked(); len(got) != 1 || got[0] != "CONNECT "+Authority+":50051 HTTP/1.1" {
		r.Errorf("the proxy was asked %q", got)
	}
	r.throughProxy(lis, "user:SECRET")
	c := r.call()
	c.start(1, c.firstOps(6)...)
	r.verify(ok(1))
	c.wantCode(status.Unavailable)
	if m := c.status.Message; strings.Contains(m, "SECRET") || !strings.Contains(m, "407") {
		r.Errorf("the status says %q", m)
	}
}

// callInTwo starts a call in two batches, tags first and first+1: what it
// sends, which waits for a stream, and its end.
func (c *clientCall) callInTwo(first int) {
	c.r.Helper()
	c.start(first, sendHeaders(), sendClose())
	c.start(first+1, c.recvStatus(), c.recvHeaders())
}

// learnLimit makes two calls, after which the client has the server's SETTINGS.
func (r *rig) learnLimit() {
	r.Helper()
	simpleRequest(r)
	simpleRequest(r)
}

// maxConcurrentStreams: where the server takes one call at a time the second
// is not sent before the first has ended.
func maxConcurrentStreams(r *rig) {
	r.learnLimit()
	first, second := r.call(), r.call()
	first.callInTwo(301)
	second.callInTwo(401)
	s := r.request(101)
	r.verify(ok(101), ok(301))
	r.quiet()
	s.start(102, sendHeaders(), s.recvClose(), sendStatus(status.Unimplemented, "xyz"))
	r.verify(ok(102), ok(302), ok(401))
	first.wantStatus(status.Unimplemented, "xyz")
	s = r.request(201)
	r.verify(ok(201))
	s.start(202, sendHeaders(), s.recvClose(), sendStatus(status.Unimplemented, "xyz"))
	r.verify(ok(202), ok(402))
	second.wantStatus(status.Unimplemented, "xyz")
}

// timeoutOnFirst: the first call expires, which lets the second begin. Unlike
// gRPC core's, the server counts the first until it is done with it, since
// calls that are made and reset would else make work without end
// (CVE-2023-44487): it refuses the second, and takes the next one.
func timeoutOnFirst(r *rig) {
	r.learnLimit()
	expires := ending{deadline: true}
	first, second := expires.call(r), r.call()
	first.callInTwo(301)
	s := r.request(101)
	r.verify(ok(101), ok(301))
	second.callInTwo(401)
	expires.apply(first)
	r.verify(ok(302), ok(401), ok(402))
	first.wantCode(status.DeadlineExceeded)
	second.wantCode(status.Unavailable)
	s.start(102, sendHeaders(), s.recvClose(), sendStatus(status.Unimplemented, "xyz"))
	r.verify(ok(102))
	s.wantCancelled(true)
	s.free()
	r.verifyServed(201)
}

// verifyServed makes calls until the server, which may be about to be done with
// others, takes one.
func (r *rig) verifyServed(tag cq.Tag) {
	r.Helper()
	r.request(tag)
	for range 100 {
		c := r.call()
		c.start(1, sendHeaders(), c.recvStatus())
		if ev := r.next(); ev.Tag == tag && ev.Success {
			c.Release()
			r.verify(ok(1))
			return
		}
		c.wantCode(status.Unavailable)
		r.quiet()
	}
	r.Error("the server takes no call")
}

// timeoutOnSecond: a call that waits for its stream expires, and what it
// wanted to send was not sent.
func timeoutOnSecond(r *rig) {
	r.learnLimit()
	expires := ending{deadline: true}
	first := r.call()
	first.callInTwo(301)
	s := r.request(101)
	r.verify(ok(101), ok(301))
	second := expires.call(r)
	second.callInTwo(401)
	expires.apply(second)
	r.verify(fails(401), ok(402))
	expires.want(second)
	s.start(102, sendHeaders(), s.recvClose(), sendStatus(status.Unimplemented, "xyz"))
	r.verify(ok(102), ok(302))
	first.wantStatus(status.Unimplemented, "xyz")
	s.wantCancelled(false)
}

// queuedCallsAreServed: any number of calls may wait for a server.
func queuedCallsAreServed(r *rig) {
	const n = 5
	r.openChannel()
	var calls []*clientCall
	var want []expected
	for i := range n {
		c := r.waitingCall()
		c.start(1+i, c.firstOps(6)...)
		calls, want = append(calls, c), append(want, ok(1+i))
	}
	r.quiet()
	r.startServer()
	var servers []*serverCall
	for i := range n {
		servers = append(servers, r.request(101+i))
		r.verify(ok(101 + i))
	}
	for i, s := range servers {
		s.start(201+i, s.recvMessage(), s.recvClose())
		s.start(301+i, sendHeaders(), sendMessage("hello"), sendStatus(status.OK, "xyz"))
		want = append(want, ok(201+i), ok(301+i))
	}
	r.verify(want...)
	for _, c := range calls {
		c.wantStatus(status.OK, "xyz")
		r.wantText("the answer", c.message, "hello")
	}
}

// endWhileQueued: a call ends that never had a connection.
func endWhileQueued(r *rig, e ending) {
	r.openChannel()
	p := surface.CallParams{Method: method, WaitForReady: true}
	if e.deadline {
		p.Deadline = r.meanwhile()
	}
	c := r.callWith(p)
	c.start(1, c.firstOps(6)...)
	r.quiet()
	e.apply(c)
	r.verify(ok(1))
	e.want(c)
	if e.deadline && !strings.Contains(c.status.Message, "connect") {
		r.Errorf("the message does not say what the call has waited for: %q", c.status.Message)
	}
	if c.Peer() != nil {
		r.Errorf("the call knows a peer: %v", c.Peer())
	}
}

// statusIsLast: of the batches of a call that never had a connection the one with
// the status ends last, whatever else is in it and whenever it was started.
func statusIsLast(r *rig) {
	r.openChannel()
	c := r.waitingCall()
	c.start(1, sendHeaders(), c.recvStatus())
	c.start(2, c.recvHeaders())
	c.start(3, c.recvMessage(), sendMessage("hello"))
	r.quiet()
	ending{}.apply(c)
	r.verify(fails(2), fails(3))
	r.verify(ok(1))
	ending{}.want(c)
}

// closeWhileQueued: a channel that closes ends the calls that wait.
func closeWhileQueued(r *rig) {
	r.openChannel()
	c := r.waitingCall()
	c.start(1, c.firstOps(6)...)
	r.quiet()
	r.channel.Close()
	r.verify(ok(1))
	c.wantCode(status.Canceled)
}

// statusWithoutReading: a server answers a client that has said everything,
// of which it has read nothing.
func statusWithoutReading(r *rig) {
	c := r.call()
	c.start(1, c.firstOps(6)...)
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, sendHeaders(), sendStatus(status.OK, "xyz"), s.recvClose())
	r.verify(ok(102), ok(1))
	c.wantStatus(status.OK, "xyz")
	s.wantCancelled(false)
}

// bulk is a message that does not fit a narrow window.
var bulk = strings.Repeat("0123456789abcdef", 1<<16)

// blocked makes a call whose message, with tag 2, waits for the server's
// window, since the server does not read.
func (r *rig) blocked() (*clientCall, *serverCall) {
	r.Helper()
	r.learnLimit()
	c := r.call()
	c.start(1, sendHeaders(), c.recvHeaders(), c.recvStatus())
	c.start(2, sendMessage(bulk))
	s := r.request(101)
	r.verify(ok(101))
	r.quiet()
	return c, s
}

// statusWhileBlocked: the server ends the call. The message fails, and the
// call has the server's status all the same.
func statusWhileBlocked(r *rig) {
	c, s := r.blocked()
	s.start(102, sendStatus(status.ResourceExhausted, "xyz"), s.recvClose())
	r.verify(ok(102), fails(2), ok(1))
	c.wantStatus(status.ResourceExhausted, "xyz")
	s.wantCancelled(false)
}

// cancelWhileBlocked: the client ends the call itself.
func cancelWhileBlocked(r *rig) {
	c, s := r.blocked()
	s.start(102, s.recvClose())
	ending{}.apply(c)
	r.verify(ok(102), fails(2), ok(1))
	ending{}.want(c)
	s.wantCancelled(true)
}

// cancelWhileServerIsBlocked: the client does not read the answer, and leaves.
func cancelWhileServerIsBlocked(r *rig) {
	c, s := r.accepted()
	s.start(102, s.recvClose())
	s.start(103, sendHeaders(), sendMessage(bulk))
	r.quiet()
	ending{}.apply(c)
	r.verify(ok(102), fails(103), ok(1))
	ending{}.want(c)
	s.wantCancelled(true)
}
