package callstacktest_test

import (
	"errors"
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// TestContractOfNothing runs the contract on a filter that does nothing, so
// that what fails in a filter's own test is the filter.
func TestContractOfNothing(t *testing.T) {
	for name, side := range map[string]callstacktest.Side{"client": callstacktest.Client, "server": callstacktest.Server} {
		t.Run(name, func(t *testing.T) { callstacktest.Run(t, side, pass{}) })
		t.Run(name+"/contained", func(t *testing.T) { callstacktest.Run(t, side, callstacktest.Contained(pass{})) })
	}
}

// again cancels the call from within its callbacks.
type again struct {
	call *callstacktest.Call
	next transport.Done
	why  error
}

func (a *again) Run(err error) {
	a.call.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = a.why })
	a.next.Run(err)
}

// TestCallbacksDoNotNest shows that what a callback causes runs after it.
func TestCallbacksDoNotNest(t *testing.T) {
	tr := &callstacktest.Transport{}
	c := callstacktest.NewCall(callstacktest.Build(t, tr))
	if err := c.Begin(callstacktest.Client.Args()); err != nil {
		t.Fatal(err)
	}
	why := errors.New("by a callback")
	b := c.Do(transport.OpsRecv, func(b *callstacktest.Batch) {
		b.RecvInitialMetadata.Ready = &again{c, &b.GotHeaders, why}
	})
	tr.Streams()[0].Headers(nil, nil)
	if got := strings.Join(b.Order(), " "); got != "headers message trailers" {
		t.Errorf("callbacks ran in the order %q", got)
	}
	if b.GotHeaders.Err() != nil || b.GotTrailers.Err() != why {
		t.Errorf("headers ended with %v and trailers with %v", b.GotHeaders.Err(), b.GotTrailers.Err())
	}
	c.Unref()
	if c.Recycled() != 1 {
		t.Error("the block was not recycled")
	}
}

// TestPassedOnTwice shows what a filter is told that passes a batch on twice.
func TestPassedOnTwice(t *testing.T) {
	for ops, want := range map[transport.OpSet]string{
		transport.OpSendMessage: "callstacktest: send_message has no message; was a batch passed on twice?",
		transport.OpRecvMessage: "callstacktest: recv_message was started while one is outstanding; was a batch passed on twice?",
	} {
		tr := &callstacktest.Transport{}
		c := callstacktest.NewCall(callstacktest.Build(t, tr))
		if err := c.Begin(callstacktest.Client.Args()); err != nil {
			t.Fatal(err)
		}
		b := c.Do(ops)
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("passing %s on again panics with %v, want %s", ops, got, want)
				}
			}()
			c.Stack.StartBatch(&b.StreamOpBatch)
		}()
		tr.Streams()[0].Message(nil, nil)
		c.Unref()
	}
}

// TestSendAfterTheEnd shows that a message to a peer that is gone is dropped.
func TestSendAfterTheEnd(t *testing.T) {
	tr := &callstacktest.Transport{}
	c := callstacktest.NewCall(callstacktest.Build(t, tr))
	if err := c.Begin(callstacktest.Client.Args()); err != nil {
		t.Fatal(err)
	}
	defer c.Unref()
	c.Do(transport.OpRecvTrailingMetadata)
	tr.Streams()[0].Trailers(nil, nil)
	b := c.Do(transport.OpSendMessage)
	if b.Sent.Err() != nil || !b.SendMessage.WriteClosed || b.SendMessage.Buf != nil {
		t.Errorf("sending ended with %v, WriteClosed %v", b.Sent.Err(), b.SendMessage.WriteClosed)
	}
}
