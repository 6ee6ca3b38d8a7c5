package surface

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

func TestRegisterMethodErrors(t *testing.T) {
	s, q := newFixtureServer(t)
	if _, err := s.RegisterMethod("/a/b", "", PayloadNone); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ method, host, want string }{
		{"", "", `""`}, {"/", "", `"/"`}, {"a/b", "", `"a/b"`}, {"/a/b", "", "registered already"},
	} {
		if _, err := s.RegisterMethod(row.method, row.host, PayloadNone); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("RegisterMethod(%q) = %v, want an error with %s", row.method, err, row.want)
		}
	}
	other, err := NewServer().RegisterMethod("/a/b", "", PayloadNone)
	if err != nil {
		t.Fatal(err)
	}
	callbacks := cq.New(cq.Callback, cq.Config{})
	if s.RegisterCompletionQueue(nil) == nil || s.SetBatchMethodAllocator(q, &allocator{}) == nil ||
		s.SetBatchMethodAllocator(callbacks, nil) == nil || s.SetBatchMethodAllocator(nil, &allocator{}) == nil ||
		s.SetRegisteredMethodAllocator(other, callbacks, &allocator{}) == nil || s.SetRegisteredMethodAllocator(nil, callbacks, &allocator{}) == nil {
		t.Error("a mistake in setting the server up is no error")
	}
	if e := s.RequestCall(new(RequestedCall), nil, q, "early"); e != CallErrorFailed {
		t.Errorf("RequestCall before Start = %v", e)
	}
	s.Start()
	s.Start()
	if _, err := s.RegisterMethod("/c/d", "", PayloadNone); !errors.Is(err, ErrStarted) {
		t.Errorf("RegisterMethod after Start = %v", err)
	}
	if !errors.Is(s.RegisterCompletionQueue(cq.New(cq.Next, cq.Config{})), ErrStarted) {
		t.Error("RegisterCompletionQueue works after Start")
	}
	s.Close()
}

func TestRequestCallErrors(t *testing.T) {
	s, q := newFixtureServer(t)
	down := cq.New(cq.Next, cq.Config{})
	if err := s.RegisterCompletionQueue(down); err != nil {
		t.Fatal(err)
	}
	payload, _ := s.RegisterMethod("/p/p", "", PayloadReadInitial)
	plain, _ := s.RegisterMethod("/n/n", "", PayloadNone)
	s.Start()
	down.Drain()
	req := new(RequestedCall)
	if e := s.RequestCall(req, nil, cq.New(cq.Next, cq.Config{}), "x"); e != CallErrorNotServerCompletionQueue {
		t.Errorf("with another queue = %v", e)
	}
	if e := s.RequestCall(req, nil, down, "x"); e != CallErrorCompletionQueueShutdown {
		t.Errorf("with a queue that has shut down = %v", e)
	}
	if e := s.RequestRegisteredCall(payload, req, nil, q, "x"); e != CallErrorPayloadTypeMismatch {
		t.Errorf("without WantPayload = %v", e)
	}
	req.WantPayload = true
	if e := s.RequestRegisteredCall(plain, req, nil, q, "x"); e != CallErrorPayloadTypeMismatch {
		t.Errorf("with WantPayload = %v", e)
	}
	s.Close()
	if ev := q.TryNext(); ev.Type != cq.QueueTimeout {
		t.Errorf("refused requests left the event %v", ev)
	}
}

