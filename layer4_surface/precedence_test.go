package surface

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// An ending is one of the things that can end a call. Each happens to a call
// under way, at the first or the second second of it.
type ending struct {
	name   string
	script string                      // what a server of HTTP/2 sends
	inproc func(f *fixture, req *Call) // what the in-process one does
	client func(ch *Channel, c Call)   // what the client does
	timed  bool                        // it is the deadline
	last   bool                        // the connection is gone after it
	code   status.Code
	text   string // the message begins with one of these, separated by |
}

var endings = []ending{
	{name: "trailers", script: "send HEADERS stream=1 END_STREAM :status=200 content-type=application/grpc grpc-status=9 grpc-message=wire\n",
		inproc: func(f *fixture, req *Call) {
			req.StartBatch([]Op{opStatus(status.FailedPrecondition, "wire")}, "status")
		},
		code: status.FailedPrecondition, text: "wire"},
	{name: "RST_STREAM", script: "send RST_STREAM stream=1 code=CANCEL\n",
		code: status.Canceled, text: "http2: stream reset by the peer with CANCEL"},
	{name: "GOAWAY", script: "send GOAWAY last=0 code=NO_ERROR debug=bye\n",
		code: status.Unavailable, text: "http2: connection ended by the peer with GOAWAY NO_ERROR"},
	{name: "the loss of the connection", script: "close\n",
		inproc: func(f *fixture, _ *Call) { f.serverEnd.Close() }, last: true,
		code: status.Unavailable, text: "http2: connection closed|inproc: connection closed"},
	{name: "the server's CancelWithStatus",
		inproc: func(_ *fixture, req *Call) { req.CancelWithStatus(status.Aborted, "server") },
		code:   status.Aborted, text: "server"},
	{name: "Cancel", client: func(_ *Channel, c Call) { c.Cancel() },
		code: status.Canceled, text: "the call was cancelled by the application"},
	{name: "CancelWithStatus", client: func(_ *Channel, c Call) { c.CancelWithStatus(status.DataLoss, "own") },
		code: status.DataLoss, text: "own"},
	{name: "Close of the channel", client: func(ch *Channel, _ Call) { ch.Close() }, last: true,
		code: status.Canceled, text: channelClosed},
	{name: "the deadline", timed: true,
		code: status.DeadlineExceeded, text: "client_channel: the deadline passed|deadline"},
}

// A duel is two endings, the first of which counts.
type duel struct {
	first, second ending
	early         bool // recv_status_on_client is asked for before them
	filtered      bool // a filter of the client ends every call with its own error
}

// deadline is that of the call.
func (d *duel) deadline(start time.Time) time.Time {
	switch {
	case d.first.timed:
		return start.Add(time.Second)
	case d.second.timed:
		return start.Add(2 * time.Second)
	}
	return time.Time{}
}

// fight plays the duel for a call of ch. act lets the server do its part.
func (d *duel) fight(t *testing.T, ch *Channel, act func(e *ending)) {
	start := time.Now()
	c, err := ch.CreateCall(CallParams{Method: "/test.Service/Method", Deadline: d.deadline(start)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	var st clientState
	ops := []Op{opSendHeaders()}
	if d.early {
		ops = append(ops, st.opStatus())
	}
	if e := c.StartBatch(ops, "all"); e != CallOK {
		t.Fatal(e)
	}
	ended := make(chan time.Duration, 1)
	if d.early {
		go func() { c.Pluck("all", nil); ended <- time.Since(start) }()
	}
	for _, e := range []*ending{&d.first, &d.second} {
		time.Sleep(time.Second)
		act(e)
		if e.client != nil {
			e.client(ch, c)
		}
		synctest.Wait()
	}
	if !d.early {
		c.Pluck("all", nil)
		c.StartBatch([]Op{st.opStatus()}, "end")
		if ev := c.Pluck("end", nil); !ev.Success {
			t.Error("recv_status_on_client failed")
		}
	} else if got := <-ended; got != time.Second {
		t.Errorf("the call ended after %v, want 1s", got)
	}
	want, texts := d.first.code, d.first.text
	if d.filtered {
		want, texts = status.PermissionDenied, "Failure that's not preventable."
	}
	ok := false
	for text := range strings.SplitSeq(texts, "|") {
		ok = ok || strings.HasPrefix(st.status.Message, text)
	}
	if st.status.Code != want || !ok {
		t.Errorf("status = %v %q, want %v %q", st.status.Code, st.status.Message, want, texts)
	}
	own := want == status.DeadlineExceeded
	if got := errors.Is(st.status.AsError(nil), context.DeadlineExceeded); got != own {
		t.Errorf("%v matches context.DeadlineExceeded: %t", st.status.Err, got)
	}
}

// options are those of the client's channel.
func (d *duel) options() []ChannelOption {
	if !d.filtered {
		return nil
	}
	f := faultyFilter{atEnd: status.Error(status.PermissionDenied, "Failure that's not preventable.")}
	return []ChannelOption{WithFilter(stacks.Extra{Filter: f, After: []string{"authority"}})}
}

// newWholeScript returns a channel that is connected to a server of that script.
func newWholeScript(t *testing.T, script string, opts ...ChannelOption) (*framescript.Server, *Channel) {
	t.Helper()
	lis := memconn.Listen()
	srv := framescript.Serve(lis, framescript.MustParse(t.Name(), script), framescript.Options{})
	ch := newMemChannel(t, func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.Dial(ctx) }, opts...)
	if err := ch.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return srv, ch
}

// overHTTP2 is the duel with a scripted server.
func (d *duel) overHTTP2(t *testing.T) {
	script := "server\nsend SETTINGS\nanswer SETTINGS PING\nawait HEADERS stream=1\n"
	for _, e := range []ending{d.first, d.second} {
		script += "wait 1s\n" + e.script
	}
	srv, ch := newWholeScript(t, script+untilClosed, d.options()...)
	d.fight(t, ch, func(*ending) {})
	ch.Close()
	_ = srv.Close() // it may have written to a client that is gone
}

// inProcess is the duel with a server in this process.
func (d *duel) inProcess(t *testing.T) {
	s, q := newFixtureServer(t)
	f := connectFixture(t, s, q, d.options()...)
	req := f.request("request")
	d.fight(t, f.channel, func(e *ending) {
		if req.Call == (Call{}) {
			f.expect(f.scq, "request", true)
		}
		if e.inproc != nil {
			e.inproc(f, &req.Call)
		}
	})
	req.Call.Release()
}

// TestFirstStatusWins: whatever ends a call first gives it its status, and what
// comes second changes nothing, whether or not the application has asked for
// the status by then. Only a filter has the last word, on its way up.
func TestFirstStatusWins(t *testing.T) {
	for _, first := range endings {
		for _, second := range endings {
			for _, early := range []bool{true, false} {
				for _, filtered := range []bool{false, true} {
					d := duel{first, second, early, filtered}
					name := first.name + " before " + second.name
					if !early {
						name += ", asked for later"
					}
					if filtered {
						name += ", with a filter"
					}
					possible := (first.name != second.name || first.client != nil) && (!first.last || second.client != nil || second.timed)
					if possible && (first.inproc == nil || first.script != "") && (second.inproc == nil || second.script != "") {
						t.Run("HTTP2/"+name, func(t *testing.T) { synctest.Test(t, d.overHTTP2) })
					}
					if possible && (first.script == "" || first.inproc != nil) && (second.script == "" || second.inproc != nil) {
						t.Run("inproc/"+name, func(t *testing.T) { synctest.Test(t, d.inProcess) })
					}
				}
			}
		}
	}
}
