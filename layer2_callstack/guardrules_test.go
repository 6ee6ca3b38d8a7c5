package callstack_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/authority"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
	"github.com/strata-grpc/strata/layer2_callstack/filters/deadline"
	"github.com/strata-grpc/strata/layer2_callstack/filters/httpclient"
	"github.com/strata-grpc/strata/layer2_callstack/filters/messagesize"
)

// TestContainedFiltersKeepTheContract runs the contract on filters that are right,
// inside a guard. http_server is none of them: it answers by itself what is no
// request, with operations that nobody has started.
func TestContainedFiltersKeepTheContract(t *testing.T) {
	for side, filters := range map[callstacktest.Side][]callstack.Filter{
		callstacktest.Client: {authority.New("x"), messagesize.New(messagesize.Config{}), deadline.New(),
			httpclient.New(httpclient.Config{}), compression.New(compression.Config{}), &rogue{}},
		callstacktest.Server: {messagesize.New(messagesize.Config{}), deadline.New(),
			compression.New(compression.Config{}), &rogue{}},
	} {
		for _, f := range filters {
			t.Run(fmt.Sprintf("%v/%s", side, f.Name()), func(t *testing.T) {
				callstacktest.Run(t, side, callstacktest.Contained(f))
			})
		}
	}
}

// TestGuardLetsOthersPanic: a panic that only comes through the filter is not the
// guard's to stop.
func TestGuardLetsOthersPanic(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(r *rig, c *callstacktest.Call)
	}{
		{"of a callback above", func(r *rig, c *callstacktest.Call) {
			c.Do(transport.OpRecvMessage, func(b *callstacktest.Batch) {
				b.RecvMessage.Ready = doneFunc(func(error) { panic("of another") })
			})
			r.tr.Streams()[0].Message(nil, nil)
		}},
		{"deep down in a callback above", func(r *rig, c *callstacktest.Call) {
			var dive func(n int)
			dive = func(n int) {
				if n == 0 {
					panic("of another")
				}
				dive(n - 1)
			}
			c.Do(transport.OpRecvMessage, func(b *callstacktest.Batch) {
				b.RecvMessage.Ready = doneFunc(func(error) { dive(1000) })
			})
			r.tr.Streams()[0].Message(nil, nil)
		}},
		{"of the transport, at an operation of its own", func(r *rig, _ *callstacktest.Call) {
			r.stack.StartTransportOp(&transport.Op{StartWatch: panickingWatcher{}})
		}},
		{"of the element below", func(r *rig, c *callstacktest.Call) {
			r.tr.OnBatch = func(*callstacktest.Stream, *transport.StreamOpBatch) { panic("of another") }
			c.Do(transport.OpSendMessage)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, callstacktest.Client, &rogue{})
			c := callstacktest.NewCall(r.stack)
			if err := c.Begin(r.side.Args()); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if p := recover(); p != "of another" {
					t.Errorf("recovered %v", p)
				}
				if r.log.Len() > 0 {
					t.Errorf("the filter is blamed: %s", r.log.String())
				}
			}()
			tc.do(r, c)
			t.Error("the panic was stopped")
		})
	}
}

type panickingWatcher struct{}

func (panickingWatcher) OnState(connectivity.State, error) { panic("of another") }

