package balancer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

// A script is a host that writes down what pick_first asks of it. It makes one
// kind of subchannel, which does nothing by itself.
type script struct {
	lines []string
	state State
	w     connectivity.Watcher
}

func (s *script) say(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func (s *script) NewSubchannel(addrs []resolver.Address, w connectivity.Watcher) Subchannel {
	s.say("new %v", addrs)
	s.w = w
	return (*scriptSubchannel)(s)
}

func (s *script) UpdateState(st State) {
	s.state = st
	s.say("state %v", st.Connectivity)
}

func (s *script) RequestReresolution() { s.say("resolve") }
func (s *script) Target() string       { return "test" }

type scriptSubchannel script

func (s *scriptSubchannel) Connect()      { (*script)(s).say("connect") }
func (s *scriptSubchannel) ResetBackoff() { (*script)(s).say("reset backoff") }
func (s *scriptSubchannel) Shutdown()     { (*script)(s).say("shutdown") }
func (s *scriptSubchannel) UpdateAddresses(a []resolver.Address) {
	(*script)(s).say("update %v", a)
}

// take returns what was written since the last time.
func (s *script) take() string {
	out := strings.Join(s.lines, ", ")
	s.lines = nil
	return out
}

var one = Update{Addresses: []resolver.Address{{Addr: "a"}, {Addr: "b"}, {Addr: "a"}}}

func TestPickFirst(t *testing.T) {
	refused := errors.New("refused")
	type step struct {
		do   string
		run  func(b Balancer, s *script)
		want string
		pick PickKind
	}
	told := func(st connectivity.State) func(Balancer, *script) {
		return func(_ Balancer, s *script) {
			var cause error
			if st == connectivity.TransientFailure {
				cause = refused
			}
			s.w.OnState(st, cause)
		}
	}
	update := func(u Update) func(Balancer, *script) { return func(b Balancer, _ *script) { b.Update(u) } }
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"it connects, loses the connection, and connects again when a call comes", []step{
			{"addresses", update(one), "new [a b], connect, state CONNECTING", PickQueue},
			{"connecting", told(connectivity.Connecting), "state CONNECTING", PickQueue},
			{"ready", told(connectivity.Ready), "state READY", PickComplete},
			{"lost", told(connectivity.Idle), "state IDLE, resolve", PickQueue},
			{"after the pick", func(Balancer, *script) {}, "connect", PickQueue},
			{"after the next pick", func(Balancer, *script) {}, "", PickQueue},
		}},
		{"a failure is sticky until an address answers", []step{
			{"addresses", update(one), "new [a b], connect, state CONNECTING", PickQueue},
			{"failed", told(connectivity.TransientFailure), "state TRANSIENT_FAILURE, resolve", PickFail},
			{"the backoff is over", told(connectivity.Idle), "connect", PickFail},
			{"connecting", told(connectivity.Connecting), "", PickFail},
			{"failed again", told(connectivity.TransientFailure), "state TRANSIENT_FAILURE, resolve", PickFail},
			{"ready", told(connectivity.Ready), "state READY", PickComplete},
		}},
		{"an error of the resolver matters only without addresses", []step{
			{"error", update(Update{Err: refused}), "state TRANSIENT_FAILURE", PickFail},
			{"addresses", update(one), "new [a b], connect", PickFail},
			{"ready", told(connectivity.Ready), "state READY", PickComplete},
			{"error", update(Update{Err: refused}), "", PickComplete},
			{"addresses", update(one), "update [a b]", PickComplete},
			{"an empty list", update(Update{}), "shutdown, state TRANSIENT_FAILURE", PickFail},
			{"a late report", told(connectivity.Ready), "", PickFail},
		}},
		{"what the channel asks for goes to the subchannel", []step{
			{"exit idle without addresses", func(b Balancer, _ *script) { b.ExitIdle(); b.ResetBackoff() }, "", PickQueue},
			{"addresses", update(one), "new [a b], connect, state CONNECTING", PickQueue},
			{"ready", told(connectivity.Ready), "state READY", PickComplete},
			{"exit idle", func(b Balancer, _ *script) { b.ExitIdle() }, "", PickComplete},
			{"reset", func(b Balancer, _ *script) { b.ResetBackoff() }, "reset backoff", PickComplete},
			{"lost", func(b Balancer, s *script) { s.w.OnState(connectivity.Idle, nil); b.ExitIdle() }, "state IDLE, resolve, connect", PickQueue},
			{"close", func(b Balancer, _ *script) { b.Close() }, "connect, shutdown", PickQueue},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &script{}
			b := PickFirst{}.Build(s)
			for _, st := range tc.steps {
				st.run(b, s)
				if got := s.take(); got != st.want {
					t.Fatalf("%s: %q, want %q", st.do, got, st.want)
				}
				if s.state.Picker == nil {
					continue
				}
				if got := s.state.Picker.Pick(PickInfo{}); got.Kind != st.pick {
					t.Fatalf("%s: a pick ends with %d, want %d", st.do, got.Kind, st.pick)
				}
			}
		})
	}
}

func TestPickFirstNamesTheCause(t *testing.T) {
	s := &script{}
	b := PickFirst{}.Build(s)
	refused := errors.New("refused")
	b.Update(one)
	s.w.OnState(connectivity.TransientFailure, refused)
	want := "failed to connect to all addresses; last error: refused"
	if got := s.state.Err; !errors.Is(got, refused) || got.Error() != want {
		t.Errorf("error %q, want %q", got, want)
	}
	b.Update(Update{Note: "scaled to 0"})
	if got := s.state.Err.Error(); !strings.Contains(got, "scaled to 0") {
		t.Errorf("error %q lacks the note", got)
	}
	if got := (PickFirst{}).Name(); got != "pick_first" {
		t.Errorf("name %q", got)
	}
}

func TestPickResults(t *testing.T) {
	err := errors.New("x")
	got := []PickResult{Queue(), Complete(nil), Fail(err), Drop(err)}
	want := []PickResult{{Kind: PickQueue}, {Kind: PickComplete}, {Kind: PickFail, Err: err}, {Kind: PickDrop, Err: err}}
	if !slices.Equal(got, want) {
		t.Errorf("results %v, want %v", got, want)
	}
}
