package surfacetest

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
	surface "github.com/strata-grpc/strata/layer4_surface"
	"github.com/strata-grpc/strata/layer4_surface/surfacetest/internal/wire"
)

// pingCases ask the peer for a sign of life.
func pingCases() []testCase {
	frames, raw := []Capability{HTTP2}, []Capability{HTTP2, Raw}
	alone := []Capability{HTTP2, Raw, Minutes}
	return []testCase{
		{file: "ping", name: "Ping", needs: []Capability{HTTP2, ClientChannel}, test: ping},
		{file: "bad_ping", name: "BadPing", needs: raw, bare: true, test: badPing},
		{file: "bad_ping", name: "PingsWithoutData", needs: frames, test: pingsWithoutData},
		{file: "keepalive_timeout", name: "KeepaliveTimeout", needs: alone, bare: true, test: keepaliveTimeout},
		{file: "keepalive_timeout", name: "ReadDelaysKeepalive", needs: alone, bare: true, test: readDelaysKeepalive},
		{file: "ours/keepalive", name: "ServerNoticesThatClientIsGone", needs: alone, bare: true, test: serverKeepalive},
	}
}

// ping sends a PING, whose answer posts tag.
func (r *rig) ping(tag cq.Tag) {
	r.Helper()
	if fault := r.channel.StartPing(r.queue, tag); fault != surface.CallOK {
		r.Fatalf("StartPing: %v", fault)
	}
}

// ping: a channel without a connection cannot ping; one with a connection can,
// five times if there are calls in between.
func ping(r *rig) {
	r.ping(200)
	r.verify(fails(200))
	r.wantState(connectivity.Idle) // it does not connect for that
	r.connect()
	for i := range 5 {
		r.ping(201 + i)
		r.verify(ok(201 + i))
		simpleRequest(r)
	}
}

// badPing: a server that is asked too often ends the connection, with the call
// on it. The client knows and would not ask, so two PINGs are not its own.
func badPing(r *rig) {
	r.startServer()
	conn := r.openChannelOverWire(nil)
	c, s := r.accepted()
	s.start(102, s.recvClose())
	inject := func() {
		if err := conn.Inject(frame.AppendPing(nil, false, [8]byte{})); err != nil {
			r.Fatal(err)
		}
	}
	r.ping(200)
	r.ping(201)
	inject()
	r.verify(ok(200), ok(201))
	r.quiet() // the first is free, and two are forgiven
	inject()
	r.verify(ok(102), ok(1))
	c.wantCode(status.Unavailable)
	if !strings.Contains(c.status.Message, keepalive.TooManyPings) {
		r.Errorf("the status does not say why: %q", c.status.Message)
	}
	s.wantCancelled(true)
}

// pingsWithoutData: a client does not send a PING that its server would count
// against it. gRPC core's keeps what is too much until it may or the channel
// ends; ours fails it at once.
func pingsWithoutData(r *rig) {
	r.connect()
	c, s := r.accepted()
	for i := range 2 {
		r.ping(200 + i)
		r.verify(ok(200 + i))
	}
	for i := range 2 {
		r.ping(202 + i)
		r.verify(fails(202 + i))
	}
	s.start(102, sendHeaders(), sendStatus(status.Unimplemented, "xyz"), s.recvClose())
	r.verify(ok(102), ok(1))
	c.wantStatus(status.Unimplemented, "xyz")
	s.wantCancelled(false)
}

// openChannelOverWire opens a channel of whose connections keep changes what
// they send; nil keeps all. It returns the first of them.
func (r *rig) openChannelOverWire(keep func(frame.Header) bool, opts ...surface.ChannelOption) *wire.Conn {
	r.Helper()
	first := make(chan *wire.Conn, 1)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := r.link.(RawLink).Dial(ctx)
		if err != nil {
			return nil, err
		}
		w := &wire.Conn{Conn: c, Keep: keep}
		select {
		case first <- w:
		default: // there was one
		}
		return w, nil
	}
	opts = append(opts, surface.WithLogger(quiet()), surface.WithCredentials(credentials.NewInsecure()), surface.WithDialer(dial), surface.WithNoProxy())
	ch, err := surface.NewChannel("passthrough:///"+Authority, opts...)
	if err != nil {
		r.Fatal(err)
	}
	r.channel = ch
	r.Cleanup(ch.Close)
	r.connect()
	return <-first
}

// answersNoPing is what goes on of an end that seems not to live.
func answersNoPing(h frame.Header) bool {
	return h.Type != frame.TypePing || !h.Flags.Has(frame.FlagAck)
}

// Keepalive of both ends in the cases below.
const (
	aliveTime    = 10 * time.Second
	aliveTimeout = 5 * time.Second
)

func withKeepalive() surface.Option {
	return surface.WithHTTP2(http2.Config{Keepalive: keepalive.Params{Time: aliveTime, Timeout: aliveTimeout}})
}

// startDumbServer starts a server that answers no PING, and opens a channel to
// it that asks for a sign of life.
func (r *rig) startDumbServer() {
	r.Helper()
	lis, err := r.link.(RawLink).Listen()
	if err != nil {
		r.Fatal(err)
	}
	r.server = r.newServer()
	r.server.Start()
	go r.server.Serve(&wire.Listener{Listener: lis, Keep: answersNoPing})
	r.openChannel(withKeepalive())
}

// keepaliveTimeout: a server that says nothing and answers nothing is given up.
func keepaliveTimeout(r *rig) {
	r.startDumbServer()
	start := time.Now()
	c := r.callWith(surface.CallParams{Method: method})
	c.start(1, c.firstOps(6)...)
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, s.recvClose())
	r.verify(ok(102), ok(1))
	r.wantNow(start.Add(aliveTime + aliveTimeout))
	c.wantCode(status.Unavailable)
	if !strings.Contains(c.status.Message, "keepalive") {
		r.Errorf("the status does not say why: %q", c.status.Message)
	}
	s.wantCancelled(true)
}

// readDelaysKeepalive: messages are signs of life, so that nobody asks the
// server for one, which it would not give.
func readDelaysKeepalive(r *rig) {
	r.startDumbServer()
	c := r.callWith(surface.CallParams{Method: method})
	c.start(1, sendHeaders(), sendClose(), c.recvHeaders())
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, sendHeaders())
	r.verify(ok(102), ok(1))
	for range 10 {
		time.Sleep(aliveTime - time.Second)
		c.start(2, c.recvMessage())
		s.start(103, sendMessage("hello"))
		r.verify(ok(2), ok(103))
		r.wantText("the answer", c.message, "hello")
	}
	c.start(3, c.recvStatus())
	s.start(104, sendStatus(status.OK, "xyz"), s.recvClose())
	r.verify(ok(3), ok(104))
	c.wantStatus(status.OK, "xyz")
}

// serverKeepalive: a client that answers nothing is given up, and its call is
// cancelled.
func serverKeepalive(r *rig) {
	r.startServer(withKeepalive())
	r.openChannelOverWire(answersNoPing)
	start := time.Now()
	c := r.callWith(surface.CallParams{Method: method})
	c.start(1, c.firstOps(6)...)
	s := r.request(101)
	r.verify(ok(101))
	s.start(102, s.recvClose())
	r.verify(ok(102), ok(1))
	r.wantNow(start.Add(aliveTime + aliveTimeout))
	s.wantCancelled(true)
	c.wantCode(status.Unavailable)
}