// TestGuardDestroy: a panic in Destroy does not keep the elements below from it.
func TestGuardDestroy(t *testing.T) {
	var log []string
	var warnings bytes.Buffer
	b := callstack.NewBuilder("TEST")
	b.Add(&rogue{destroy: func() { panic("boom") }}).Contained()
	b.Add(named{name: "z", log: &log}).Terminal()
	s, err := b.Build(callstack.ChannelArgs{Logger: slog.New(slog.NewTextHandler(&warnings, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s.Destroy()
	if len(log) != 1 || log[0] != "destroy z" {
		t.Errorf("the filter below saw %q", log)
	}
	if got := warnings.String(); !strings.Contains(got, "panicked in Destroy: boom") {
		t.Errorf("the log has %q", got)
	}
}

// TestGuardAfterTheEnd: what a filter does with a call that is over goes nowhere,
// and the next call in the same memory is not troubled.
func TestGuardAfterTheEnd(t *testing.T) {
	for _, tc := range []struct {
		name string
		late func(next callstack.CallElem, b transport.StreamOpBatch)
		want string
	}{
		{"a batch", func(next callstack.CallElem, b transport.StreamOpBatch) { next.StartBatch(&b) },
			"passed on recv_trailing_metadata after the end of the call"},
		{"a cancel", func(next callstack.CallElem, _ transport.StreamOpBatch) { callstack.Cancel(next, errLost) },
			"passed on cancel_stream after the end of the call"},
		{"nothing", func(next callstack.CallElem, _ transport.StreamOpBatch) { next.StartBatch(nil) },
			"passed on a batch that is nil after the end of the call"},
		{"a callback", func(_ callstack.CallElem, b transport.StreamOpBatch) { b.RecvTrailingMetadata.Ready.Run(nil) },
			"completed recv_trailing_metadata after the end of the call"},
		{"the life of the element below", func(next callstack.CallElem, _ transport.StreamOpBatch) {
			next.Reset()
			if err := next.Init(nil); err != nil {
				panic(err)
			}
		}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var late func()
			f := &rogue{}
			f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
				kept := *b
				late = func() { tc.late(c.Next, kept) }
				c.Next.StartBatch(b)
			}
			r := newRig(t, callstacktest.Client, f)
			c := callstacktest.NewCall(r.stack)
			for n := range 3 {
				if err := c.Begin(r.side.Args()); err != nil {
					t.Fatal(err)
				}
				b := c.Do(transport.OpRecvTrailingMetadata)
				r.tr.Streams()[0].Trailers(nil, nil)
				if got := len(r.tr.Streams()[0].Batches()); got != 1 {
					t.Errorf("%d batches got below", got)
				}
				c.Unref()
				late()
				if b.GotTrailers.Count() != 1 || b.GotTrailers.Err() != nil || c.Recycled() != n+1 || c.Spent() {
					t.Errorf("the call ended %d times with %v", b.GotTrailers.Count(), b.GotTrailers.Err())
				}
				if got := len(r.tr.Streams()[0].Batches()); got != 0 {
					t.Errorf("%d batches got to a stream that is not in use", got)
				}
			}
			if log := r.log.String(); (log == "") != (tc.want == "") || !strings.Contains(log, tc.want) {
				t.Errorf("the log has %q, want %q", log, tc.want)
			}
		})
	}
}

// TestFaultLog: a filter that breaks in each call does not fill the log, and one
// log serves all stacks of a channel.
func TestFaultLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &rogue{batch: func(*rogueCall, *transport.StreamOpBatch) { panic("boom") }}
		r := newRig(t, callstacktest.Client, f)
		for range 40 {
			c := callstacktest.NewCall(r.stack)
			if err := c.Begin(r.side.Args()); err != nil {
				t.Fatal(err)
			}
			c.Do(transport.OpRecvTrailingMetadata)
			c.Unref()
			time.Sleep(time.Second)
		}
		log := r.log.String()
		if got := strings.Count(log, "level=WARN"); got != 4 || strings.Count(log, "others=9") != 3 {
			t.Errorf("40 faults in 40 s made %d warnings:\n%s", got, log)
		}
		if got := strings.Count(log, "TestFaultLog.func1.1("); got != 4 {
			t.Errorf("%d warnings have the stack of who panicked, want 4:\n%s", got, log)
		}
	})
}

// TestFaultLogOfSeveralStacks: one filter in all stacks of a channel is warned of once.
func TestFaultLogOfSeveralStacks(t *testing.T) {
	var log bytes.Buffer
	faults := callstack.NewFaultLog(slog.New(slog.NewTextHandler(&log, nil)))
	for range 3 {
		b := callstack.NewBuilder("TEST")
		b.Add(&rogue{init: func(*rogueCall) error { panic("boom") }}).Contained()
		b.Add(connected.New()).Terminal()
		s, err := b.Build(callstack.ChannelArgs{Transport: &callstacktest.Transport{}, Faults: faults})
		if err != nil {
			t.Fatal(err)
		}
		if err := callstacktest.NewCall(s).Begin(callstacktest.Client.Args()); err == nil {
			t.Error("Init succeeded")
		}
	}
	if got := strings.Count(log.String(), "level=WARN"); got != 1 {
		t.Errorf("%d warnings, want 1:\n%s", got, log.String())
	}
}

