package callstack_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/authority"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
	"github.com/strata-grpc/strata/layer2_callstack/filters/messagesize"
)

// traced returns a block over three filters with a sink.
func traced(t *testing.T, tr *callstacktest.Transport) (*callstacktest.Call, *trace.Recorder, *callstack.ChannelStack) {
	t.Helper()
	rec := trace.NewRecorder(trace.LevelEvents)
	b := callstack.NewBuilder("TEST")
	b.Add(authority.New("x"))
	b.Add(messagesize.New(messagesize.Config{})).After(authority.Name)
	b.Add(connected.New()).Terminal()
	s, err := b.Build(callstack.ChannelArgs{Transport: tr, Trace: rec.Endpoint("client", "server")})
	if err != nil {
		t.Fatal(err)
	}
	return callstacktest.NewCall(s), rec, s
}

// lines returns the events after the first skip, one a line.
func lines(rec *trace.Recorder, skip int) string {
	var b strings.Builder
	for _, e := range rec.Events()[skip:] {
		fmt.Fprintf(&b, "%d<%d call=%d %s %s %s", e.ID, e.Cause, e.Call, e.Component, e.Op, e.Text)
		if e.Layer != 2 {
			fmt.Fprintf(&b, " layer=%d", e.Layer)
		}
		if e.Dir != trace.DirNone {
			fmt.Fprintf(&b, " %s", e.Dir)
		}
		if e.Err != nil {
			fmt.Fprintf(&b, " err=%v", e.Err)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func wantLines(t *testing.T, rec *trace.Recorder, skip int, want string) {
	t.Helper()
	if got := strings.TrimSpace(lines(rec, skip)); got != strings.TrimSpace(want) {
		t.Errorf("events are\n%s\nwant\n%s", got, strings.TrimSpace(want))
	}
}

// TestProbe follows two batches of a call down and up.
func TestProbe(t *testing.T) {
	tr := &callstacktest.Transport{HoldSends: true}
	c, rec, s := traced(t, tr)
	if got, want := s.String(), "TEST authority message_size connected"; got != want {
		t.Errorf("the stack calls itself %q, want %q", got, want)
	}
	if err := c.Begin(callstack.CallArgs{CallID: 7, Cause: 98}); err != nil {
		t.Fatal(err)
	}
	c.Do(transport.OpSendInitialMetadata|transport.OpRecvInitialMetadata, func(b *callstacktest.Batch) { b.Cause = 99 })
	c.Do(transport.OpSendMessage)
	st := tr.Streams()[0]
	st.CompleteSends(nil)
	st.Headers(nil, errors.New("lost"))
	c.Unref()
	// Each event on the way up is caused by the one below it, the lowest by
	// the batch that came down; nothing is known of the transport here.
	wantLines(t, rec, 0, `
1<0 call=0 callstack stack.build TEST authority message_size connected
2<98 call=7 filter:connected element.init 
3<98 call=7 filter:message_size element.init 
4<98 call=7 filter:authority element.init 
5<99 call=7 filter:authority op.down send_initial_metadata recv_initial_metadata down
6<5 call=7 filter:message_size op.down send_initial_metadata recv_initial_metadata down
7<6 call=7 filter:connected op.down send_initial_metadata recv_initial_metadata down
8<0 call=7 filter:authority op.down send_message down
9<8 call=7 filter:message_size op.down send_message down
10<9 call=7 filter:connected op.down send_message down
11<7 call=7 filter:connected op.up send_initial_metadata up
12<11 call=7 filter:message_size op.up send_initial_metadata up
13<12 call=7 filter:authority op.up send_initial_metadata up
14<10 call=7 filter:connected op.up send_message up
15<14 call=7 filter:message_size op.up send_message up
16<15 call=7 filter:authority op.up send_message up
17<7 call=7 filter:connected op.up recv_initial_metadata up err=lost
18<17 call=7 filter:message_size op.up recv_initial_metadata up err=lost
19<18 call=7 filter:authority op.up recv_initial_metadata up err=lost
20<0 call=7 filter:authority element.destroy 
21<0 call=7 filter:message_size element.destroy 
22<0 call=7 filter:connected element.destroy`)
}

// TestProbeTakesTheCauseOfTheTransport has a transport that says what it
// received before it runs a callback.
func TestProbeTakesTheCauseOfTheTransport(t *testing.T) {
	tr := &callstacktest.Transport{}
	var below *transport.StreamOpBatch
	tr.OnBatch = func(_ *callstacktest.Stream, b *transport.StreamOpBatch) { below = b }
	c, rec, _ := traced(t, tr)
	if err := c.Begin(callstack.CallArgs{CallID: 7}); err != nil {
		t.Fatal(err)
	}
	defer c.Unref()
	b := c.Do(transport.OpRecvTrailingMetadata)
	below.Cause = 50
	tr.Streams()[0].Trailers(nil, nil)
	wantLines(t, rec, 7, `
8<50 call=7 filter:connected op.up recv_trailing_metadata up
9<8 call=7 filter:message_size op.up recv_trailing_metadata up
10<9 call=7 filter:authority op.up recv_trailing_metadata up`)
	if b.Cause != 10 {
		t.Errorf("the batch came back with the cause %d, want the last event", b.Cause)
	}
}

// TestProbeOfACancel: what a filter starts by itself comes of what it was last told.
func TestProbeOfACancel(t *testing.T) {
	rec := trace.NewRecorder(trace.LevelEvents)
	tr := &callstacktest.Transport{}
	b := callstack.NewBuilder("TEST")
	b.Add(&rogue{batch: instead(transport.OpRecvInitialMetadata, func(c *rogueCall, done transport.Done, err error) {
		callstack.Cancel(c.Next, errLost)
		done.Run(err)
	})})
	b.Add(connected.New()).Terminal()
	s, err := b.Build(callstack.ChannelArgs{Transport: tr, Trace: rec.Endpoint("client", "server")})
	if err != nil {
		t.Fatal(err)
	}
	c := callstacktest.NewCall(s)
	for call, ops := range []transport.OpSet{transport.OpRecvInitialMetadata, transport.OpRecvInitialMetadata | transport.OpRecvMessage} {
		skip := len(rec.Events())
		if err := c.Begin(callstack.CallArgs{CallID: 7}); err != nil {
			t.Fatal(err)
		}
		c.Do(ops)
		tr.Streams()[0].Headers(nil, nil)
		c.Unref()
		var told trace.EventID
		for _, e := range rec.Events()[skip:] {
			switch {
			case e.Op == "op.up" && e.Component == "filter:connected" && told == 0:
				told = e.ID
			case e.Op == "op.down" && e.Text == "cancel_stream" && e.Cause != told:
				t.Errorf("call %d: the cancel comes of event %d, want %d", call, e.Cause, told)
			}
		}
	}
}

// TestProbeFollowsTheContract runs whole calls of each shape through probes.
func TestProbeFollowsTheContract(t *testing.T) {
	tr := &callstacktest.Transport{}
	c, _, s := traced(t, tr)
	defer s.Destroy()
	for use := 1; use <= 3; use++ {
		if err := c.Begin(callstack.CallArgs{}); err != nil {
			t.Fatal(err)
		}
		b := c.Do(transport.OpsSend | transport.OpsRecv)
		tr.Streams()[0].Trailers(nil, nil)
		tr.HoldSends = true
		var sends []*callstacktest.Batch
		for _, op := range []transport.OpSet{transport.OpSendTrailingMetadata, transport.OpSendMessage, transport.OpSendInitialMetadata} {
			sends = append(sends, c.Do(op))
		}
		tr.Streams()[0].CompleteSends(nil)
		for _, b := range sends {
			if b.Sent.Count() != 1 {
				t.Errorf("%q ended %d times", b.Ops, b.Sent.Count())
			}
		}
		tr.HoldSends = false
		c.Do(transport.OpCancelStream)
		if got := strings.Join(b.Order(), " "); got != "sent headers message trailers" {
			t.Errorf("callbacks ran in the order %q", got)
		}
		c.Unref()
		if c.Recycled() != use {
			t.Fatalf("call %d: the block was recycled %d times", use, c.Recycled())
		}
	}
}

// TestProbeAtOnce: what goes down and what comes up at the same time. It is for the race
// detector.
func TestProbeAtOnce(t *testing.T) {
	tr := &callstacktest.Transport{}
	c, _, _ := traced(t, tr)
	if err := c.Begin(callstack.CallArgs{CallID: 7}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, op := range []transport.OpSet{transport.OpSendMessage, transport.OpRecvMessage} {
		wg.Go(func() {
			for range 200 {
				b := c.Do(op)
				tr.Streams()[0].Message(nil, nil)
				for len(b.Order()) == 0 {
					runtime.Gosched() // the other one runs it
				}
			}
		})
	}
	wg.Wait()
	c.Unref()
}
