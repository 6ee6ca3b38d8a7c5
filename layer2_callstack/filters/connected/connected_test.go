package connected_test

import (
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
)

func TestBuild(t *testing.T) {
	for _, tc := range []struct {
		name  string
		t     transport.Transport
		above bool
		want  string
	}{
		{"the bottom of a stack with a transport", &callstacktest.Transport{}, false, ""},
		{"a stack without a transport", nil, false, `callstack: TEST: filter "connected": the stack was built without a transport`},
		{"above another filter", &callstacktest.Transport{}, true, `callstack: TEST: filter "connected": stands above another filter`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := callstack.NewBuilder("TEST")
			if r := b.Add(connected.New()); tc.above {
				b.Add(end{}).Terminal().After(connected.Name)
			} else {
				r.Terminal()
			}
			_, err := b.Build(callstack.ChannelArgs{Transport: tc.t})
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Build failed with %v, want %q", err, tc.want)
			}
		})
	}
}

// TestStreamIsKept shows that a block's stream is made once and told of each call.
func TestStreamIsKept(t *testing.T) {
	tr := &callstacktest.Transport{}
	c := callstacktest.NewCall(callstacktest.Build(t, tr))
	for range 3 {
		if err := c.Begin(callstacktest.Client.Args()); err != nil {
			t.Fatal(err)
		}
		c.Do(transport.OpSendInitialMetadata)
		if got := len(tr.Streams()[0].Batches()); got != 1 {
			t.Errorf("the stream saw %d batches of this call, want 1", got)
		}
		c.Unref()
	}
	if got := len(tr.Streams()); got != 1 {
		t.Errorf("%d streams were made for one block, want 1", got)
	}
}

// end is a terminal filter of its own name.
type end struct{}

func (end) Name() string { return "end" }

func (end) NewChannel(*callstack.ChannelArgs, callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &endChannel{}, nil
}

type endChannel struct{ callstack.ChannelBase }

func (*endChannel) NewCall(callstack.CallElem) callstack.CallElem { return &callstack.CallBase{} }
