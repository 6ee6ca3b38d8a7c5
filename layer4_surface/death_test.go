package surface

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A dyingCall is a call on a server that is brought into a state in which it
// then ends, for a reason of the client's or of the server's.
type dyingCall struct {
	t         *testing.T
	s         *Server
	q         *cq.Queue
	ch        *Channel
	client    Call
	st        clientState
	req       RequestedCall
	msg       *transport.Buffer
	cancelled bool
}

// begin has the client begin the call, with its first message or without.
func (d *dyingCall) begin(method string, message bool) {
	d.client, _ = d.ch.CreateCall(CallParams{Method: method, Deadline: time.Now().Add(time.Minute)})
	ops := []Op{opSendHeaders(), d.st.opStatus()}
	if message {
		ops = append(ops, opSend("first"))
	}
	if e := d.client.StartBatch(ops, "end"); e != CallOK {
		d.t.Fatal(e)
	}
	synctest.Wait()
}

// post posts a slot for methods that are not registered.
func (d *dyingCall) post() {
	if e := d.s.RequestCall(&d.req, nil, d.q, "slot"); e != CallOK {
		d.t.Fatal(e)
	}
	synctest.Wait()
}

// fetch fetches the event of the slot.
func (d *dyingCall) fetch() {
	if ev := d.q.TryNext(); ev.Tag != "slot" || !ev.Success {
		d.t.Fatalf("event = %v, want that of the slot", ev)
	}
}

// A deathState is a state in which a call may end.
type deathState struct {
	name  string
	reach func(d *dyingCall)
	// after is what the application does with a call that has ended.
	after func(d *dyingCall)
}

// wantClosed checks that a call which has ended says so.
func wantClosed(d *dyingCall) {
	if e := d.req.Call.StartBatch([]Op{opCancelled(&d.cancelled)}, "close"); e != CallOK {
		d.t.Fatal(e)
	}
	wantCancelled(d)
}

// wantCancelled checks recv_close_on_server, which was started.
func wantCancelled(d *dyingCall) {
	if ev := d.req.Call.Pluck("close", nil); !ev.Success || !d.cancelled {
		d.t.Errorf("recv_close_on_server: %v, cancelled %t", ev, d.cancelled)
	}
	d.req.Call.Release()
}

// wantReleased checks that nobody has a reference to a message that was not
// given to the application.
func wantReleased(d *dyingCall) {
	defer func() {
		if recover() == nil {
			d.t.Error("the message that nobody will read was not released")
		}
	}()
	d.msg.Ref()
}

var deathStates = []deathState{
	{"its first message has not come", func(d *dyingCall) { d.begin("/payload", false) }, nil},
	{"nobody has requested it", func(d *dyingCall) { d.begin("/a/b", false) }, nil},
	{"nobody has requested it and its first message", func(d *dyingCall) {
		d.begin("/payload", true)
		m := d.s.lookup("", "/payload")
		m.mu.Lock()
		d.msg = m.head.payload
		m.mu.Unlock()
	}, wantReleased},
	{"the application has not fetched it", func(d *dyingCall) { d.post(); d.begin("/a/b", false) }, func(d *dyingCall) { d.fetch(); wantClosed(d) }},
	{"it waited and the application has not fetched it", func(d *dyingCall) { d.begin("/a/b", false); d.post() }, func(d *dyingCall) { d.fetch(); wantClosed(d) }},
	{"the application has it", func(d *dyingCall) { d.post(); d.begin("/a/b", false); d.fetch() }, wantClosed},
	{"the application waits for its end", func(d *dyingCall) {
		d.post()
		d.begin("/a/b", false)
		d.fetch()
		d.req.Call.StartBatch([]Op{opCancelled(&d.cancelled)}, "close")
	}, wantCancelled},
	{"the application waits for a message", func(d *dyingCall) {
		d.post()
		d.begin("/a/b", false)
		d.fetch()
		d.req.Call.StartBatch([]Op{opRecv(&d.msg)}, "message")
	}, func(d *dyingCall) {
		if ev := d.req.Call.Pluck("message", nil); ev.Success || d.msg != nil {
			d.t.Errorf("recv_message: %v, %v", ev, d.msg)
		}
		wantClosed(d)
	}},
	{"the application has sent headers", func(d *dyingCall) {
		d.post()
		d.begin("/a/b", false)
		d.fetch()
		d.req.Call.StartBatch([]Op{{Type: SendInitialMetadata}}, "headers")
		d.req.Call.Pluck("headers", nil)
	}, wantClosed},
	{"the application has released it", func(d *dyingCall) {
		d.post()
		d.begin("/a/b", false)
		d.fetch()
		d.req.Call.Release()
	}, nil},
}

// deaths are why a call ends, and what its client reads.
var deaths = []struct {
	name string
	kill func(d *dyingCall)
	code status.Code
}{
	{"the client cancels it", func(d *dyingCall) { d.client.Cancel() }, status.Canceled},
	{"the client's connection ends", func(d *dyingCall) { d.ch.Close() }, status.Canceled},
	{"its deadline passes", func(*dyingCall) { time.Sleep(time.Minute) }, status.DeadlineExceeded},
	{"the server closes", func(d *dyingCall) { d.s.Close() }, status.Unavailable},
}

