package surface

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A subset is some of the six operations of a client, with a bit for each.
type subset uint

const allSubsets subset = 1 << 6

// ops returns the operations, with the status last.
func (s subset) ops(st *clientState) (ops []Op) {
	all := []func() Op{func() Op { return opSendHeaders() }, func() Op { return opSend("x") }, opClose, st.opHeaders, st.opMessage, st.opStatus}
	for i, op := range all {
		if s&(1<<i) != 0 {
			ops = append(ops, op())
		}
	}
	return ops
}

func (s subset) String() string {
	ops := s.ops(new(clientState))
	for _, op := range ops {
		op.Message.Release()
	}
	return strings.ReplaceAll(opNamesOf(ops), " ", "+")
}

// succeeds reports whether the batch of the subset succeeds on a call that is
// cancelled. With the status it always does, and what was sent before has been
// sent.
func (s subset) succeeds(cancelledBefore bool) bool {
	const receives, headers, final = 1<<3 | 1<<4, 1 << 0, 1 << 5
	switch {
	case s == 0 || s&final != 0:
		return true
	case cancelledBefore || s&receives != 0:
		return false
	}
	return s&headers != 0
}

// channels are a channel in-process and one over HTTP/2, both to a server that
// does not answer, each with a queue.
func channels(t *testing.T) map[string]*Channel {
	s, q := newFixtureServer(t)
	f := connectFixture(t, s, q)
	lis := memconn.Listen()
	silent, sq := newFixtureServer(t, WithLogger(quietLogger()))
	go silent.Serve(lis)
	ch := newMemChannel(t, func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.Dial(ctx) })
	t.Cleanup(func() {
		ch.Close()
		silent.Close()
		sq.Drain()
	})
	if err := ch.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return map[string]*Channel{"inproc": f.channel, "HTTP2": ch}
}

// TestCancelWithEverySubset: whatever is outstanding when a call is cancelled,
// and whatever is started afterwards, ends with one event each; the second
// cancellation changes nothing, and the status is that of the first.
func TestCancelWithEverySubset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, ch := range channels(t) {
			for s := subset(0); s < allSubsets; s++ {
				for _, before := range []bool{true, false} {
					cancelSubset(t, name, ch, s, before)
				}
			}
		}
	})
}

func cancelSubset(t *testing.T, name string, ch *Channel, s subset, before bool) {
	t.Helper()
	q := cq.New(cq.Next, cq.Config{Debug: true})
	c, err := ch.CreateCall(CallParams{Method: "/a/b", Queue: q})
	if err != nil {
		t.Fatal(err)
	}
	cancel := func() {
		for _, code := range []status.Code{status.Aborted, status.DataLoss} {
			if e := c.CancelWithStatus(code, code.String()); e != CallOK {
				t.Errorf("CancelWithStatus = %v", e)
			}
		}
		if e := c.Cancel(); e != CallOK {
			t.Errorf("Cancel = %v", e)
		}
	}
	if before {
		cancel()
	}
	var st clientState
	if e := c.StartBatch(s.ops(&st), "subset"); e != CallOK {
		t.Fatalf("%s %v: StartBatch = %v", name, s, e)
	}
	synctest.Wait()
	if !before {
		cancel()
	}
	synctest.Wait()
	if ev := q.TryNext(); ev.Tag != "subset" || ev.Success != s.succeeds(before) {
		t.Errorf("%s, %q, cancelled before: %t: event %v, want success=%t", name, s, before, ev, s.succeeds(before))
	}
	if st.message != nil {
		t.Errorf("%s %v: a message came", name, s)
	}
	rest := (allSubsets - 1) &^ s
	if e := c.StartBatch(rest.ops(&st), "rest"); e != CallOK && s&4 == 0 {
		t.Errorf("%s %v: StartBatch of the rest = %v", name, s, e)
	} else if e != CallOK { // nothing is sent after the half-close
		if e := c.StartBatch((rest &^ 3).ops(&st), "rest"); e != CallOK {
			t.Errorf("%s %v: StartBatch = %v", name, s, e)
		}
	}
	synctest.Wait()
	if ev := q.TryNext(); ev.Tag != "rest" {
		t.Errorf("%s %v: event %v, want that of the rest", name, s, ev)
	}
	st.wantStatus(t, status.Aborted, "Aborted")
	c.Cancel() // after the end
	if ev := q.TryNext(); ev.Type != cq.QueueTimeout {
		t.Errorf("%s %v: event %v, want none", name, s, ev)
	}
	c.Release()
	q.Drain()
}

