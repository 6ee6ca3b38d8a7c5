package surface

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A channelEvent is what can happen to a channel. run makes it happen to one that
// is in the state s, behind b, and tells what came of it.
type channelEvent struct {
	name string
	run  func(b *switchboard, ch *Channel, q *cq.Queue, s connectivity.State) string
}

// outcome takes the next event and tells its success, and its time if it did not
// come at once.
func outcome(t *testing.T, q *cq.Queue) string {
	t.Helper()
	start := time.Now()
	ev := q.Next(start.Add(time.Hour))
	if ev.Type != cq.OpComplete {
		t.Fatalf("event = %+v", ev)
	}
	if d := time.Since(start); d != 0 {
		return fmt.Sprint(ev.Success, " after ", d)
	}
	return fmt.Sprint(ev.Success)
}

// unaryOutcome makes a call and tells its status.
func unaryOutcome(t *testing.T, ch *Channel, p CallParams) string {
	t.Helper()
	start := time.Now()
	p.Method, p.Deadline = "/echo/Echo", start.Add(10*time.Second)
	c, err := ch.CreateCall(p)
	if err != nil {
		return "not created: " + status.CodeOf(err).String()
	}
	defer c.Release()
	var st clientState
	if e := c.StartBatch([]Op{opSendHeaders(), opSend("x"), opClose(), st.opHeaders(), st.opMessage(), st.opStatus()}, "unary"); e != CallOK {
		t.Fatal(e)
	}
	c.Pluck("unary", nil)
	st.message.Release()
	if d := time.Since(start); d != 0 {
		return fmt.Sprint(st.status.Code, " after ", d)
	}
	return st.status.Code.String()
}

var channelEvents = []channelEvent{
	{"check", func(_ *switchboard, ch *Channel, _ *cq.Queue, _ connectivity.State) string {
		return ch.State(false).String()
	}},
	{"check and connect", func(_ *switchboard, ch *Channel, _ *cq.Queue, _ connectivity.State) string {
		return ch.State(true).String()
	}},
	{"watch", func(b *switchboard, ch *Channel, q *cq.Queue, s connectivity.State) string {
		startWatch(b.t, ch, s, 500*time.Millisecond, q, "watch")
		return outcome(b.t, q)
	}},
	{"watch another", func(b *switchboard, ch *Channel, q *cq.Queue, s connectivity.State) string {
		startWatch(b.t, ch, (s+1)%(connectivity.Shutdown+1), 500*time.Millisecond, q, "watch")
		return outcome(b.t, q)
	}},
	{"ping", func(b *switchboard, ch *Channel, q *cq.Queue, _ connectivity.State) string {
		if e := ch.StartPing(q, "ping"); e != CallOK {
			return e.String()
		}
		return outcome(b.t, q)
	}},
	{"call", func(b *switchboard, ch *Channel, _ *cq.Queue, _ connectivity.State) string {
		return unaryOutcome(b.t, ch, CallParams{})
	}},
	{"call that waits", func(b *switchboard, ch *Channel, _ *cq.Queue, _ connectivity.State) string {
		return unaryOutcome(b.t, ch, CallParams{WaitForReady: true})
	}},
	{"register", func(_ *switchboard, ch *Channel, _ *cq.Queue, _ connectivity.State) string {
		_, err := ch.RegisterCall("/a/b", "")
		return status.CodeOf(err).String()
	}},
	{"ready", func(b *switchboard, ch *Channel, _ *cq.Queue, _ connectivity.State) string {
		ctx, cancel := context.WithTimeout(b.t.Context(), 500*time.Millisecond)
		defer cancel()
		return status.CodeOf(ch.Ready(ctx)).String()
	}},
	{"reset backoff", func(_ *switchboard, ch *Channel, _ *cq.Queue, _ connectivity.State) string {
		ch.ResetBackoff()
		return ""
	}},
	{"enter idle", func(_ *switchboard, ch *Channel, _ *cq.Queue, _ connectivity.State) string {
		ch.EnterIdle()
		return ""
	}},
	{"the network fails", func(b *switchboard, _ *Channel, _ *cq.Queue, _ connectivity.State) string {
		b.cut()
		return ""
	}},
	{"close", func(b *switchboard, ch *Channel, q *cq.Queue, s connectivity.State) string {
		startWatch(b.t, ch, s, time.Hour, q, "watch")
		ch.Close()
		return "watch " + outcome(b.t, q)
	}},
}

