package callstack_test

import (
	"slices"
	"testing"

	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// A stopper is a filter with something to stop, and perhaps a wrong way to do it.
type stopper struct {
	named
	stop func()
}

func (f stopper) NewChannel(args *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	e, err := f.named.NewChannel(args, next)
	return stopperChannel{e, f.stop}, err
}

type stopperChannel struct {
	callstack.ChannelElem
	stop func()
}

func (ch stopperChannel) Stop() { ch.stop() }

// TestStop: who has something to stop is told, from the top, contained or not. The
// panic of one does not keep the others from it.
func TestStop(t *testing.T) {
	var log []string
	note := func(name string) func() { return func() { log = append(log, name) } }
	b := callstack.NewBuilder("TEST")
	b.Add(stopper{named{name: "a", log: &log}, note("stop a")}).Contained()
	b.Add(named{name: "b", log: &log}).Contained()
	b.Add(stopper{named{name: "c", log: &log}, func() { panic("boom") }}).Contained()
	b.Add(stopper{named{name: "d", log: &log}, note("stop d")})
	b.Add(named{name: "e", log: &log}).Terminal()
	s, err := b.Build(callstack.ChannelArgs{})
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if want := []string{"stop a", "stop d"}; !slices.Equal(log, want) {
		t.Errorf("the filters saw %q, want %q", log, want)
	}
}