// TestMatching: a call goes to the requests of its method, for its host first.
func TestMatching(t *testing.T) {
	s, q := newFixtureServer(t)
	anyHost, _ := s.RegisterMethod("/a/registered", "", PayloadNone)
	oneHost, _ := s.RegisterMethod("/a/registered", "special", PayloadNone)
	payload, _ := s.RegisterMethod("/a/payload", "", PayloadReadInitial)
	f := connectFixture(t, s, q)
	slots := map[string]*RequestedCall{}
	post := func(m *RegisteredMethod, tag string) {
		slots[tag] = &RequestedCall{WantPayload: m == payload}
		var e CallError
		if m == nil {
			e = s.RequestCall(slots[tag], q, q, tag)
		} else {
			e = s.RequestRegisteredCall(m, slots[tag], q, q, tag)
		}
		if e != CallOK {
			t.Fatal(e)
		}
	}
	for _, requestFirst := range []bool{true, false} {
		for _, row := range []struct {
			method, host, tag string
			m                 *RegisteredMethod
		}{
			{"/a/registered", "", "any", anyHost}, {"/a/registered", "special", "one", oneHost},
			{"/a/payload", "special", "payload", payload}, {"/a/unknown", "", "unknown", nil},
		} {
			t.Run(fmt.Sprintf("%s requested first %t", row.tag, requestFirst), func(t *testing.T) {
				if requestFirst {
					post(row.m, row.tag)
				}
				c := f.call(CallParams{Method: row.method, Host: row.host})
				var st clientState
				f.start(c, "call", opSendHeaders(), opSend("first"), opClose(), st.opStatus())
				if !requestFirst {
					f.quiet(q)
					post(row.m, row.tag)
				}
				f.expect(q, row.tag, true)
				req := slots[row.tag]
				if req.Details.Method != row.method || (row.host != "" && req.Details.Host != row.host) {
					t.Errorf("details = %+v", req.Details)
				}
				if got := text(req.Payload); (row.m == payload) != (got == "first") {
					t.Errorf("payload = %q", got)
				}
				f.start(req.Call, "status", opStatus(status.OK, ""))
				f.expect(q, "status", true)
				req.Call.Release()
				f.expect(f.cq, "call", true)
				st.wantStatus(t, status.OK, "")
				c.Release()
			})
		}
	}
	if anyHost.Method() != "/a/registered" {
		t.Errorf("Method = %q", anyHost.Method())
	}
}

// TestServerQueues: with several queues every posted request is found.
func TestServerQueues(t *testing.T) {
	s, q := newFixtureServer(t)
	q2 := cq.New(cq.Next, cq.Config{Debug: true})
	if err := errors.Join(s.RegisterCompletionQueue(q2), s.RegisterCompletionQueue(q2)); err != nil {
		t.Fatal(err)
	}
	f := connectFixture(t, s, q)
	slots := make([]RequestedCall, 6)
	for i := range slots {
		if e := s.RequestCall(&slots[i], nil, []*cq.Queue{q, q2}[i%2], i); e != CallOK {
			t.Fatal(e)
		}
	}
	for range slots {
		f.start(f.call(CallParams{}), "begin", opSendHeaders())
		f.expect(f.cq, "begin", true)
	}
	got := 0
	for _, queue := range []*cq.Queue{q, q2} {
		for ev := queue.TryNext(); ev.Type == cq.OpComplete; ev = queue.TryNext() {
			slots[ev.Tag.(int)].Call.Release()
			got++
		}
	}
	if got != len(slots) {
		t.Errorf("%d of %d requests got their call", got, len(slots))
	}
	q2.Drain()
}

// An allocator hands out slots with a functor that passes the call on.
type allocator struct {
	slots []*RequestedCall // what is left
	got   chan *RequestedCall
}

func newAllocator(n int) *allocator {
	a := &allocator{got: make(chan *RequestedCall, n)}
	for range n {
		req := new(RequestedCall)
		req.Tag = functorFunc(func(bool) { a.got <- req })
		a.slots = append(a.slots, req)
	}
	return a
}

func (a *allocator) AllocateRequest() *RequestedCall {
	if len(a.slots) == 0 {
		return nil
	}
	req := a.slots[0]
	a.slots = a.slots[1:]
	return req
}

// TestAllocators: calls come to the slots of the allocator without a request.
func TestAllocators(t *testing.T) {
	callbacks := cq.New(cq.Callback, cq.Config{})
	s, q := newFixtureServer(t)
	batch, registered := newAllocator(1), newAllocator(1)
	m, err := s.RegisterMethod("/a/registered", "", PayloadReadInitial)
	if err = errors.Join(err, s.SetBatchMethodAllocator(callbacks, batch), s.SetRegisteredMethodAllocator(m, callbacks, registered)); err != nil {
		t.Fatal(err)
	}
	f := connectFixture(t, s, q)
	if e := s.RequestCall(new(RequestedCall), nil, q, "x"); e != CallErrorFailed {
		t.Errorf("RequestCall beside an allocator = %v", e)
	}
	for _, row := range []struct {
		method, payload string
		a               *allocator
	}{{"/a/registered", "first", registered}, {"/a/unknown", "<nil>", batch}} {
		var st clientState
		c := f.call(CallParams{Method: row.method})
		f.start(c, "call", opSendHeaders(), opSend("first"), opClose(), st.opStatus())
		req := <-row.a.got
		if got := text(req.Payload); got != row.payload || req.Details.Method != row.method {
			t.Errorf("payload = %q, details = %+v", got, req.Details)
		}
		if e := req.Call.StartBatch([]Op{opStatus(status.OK, "")}, "status"); e != CallOK {
			t.Fatal(e)
		}
		if ev := req.Call.Pluck("status", nil); !ev.Success {
			t.Errorf("status: %v", ev)
		}
		req.Call.Release()
		f.expect(f.cq, "call", true)
		st.wantStatus(t, status.OK, "")
		c.Release()

		// There is no slot left.
		c = f.call(CallParams{Method: row.method})
		f.start(c, "call", opSendHeaders(), opSend("first"), opClose(), st.opStatus())
		f.expect(f.cq, "call", true)
		st.wantStatus(t, status.ResourceExhausted, "the server has no room for the call")
		c.Release()
	}
	callbacks.Shutdown()
	registered.slots = []*RequestedCall{{Tag: functorFunc(func(bool) {})}}
	var st clientState
	c := f.call(CallParams{Method: "/a/registered"})
	f.start(c, "call", opSendHeaders(), opClose(), st.opStatus())
	f.expect(f.cq, "call", true)
	st.wantStatus(t, status.Unavailable, shuttingDown)
	c.Release()
}