// TestFaultsAreBounded: the text of a panic is cut, and the peer does not get to
// see it.
func TestFaultsAreBounded(t *testing.T) {
	f := &rogue{batch: func(*rogueCall, *transport.StreamOpBatch) { panic(errors.New(strings.Repeat("é", 5000))) }}
	r := newRig(t, callstacktest.Server, f)
	c := callstacktest.NewCall(r.stack)
	if err := c.Begin(r.side.Args()); err != nil {
		t.Fatal(err)
	}
	defer c.Unref()
	err := c.Do(transport.OpRecvTrailingMetadata).GotTrailers.Err()
	if err == nil || len(err.Error()) > 400 || !strings.HasSuffix(err.Error(), "é…") {
		t.Errorf("the error is %q", err)
	}
	if got := transport.OutcomeOf(r.tr.Streams()[0].Canceled(), time.Time{}).Told; got != `filter "rogue" panicked in StartBatch` {
		t.Errorf("the peer is told %q", got)
	}
}

// TestGuardHoldsOthers: where one filter is contained, the other one's fault goes
// through the first as any end of a call.
func TestGuardHoldsOthers(t *testing.T) {
	calm := &rogue{}
	b := callstack.NewBuilder("TEST")
	b.Add(renamed{calm, "above"}).Contained()
	b.Add(&rogue{batch: instead(transport.OpRecvMessage, boom)}).After("above").Contained()
	b.Add(renamed{calm, "under"}).After("rogue").Contained()
	b.Add(connected.New()).Terminal()
	tr := &callstacktest.Transport{}
	s, err := b.Build(callstack.ChannelArgs{Transport: tr})
	if err != nil {
		t.Fatal(err)
	}
	c := callstacktest.NewCall(s)
	if err := c.Begin(callstacktest.Client.Args()); err != nil {
		t.Fatal(err)
	}
	batch := c.Do(transport.OpsSend | transport.OpsRecv)
	tr.Streams()[0].Message(transport.NewBuffer(0), nil)
	wantErr(t, batch, `callstack: filter "rogue" panicked in a callback of recv_message: boom`)
	if tr.Streams()[0].Canceled() == nil {
		t.Error("the stream was not cancelled")
	}
	c.Unref()
	if c.Recycled() != 1 || !c.Spent() {
		t.Error("the block did not come back, or is not spent")
	}
}

// renamed is a filter under another name.
type renamed struct {
	callstack.Filter
	name string
}

func (r renamed) Name() string { return r.name }

func wantErr(t *testing.T, b *callstacktest.Batch, want string) {
	t.Helper()
	for name, res := range results(b) {
		if name != "sent" && (res.Count() != 1 || res.Err() == nil || res.Err().Error() != want) {
			t.Errorf("%q ended %d times, with %v, want %s", name, res.Count(), res.Err(), want)
		}
	}
}

// TestProbeThroughAGuard follows a batch through a filter that is contained: the
// chain of causes is that of one that is not.
func TestProbeThroughAGuard(t *testing.T) {
	build := func(contained bool) string {
		rec := trace.NewRecorder(trace.LevelEvents)
		tr := &callstacktest.Transport{}
		var below *transport.StreamOpBatch
		tr.OnBatch = func(_ *callstacktest.Stream, b *transport.StreamOpBatch) { below = b }
		b := callstack.NewBuilder("TEST")
		b.Add(authority.New("x")).Before("rogue")
		if r := b.Add(&rogue{}); contained {
			r.Contained()
		}
		b.Add(connected.New()).Terminal()
		s, err := b.Build(callstack.ChannelArgs{Transport: tr, Trace: rec.Endpoint("client", "server")})
		if err != nil {
			t.Fatal(err)
		}
		c := callstacktest.NewCall(s)
		if err := c.Begin(callstack.CallArgs{CallID: 7}); err != nil {
			t.Fatal(err)
		}
		batch := c.Do(transport.OpSendInitialMetadata|transport.OpsRecv, func(b *callstacktest.Batch) { b.Cause = 99 })
		below.Cause = 50
		first := below
		c.Do(transport.OpSendMessage, func(b *callstacktest.Batch) { b.Cause = 98 })
		c.Do(transport.OpSendMessage, func(b *callstacktest.Batch) { b.Cause = 97 })
		first.Cause = 50
		tr.Streams()[0].Headers(nil, nil)
		headers := batch.Cause
		c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.Cause, b.CancelErr = 96, errCancel })
		tr.Streams()[0].Trailers(nil, nil)
		c.Unref()
		return fmt.Sprintf("%s%d then %d", lines(rec, 0), headers, batch.Cause)
	}
	if got, want := build(true), build(false); got != want {
		t.Errorf("contained the events are\n%s\nwant\n%s", got, want)
	}
}

