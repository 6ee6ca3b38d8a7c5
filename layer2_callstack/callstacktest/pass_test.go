package callstacktest_test

import callstack "github.com/strata-grpc/strata/layer2_callstack"

// pass is a filter that passes everything on.
type pass struct{}

func (pass) Name() string { return "pass" }

func (pass) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &passChannel{callstack.ChannelBase{Next: next}}, nil
}

type passChannel struct{ callstack.ChannelBase }

func (*passChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &callstack.CallBase{Next: next}
}