// TestPayloadOverTheLimit: the client of a method whose payload the server
// reads itself learns why the call was refused.
func TestPayloadOverTheLimit(t *testing.T) {
	s, q := newFixtureServer(t, WithMaxRecvMessageSize(4))
	m, _ := s.RegisterMethod("/a/b", "", PayloadReadInitial)
	f := connectFixture(t, s, q)
	if e := s.RequestRegisteredCall(m, &RequestedCall{WantPayload: true}, nil, q, "request"); e != CallOK {
		t.Fatal(e)
	}
	c := f.call(CallParams{Method: "/a/b"})
	var st clientState
	f.start(c, "call", opSendHeaders(), opSend("12345"), opClose(), st.opStatus())
	f.expect(f.cq, "call", true)
	st.wantStatus(t, status.ResourceExhausted, "")
	f.quiet(q) // nobody is told of such a call
	c.Release()
	s.Close()
	f.expect(q, "request", false)
}

// TestZombie: a call that ends while it waits for a request is not published,
// and its memory is used again.
func TestZombie(t *testing.T) {
	counter := &countingFilter{}
	s, q := newFixtureServer(t, WithFilter(stacks.Extra{Filter: counter, After: []string{"server"}, Before: []string{"message_size"}}))
	f := connectFixture(t, s, q)
	var st clientState
	for range 3 {
		c := f.call(CallParams{})
		f.start(c, "call", opSendHeaders(), st.opStatus())
		c.Cancel()
		f.expect(f.cq, "call", true)
		c.Release()
	}
	if begun, ended := counter.counts(); begun != 3 || ended != 3 {
		t.Errorf("%d calls were begun and %d ended, want 3 and 3", begun, ended)
	}
	if s.unregistered.pendingCount != 0 || s.unregistered.head != nil {
		t.Error("calls that have ended wait for a request")
	}
	f.request("request")
	f.quiet(q)
	s.Close()
	f.expect(q, "request", false)
}

// A countingFilter counts the calls of a stack.
type countingFilter struct {
	mu           sync.Mutex
	begun, ended int
}

func (f *countingFilter) Name() string { return "counting" }
func (f *countingFilter) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &countingChannel{callstack.ChannelBase{Next: next}, f}, nil
}
func (f *countingFilter) counts() (begun, ended int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.begun, f.ended
}

type countingChannel struct {
	callstack.ChannelBase
	f *countingFilter
}

func (c *countingChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &countingCall{callstack.CallBase{Next: next}, c.f}
}

type countingCall struct {
	callstack.CallBase
	f *countingFilter
}

func (c *countingCall) Init(*callstack.CallArgs) error {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	c.f.begun++
	return nil
}

func (c *countingCall) Reset() {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	c.f.ended++
}

