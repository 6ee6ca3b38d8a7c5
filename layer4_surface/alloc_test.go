//go:build !race

package surface

import (
	"reflect"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/status"
)

// TestAllocsUnary: a unary call allocates nothing in this layer, on neither
// side, nor in the stacks and the in-process transport below.
func TestAllocsUnary(t *testing.T) {
	for _, own := range []bool{true, false} {
		u := newUnaryBench(t, own)
		for range 10 {
			u.call(t)
		}
		if n := testing.AllocsPerRun(200, func() { u.call(t) }); n > 0 {
			t.Errorf("own queue %t: a unary call allocates %v times, want 0", own, n)
		}
	}
}

// TestAllocsStream: neither does a message of a stream.
func TestAllocsStream(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	c := f.call(CallParams{})
	var st clientState
	f.start(c, "begin", opSendHeaders(), st.opStatus())
	f.start(c, "headers", st.opHeaders())
	f.expect(f.scq, "request", true)
	f.start(req.Call, "headers", opSendHeaders())
	f.expect(f.scq, "headers", true)
	f.expect(f.cq, "headers", true)
	send, recv := make([]Op, 1), []Op{st.opMessage()}
	var sendTag, recvTag any = "send", "recv"
	exchange := func() {
		send[0] = opSend("x")
		if e := req.Call.StartBatch(send, sendTag); e != CallOK {
			t.Fatal(e)
		}
		f.expect(f.scq, sendTag, true)
		if e := c.StartBatch(recv, recvTag); e != CallOK {
			t.Fatal(e)
		}
		f.expect(f.cq, recvTag, true)
		st.message.Release()
	}
	for range 10 {
		exchange()
	}
	if n := testing.AllocsPerRun(200, exchange); n > 0 {
		t.Errorf("a message of a stream allocates %v times, want 0", n)
	}
	f.start(req.Call, "status", opStatus(status.OK, ""))
	f.expect(f.cq, "begin", true)
	f.expect(f.scq, "status", true)
	c.Release()
	req.Call.Release()
}

// TestAllocsRegisteredCall: a handle costs nothing when it is used.
func TestAllocsRegisteredCall(t *testing.T) {
	ch := newNullChannel(t)
	r, err := ch.RegisterCall("/a/b", "")
	if err != nil {
		t.Fatal(err)
	}
	create := func() {
		c, err := ch.CreateRegisteredCall(r, CallParams{})
		if err != nil {
			t.Fatal(err)
		}
		c.c.state.Or(stateEnded) // as if it had run: nothing is left to cancel
		c.Release()
	}
	create()
	if n := testing.AllocsPerRun(100, create); n > 0 {
		t.Errorf("a registered call allocates %v times, want 0", n)
	}
}

// TestAllocsWithoutTrace: events cost nothing without a sink.
func TestAllocsWithoutTrace(t *testing.T) {
	var off tracer
	if n := testing.AllocsPerRun(100, func() {
		if off.on() {
			off.create(nil, 0)
		}
	}); n > 0 {
		t.Errorf("an event without a sink allocates %v times", n)
	}
}

// TestCallStaysSmall: an open call that waits costs this much here. The bound is
// a size of the allocator: one byte more costs up to a quarter.
func TestCallStaysSmall(t *testing.T) {
	const bound = 960 // without its batches and lists, which are made when first used
	if size := reflect.TypeFor[call]().Size(); size > bound {
		t.Errorf("a call has %d bytes, want at most %d", size, bound)
	}
}
