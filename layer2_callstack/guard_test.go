package callstack_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// A crime is something that a filter does wrong.
type crime struct {
	name string
	make func(f *rogue)
	rule string             // of the fault; empty for none
	only func(s shape) bool // the shapes in which it shows; nil for all
	late bool               // the end may have been told before
}

func boom(*rogueCall, transport.Done, error) { panic("boom") }

var crimes = []crime{
	{name: "panics in NewCall", rule: "panicked in NewCall: boom", make: func(f *rogue) {
		f.newCall = func(callstack.CallElem) callstack.CallElem { panic("boom") }
	}},
	{name: "makes no element", rule: "returned no element from NewCall", make: func(f *rogue) {
		f.newCall = func(callstack.CallElem) callstack.CallElem { return nil }
	}},
	{name: "panics in Init", rule: "panicked in Init: boom", make: func(f *rogue) {
		f.init = func(*rogueCall) error { panic("boom") }
	}},
	{name: "panics in Start", rule: "panicked in Start: boom", make: func(f *rogue) {
		f.start = func(*rogueCall) { panic("boom") }
	}},
	{name: "cancels as the call begins", make: func(f *rogue) {
		f.start = func(c *rogueCall) { callstack.Cancel(c.args.Top, errLost) }
	}},
	{name: "panics before it passes on", rule: "panicked in StartBatch: boom", make: func(f *rogue) {
		f.batch = func(*rogueCall, *transport.StreamOpBatch) { panic("boom") }
	}},
	{name: "panics with an error after it passed on", rule: "panicked in StartBatch: boom", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			c.Next.StartBatch(b)
			panic(errors.New("boom"))
		}
	}},
	{name: "panics after it passed on a part", rule: "panicked in StartBatch: boom", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			without(transport.OpRecvMessage|transport.OpSendMessage)(c, b)
			panic("boom")
		}
	}},
	{name: "panics at the headers", rule: "panicked in a callback of recv_initial_metadata: boom", make: func(f *rogue) {
		f.batch = instead(transport.OpRecvInitialMetadata, boom)
	}},
	{name: "panics at a message", rule: "panicked in a callback of recv_message: boom", make: func(f *rogue) {
		f.batch = instead(transport.OpRecvMessage, boom)
	}},
	{name: "panics at the end", rule: "panicked in a callback of recv_trailing_metadata: boom", make: func(f *rogue) {
		f.batch = instead(transport.OpRecvTrailingMetadata, boom)
	}},
	{name: "panics when all is sent", rule: "panicked in a callback of send_", make: func(f *rogue) {
		f.batch = instead(transport.OpsSend, boom)
	}},
	{name: "panics after it told of the headers", rule: "panicked in a callback of recv_initial_metadata: boom", make: func(f *rogue) {
		f.batch = instead(transport.OpRecvInitialMetadata, func(_ *rogueCall, done transport.Done, err error) {
			done.Run(err)
			panic("boom")
		})
	}},
	{name: "panics after it told of the end", rule: "panicked in a callback of recv_trailing_metadata: boom", late: true, make: func(f *rogue) {
		f.batch = instead(transport.OpRecvTrailingMetadata, func(_ *rogueCall, done transport.Done, err error) {
			done.Run(err)
			panic("boom")
		})
	}},
	{name: "panics in Reset", rule: "panicked in Reset: boom", late: true, make: func(f *rogue) {
		f.reset = func(*rogueCall) { panic("boom") }
	}},
	{name: "passes a batch on twice", rule: " twice", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			c.Next.StartBatch(b)
			c.Next.StartBatch(b)
		}
	}},
	{name: "passes a batch on again when it has come back", rule: "passed on recv_message twice", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			instead(transport.OpRecvMessage, func(c *rogueCall, _ transport.Done, _ error) {
				b.Ops = transport.OpRecvMessage
				c.Next.StartBatch(b)
			})(c, b)
		}
	}},
	{name: "passes on what nobody has started", rule: "passed on recv_message", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			if c.once() {
				c.Next.StartBatch(&transport.StreamOpBatch{Ops: transport.OpRecvMessage, RecvMessage: transport.RecvMessage{Ready: doneFunc(func(error) {})}})
			}
			c.Next.StartBatch(b)
		}
	}},
	{name: "passes on nothing", rule: "kept ", make: func(f *rogue) {
		f.batch = without(transport.OpsSend | transport.OpsRecv)
	}},
	{name: "keeps a message that is to be sent", rule: "kept send_message after the ", late: true, make: func(f *rogue) {
		f.batch = without(transport.OpSendMessage)
	}, only: func(s shape) bool { return s.separate }},
	{name: "keeps the receiving of a message", rule: "kept recv_message", make: func(f *rogue) {
		f.batch = without(transport.OpRecvMessage)
	}},
	{name: "changes the operations of a batch", rule: "kept recv_trailing_metadata", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			if b.Ops &^= transport.OpRecvTrailingMetadata; b.Ops != 0 {
				c.Next.StartBatch(b)
			}
		}
	}},
	{name: "lets the headers drop", rule: "kept recv_initial_metadata", make: func(f *rogue) {
		f.batch = instead(transport.OpRecvInitialMetadata, func(*rogueCall, transport.Done, error) {})
	}},
	{name: "lets the end drop", rule: "kept recv_trailing_metadata after the ", make: func(f *rogue) {
		f.batch = instead(transport.OpRecvTrailingMetadata, func(*rogueCall, transport.Done, error) {})
	}},
	{name: "runs the callback of a message twice", rule: "completed recv_message twice", make: func(f *rogue) {
		f.batch = instead(transport.OpRecvMessage, func(_ *rogueCall, done transport.Done, err error) {
			done.Run(err)
			done.Run(err)
		})
	}},
	{name: "runs the callback of the end twice", rule: "completed recv_trailing_metadata twice", late: true, make: func(f *rogue) {
		f.batch = instead(transport.OpRecvTrailingMetadata, func(_ *rogueCall, done transport.Done, err error) {
			done.Run(err)
			done.Run(err)
		})
	}},
	{name: "runs callbacks before anything has come", rule: " before it came back", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			ready := b.RecvMessage.Ready
			c.Next.StartBatch(b)
			if b.Ops.Has(transport.OpRecvMessage) {
				ready.Run(nil)
			}
		}
	}},
	{name: "fails a batch that it has passed on", rule: " before it came back", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			c.Next.StartBatch(b)
			if b.Ops.Has(transport.OpsRecv) {
				b.Fail(errLost)
			}
		}
	}},
	{name: "lets a cancel drop", rule: "callstack.Cancel it there and pass the batch on): test: cancelled by the test", make: func(f *rogue) {
		f.batch = without(transport.OpCancelStream)
	}, only: func(s shape) bool { return s.cancelled }},
	{name: "cancels without an error", rule: "cancelled the call without an error", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			if c.once() {
				c.Next.StartBatch(&transport.StreamOpBatch{Ops: transport.OpCancelStream})
			}
			c.Next.StartBatch(b)
		}
	}},
	{name: "passes on nil", rule: "passed on a batch that is nil", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) { c.Next.StartBatch(nil) }
	}},
	{name: "passes on without a callback", rule: "passed on recv_trailing_metadata without a callback", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			b.RecvTrailingMetadata.Ready = nil
			c.Next.StartBatch(b)
		}
	}},
	{name: "passes on a half-close without a callback", rule: "passed on send_", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			b.OnComplete = nil
			c.Next.StartBatch(b)
		}
	}},
	{name: "passes on without headers", rule: "passed on send_initial_metadata without metadata", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			b.SendInitialMetadata.MD = nil
			c.Next.StartBatch(b)
		}
	}},
	{name: "passes on without trailers", rule: "passed on send_trailing_metadata without metadata", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			b.SendTrailingMetadata.MD = nil
			c.Next.StartBatch(b)
		}
	}},
	{name: "passes on without a callback for headers", rule: "passed on recv_initial_metadata without a callback or", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			b.RecvInitialMetadata.Ready = nil
			c.Next.StartBatch(b)
		}
	}},
	{name: "passes on without a place for headers", rule: "passed on recv_initial_metadata without a callback or", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			b.RecvInitialMetadata.MD = nil
			c.Next.StartBatch(b)
		}
	}},
	{name: "passes on without a callback for a message", rule: "passed on recv_message without a callback", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			b.RecvMessage.Ready = nil
			c.Next.StartBatch(b)
		}
	}},
	{name: "passes on without a place for trailers", rule: "passed on recv_trailing_metadata without a callback or", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			b.RecvTrailingMetadata.MD = nil
			c.Next.StartBatch(b)
		}
	}},
	{name: "passes on without a message", rule: "passed on send_message without a message", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			b.SendMessage.Buf = nil
			c.Next.StartBatch(b)
		}
	}},
	// What is allowed, and not easy.
	{name: "fails what it is given", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			if b.Ops.Has(transport.OpCancelStream) {
				c.Next.StartBatch(b)
				return
			}
			b.Fail(errLost)
		}
	}},
	{name: "cancels, and passes on", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			callstack.Cancel(c.Next, errLost)
			c.Next.StartBatch(b)
		}
	}},
	{name: "sends each operation in a batch of its own", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			var sends atomic.Int32
			done, ops := b.OnComplete, b.Ops
			for op := transport.OpSendInitialMetadata; op <= transport.OpCancelStream; op <<= 1 {
				part := *b
				part.Ops &= op
				if part.OnComplete = nil; part.Ops.Has(transport.OpsSend) {
					sends.Add(1)
					part.OnComplete = doneFunc(func(err error) {
						if sends.Add(-1) == 0 {
							done.Run(err)
						}
					})
				}
				if part.Ops.Has(transport.OpRecvMessage) {
					ready := part.RecvMessage.Ready
					part.RecvMessage.Ready = doneFunc(func(err error) {
						b.RecvMessage.Message = part.RecvMessage.Message
						ready.Run(err)
					})
				}
				if ops.Has(op) {
					if op.Has(transport.OpsSend) && ops&transport.OpsSend&^(op<<1-1) != 0 {
						sends.Add(1) // for those to come
						c.Next.StartBatch(&part)
						sends.Add(-1)
						continue
					}
					c.Next.StartBatch(&part)
				}
			}
		}
	}},
	{name: "tells of everything on goroutines of its own", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			for _, op := range []transport.OpSet{transport.OpsSend, transport.OpRecvInitialMetadata, transport.OpRecvMessage, transport.OpRecvTrailingMetadata} {
				if b.Ops.Has(op) {
					at := callback(b, op)
					done := *at
					*at = doneFunc(func(err error) { go done.Run(err) })
				}
			}
			c.Next.StartBatch(b)
		}
	}},
	{name: "holds the headers up until the end has come", make: func(f *rogue) {
		f.batch = func(c *rogueCall, b *transport.StreamOpBatch) {
			instead(transport.OpRecvInitialMetadata, func(_ *rogueCall, done transport.Done, err error) {
				time.AfterFunc(time.Second/2, func() { done.Run(err) })
			})(c, b)
		}
	}},
}