// TestPendingLimits: beyond the limits calls are refused at once, and those
// that have waited too long when somebody comes for them.
func TestPendingLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, q := newFixtureServer(t, WithPendingLimits(PendingLimits{Soft: 2, Hard: 2, MaxWait: 30 * time.Second}))
		f := connectFixture(t, s, q)
		var states [3]clientState
		var calls [3]Call
		for i := range calls {
			calls[i] = f.call(CallParams{})
			f.start(calls[i], i, opSendHeaders(), states[i].opStatus())
		}
		f.expect(f.cq, 2, true)
		states[2].wantStatus(t, status.ResourceExhausted, "too many calls wait for the server to request them")
		time.Sleep(30 * time.Second)
		f.quiet(f.cq)
		time.Sleep(time.Second)
		f.request("request")
		f.expectAll(f.cq, map[cq.Tag]bool{0: true, 1: true})
		states[0].wantStatus(t, status.ResourceExhausted, "the call waited too long for the server to request it")
		f.quiet(q)
		c := f.call(CallParams{})
		f.start(c, "begin", opSendHeaders())
		f.expect(q, "request", true)
		f.expect(f.cq, "begin", true)
		c.Release()
		for _, c := range calls {
			c.Release()
		}
	})
}

func TestRandomEarlyDetection(t *testing.T) {
	l := PendingLimits{}.withDefaults()
	if l != (PendingLimits{1000, 3000, 30 * time.Second}) {
		t.Errorf("defaults = %+v", l)
	}
	refused := func(n int) (count int) {
		for range 1000 {
			if l.full(n) {
				count++
			}
		}
		return count
	}
	if refused(999) != 0 || refused(3000) != 1000 {
		t.Error("the limits are not limits")
	}
	if n := refused(2000); n < 350 || n > 650 {
		t.Errorf("half way %d of 1000 calls were refused, want about half", n)
	}
}

// TestFilterInitFails: the client sees the error of a filter that refuses a
// call, on either side, and the server's application hears nothing.
func TestFilterInitFails(t *testing.T) {
	fault := &transport.Error{Code: status.PermissionDenied, Layer: "refusing", Reason: "access denied"}
	t.Run("server", func(t *testing.T) {
		s, q := newFixtureServer(t, WithFilter(stacks.Extra{Filter: refusing{fault}, After: []string{"server"}, Before: []string{"message_size"}}))
		f := connectFixture(t, s, q)
		wantRefused(t, f)
	})
	t.Run("client", func(t *testing.T) {
		s, q := newFixtureServer(t)
		f := connectFixture(t, s, q, WithFilter(stacks.Extra{Filter: refusing{fault}, After: []string{"authority"}, Before: []string{"message_size"}}))
		wantRefused(t, f)
	})
}

func wantRefused(t *testing.T, f *fixture) {
	t.Helper()
	f.request("request")
	var st clientState
	c := f.call(CallParams{})
	f.start(c, "call", opSendHeaders(), opClose(), st.opStatus())
	f.expect(f.cq, "call", true)
	st.wantStatus(t, status.PermissionDenied, "")
	if !strings.Contains(st.status.Message, "access denied") {
		t.Errorf("message = %q", st.status.Message)
	}
	c.Release()
	f.server.Close()
	f.expect(f.scq, "request", false)
}

// refusing is a filter whose calls cannot be initialised.
type refusing struct{ err error }

func (r refusing) Name() string { return "refusing" }
func (r refusing) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &refusingChannel{callstack.ChannelBase{Next: next}, r.err}, nil
}

type refusingChannel struct {
	callstack.ChannelBase
	err error
}

func (c *refusingChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &refusingCall{callstack.CallBase{Next: next}, c.err}
}

type refusingCall struct {
	callstack.CallBase
	err error
}

func (c *refusingCall) Init(*callstack.CallArgs) error { return c.err }

// deadFilter makes no elements.
type deadFilter struct{ err error }

func (deadFilter) Name() string { return "dead" }
func (f deadFilter) NewChannel(*callstack.ChannelArgs, callstack.ChannelElem) (callstack.ChannelElem, error) {
	return nil, f.err
}

// TestBadStack: a filter that refuses a connection when it comes fails that
// connection, with its name.
func TestBadStack(t *testing.T) {
	why := errors.New("not over this transport")
	extra := WithFilter(stacks.Extra{Filter: deadFilter{why}})
	client, server := inproc.Pair(inproc.Config{})
	defer client.Close()
	s, _ := newFixtureServer(t, extra)
	if err := s.ServeTransport(server); !errors.Is(err, why) || !strings.Contains(err.Error(), `filter "dead"`) {
		t.Errorf("ServeTransport = %v", err)
	}
	if _, err := NewDirectChannel(client, extra); !errors.Is(err, why) || !strings.Contains(err.Error(), `filter "dead"`) {
		t.Errorf("NewDirectChannel = %v", err)
	}
	s.Close()
}
