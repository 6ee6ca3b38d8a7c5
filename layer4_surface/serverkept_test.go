package surface

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// TestServerEndsKeptCalls: a server closes in bounded time, whatever a filter of it
// keeps, and so do the calls that the application knows of.
func TestServerEndsKeptCalls(t *testing.T) {
	for _, over := range []string{"inproc", "http2"} {
		for _, good := range []bool{false, true} {
			for _, ops := range []transport.OpSet{transport.OpRecvMessage, transport.OpsSend, allOps} {
				t.Run(fmt.Sprintf("%s/%v/for good %t", over, ops, good), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { testServerEndsKeptCall(t, over, keeper{ops: ops, good: good}) })
				})
			}
		}
	}
}

func testServerEndsKeptCall(t *testing.T, over string, k keeper) {
	counter := new(countingFilter)
	s, scq := newFixtureServer(t, WithLogger(quietLogger()), WithFilter(stacks.Extra{Filter: counter, After: []string{"server"}}),
		WithFilter(k.extra("server")))
	s.Start()
	ch := connectBy(t, s, over)
	req := new(RequestedCall)
	if e := s.RequestCall(req, scq, scq, "request"); e != CallOK {
		t.Fatal(e)
	}
	c, err := ch.CreateCall(CallParams{Method: "/a/b"})
	if err != nil {
		t.Fatal(err)
	}
	var st clientState
	c.StartBatch([]Op{opSendHeaders(), opSend("x"), st.opHeaders(), st.opMessage(), st.opStatus()}, "call")
	left := 1
	if published := scq.Next(time.Now().Add(time.Minute)); published.Type == cq.OpComplete { // the filter lets the headers pass
		var got *transport.Buffer
		var cancelled bool
		req.Call.StartBatch([]Op{opRecv(&got)}, "message")
		req.Call.StartBatch([]Op{opSendHeaders()}, "headers")
		req.Call.StartBatch([]Op{opCancelled(&cancelled)}, "end")
		left = 3
	}
	time.Sleep(time.Hour)
	start := time.Now()
	s.Close()
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("Close took %v", d)
	}
	for ; left > 0; left-- {
		if ev := scq.Next(start.Add(time.Hour)); ev.Type != cq.OpComplete {
			t.Fatalf("%d events are missing", left)
		}
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("the call ended after %v", d)
	}
	c.Pluck("call", nil)
	text(st.message)
	c.Release()
	req.Call.Release()
	ch.Close()
	time.Sleep(time.Minute)
	recycles(t, counter)
}
