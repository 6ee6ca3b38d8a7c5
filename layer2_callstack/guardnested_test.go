package callstack_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// TestGuardBelowAGuard: a stack whose filter is contained is made, used and ended within
// a batch of another stack with such a filter, as those of connections are below a
// channel's. Each method's panic is that of the lower filter, and stays in its guard.
func TestGuardBelowAGuard(t *testing.T) {
	begin := func(s *callstack.ChannelStack) *callstacktest.Call {
		c := callstacktest.NewCall(s)
		if err := c.Begin(callstacktest.Client.Args()); err != nil {
			c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = err })
		}
		return c
	}
	for _, tc := range []struct {
		name string
		f    *rogue
		use  func(s *callstack.ChannelStack)
	}{
		{"NewCall", &rogue{newCall: func(callstack.CallElem) callstack.CallElem { panic("boom") }},
			func(s *callstack.ChannelStack) { begin(s).Unref() }},
		{"Init", &rogue{init: func(*rogueCall) error { panic("boom") }},
			func(s *callstack.ChannelStack) { begin(s).Unref() }},
		{"Start", &rogue{start: func(*rogueCall) { panic("boom") }},
			func(s *callstack.ChannelStack) { begin(s).Unref() }},
		{"StartBatch", &rogue{batch: func(*rogueCall, *transport.StreamOpBatch) { panic("boom") }},
			func(s *callstack.ChannelStack) {
				c := begin(s)
				c.Do(transport.OpRecvTrailingMetadata)
				c.Unref()
			}},
		{"Reset", &rogue{reset: func(*rogueCall) { panic("boom") }},
			func(s *callstack.ChannelStack) { begin(s).Unref() }},
		{"StartTransportOp", &rogue{op: func(callstack.ChannelElem, *transport.Op) { panic("boom") }},
			func(s *callstack.ChannelStack) { s.StartTransportOp(&transport.Op{Goaway: &transport.Goaway{}}) }},
		{"Destroy", &rogue{destroy: func() { panic("boom") }},
			func(s *callstack.ChannelStack) { s.Destroy() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			upper, lower := newRig(t, callstacktest.Client, &rogue{}), newRig(t, callstacktest.Client, tc.f)
			upper.tr.OnBatch = func(*callstacktest.Stream, *transport.StreamOpBatch) { tc.use(lower.stack) }
			c := begin(upper.stack)
			c.Do(transport.OpSendMessage)
			c.Unref()
			if log := lower.log.String(); !strings.Contains(log, "panicked in "+tc.name+": boom") {
				t.Errorf("the log of the lower filter has %q", log)
			}
			if upper.log.Len() != 0 {
				t.Errorf("the upper filter is blamed: %s", upper.log.String())
			}
		})
	}
}

// TestGuardBelowAGuardPanicsOn: what panics below both, or in a callback above both, is
// neither filter's, whichever method it goes through.
func TestGuardBelowAGuardPanicsOn(t *testing.T) {
	var next callstack.CallElem
	through := func() { next.StartBatch(&transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: errLost}) }
	for name, f := range map[string]*rogue{
		"Init":     {init: func(*rogueCall) error { through(); return nil }},
		"Start":    {start: func(*rogueCall) { through() }},
		"callback": {batch: instead(transport.OpRecvMessage, func(*rogueCall, transport.Done, error) { through() })},
	} {
		t.Run(name, func(t *testing.T) {
			// The method passes something on in another stack, where it meets a panic.
			other := newRig(t, callstacktest.Client, &rogue{})
			other.tr.OnBatch = func(*callstacktest.Stream, *transport.StreamOpBatch) { panic("of another") }
			c := callstacktest.NewCall(other.stack)
			if err := c.Begin(other.side.Args()); err != nil {
				t.Fatal(err)
			}
			next = c.Stack.Top()
			r := newRig(t, callstacktest.Client, f)
			defer func() {
				if p := recover(); p != "of another" || r.log.Len() != 0 || other.log.Len() != 0 {
					t.Errorf("recovered %v; the logs have %q, %q", p, &r.log, &other.log)
				}
			}()
			c = callstacktest.NewCall(r.stack)
			if err := c.Begin(r.side.Args()); err != nil {
				t.Fatal(err)
			}
			c.Do(transport.OpRecvMessage)
			r.tr.Streams()[0].Message(nil, nil)
			t.Error("the panic was stopped")
		})
	}
}

// TestGuardKeepsNoTime: a filter that keeps something after a cancel wins no time by
// what comes meanwhile, and what comes later has a time of its own.
func TestGuardKeepsNoTime(t *testing.T) {
	for name, cancels := range map[string]int{"one cancel": 1, "many cancels": 10} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { keepAfterACancel(t, cancels) })
		})
	}
}

