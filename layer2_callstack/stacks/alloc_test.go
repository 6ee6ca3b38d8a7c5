//go:build !race

package stacks_test

import (
	"slices"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// TestAllocsUnary pins that a call through a warm block allocates nothing, in no
// filter and no standard stack, with a deadline or without.
func TestAllocsUnary(t *testing.T) {
	for _, r := range slices.Concat(filterRows(), stackRows(), containedRows()) {
		t.Run(r.name, func(t *testing.T) {
			u := r.unary(t)
			got := testing.AllocsPerRun(200, func() {
				if err := u.Run(); err != nil {
					t.Fatal(err)
				}
			})
			if got != 0 {
				t.Errorf("a unary call made %v allocations, want 0", got)
			}
		})
	}
}

// TestAllocsStream pins the same for the further messages of a call, one in each
// direction.
func TestAllocsStream(t *testing.T) {
	for _, r := range slices.Concat(filterRows(), stackRows(), containedRows()) {
		t.Run(r.name, func(t *testing.T) {
			exchange := r.stream(t)
			for range 3 {
				exchange()
			}
			if got := testing.AllocsPerRun(200, exchange); got != 0 {
				t.Errorf("two messages made %v allocations, want 0", got)
			}
		})
	}
}

// stream begins a call of r and returns what sends and receives a message in it.
func (r *row) stream(t *testing.T) (exchange func()) {
	tr := &callstacktest.Transport{OnBatch: func(s *callstacktest.Stream, b *transport.StreamOpBatch) {
		switch {
		case b.Ops.Has(transport.OpRecvInitialMetadata):
			s.Headers(r.side.FillHeaders, nil)
		case b.Ops.Has(transport.OpRecvMessage):
			s.Message(transport.NewBuffer(0), nil)
		}
	}}
	c := callstacktest.NewCall(r.build(t, tr))
	args := r.side.Args()
	if r.side == callstacktest.Client {
		args.Deadline = r.deadline
	}
	if err := c.Begin(args); err != nil {
		t.Fatal(err)
	}
	whole := c.Do(transport.OpRecvInitialMetadata|transport.OpRecvTrailingMetadata, func(b *callstacktest.Batch) {
		if r.side == callstacktest.Server {
			b.RecvHeaders.Deadline = r.deadline
		}
	})
	c.Do(transport.OpSendInitialMetadata)
	if whole.GotHeaders.Count() != 1 || whole.GotHeaders.Err() != nil {
		t.Fatalf("the headers came %d times, with %v", whole.GotHeaders.Count(), whole.GotHeaders.Err())
	}
	t.Cleanup(func() {
		tr.Streams()[0].Trailers(r.side.FillTrailers, nil)
		c.Unref()
		if c.Recycled() != 1 {
			t.Error("the block was not recycled")
		}
	})
	send, recv := callstacktest.NewBatch(0), callstacktest.NewBatch(0)
	return func() {
		send.Renew(transport.OpSendMessage)
		recv.Renew(transport.OpRecvMessage)
		c.Stack.StartBatch(&send.StreamOpBatch)
		c.Stack.StartBatch(&recv.StreamOpBatch)
		recv.RecvMessage.Message.Release()
		if send.Sent.Count() != 1 || recv.GotMessage.Count() != 1 {
			t.Fatal("a message was not sent or not received")
		}
	}
}