// TestGuardBringsWishes: what operations ask for gets through both copies.
func TestGuardBringsWishes(t *testing.T) {
	r := newRig(t, callstacktest.Client, &rogue{})
	c := callstacktest.NewCall(r.stack)
	if err := c.Begin(r.side.Args()); err != nil {
		t.Fatal(err)
	}
	var below transport.StreamOpBatch
	r.tr.OnBatch = func(_ *callstacktest.Stream, b *transport.StreamOpBatch) { below = *b }
	b := c.Do(transport.OpSendInitialMetadata|transport.OpRecvInitialMetadata|transport.OpRecvMessage, func(b *callstacktest.Batch) {
		b.SendInitialMetadata.Flags = 1
		b.RecvInitialMetadata.Peer = &transport.PeerSlot{}
		b.RecvMessage.Limit, b.RecvMessage.LimitName, b.RecvMessage.Only = 7, "a test", true
	})
	below.RecvInitialMetadata.Ready, below.RecvMessage.Ready = b.RecvInitialMetadata.Ready, b.RecvMessage.Ready
	if below.SendInitialMetadata != b.SendInitialMetadata || below.RecvInitialMetadata != b.RecvInitialMetadata || below.RecvMessage != b.RecvMessage {
		t.Errorf("below is %+v, want %+v", below, b.StreamOpBatch)
	}
	r.tr.Streams()[0].Trailers(nil, nil)
	c.Unref()
}

// TestGuardBringsNothingAfterAFault: what a filter left in a batch that was taken from
// it does not come up.
func TestGuardBringsNothingAfterAFault(t *testing.T) {
	m := transport.NewBuffer(0)
	r := newRig(t, callstacktest.Client, &rogue{batch: func(_ *rogueCall, b *transport.StreamOpBatch) {
		b.RecvMessage.Message = m
		panic("boom")
	}})
	c := callstacktest.NewCall(r.stack)
	if err := c.Begin(r.side.Args()); err != nil {
		t.Fatal(err)
	}
	b := c.Do(transport.OpRecvMessage)
	if b.GotMessage.Err() == nil || b.RecvMessage.Message != nil {
		t.Errorf("a message came with %v", b.GotMessage.Err())
	}
	m.Release()
	c.Unref()
}

// TestGuardLetsAClientWait: a filter may keep what a client's call has started as long
// as it wants, while other operations come and go.
func TestGuardLetsAClientWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, callstacktest.Client, &rogue{batch: func(c *rogueCall, b *transport.StreamOpBatch) {
			if b.Ops.Has(transport.OpRecvMessage) {
				time.AfterFunc(time.Hour, func() { c.Next.StartBatch(b) })
				return
			}
			c.Next.StartBatch(b)
		}})
		c := callstacktest.NewCall(r.stack)
		if err := c.Begin(r.side.Args()); err != nil {
			t.Fatal(err)
		}
		message := c.Do(transport.OpSendMessage | transport.OpRecvMessage)
		headers := c.Do(transport.OpRecvInitialMetadata)
		r.tr.Streams()[0].Headers(nil, nil)
		for range 10 {
			c.Do(transport.OpSendInitialMetadata)
			time.Sleep(time.Minute)
		}
		time.Sleep(time.Hour)
		r.tr.Streams()[0].Message(nil, nil)
		end := c.Do(transport.OpRecvTrailingMetadata)
		r.tr.Streams()[0].Trailers(nil, nil)
		for _, res := range []*callstacktest.Result{&message.Sent, &message.GotMessage, &headers.GotHeaders, &end.GotTrailers} {
			if res.Count() != 1 || res.Err() != nil {
				t.Errorf("an operation ended %d times, with %v", res.Count(), res.Err())
			}
		}
		c.Unref()
		if r.log.Len() != 0 || c.Recycled() != 1 {
			t.Errorf("the block came back %d times, the log has %q", c.Recycled(), r.log.String())
		}
	})
}

