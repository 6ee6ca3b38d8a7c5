package callstack_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// TestGuardTransportOps: an operation on the connection gets below once, whatever
// the filter makes of it.
func TestGuardTransportOps(t *testing.T) {
	for _, tc := range []struct {
		name string
		op   func(next callstack.ChannelElem, op *transport.Op)
		want string // in the log
	}{
		{"a panic before it is passed on", func(callstack.ChannelElem, *transport.Op) { panic("boom") }, "panicked in StartTransportOp: boom"},
		{"a panic after that", func(next callstack.ChannelElem, op *transport.Op) {
			next.StartTransportOp(op)
			panic("boom")
		}, "panicked in StartTransportOp: boom"},
		{"twice", func(next callstack.ChannelElem, op *transport.Op) {
			next.StartTransportOp(op)
			next.StartTransportOp(op)
		}, "passed on a transport operation twice"},
		{"and nil", func(next callstack.ChannelElem, op *transport.Op) {
			next.StartTransportOp(nil)
			next.StartTransportOp(op)
		}, "passed on a transport operation that is nil"},
		{"and the end of the stack below", func(next callstack.ChannelElem, op *transport.Op) {
			next.Destroy()
			next.StartTransportOp(op)
		}, ""},
		{"as is right", func(next callstack.ChannelElem, op *transport.Op) { next.StartTransportOp(op) }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := &rogue{op: tc.op}
			r := newRig(t, callstacktest.Client, f)
			op := &transport.Op{Goaway: &transport.Goaway{}}
			for n := range 2 * 8 { // the same memory once more is another operation
				r.stack.StartTransportOp(op)
				if got := r.tr.Ops(); len(got) != n+1 || got[n] != op {
					t.Fatalf("the transport got %d operations, want %d", len(got), n+1)
				}
			}
			if log := r.log.String(); (log == "") != (tc.want == "") || !strings.Contains(log, tc.want) {
				t.Errorf("the log has %q, want %q", log, tc.want)
			}
		})
	}
}

// TestGuardTransportOpsOfItsOwn: a filter may use the operation that it has made
// as often as it wants.
func TestGuardTransportOpsOfItsOwn(t *testing.T) {
	own := &transport.Op{EnterIdle: true}
	r := newRig(t, callstacktest.Client, &rogue{op: func(next callstack.ChannelElem, op *transport.Op) {
		next.StartTransportOp(own)
		next.StartTransportOp(op)
	}})
	for range 3 {
		r.stack.StartTransportOp(&transport.Op{Goaway: &transport.Goaway{}})
	}
	if got := r.tr.Ops(); len(got) != 6 || got[2] != own || r.log.Len() != 0 {
		t.Errorf("the transport got %d operations, want 6; the log has %q", len(got), &r.log)
	}
}

// TestGuardTransportOpsThatAreKept: what has to get below for a connection to begin
// and to end gets there, once. A filter may put others in the place of the parts.
func TestGuardTransportOpsThatAreKept(t *testing.T) {
	disconnect := transport.Op{Disconnect: errLost, Ping: &transport.Ping{}}
	all := transport.Op{Accept: noAcceptor{}, Goaway: &transport.Goaway{}, Disconnect: errLost, StartWatch: noWatcher{}, StopWatch: noWatcher{}}
	for _, tc := range []struct {
		name  string
		op    func(next callstack.ChannelElem, op *transport.Op)
		given transport.Op
		want  []transport.Op // without a ping that the filter keeps
		fault string
	}{
		{"a deaf filter", func(callstack.ChannelElem, *transport.Op) {}, disconnect,
			[]transport.Op{{Disconnect: errLost}}, "did not pass on Disconnect"},
		{"deaf, with a ping alone", func(callstack.ChannelElem, *transport.Op) {}, transport.Op{Ping: disconnect.Ping}, nil, ""},
		{"a part is taken out", func(next callstack.ChannelElem, op *transport.Op) {
			op.Disconnect = nil
			next.StartTransportOp(op)
		}, disconnect, []transport.Op{{Ping: disconnect.Ping}, {Disconnect: errLost}}, "did not pass on Disconnect"},
		{"a part is another", func(next callstack.ChannelElem, op *transport.Op) {
			op.Disconnect = errCancel
			next.StartTransportOp(op)
		}, disconnect, []transport.Op{{Disconnect: errCancel, Ping: disconnect.Ping}}, ""},
		{"another in its place", func(next callstack.ChannelElem, _ *transport.Op) {
			next.StartTransportOp(&transport.Op{Disconnect: errCancel})
		}, disconnect, []transport.Op{{Disconnect: errCancel}}, ""},
		{"all that has to get below", func(callstack.ChannelElem, *transport.Op) {}, all, []transport.Op{all},
			"did not pass on Accept Goaway Disconnect StartWatch StopWatch"},
		{"a panic with a part taken out", func(next callstack.ChannelElem, op *transport.Op) {
			op.Disconnect = nil
			panic("boom")
		}, disconnect, []transport.Op{{Ping: disconnect.Ping}, {Disconnect: errLost}}, "panicked in StartTransportOp: boom"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, callstacktest.Server, &rogue{op: tc.op})
			op := tc.given
			r.stack.StartTransportOp(&op)
			var got []transport.Op
			for _, op := range r.tr.Ops() {
				got = append(got, *op)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("the transport got %+v, want %+v", got, tc.want)
			}
			if log := r.log.String(); (log == "") != (tc.fault == "") || !strings.Contains(log, tc.fault+`"`) && tc.fault != "" {
				t.Errorf("the log has %q, want %q", log, tc.fault)
			}
		})
	}
}

type noAcceptor struct{ transport.Acceptor }

type noWatcher struct{}

func (noWatcher) OnState(connectivity.State, error) {}

// TestGuardTransportOpsPassedOnLate: what the guard has passed on, for the filter or by
// it, does not get below again when others have come since.
func TestGuardTransportOpsPassedOnLate(t *testing.T) {
	for _, tc := range []struct {
		name string
		deaf bool
		want string // in the log
	}{
		{"by a filter that had kept it", true, "did not pass on Goaway"},
		{"by one that had passed it on", false, "passed on a transport operation twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var first *transport.Op
			r := newRig(t, callstacktest.Client, &rogue{op: func(next callstack.ChannelElem, op *transport.Op) {
				if first == nil {
					first = op
					if !tc.deaf {
						next.StartTransportOp(op)
					}
					return
				}
				next.StartTransportOp(op)
				next.StartTransportOp(first)
			}})
			for range 2 {
				r.stack.StartTransportOp(&transport.Op{Goaway: &transport.Goaway{}})
			}
			if got := len(r.tr.Ops()); got != 2 || !strings.Contains(r.log.String(), tc.want) {
				t.Errorf("the transport got %d operations, want 2; the log has %q, want %q", got, &r.log, tc.want)
			}
		})
	}
}

// TestGuardTransportOpsAtOnce: they may come at the same time. It is for the race
// detector.
func TestGuardTransportOpsAtOnce(t *testing.T) {
	r := newRig(t, callstacktest.Server, &rogue{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				r.stack.StartTransportOp(&transport.Op{Goaway: &transport.Goaway{}})
			}
		})
	}
	wg.Wait()
	if got := len(r.tr.Ops()); got != 200 || r.log.Len() != 0 {
		t.Errorf("the transport got %d operations, want 200; the log has %q", got, &r.log)
	}
}
