package callstacktest_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// A mutant is a filter that breaks one rule.
type mutant struct {
	rule string // in the words of package filters
	// change is what it does to a batch; false does not pass it on.
	change func(c *mutantCall, b *transport.StreamOpBatch) bool
	want   string // what the kit says, or a case of it that fails
}

// The cases of the kit, as the test's output has them.
const (
	onceEach  = "each_operation_of_a_call_ends_exactly_once"
	cancelled = "a_cancel_is_passed_on_and_ends_what_is_outstanding"
	recycled  = "a_block_is_recycled_when_the_call_is_over"
	failed    = "an_error_of_the_transport_reaches_every_callback"
	separate  = "operations_in_batches_of_their_own_end_exactly_once"
	early     = "a_cancel_before_the_first_batch_is_passed_on"
	nextCall  = "a_call_knows_nothing_of_the_one_before_in_its_block"
	onConn    = "a_transport_operation_is_passed_on"
)

// mutants are filters that a kit must not let through.
var mutants = []mutant{
	{"pass each batch on", func(_ *mutantCall, b *transport.StreamOpBatch) bool {
		return !b.Ops.Has(transport.OpRecvMessage)
	}, onceEach},
	{"pass each batch on once", func(c *mutantCall, b *transport.StreamOpBatch) bool {
		c.Next.StartBatch(b)
		return true
	}, "was a batch passed on twice?"},
	{"a cancel passes", func(_ *mutantCall, b *transport.StreamOpBatch) bool {
		return !b.Ops.Has(transport.OpCancelStream)
	}, cancelled},
	{"do not fail a batch yourself", func(_ *mutantCall, b *transport.StreamOpBatch) bool {
		if !b.Ops.Has(transport.OpRecvMessage) {
			return true
		}
		b.Fail(nil)
		return false
	}, onceEach},
	{"run the callback that you stand in for", replace(func(transport.Done, error) {}), onceEach},
	{"run it once", replace(func(orig transport.Done, err error) {
		orig.Run(err)
		orig.Run(err)
	}), onceEach},
	{"run it with its error", replace(func(orig transport.Done, _ error) { orig.Run(nil) }), failed},
	{"run it when it is due", func(_ *mutantCall, b *transport.StreamOpBatch) bool {
		if b.Ops.Has(transport.OpRecvTrailingMetadata) {
			b.RecvTrailingMetadata.Ready.Run(nil)
		}
		return replace(func(transport.Done, error) {})(nil, b)
	}, onceEach},
	{"forget the call in Reset", func(c *mutantCall, b *transport.StreamOpBatch) bool {
		if b.Ops.Has(transport.OpRecvTrailingMetadata) && c.kept == nil {
			c.kept = b.RecvTrailingMetadata.Ready
		}
		return replace(func(_ transport.Done, err error) { c.kept.Run(err) })(nil, b)
	}, recycled},
	{"forget in Reset what was never answered, too", func(c *mutantCall, b *transport.StreamOpBatch) bool {
		if c.begun = c.begun || b.Ops.Has(transport.OpCancelStream); !c.begun {
			return true
		}
		return replace(func(orig transport.Done, err error) {
			if err == nil {
				err = errors.New("of the call before")
			}
			orig.Run(err)
		})(nil, b)
	}, nextCall},
	{"drop the reference in the end", func(c *mutantCall, b *transport.StreamOpBatch) bool {
		if b.Ops.Has(transport.OpSendInitialMetadata) {
			c.args.Owner.Ref()
		}
		return true
	}, recycled},
	{"a cancel passes, and be it the first batch", func(c *mutantCall, b *transport.StreamOpBatch) bool {
		c.begun = c.begun || !b.Ops.Has(transport.OpCancelStream)
		return c.begun
	}, early},
	{"keep what belongs to different operations apart", func(c *mutantCall, b *transport.StreamOpBatch) bool {
		var at *transport.Done
		switch b.Ops {
		case transport.OpRecvMessage:
			at = &b.RecvMessage.Ready
		case transport.OpRecvTrailingMetadata:
			at = &b.RecvTrailingMetadata.Ready
		default:
			return true
		}
		c.kept = *at
		*at = done(func(err error) { c.kept.Run(err) })
		return true
	}, separate},
	{dropsOps, func(*mutantCall, *transport.StreamOpBatch) bool { return true }, onConn},
}

// dropsOps is the rule of the mutant whose element of a channel is at fault.
const dropsOps = "pass operations on the connection on"

// An opDropper is a filter that does not.
type opDropper struct{ callstack.Filter }

func (f opDropper) NewChannel(args *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	e, err := f.Filter.NewChannel(args, next)
	return opDropperChannel{e}, err
}

type opDropperChannel struct{ callstack.ChannelElem }

func (opDropperChannel) StartTransportOp(*transport.Op) {}

// replace puts run in the place of the callback of recv_trailing_metadata.
func replace(run func(orig transport.Done, err error)) func(*mutantCall, *transport.StreamOpBatch) bool {
	return func(_ *mutantCall, b *transport.StreamOpBatch) bool {
		if b.Ops.Has(transport.OpRecvTrailingMetadata) {
			orig := b.RecvTrailingMetadata.Ready
			b.RecvTrailingMetadata.Ready = done(func(err error) { run(orig, err) })
		}
		return true
	}
}

type done func(error)

func (f done) Run(err error) { f(err) }

type mutantCall struct {
	callstack.CallBase
	mutant mutant
	args   *callstack.CallArgs
	kept   transport.Done
	begun  bool
}

func (c *mutantCall) Init(args *callstack.CallArgs) error {
	c.args = args
	return nil
}

func (c *mutantCall) StartBatch(b *transport.StreamOpBatch) {
	if c.mutant.change(c, b) {
		c.Next.StartBatch(b)
	}
}

// mutantVar names the mutant on which a process is to run the kit.
const mutantVar = "STRATA_CALLSTACKTEST_MUTANT"

// TestMutants runs the kit on each mutant, in a process of its own since it fails
// there.
func TestMutants(t *testing.T) {
	if rule := os.Getenv(mutantVar); rule != "" {
		for _, m := range mutants {
			if m.rule == rule {
				f := callstack.NewFilter("mutant", func(next callstack.CallElem) callstack.CallElem {
					return &mutantCall{CallBase: callstack.CallBase{Next: next}, mutant: m}
				})
				if rule == dropsOps {
					f = opDropper{f}
				}
				callstacktest.Run(t, callstacktest.Client, f)
			}
		}
		return
	}
	for _, m := range mutants {
		t.Run(m.rule, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestMutants$", "-test.timeout=1m")
			cmd.Env = append(os.Environ(), mutantVar+"="+m.rule)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), m.want) {
				t.Errorf("the kit ended with %v, want it to fail with %q:\n%s", err, m.want, out)
			}
		})
	}
}