// TestChannelStates is every state of a channel with all that can happen to it:
// what comes of it and the state afterwards. Who connects again is accepted; an
// attempt that hangs hangs for 20 s, and the backoff ends after 1 s.
func TestChannelStates(t *testing.T) {
	const (
		idle, connecting, ready    = connectivity.Idle, connectivity.Connecting, connectivity.Ready
		transientFailure, shutDown = connectivity.TransientFailure, connectivity.Shutdown
		states                     = int(shutDown) + 1
	)
	type cell struct {
		result string
		then   connectivity.State
	}
	table := map[string][states]cell{
		"check": {{"IDLE", idle}, {"CONNECTING", connecting}, {"READY", ready},
			{"TRANSIENT_FAILURE", transientFailure}, {"SHUTDOWN", shutDown}},
		"check and connect": {{"IDLE", ready}, {"CONNECTING", connecting}, {"READY", ready},
			{"TRANSIENT_FAILURE", transientFailure}, {"SHUTDOWN", shutDown}},
		"watch": {{"false after 500ms", idle}, {"false after 500ms", connecting}, {"false after 500ms", ready},
			{"false after 500ms", transientFailure}, {"false", shutDown}},
		"watch another": {{"true", idle}, {"true", connecting}, {"true", ready},
			{"true", transientFailure}, {"true", shutDown}},
		"ping": {{"false", idle}, {"false", connecting}, {"true", ready},
			{"false", transientFailure}, {"false", shutDown}},
		"call": {{"OK", ready}, {"DeadlineExceeded after 10s", connecting}, {"OK", ready},
			{"Unavailable", transientFailure}, {"not created: Canceled", shutDown}},
		"call that waits": {{"OK", ready}, {"DeadlineExceeded after 10s", connecting}, {"OK", ready},
			{"OK after 1s", ready}, {"not created: Canceled", shutDown}},
		"register": {{"OK", idle}, {"OK", connecting}, {"OK", ready},
			{"OK", transientFailure}, {"Canceled", shutDown}},
		"ready": {{"OK", ready}, {"DeadlineExceeded", connecting}, {"OK", ready},
			{"DeadlineExceeded", transientFailure}, {"Canceled", shutDown}},
		"reset backoff": {{"", idle}, {"", connecting}, {"", ready},
			{"", ready}, {"", shutDown}},
		"enter idle": {{"", idle}, {"", idle}, {"", idle},
			{"", idle}, {"", shutDown}},
		"the network fails": {{"", idle}, {"", connecting}, {"", idle},
			{"", transientFailure}, {"", shutDown}},
		"close": {{"watch true", shutDown}, {"watch true", shutDown}, {"watch true", shutDown},
			{"watch true", shutDown}, {"watch false", shutDown}},
	}
	for _, event := range channelEvents {
		row, ok := table[event.name]
		if !ok {
			t.Errorf("the table has no row for %q", event.name)
		}
		for s, want := range row {
			state := connectivity.State(s)
			t.Run(event.name+"/"+state.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b, q := newSwitchboard(t), newQueue(t)
					ch := b.channelIn(state)
					if got := event.run(b, ch, q, state); got != want.result {
						t.Errorf("it ends with %q, want %q", got, want.result)
					}
					wantState(t, ch, want.then)
					wantNoEvent(t, q)
					wantWatchers(t, ch, 0)
				})
			})
		}
	}
}

// TestEnterIdle: a stream keeps its connection when the channel goes to IDLE, a
// call that waits makes it connect again, and so does the next one.
func TestEnterIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, q := newSwitchboard(t), newQueue(t)
		ch := b.channelIn(connectivity.Ready)
		stream, err := ch.CreateCall(CallParams{Method: "/echo/Echo", Queue: q})
		if err != nil {
			t.Fatal(err)
		}
		var st clientState
		start := func(tag cq.Tag, ops ...Op) {
			t.Helper()
			if e := stream.StartBatch(ops, tag); e != CallOK {
				t.Fatal(e)
			}
		}
		start("begin", opSendHeaders())
		wantEvent(t, q, "begin", true, 0)
		start("end", st.opHeaders(), st.opMessage(), st.opStatus())
		for range 2 { // the second changes nothing
			ch.EnterIdle()
			wantState(t, ch, connectivity.Idle)
		}
		if n := b.dialled(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
		wantCode(t, ch, CallParams{}, status.OK)
		if n := b.dialled(); n != 2 {
			t.Errorf("%d connections after the next call, want 2", n)
		}
		start("rest", opSend("still here"), opClose())
		wantEvent(t, q, "rest", true, 0)
		wantEvent(t, q, "end", true, 0)
		if body := text(st.message); st.status.Code != status.OK || body != "still here" {
			t.Errorf("the stream ended with %v %q, message %q", st.status.Code, st.status.Message, body)
		}
		stream.Release()

		// A call that waits for a connection waits for the next one.
		b.cut()
		synctest.Wait()
		b.set(hangs)
		waiting, err := ch.CreateCall(CallParams{Method: "/echo/Echo", Queue: q})
		if err != nil {
			t.Fatal(err)
		}
		var end clientState
		if e := waiting.StartBatch([]Op{opSendHeaders(), opSend("x"), opClose(), end.opMessage(), end.opStatus()}, "waiting"); e != CallOK {
			t.Fatal(e)
		}
		wantState(t, ch, connectivity.Connecting)
		b.set(accepts)
		ch.EnterIdle()
		wantEvent(t, q, "waiting", true, 0)
		end.wantStatus(t, status.OK, "")
		end.message.Release()
		waiting.Release()
	})
}

// TestInfo: what a channel knows of itself.
func TestInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := newSwitchboard(t).channelIn(connectivity.Ready)
		if got, want := ch.Info(), (ChannelInfo{LBPolicy: "pick_first"}); got != want {
			t.Errorf("Info = %+v, want %+v", got, want)
		}
	})
}
