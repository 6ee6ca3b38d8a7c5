package surface

import (
	"log/slog"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// testTimeout bounds waits for events that have to come.
const testTimeout = 10 * time.Second

// testDeadline is until when an event has to come.
func testDeadline() time.Time { return time.Now().Add(testTimeout) }

// A fixture is a channel and a server over the in-process transport, each with
// a Next queue.
type fixture struct {
	t         testing.TB
	channel   *Channel
	server    *Server
	cq, scq   *cq.Queue
	clientEnd transport.Transport
	serverEnd transport.Transport
}

// newFixtureServer returns a server with a Next queue, not started.
func newFixtureServer(t testing.TB, opts ...ServerOption) (*Server, *cq.Queue) {
	t.Helper()
	q := cq.New(cq.Next, cq.Config{Name: "server", Debug: true})
	s := NewServer(opts...)
	if err := s.RegisterCompletionQueue(q); err != nil {
		t.Fatal(err)
	}
	return s, q
}

// connectFixture joins a channel to the server of f and shuts both down at the end.
func connectFixture(t testing.TB, s *Server, scq *cq.Queue, opts ...ChannelOption) *fixture {
	t.Helper()
	return connectFixtureOver(t, inproc.Config{}, s, scq, opts...)
}

// connectFixtureOver is connectFixture with a connection as cfg says.
func connectFixtureOver(t testing.TB, cfg inproc.Config, s *Server, scq *cq.Queue, opts ...ChannelOption) *fixture {
	t.Helper()
	f := &fixture{t: t, server: s, scq: scq, cq: cq.New(cq.Next, cq.Config{Name: "client", Debug: true})}
	f.clientEnd, f.serverEnd = inproc.Pair(cfg)
	if err := s.ServeTransport(f.serverEnd); err != nil {
		t.Fatal(err)
	}
	var err error
	if f.channel, err = NewDirectChannel(f.clientEnd, opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.channel.Close()
		f.server.Close()
		for _, q := range []*cq.Queue{f.cq, f.scq} {
			q.Shutdown()
			for ev := q.Next(testDeadline()); ev.Type != cq.QueueShutdown; ev = q.Next(testDeadline()) {
				if ev.Type == cq.QueueTimeout {
					t.Errorf("%s queue: a batch never posted its event", q.Name())
					return
				}
			}
		}
	})
	return f
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	s, q := newFixtureServer(t)
	return connectFixture(t, s, q)
}

// call creates a call on the fixture's client queue.
func (f *fixture) call(p CallParams) Call {
	f.t.Helper()
	if p.Method == "" {
		p.Method = "/test.Service/Method"
	}
	if p.Queue == nil {
		p.Queue = f.cq
	}
	c, err := f.channel.CreateCall(p)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// request posts a request and returns the slot.
func (f *fixture) request(tag cq.Tag) *RequestedCall {
	f.t.Helper()
	req := new(RequestedCall)
	if e := f.server.RequestCall(req, f.scq, f.scq, tag); e != CallOK {
		f.t.Fatalf("RequestCall = %v", e)
	}
	return req
}

// start starts a batch that has to be accepted.
func (f *fixture) start(c Call, tag cq.Tag, ops ...Op) {
	f.t.Helper()
	if e := c.StartBatch(ops, tag); e != CallOK {
		f.t.Fatalf("StartBatch(%v) = %v, want GRPC_CALL_OK", opNamesOf(ops), e)
	}
}

// expect waits for the event of tag, which has to be the next one of q.
func (f *fixture) expect(q *cq.Queue, tag cq.Tag, success bool) {
	f.t.Helper()
	ev := q.Next(testDeadline())
	if ev.Type != cq.OpComplete || ev.Tag != tag || ev.Success != success {
		f.t.Fatalf("event = %v %v success=%t, want %v success=%t", ev.Type, ev.Tag, ev.Success, tag, success)
	}
}

// expectAll waits for the events of tags in any order, each with its success.
func (f *fixture) expectAll(q *cq.Queue, want map[cq.Tag]bool) {
	f.t.Helper()
	for len(want) > 0 {
		ev := q.Next(testDeadline())
		success, ok := want[ev.Tag]
		if ev.Type != cq.OpComplete || !ok || ev.Success != success {
			f.t.Fatalf("event = %v %v success=%t, want one of %v", ev.Type, ev.Tag, ev.Success, want)
		}
		delete(want, ev.Tag)
	}
}

// quiet checks that q has no event.
func (f *fixture) quiet(q *cq.Queue) {
	f.t.Helper()
	if ev := q.TryNext(); ev.Type != cq.QueueTimeout {
		f.t.Fatalf("event = %v %v success=%t, want none", ev.Type, ev.Tag, ev.Success)
	}
}

// clientState is where the operations of a client's call put their results.
type clientState struct {
	initial, trailing metadata.List
	message           *transport.Buffer
	status            CallStatus
}

func message(text string) *transport.Buffer {
	b := transport.NewBuffer(len(text))
	b.Append([]byte(text))
	return b
}

// text returns what is in b and releases it.
func text(b *transport.Buffer) string {
	if b == nil {
		return "<nil>"
	}
	defer b.Release()
	return string(b.Bytes())
}

// pairs returns a list of alternating keys and values.
func pairs(kv ...string) *metadata.List {
	l := new(metadata.List)
	for i := 0; i < len(kv); i += 2 {
		l.Append(kv[i], kv[i+1])
	}
	return l
}

func opSendHeaders(kv ...string) Op {
	return Op{Type: SendInitialMetadata, SendMetadata: pairs(kv...)}
}
func opSend(text string) Op { return Op{Type: SendMessage, Message: message(text)} }
func opClose() Op           { return Op{Type: SendCloseFromClient} }
func opStatus(code status.Code, text string, kv ...string) Op {
	return Op{Type: SendStatusFromServer, Status: status.New(code, text), SendMetadata: pairs(kv...)}
}
func (s *clientState) opHeaders() Op { return Op{Type: RecvInitialMetadata, RecvMetadata: &s.initial} }
func (s *clientState) opMessage() Op { return Op{Type: RecvMessage, RecvMessage: &s.message} }
func (s *clientState) opStatus() Op {
	return Op{Type: RecvStatusOnClient, RecvMetadata: &s.trailing, StatusResult: &s.status}
}
func opRecv(into **transport.Buffer) Op { return Op{Type: RecvMessage, RecvMessage: into} }
func opCancelled(into *bool) Op         { return Op{Type: RecvCloseOnServer, Cancelled: into} }

// wantStatus checks the status of an ended call.
func (s *clientState) wantStatus(t testing.TB, code status.Code, message string) {
	t.Helper()
	if s.status.Code != code || (message != "" && s.status.Message != message) {
		t.Errorf("status = %v %q, want %v %q", s.status.Code, s.status.Message, code, message)
	}
}

// A functorFunc is a closure for StartBatchAndExecute and Callback queues.
type functorFunc func(ok bool)

func (f functorFunc) Run(ok bool) { f(ok) }

// quietLogger drops what is logged.
func quietLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }
