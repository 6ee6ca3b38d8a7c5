package callstack_test

import (
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// TestLoanIsKeptWhileItIsGiven: a filter runs the callback of a batch once more while
// it is given the next one, which has the same memory. That batch ends so, but
// what the filter reads stays as it was until it returns.
func TestLoanIsKeptWhileItIsGiven(t *testing.T) {
	var first, second *transport.StreamOpBatch
	var call *callstacktest.Call
	var buf *transport.Buffer
	f := &rogue{}
	f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
		switch {
		case b.Ops.Has(transport.OpRecvMessage): // the third
			if b == first {
				t.Error("the memory of a batch that is being given was lent again")
			}
		case first != nil && second == nil:
			second = b
			ended := make(chan struct{})
			go func() {
				first.OnComplete.Run(nil)
				close(ended)
			}()
			<-ended
			call.Do(transport.OpRecvMessage)
			if b.SendMessage.Buf != buf || b.SendMessage.Buf == nil {
				t.Error("the batch was changed under the filter")
			}
			buf.Release()
			return
		case first == nil:
			first = b
		}
		c.Next.StartBatch(b)
	}
	r := newRig(t, callstacktest.Client, f)
	call = callstacktest.NewCall(r.stack)
	if err := call.Begin(r.side.Args()); err != nil {
		t.Fatal(err)
	}
	call.Do(transport.OpSendMessage)
	b := call.Do(transport.OpSendMessage, func(b *callstacktest.Batch) { buf = b.SendMessage.Buf })
	if first != second || first == nil {
		t.Fatal("the memory of a batch that has ended was not lent again")
	}
	if second.SendMessage.Buf != nil {
		t.Error("what the batch refers to was not forgotten")
	}
	if b.Sent.Count() != 1 || b.Sent.Err() != nil || r.log.Len() != 0 {
		t.Errorf("the second batch ended %d times with %v, the log has %q", b.Sent.Count(), b.Sent.Err(), r.log.String())
	}
	call.Do(transport.OpRecvTrailingMetadata)
	r.tr.Streams()[0].Trailers(nil, nil)
	call.Unref()
	if call.Recycled() != 1 {
		t.Error("the block did not come back")
	}
}

// TestManyBatchesWithinEachOther: a filter that ends a batch before it returns may be
// given any number meanwhile, more than the guard keeps memory for, and the last
// reference may go there too.
func TestManyBatchesWithinEachOther(t *testing.T) {
	const depth = 20
	var call *callstacktest.Call
	var batches []*callstacktest.Batch
	f := &rogue{}
	f.batch = func(_ *rogueCall, b *transport.StreamOpBatch) {
		b.RecvMessage.Message = transport.NewBuffer(len(batches))
		b.RecvMessage.Ready.Run(nil)
		if b.RecvMessage.Message == nil {
			t.Errorf("batch %d was changed under the filter", len(batches)-1)
		}
		if len(batches) == depth {
			call.Unref()
			return
		}
		batches = append(batches, nil)
		at := len(batches) - 1
		batches[at] = call.Do(transport.OpRecvMessage)
	}
	r := newRig(t, callstacktest.Client, f)
	call = callstacktest.NewCall(r.stack)
	for range 3 {
		if err := call.Begin(r.side.Args()); err != nil {
			t.Fatal(err)
		}
		before := call.Recycled()
		batches = append(batches[:0], nil)
		batches[0] = call.Do(transport.OpRecvMessage)
		for i, b := range batches {
			if b.GotMessage.Count() != 1 || b.GotMessage.Err() != nil || b.RecvMessage.Message == nil {
				t.Errorf("batch %d ended %d times with %v", i, b.GotMessage.Count(), b.GotMessage.Err())
			}
			b.RecvMessage.Message.Release()
		}
		if call.Recycled() != before+1 || call.Spent() {
			t.Errorf("the block came back %d times, spent %v", call.Recycled()-before, call.Spent())
		}
	}
	if r.log.Len() != 0 {
		t.Errorf("the log has %q", r.log.String())
	}
}