// TestDeaths ends a call for every reason in every state. The application hears
// of it once or never; its end is told to whoever has it; its block comes back;
// and a slot that is posted later is not for it.
func TestDeaths(t *testing.T) {
	for _, over := range []string{"inproc", "http2"} {
		for _, state := range deathStates {
			for _, death := range deaths {
				t.Run(strings.ReplaceAll(over+"/"+state.name+"/"+death.name, " ", "_"), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { testDeath(t, over, state, death.kill, death.code) })
				})
			}
		}
	}
}

func testDeath(t *testing.T, over string, state deathState, kill func(*dyingCall), code status.Code) {
	counter := new(countingFilter)
	d := &dyingCall{t: t}
	d.s, d.q = newFixtureServer(t, WithLogger(quietLogger()), WithFilter(stacks.Extra{Filter: counter, After: []string{"server"}, Before: []string{"message_size"}}))
	if _, err := d.s.RegisterMethod("/payload", "", PayloadReadInitial); err != nil {
		t.Fatal(err)
	}
	d.s.Start()
	d.ch = connectBy(t, d.s, over)
	state.reach(d)
	synctest.Wait()
	kill(d)
	synctest.Wait()
	if ev := d.client.Pluck("end", nil); !ev.Success {
		t.Errorf("recv_status_on_client: %v", ev)
	}
	if released := state.name == "the application has released it"; !released && d.st.status.Code != code {
		t.Errorf("the client's status is %v %q, want %v", d.st.status.Code, d.st.status.Message, code)
	}
	d.client.Release()
	if state.after != nil {
		state.after(d)
	}
	wantNoPending(t, d.s)
	later := new(RequestedCall)
	if e := d.s.RequestCall(later, nil, d.q, "later"); e != CallOK {
		t.Fatal(e)
	}
	synctest.Wait()
	if ev := d.q.TryNext(); ev.Success {
		t.Errorf("event = %v: a slot got a call that has ended", ev)
	}
	d.ch.Close()
	d.s.Close()
	d.q.Drain()
	if begun, ended := counter.counts(); begun != 1 || ended != 1 {
		t.Errorf("%d calls were begun, and %d came back to their pool", begun, ended)
	}
}

// TestAllocatorDeaths is TestDeaths for calls that an allocator has a slot for:
// the application has them at once, or when their first message is there.
func TestAllocatorDeaths(t *testing.T) {
	for _, over := range []string{"inproc", "http2"} {
		for _, method := range []string{"/batch", "/registered", "/payload"} {
			for _, message := range []bool{false, true} {
				for _, death := range deaths {
					t.Run(strings.ReplaceAll(fmt.Sprint(over, method, " message ", message, "/", death.name), " ", "_"), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { testAllocatorDeath(t, over, method, message, death.kill, death.code) })
					})
				}
			}
		}
	}
}

func testAllocatorDeath(t *testing.T, over, method string, message bool, kill func(*dyingCall), code status.Code) {
	counter := new(countingFilter)
	callbacks := cq.New(cq.Callback, cq.Config{})
	d := &dyingCall{t: t, s: NewServer(WithLogger(quietLogger()), WithFilter(stacks.Extra{Filter: counter, After: []string{"server"}, Before: []string{"message_size"}}))}
	a := newAllocator(1)
	registered, err1 := d.s.RegisterMethod("/registered", "", PayloadNone)
	payload, err2 := d.s.RegisterMethod("/payload", "", PayloadReadInitial)
	if err := errors.Join(err1, err2, d.s.SetBatchMethodAllocator(callbacks, a),
		d.s.SetRegisteredMethodAllocator(registered, callbacks, a), d.s.SetRegisteredMethodAllocator(payload, callbacks, a)); err != nil {
		t.Fatal(err)
	}
	d.ch = connectBy(t, d.s, over)
	d.begin(method, message)
	if want := method != "/payload" || message; len(a.got) != map[bool]int{true: 1}[want] || len(a.slots) != map[bool]int{false: 1}[want] {
		t.Errorf("%d calls were published and %d slots are left", len(a.got), len(a.slots))
	}
	kill(d)
	d.client.Pluck("end", nil)
	if d.st.status.Code != code {
		t.Errorf("the client's status is %v %q, want %v", d.st.status.Code, d.st.status.Message, code)
	}
	d.client.Release()
	synctest.Wait()
	if len(a.got) > 0 {
		slot := <-a.got
		d.req.Call = slot.Call
		slot.Payload.Release()
		wantClosed(d)
	}
	d.ch.Close()
	d.s.Close()
	callbacks.Shutdown()
	if begun, ended := counter.counts(); begun != 1 || ended != 1 {
		t.Errorf("%d calls were begun, and %d came back to their pool", begun, ended)
	}
}