// TestDeadlineSources: a deadline counts from whatever side and at whatever time
// it is set.
func TestDeadlineSources(t *testing.T) {
	for _, row := range []struct {
		name, script string
		params       func(start time.Time) CallParams
		code         status.Code
		after        time.Duration
	}{
		{"in the past: nothing is sent", "server\nsend SETTINGS\nanswer SETTINGS\nawait SETTINGS ACK\nexpect nothing within=10s\n" + untilClosed,
			func(start time.Time) CallParams { return CallParams{Deadline: start.Add(-time.Hour)} }, status.DeadlineExceeded, 0},
		{"at the moment when the call begins", "server\nsend SETTINGS\nanswer SETTINGS\nawait SETTINGS ACK\nexpect nothing within=10s\n" + untilClosed,
			func(start time.Time) CallParams { return CallParams{Deadline: start} }, status.DeadlineExceeded, 0},
		{"a nanosecond later", "server\nsend SETTINGS\nanswer SETTINGS PING\n" + untilClosed,
			func(start time.Time) CallParams { return CallParams{Deadline: start.Add(1)} }, status.DeadlineExceeded, 1},
		{"of a call that waits for its turn", "server\nsend SETTINGS max_streams=0\nanswer SETTINGS\nawait SETTINGS ACK\nexpect nothing within=2s\n" + untilClosed,
			func(start time.Time) CallParams { return CallParams{Deadline: start.Add(time.Second)} }, status.DeadlineExceeded, time.Second},
		{"trailers a nanosecond before", "server\nsend SETTINGS\nanswer SETTINGS PING\nawait HEADERS stream=1\nwait 999999999ns\n" +
			"send HEADERS stream=1 END_STREAM :status=200 content-type=application/grpc grpc-status=10\n" + untilClosed,
			func(start time.Time) CallParams { return CallParams{Deadline: start.Add(time.Second)} }, status.Aborted, time.Second - 1},
		{"trailers a nanosecond after", "server\nsend SETTINGS\nanswer SETTINGS PING\nawait HEADERS stream=1\nwait 1000000001ns\n" +
			"send HEADERS stream=1 END_STREAM :status=200 content-type=application/grpc grpc-status=10\n" + untilClosed,
			func(start time.Time) CallParams { return CallParams{Deadline: start.Add(time.Second)} }, status.DeadlineExceeded, time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, after := scriptedEnd(t, row.script, row.params)
				if st.Code != row.code || after != row.after {
					t.Errorf("the call ended after %v with %v, want %v, %v", after, st, row.after, row.code)
				}
			})
		})
	}
}

// scriptedEnd makes a call to a server that plays script, once the connection
// is there, and returns how it ended and when.
func scriptedEnd(t *testing.T, script string, params func(time.Time) CallParams) (CallStatus, time.Duration) {
	t.Helper()
	srv, ch := newWholeScript(t, script)
	start := time.Now()
	st, _ := echo(t, ch, params(start), "x")
	after := time.Since(start)
	time.Sleep(20 * time.Second) // until the script has seen that nothing comes
	ch.Close()
	if err := srv.Close(); err != nil {
		t.Errorf("the server's script: %v", err)
	}
	return st, after
}

// TestTrailersAtTheDeadline: of trailers and a deadline at the same instant one
// counts, and the call ends then.
func TestTrailersAtTheDeadline(t *testing.T) {
	seen := map[status.Code]int{}
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			st, after := scriptedEnd(t, "server\nsend SETTINGS\nanswer SETTINGS PING\nawait HEADERS stream=1\nwait 1s\n"+
				"send HEADERS stream=1 END_STREAM :status=200 content-type=application/grpc grpc-status=10\n"+untilClosed,
				func(start time.Time) CallParams { return CallParams{Deadline: start.Add(time.Second)} })
			if after != time.Second || st.Code != status.Aborted && st.Code != status.DeadlineExceeded {
				t.Errorf("the call ended after %v with %v", after, st)
			}
			seen[st.Code]++
		})
	}
	t.Logf("statuses: %v", seen)
}

// TestServerArmsTheDeadline: a server ends a call at the deadline that its
// client has named, without the client's help.
func TestServerArmsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		req := f.request("request")
		start := time.Now()
		c := f.call(CallParams{Deadline: start.Add(time.Second), DeadlineWatched: true}) // and nobody does
		var st clientState
		f.start(c, "client", opSendHeaders(), st.opStatus())
		f.expect(f.scq, "request", true)
		if got := req.Details.Deadline.Sub(start); got != time.Second {
			t.Errorf("the server knows of a deadline in %v", got)
		}
		var end CallStatus
		var cancelled bool
		f.start(req.Call, "close", Op{Type: RecvCloseOnServer, Cancelled: &cancelled, StatusResult: &end})
		f.expect(f.scq, "close", true)
		if got := time.Since(start); got != time.Second || !cancelled || end.Code != status.DeadlineExceeded {
			t.Errorf("after %v: cancelled=%t, %v", got, cancelled, end)
		}
		f.expect(f.cq, "client", true)
		st.wantStatus(t, status.DeadlineExceeded, "")
		c.Release()
		req.Call.Release()
	})
}
