package surface

import (
	"testing"

	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// initHook runs f when a call's elements are initialised.
type initHook struct{ f func() }

func (initHook) Name() string { return "init_hook" }
func (h initHook) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &hookChannel{callstack.ChannelBase{Next: next}, h.f}, nil
}

type hookChannel struct {
	callstack.ChannelBase
	f func()
}

func (h *hookChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &hookCall{callstack.CallBase{Next: next}, h.f}
}

type hookCall struct {
	callstack.CallBase
	f func()
}

func (h *hookCall) Init(*callstack.CallArgs) error { h.f(); return nil }

// TestParentEndsDuringCreate: the parent of a call ends while the call is made.
func TestParentEndsDuringCreate(t *testing.T) {
	f := newFixture(t)
	req := f.request("req")
	var st clientState
	pc := f.call(CallParams{})
	f.start(pc, "all", opSendHeaders(), st.opStatus())
	f.expect(f.scq, "req", true)
	var cancelled bool
	f.start(req.Call, "rcos", opCancelled(&cancelled))
	end := func() {
		pc.Cancel()
		f.expect(f.scq, "rcos", true)
		for req.Call.c.state.Load()&stateEnded == 0 {
		}
		// the rest of serverEnd: endChildren
		for req.Call.Valid() {
			f.cq.TryNext()
			req.Call.Release()
		}
	}
	s, q := newFixtureServer(t)
	child := connectFixture(t, s, q, WithFilter(stacks.Extra{Filter: initHook{end}, After: []string{"deadline"}}))
	k := child.call(CallParams{Parent: req.Call, Propagate: PropagateDefaults})
	k.Release()
	pc.Release()
}