// TestContained has each crime in each shape of a call: the call ends, every
// operation once, with an error that names the filter and the rule; and the next
// call, with a filter that does what is right, is as if nothing had been.
func TestContained(t *testing.T) {
	for _, k := range crimes {
		for _, side := range []callstacktest.Side{callstacktest.Client, callstacktest.Server} {
			for _, s := range shapes {
				t.Run(fmt.Sprintf("%s/%v/%s", k.name, side, s.name), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { k.commit(t, side, s) })
				})
			}
		}
	}
}

func (k *crime) commit(t *testing.T, side callstacktest.Side, s shape) {
	f := &rogue{}
	k.make(f)
	r := newRig(t, side, f)
	c := r.run(s)
	faults, end := r.faults()
	r.check(c)
	want := k.rule != "" && (k.only == nil || k.only(s))
	switch {
	case want && len(faults) == 0 && !k.late:
		t.Error("no operation ended with an error that names the filter")
	case want && !k.late && status.CodeOf(end) != status.Internal:
		t.Errorf("the call ended with %v", end)
	case k.rule == "" && len(faults) > 0:
		t.Errorf("a filter that does nothing wrong is blamed: %v", faults[0])
	}
	for _, err := range faults {
		if want && (!strings.Contains(err.Error(), k.rule) || status.CodeOf(err) != status.Internal) {
			t.Errorf("an operation ended with %q, want INTERNAL and %q", err, k.rule)
		}
	}
	log := r.log.String()
	if want && (strings.Count(log, "level=WARN") != 1 || !strings.Contains(strings.ReplaceAll(log, `\"`, `"`), k.rule) || !strings.Contains(log, "filter=rogue")) {
		t.Errorf("the log has %q, want one warning with %q", log, k.rule)
	}
	if want && strings.Contains(k.rule, "panicked") && !strings.Contains(log, "guard_test.go") {
		t.Errorf("the log does not say where the filter panicked: %s", log)
	}
	if c.Spent() != want {
		t.Errorf("the block is spent: %v, want %v", c.Spent(), want)
	}
	f.tamed.Store(true)
	c = r.run(shape{})
	if faults, end := r.faults(); end != nil || faults != nil {
		t.Errorf("the next call ended with %v, %v", end, faults)
	}
	r.check(c)
	r.stack.Destroy()
}