// TestGuardBringsResults: what operations bring gets through both copies.
func TestGuardBringsResults(t *testing.T) {
	r := newRig(t, callstacktest.Client, &rogue{})
	c := callstacktest.NewCall(r.stack)
	if err := c.Begin(r.side.Args()); err != nil {
		t.Fatal(err)
	}
	st := r.tr.Streams()[0]
	b := c.Do(transport.OpsRecv)
	m := transport.NewBuffer(0)
	st.Message(m, nil)
	st.Trailers(func(md *metadata.List) { md.SetStatus(5, "gone") }, nil)
	late := c.Do(transport.OpSendMessage)
	c.Unref()
	if b.RecvMessage.Message != m || !b.RecvInitialMetadata.TrailersOnly || b.RecvTrailers.Status != 5 {
		t.Errorf("the batch came back as %+v", b.StreamOpBatch)
	}
	if !late.SendMessage.WriteClosed || late.SendMessage.Buf != nil {
		t.Error("a message after the end is not told to be one")
	}
	m.Release()
}

// TestGuardAfterAFault: what is started after a fault ends with it and is not given
// to the filter, which is told of a cancel. The stream was cancelled with the fault, once.
func TestGuardAfterAFault(t *testing.T) {
	for _, tc := range []struct {
		name   string
		cancel func(c *rogueCall, b *transport.StreamOpBatch)
	}{
		{"which panics again", func(*rogueCall, *transport.StreamOpBatch) { panic("boom") }},
		{"which passes it on", func(c *rogueCall, b *transport.StreamOpBatch) { c.Next.StartBatch(b) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var seen []string
			f := &rogue{}
			f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
				seen = append(seen, b.Ops.String())
				if b.Ops.Has(transport.OpCancelStream) {
					tc.cancel(c, b)
					return
				}
				panic("boom")
			}
			r := newRig(t, callstacktest.Client, f)
			c := callstacktest.NewCall(r.stack)
			if err := c.Begin(r.side.Args()); err != nil {
				t.Fatal(err)
			}
			first := c.Do(transport.OpRecvTrailingMetadata)
			send := c.Do(transport.OpSendMessage)
			c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = errCancel })
			if got := r.tr.Streams()[0].Batches(); len(got) != 1 || got[0] != transport.OpCancelStream {
				t.Errorf("the stream got %v, want a cancel", got)
			}
			c.Unref()
			if send.Sent.Count() != 1 || send.Sent.Err() == nil || send.Sent.Err() != first.GotTrailers.Err() || send.SendMessage.Buf != nil {
				t.Errorf("the message ended %d times, with %v", send.Sent.Count(), send.Sent.Err())
			}
			if got := strings.Join(seen, ", "); got != "recv_trailing_metadata, cancel_stream" {
				t.Errorf("the filter saw %s", got)
			}
			if c.Recycled() != 1 {
				t.Error("the block did not come back")
			}
		})
	}
}

// TestGuardAsTheCallBegins: Init tells of a filter that has not begun, and the cancel of
// who hears that gets below, once.
func TestGuardAsTheCallBegins(t *testing.T) {
	for name, f := range map[string]*rogue{
		"without an element":  {newCall: func(callstack.CallElem) callstack.CallElem { return nil }},
		"which panics":        {init: func(*rogueCall) error { panic("boom") }},
		"which begins before": {newCall: func(next callstack.CallElem) callstack.CallElem { callstack.Cancel(next, errLost); return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, callstacktest.Client, f)
			c := callstacktest.NewCall(r.stack)
			err := c.Begin(r.side.Args())
			if err == nil || !strings.Contains(err.Error(), `filter "rogue"`) {
				t.Fatalf("Init ended with %v", err)
			}
			for range 2 {
				c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = err })
			}
			if st := r.tr.Streams()[0]; st.Canceled() != err || len(st.Batches()) != 1 {
				t.Errorf("the stream got %v, cancelled with %v", st.Batches(), st.Canceled())
			}
			c.Unref()
			if log := r.log.String(); name == "which begins before" && !strings.Contains(log, "passed on cancel_stream after the end of the call") {
				t.Errorf("the log has %q", log)
			}
		})
	}
}

