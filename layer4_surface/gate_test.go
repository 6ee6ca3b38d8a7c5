package surface

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// gateMethods are calls in each of the ways in which a server gives them to its
// application: to a slot for any method, to a slot of a registered method with
// its message, and to the slot of an allocator.
var gateMethods = []string{"/any/Method", "/registered/Method", "/allocated/Method"}

// A gate is a server whose application takes a call in any of those ways, in a
// bubble. A call that is not known to the application is not among its calls.
type gate struct {
	t     *testing.T
	s     *Server
	q     *cq.Queue
	slots map[*gateSlot]*RegisteredMethod // that are posted again and again
	take  func(req *RequestedCall)        // what the application does with a call
	calls atomic.Int32                    // that it has heard of
}

// A gateSlot is a slot, and its own tag.
type gateSlot struct {
	g   *gate
	req RequestedCall
}

// answerGate answers with who calls, as text.
func answerGate(req *RequestedCall) {
	req.Payload.Release()
	who, _ := req.Details.Principal.(string)
	req.Call.StartBatchAndExecute([]Op{opSendHeaders(), opSend(who), opStatus(status.OK, "")}, functorFunc(func(bool) {}))
	req.Call.Release()
}

func newGate(t *testing.T, take func(req *RequestedCall), opts ...ServerOption) *gate {
	t.Helper()
	g := &gate{t: t, take: take, slots: map[*gateSlot]*RegisteredMethod{}}
	g.s, g.q = newFixtureServer(t, append([]ServerOption{WithLogger(quietLogger())}, opts...)...)
	registered, err := g.s.RegisterMethod("/registered/Method", "", PayloadReadInitial)
	if err != nil {
		t.Fatal(err)
	}
	allocated, err := g.s.RegisterMethod("/allocated/Method", "", PayloadReadOnly)
	if err == nil {
		err = g.s.SetRegisteredMethodAllocator(allocated, cq.New(cq.Callback, cq.Config{}), g)
	}
	if err != nil {
		t.Fatal(err)
	}
	g.s.Start()
	g.post(&gateSlot{g: g}, nil)
	g.post(&gateSlot{g: g}, registered)
	go g.poll()
	return g
}

func (g *gate) post(slot *gateSlot, m *RegisteredMethod) {
	g.slots[slot] = m
	if slot.req.WantPayload = m != nil; m != nil {
		g.s.RequestRegisteredCall(m, &slot.req, nil, g.q, slot)
	} else {
		g.s.RequestCall(&slot.req, nil, g.q, slot)
	}
}

// poll takes calls until the queue has shut down.
func (g *gate) poll() {
	for ev := g.q.Next(time.Time{}); ev.Type == cq.OpComplete; ev = g.q.Next(time.Time{}) {
		if slot := ev.Tag.(*gateSlot); ev.Success {
			g.calls.Add(1)
			g.take(&slot.req)
			g.post(slot, g.slots[slot])
		}
	}
}

// AllocateRequest hands out a slot that is used once.
func (g *gate) AllocateRequest() *RequestedCall {
	slot := &gateSlot{g: g}
	slot.req.Tag = slot
	return &slot.req
}

// Run is the arrival of a call for an allocator's slot.
func (slot *gateSlot) Run(ok bool) {
	if ok {
		slot.g.calls.Add(1)
		slot.g.take(&slot.req)
	}
}

// close ends the server with the channel of its client.
func (g *gate) close(ch *Channel) {
	ch.Close()
	g.s.Close()
	g.q.Shutdown()
	synctest.Wait()
}

// A knock is a unary call of a client.
type knock struct {
	call Call
	st   clientState
}

// knock begins a call with the pairs kv.
func (g *gate) knock(ch *Channel, method string, p CallParams, kv ...string) *knock {
	g.t.Helper()
	p.Method = method
	c, err := ch.CreateCall(p)
	if err != nil {
		g.t.Fatal(err)
	}
	k := &knock{call: c}
	ops := []Op{opSendHeaders(kv...), opSend("body"), opClose(), k.st.opHeaders(), k.st.opMessage(), k.st.opStatus()}
	if e := c.StartBatch(ops, "knock"); e != CallOK {
		g.t.Fatal(e)
	}
	return k
}

// end waits for the end of the call and returns it with the answer.
func (k *knock) end() (CallStatus, string) {
	k.call.Pluck("knock", nil)
	k.call.Release()
	if k.st.message == nil {
		return k.st.status, ""
	}
	return k.st.status, text(k.st.message)
}

// recycles checks that every block of calls that a server has had is free again.
func recycles(t *testing.T, counter *countingFilter) {
	t.Helper()
	synctest.Wait()
	if begun, ended := counter.counts(); begun != ended || begun == 0 {
		t.Errorf("%d calls have begun, and the blocks of %d are free", begun, ended)
	}
}

// A readCounter is a filter that counts the messages that are asked for.
type readCounter struct{ reads atomic.Int32 }

func (f *readCounter) Name() string { return "reads" }

func (f *readCounter) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &readChannel{callstack.ChannelBase{Next: next}, f}, nil
}

type readChannel struct {
	callstack.ChannelBase
	f *readCounter
}

func (c *readChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &readCall{callstack.CallBase{Next: next}, c.f}
}

type readCall struct {
	callstack.CallBase
	f *readCounter
}

func (c *readCall) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvMessage) {
		c.f.reads.Add(1)
	}
	c.Next.StartBatch(b)
}