func keepAfterACancel(t *testing.T, cancels int) {
	var kept []*transport.StreamOpBatch
	r := newRig(t, callstacktest.Client, &rogue{batch: func(c *rogueCall, b *transport.StreamOpBatch) {
		if b.Ops.Has(transport.OpCancelStream) {
			c.Next.StartBatch(b)
			return
		}
		kept = append(kept, b)
	}})
	cancel := func(c *callstacktest.Call) {
		c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = errCancel })
	}
	c := callstacktest.NewCall(r.stack)
	if err := c.Begin(r.side.Args()); err != nil {
		t.Fatal(err)
	}
	message := c.Do(transport.OpRecvMessage)
	cancel(c)
	time.Sleep(time.Second / 2)
	headers := c.Do(transport.OpRecvInitialMetadata)
	kept[0].RecvMessage.Ready.Run(errCancel) // in time
	time.Sleep(time.Second)
	synctest.Wait()
	if message.GotMessage.Err() != errCancel || headers.GotHeaders.Count() != 0 {
		t.Errorf("after 1.5 s the message ended with %v, the headers with %v", message.GotMessage.Err(), headers.GotHeaders.Err())
	}
	for range cancels - 1 {
		cancel(c)
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Second)
	synctest.Wait()
	if err := headers.GotHeaders.Err(); err == nil || !strings.Contains(err.Error(), "kept recv_initial_metadata after the call was cancelled") {
		t.Errorf("after 2.5 s the headers ended with %v", err)
	}
	c.Unref()
	if c.Recycled() != 1 {
		t.Error("the block did not come back")
	}
}

// TestGuardOldCallbacks: the callback of a batch that has ended is none of a later one,
// whether that has the same memory or not.
func TestGuardOldCallbacks(t *testing.T) {
	for _, tc := range []struct {
		name string
		play func(call *callstacktest.Call, st *callstacktest.Stream, old func() transport.Done) *callstacktest.Batch
		want string
	}{
		{"other memory", func(call *callstacktest.Call, st *callstacktest.Stream, old func() transport.Done) *callstacktest.Batch {
			call.Do(transport.OpRecvMessage)
			done := old()
			st.Message(nil, nil)
			call.Do(transport.OpSendMessage) // in the memory of the first
			b := call.Do(transport.OpRecvMessage)
			st.Message(nil, nil) // to the filter, which keeps it
			done.Run(nil)
			return b
		}, "ran an old callback of recv_message"},
		{"the same memory, for what sends nothing", func(call *callstacktest.Call, st *callstacktest.Stream, old func() transport.Done) *callstacktest.Batch {
			call.Do(transport.OpSendMessage)
			done := old()
			st.CompleteSends(nil)
			b := call.Do(transport.OpRecvMessage)
			done.Run(nil)
			return b
		}, "ran an old callback"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var last transport.Done
			n := 0
			r := newRig(t, callstacktest.Client, &rogue{batch: func(c *rogueCall, b *transport.StreamOpBatch) {
				switch {
				case b.Ops.Has(transport.OpSendMessage):
					last = b.OnComplete
				case b.Ops.Has(transport.OpRecvMessage):
					last = b.RecvMessage.Ready
					if n++; n == 2 {
						b.RecvMessage.Ready = doneFunc(func(error) {})
					}
				}
				c.Next.StartBatch(b)
			}})
			r.tr.HoldSends = true
			call := callstacktest.NewCall(r.stack)
			if err := call.Begin(r.side.Args()); err != nil {
				t.Fatal(err)
			}
			b := tc.play(call, r.tr.Streams()[0], func() transport.Done { return last })
			if err := b.GotMessage.Err(); b.GotMessage.Count() != 1 || err == nil || !strings.HasSuffix(err.Error(), `filter "rogue" `+tc.want) {
				t.Errorf("the message ended %d times, with %v, want that the filter %s", b.GotMessage.Count(), err, tc.want)
			}
			r.tr.Streams()[0].CompleteSends(nil)
			call.Unref()
			if call.Recycled() != 1 || !call.Spent() {
				t.Errorf("the block came back %d times, spent %v", call.Recycled(), call.Spent())
			}
		})
	}
}

// TestPlainErrorOfInit: where no code says who ended a call, the filter is named, but
// on a server, where the text is for the client.
func TestPlainErrorOfInit(t *testing.T) {
	coded := &transport.Error{Code: status.Unavailable, Layer: "rogue", Reason: "no"}
	for _, tc := range []struct {
		name     string
		side     callstacktest.Side
		err, own error
	}{
		{"plain, on a client", callstacktest.Client, errors.New("no quota"), nil},
		{"plain, on a server", callstacktest.Server, errors.New("no quota"), errors.New("no quota")},
		{"with a code", callstacktest.Client, coded, coded},
		{"of a context", callstacktest.Client, context.Canceled, context.Canceled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, tc.side, &rogue{init: func(*rogueCall) error { return tc.err }})
			c := callstacktest.NewCall(r.stack)
			got := c.Begin(tc.side.Args())
			c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = got })
			c.Unref()
			if !errors.Is(got, tc.err) || status.CodeOf(got) != status.CodeOf(tc.err) {
				t.Errorf("Init returned %v, want one that is %v", got, tc.err)
			}
			if want := "rogue: the filter refused the call: no quota"; tc.own == nil && got.Error() != want {
				t.Errorf("Init returned %q, want %q", got, want)
			}
			if tc.own != nil && got.Error() != tc.own.Error() {
				t.Errorf("Init returned %q, want %q", got, tc.own)
			}
		})
	}
}
