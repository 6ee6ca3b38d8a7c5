//go:build strata_poison

package surface

import (
	"strings"
	"testing"
)

// TestPoison: late uses of released memory are found.
func TestPoison(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		late       func(c *call)
	}{
		{"a callback of the sends", "callback of a batch that was released ran", func(c *call) { c.slots[0].op.OnComplete.Run(nil) }},
		{"a callback of the trailers", "callback of a batch that was released ran", func(c *call) { c.slots[0].op.RecvTrailingMetadata.Ready.Run(nil) }},
		{"a step", "a batch was written to", func(c *call) { c.slots[0].steps.Add(-1) }},
		{"a message", "a batch was written to", func(c *call) { c.slots[0].op.SendMessage.WriteClosed = true }},
		{"a bit of the state", "a call was written to", func(c *call) { c.state.And(^uint32(stateSending)) }},
		{"headers", "what a call receives was written to", func(c *call) { c.recv.pass(true) }},
		{"a header", "what a call receives was written to", func(c *call) { c.recv.trailing.Append("k", "v") }},
		{"a reference", "nobody refers to", func(c *call) { c.Ref() }},
		{"a reference of the owner", "a call that was released", func(c *call) { c.stack.Args.Owner.Ref() }},
		{"a batch", "nil pointer", func(c *call) { c.queue.EndOp("tag", true, nil, nil) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ch := newNullChannel(t)
			c, err := ch.CreateCall(CallParams{Method: "/a/b"})
			if err != nil {
				t.Fatal(err)
			}
			ops := []Op{opSendHeaders(), {Type: RecvStatusOnClient}}
			c.StartBatchAndExecute(ops, functorFunc(func(bool) {}))
			block := c.c
			c.Release()
			defer func() {
				p := recover()
				text, _ := p.(string)
				if e, ok := p.(error); ok {
					text = e.Error()
				}
				if !strings.Contains(text, tc.want) {
					t.Errorf("panicked with %v, want %q", p, tc.want)
				}
			}()
			tc.late(block)
			block.cure() // as the next call would
			block.slots[0].cure()
		})
	}
}