// TestGuardOfAServer: nobody cancels what a client has ended, so the end of the
// stream begins the time that a filter is given.
func TestGuardOfAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, callstacktest.Server, &rogue{batch: without(transport.OpRecvMessage)})
		c := callstacktest.NewCall(r.stack)
		if err := c.Begin(r.side.Args()); err != nil {
			t.Fatal(err)
		}
		b := c.Do(transport.OpsRecv)
		r.tr.Streams()[0].Trailers(nil, errLost)
		if b.GotTrailers.Count() != 0 {
			t.Error("the end was told before the message")
		}
		time.Sleep(3 * time.Second)
		c.Unref()
		want := `callstack: filter "rogue" kept recv_message after the stream had ended`
		if b.GotMessage.Err() == nil || b.GotMessage.Err().Error() != want || b.GotTrailers.Count() != 1 || c.Recycled() != 1 {
			t.Errorf("the message ended with %v, the call %d times; want %s", b.GotMessage.Err(), b.GotTrailers.Count(), want)
		}
	})
}

// TestGuardBeforeInit: a cancel that comes before the filter has begun passes it.
func TestGuardBeforeInit(t *testing.T) {
	b := callstack.NewBuilder("TEST")
	b.Add(renamed{&rogue{batch: func(*rogueCall, *transport.StreamOpBatch) { panic("not begun") }}, "above"}).Contained()
	b.Add(&rogue{init: func(c *rogueCall) error {
		callstack.Cancel(c.args.Top, errLost)
		return nil
	}}).After("above")
	b.Add(connected.New()).Terminal()
	tr := &callstacktest.Transport{}
	s, err := b.Build(callstack.ChannelArgs{Transport: tr})
	if err != nil {
		t.Fatal(err)
	}
	c := callstacktest.NewCall(s)
	if err := c.Begin(callstacktest.Client.Args()); err != nil {
		t.Fatal(err)
	}
	if got := tr.Streams()[0].Canceled(); got != errLost {
		t.Errorf("the stream was cancelled with %v", got)
	}
	c.Unref()
	if c.Spent() {
		t.Error("the filter is blamed")
	}
}

// TestOldCallbackOfAPart: an old callback of one operation that sends is run when that
// is part of a batch that sends more. The batch ends once, with all that it has.
func TestOldCallbackOfAPart(t *testing.T) {
	var old transport.Done
	f := &rogue{}
	f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
		if b.Ops.Has(transport.OpSendTrailingMetadata) {
			old.Run(nil)
			return
		}
		if old == nil {
			old = b.OnComplete
		}
		c.Next.StartBatch(b)
	}
	r := newRig(t, callstacktest.Client, f)
	c := callstacktest.NewCall(r.stack)
	if err := c.Begin(r.side.Args()); err != nil {
		t.Fatal(err)
	}
	first := c.Do(transport.OpSendMessage | transport.OpRecvMessage) // so its memory stays lent
	second := c.Do(transport.OpsSend)
	want := `callstack: filter "rogue" ran an old callback of send_message`
	if err := second.Sent.Err(); second.Sent.Count() != 1 || err == nil || err.Error() != want {
		t.Errorf("the batch ended %d times, with %v, want %s", second.Sent.Count(), err, want)
	}
	if first.Sent.Count() != 1 || first.GotMessage.Count() != 1 {
		t.Errorf("the first batch ended %d and %d times", first.Sent.Count(), first.GotMessage.Count())
	}
	c.Unref()
	if c.Recycled() != 1 {
		t.Error("the block did not come back")
	}
}
