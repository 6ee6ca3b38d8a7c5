package callstack_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// A starting is a filter that notes what it is called for. With a start its
// elements are starters, which cancel the call at once.
type starting struct {
	name  string
	start bool
	fails error
	log   *[]string
}

func (f *starting) Name() string { return f.name }

func (f *starting) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &startingChannel{callstack.ChannelBase{Next: next}, f}, nil
}

type startingChannel struct {
	callstack.ChannelBase
	f *starting
}

func (ch *startingChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	c := &startingCall{callstack.CallBase{Next: next}, ch.f, nil}
	if ch.f.start {
		return &starter{c}
	}
	return c
}

type startingCall struct {
	callstack.CallBase
	f    *starting
	args *callstack.CallArgs
}

func (c *startingCall) note(what string) { *c.f.log = append(*c.f.log, c.f.name+" "+what) }

func (c *startingCall) Init(args *callstack.CallArgs) error {
	c.args = args
	c.note("init")
	return c.f.fails
}

func (c *startingCall) StartBatch(b *transport.StreamOpBatch) {
	c.note(b.Ops.String())
	c.Next.StartBatch(b)
}

type starter struct{ *startingCall }

func (s *starter) Start() {
	s.note("start")
	callstack.Cancel(s.args.Top, context.Canceled)
}

// TestStart: what an element starts may come back at the top of the stack at once,
// so it does so when all elements are initialised, and only if they could be.
func TestStart(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name  string
		fails error
		want  string
	}{
		{"a call", nil, "c init, b init, a init, c start, a cancel_stream, b cancel_stream, c cancel_stream, b start, a cancel_stream, b cancel_stream, c cancel_stream"},
		{"a call that cannot begin", broken, "c init, b init, a init"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var log []string
			s := callstacktest.Build(t, &callstacktest.Transport{},
				&starting{name: "a", log: &log, fails: tc.fails}, &starting{name: "b", log: &log, start: true}, &starting{name: "c", log: &log, start: true})
			call := callstacktest.NewCall(s)
			for range 2 { // in the same block
				log = nil
				if err := call.Begin(callstack.CallArgs{}); !errors.Is(err, tc.fails) {
					t.Errorf("Init: %v", err)
				}
				if got := strings.Join(log, ", "); got != tc.want {
					t.Errorf("%s\nwant %s", got, tc.want)
				}
				call.Unref()
			}
		})
	}
}
