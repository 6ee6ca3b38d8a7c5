package clientchannel

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// A patient filter holds each call from its beginning until it is cancelled, as one
// with a long timer does.
type patient struct {
	start     func() error
	cancel    error // the last
	held      atomic.Int32
	destroyed atomic.Int32
}

func (*patient) Name() string { return "patient" }

func (f *patient) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &patientChannel{callstack.ChannelBase{Next: next}, f}, nil
}

type patientChannel struct {
	callstack.ChannelBase
	f *patient
}

func (ch *patientChannel) Destroy() { ch.f.destroyed.Add(1) }

func (ch *patientChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &patientCall{CallBase: callstack.CallBase{Next: next}, f: ch.f}
}

type patientCall struct {
	callstack.CallBase
	f     *patient
	owner transport.Owner
}

func (c *patientCall) Init(args *callstack.CallArgs) error {
	c.owner = args.Owner
	c.owner.Ref()
	c.f.held.Add(1)
	return c.f.start()
}

func (c *patientCall) StartBatch(b *transport.StreamOpBatch) {
	c.Next.StartBatch(b)
	if b.Ops.Has(transport.OpCancelStream) && c.owner != nil {
		owner := c.owner
		c.owner, c.f.cancel = nil, b.CancelErr
		c.f.held.Add(-1)
		owner.Unref()
	}
}

// TestDroppedAttempts: the filters of a connection hear of it when a call is not to
// go there after all. Otherwise what they have started for it would go on, and with
// it the stack of a connection that is gone.
func TestDroppedAttempts(t *testing.T) {
	failed := &transport.Error{Code: status.Internal, Layer: "patient", Reason: "failed"}
	enough := status.Error(status.Canceled, "enough")
	for _, tc := range []struct {
		name string
		play func(w *world, f *patient, call *callstacktest.Call)
		want error // that the filter is told
	}{
		{"the call is cancelled during the pick", func(_ *world, f *patient, call *callstacktest.Call) {
			f.start = func() error {
				call.Do(transport.OpCancelStream, cancelWith(enough))
				return nil
			}
			call.Do(opsUnary)
		}, enough},
		{"a filter fails as the call begins", func(_ *world, f *patient, call *callstacktest.Call) {
			f.start = func() error { return failed }
			call.Do(opsUnary)
		}, failed},
		{"the connection refuses the call", func(w *world, _ *patient, call *callstacktest.Call) {
			call.Do(opsUnary &^ transport.OpRecvTrailingMetadata)
			w.unserve("a:1")
			w.refuse(0)
			call.Do(transport.OpCancelStream, cancelWith(enough))
		}, errTakenBack},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				f := &patient{start: func() error { return nil }}
				w := newWorld(t, func(cfg *Config) {
					cfg.NewStack = func(tr transport.Transport, _ string) (*callstack.ChannelStack, error) {
						b := callstack.NewBuilder("CLIENT_SUBCHANNEL")
						b.Add(f)
						b.Add(connectedFilter{}).Terminal()
						return b.Build(callstack.ChannelArgs{Transport: tr})
					}
				})
				w.holdSends = true
				w.serve("a:1", nil)
				w.resolve("a:1")
				call := w.begin(callstack.CallArgs{})
				tc.play(w, f, call)
				call.Unref()
				synctest.Wait()
				if call.Recycled() != 1 || f.held.Load() != 0 || f.cancel != tc.want {
					t.Errorf("the call was recycled %d times, and the filter holds %d, told %v", call.Recycled(), f.held.Load(), f.cancel)
				}
				w.close()
				synctest.Wait()
				if got := f.destroyed.Load(); got != 1 {
					t.Errorf("%d stacks were destroyed, want 1", got)
				}
			})
		})
	}
}

// A keeping filter keeps recv_message until the call is cancelled.
type keeping struct{}

func (keeping) Name() string { return "keeping" }

func (keeping) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &keepingChannel{callstack.ChannelBase{Next: next}}, nil
}

type keepingChannel struct{ callstack.ChannelBase }

func (*keepingChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &keepingCall{CallBase: callstack.CallBase{Next: next}}
}

type keepingCall struct {
	callstack.CallBase
	kept *transport.StreamOpBatch
}

func (c *keepingCall) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops == transport.OpRecvMessage {
		c.kept = b
		return
	}
	c.Next.StartBatch(b)
	if kept := c.kept; b.Ops.Has(transport.OpCancelStream) && kept != nil {
		c.kept = nil
		c.Next.StartBatch(kept)
	}
}

// TestCancelWhileTakenBack: a filter of a connection that has refused a call may keep
// one of its operations until it is cancelled. The call does not wait for that for ever.
func TestCancelWhileTakenBack(t *testing.T) {
	for _, tc := range []struct {
		name string
		args callstack.CallArgs
		want status.Code
	}{
		{"by the application", callstack.CallArgs{}, status.Canceled},
		{"at the deadline", callstack.CallArgs{Deadline: time.Now().Add(24 * time.Hour * 36500)}, status.DeadlineExceeded},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				w := newWorld(t, func(cfg *Config) {
					cfg.NewStack = func(tr transport.Transport, _ string) (*callstack.ChannelStack, error) {
						b := callstack.NewBuilder("CLIENT_SUBCHANNEL")
						b.Add(keeping{})
						b.Add(connectedFilter{}).Terminal()
						return b.Build(callstack.ChannelArgs{Transport: tr})
					}
				})
				w.holdSends = true
				w.onBatch = func(s *callstacktest.Stream, b *transport.StreamOpBatch) {
					if b.Ops == transport.OpRecvMessage { // the stream has ended, and it ends at once
						s.Message(nil, nil)
					}
				}
				w.serve("a:1", nil)
				w.resolve("a:1")
				if !tc.args.Deadline.IsZero() {
					tc.args.Deadline = time.Now().Add(time.Second)
				}
				call := w.begin(tc.args)
				b := call.Do(opsUnary &^ transport.OpRecvMessage)
				message := call.Do(transport.OpRecvMessage)
				w.refuse(0)
				wantPending(t, b)
				if tc.args.Deadline.IsZero() {
					call.Do(transport.OpCancelStream, cancelWith(status.Error(status.Canceled, "enough")))
				}
				time.Sleep(2 * time.Second)
				wantCode(t, b, tc.want)
				if n := message.GotMessage.Count(); n != 1 || call.Recycled() != 0 {
					t.Errorf("the message ended %d times", n)
				}
				call.Unref()
				if call.Recycled() != 1 {
					t.Error("the block is still referred to")
				}
				w.close()
			})
		})
	}
}
