package lame_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/lame"
)

var broken = status.New(status.Unavailable, "target \"x:y:z\" has too many colons")

func build(t testing.TB, st *status.Status) *callstack.ChannelStack {
	t.Helper()
	b := callstack.NewBuilder("LAME")
	b.Add(lame.New(st)).Terminal()
	s, err := b.Build(callstack.ChannelArgs{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEveryOperationFails(t *testing.T) {
	c := callstacktest.NewCall(build(t, broken))
	if err := c.Begin(callstacktest.Client.Args()); err != nil {
		t.Fatal(err)
	}
	defer c.Unref()
	var sent, received transport.PeerSlot
	b := c.Do(transport.OpsSend|transport.OpsRecv, func(b *callstacktest.Batch) {
		b.SendInitialMetadata.Peer, b.RecvInitialMetadata.Peer = &sent, &received
	})
	if s, r := sent.Load().String(), received.Load().String(); s != "lame" || r != "lame" {
		t.Errorf("the peer is %q and %q, want lame", s, r)
	}
	if got, want := b.Order(), []string{"headers", "message", "trailers", "sent"}; !slices.Equal(got, want) {
		t.Errorf("callbacks ran in the order %v, want %v", got, want)
	}
	for name, err := range map[string]error{"sent": b.Sent.Err(), "headers": b.GotHeaders.Err(), "message": b.GotMessage.Err()} {
		if status.CodeOf(err) != status.Unavailable || !strings.Contains(err.Error(), broken.Message()) {
			t.Errorf("%s ended with %v, want UNAVAILABLE with %q", name, err, broken.Message())
		}
		if transport.ProgressOf(err) != transport.ProgressNotSent {
			t.Errorf("%s ended with progress %v, want ProgressNotSent", name, transport.ProgressOf(err))
		}
	}
	md := &b.RecvTrailers
	if err := b.GotTrailers.Err(); err != nil || !md.HasStatus || md.Status != uint32(broken.Code()) || md.Message != broken.Message() {
		t.Errorf("trailers ended with %v and status %d %q, want those of the channel", err, md.Status, md.Message)
	}
	if b.SendMessage.Buf != nil {
		t.Error("the message was not released")
	}
}

// watcher takes note of states and of the ends of pings.
type watcher struct {
	states []connectivity.State
	errs   []error
}

func (w *watcher) OnState(s connectivity.State, cause error) {
	w.states = append(w.states, s)
	w.errs = append(w.errs, cause)
}

func (w *watcher) Run(err error) { w.errs = append(w.errs, err) }

func TestTransportOps(t *testing.T) {
	s := build(t, broken)
	defer s.Destroy()
	w := &watcher{}
	s.StartTransportOp(&transport.Op{Ping: &transport.Ping{OnInitiate: w, OnAck: w}, StartWatch: w})
	if !slices.Equal(w.states, []connectivity.State{connectivity.TransientFailure}) {
		t.Errorf("the watcher was told %v, want TRANSIENT_FAILURE", w.states)
	}
	if len(w.errs) != 3 || slices.Contains(w.errs, nil) {
		t.Errorf("two pings and a watch ended with %v, want three errors", w.errs)
	}
}

// nested is a callback that starts another batch.
type nested struct {
	call  *callstacktest.Call
	inner *callstacktest.Batch
	ran   int // callbacks of inner that ran within this one
}

func (n *nested) Run(error) {
	n.inner = n.call.Do(transport.OpRecvMessage)
	n.ran = n.inner.GotMessage.Count()
}

// TestCallbacksDoNotNest starts a batch from a callback.
func TestCallbacksDoNotNest(t *testing.T) {
	c := callstacktest.NewCall(build(t, broken))
	if err := c.Begin(callstacktest.Client.Args()); err != nil {
		t.Fatal(err)
	}
	defer c.Unref()
	n := &nested{call: c}
	outer := c.Do(transport.OpRecvInitialMetadata|transport.OpRecvTrailingMetadata, func(b *callstacktest.Batch) {
		b.RecvInitialMetadata.Ready = n
	})
	if n.ran != 0 || n.inner.GotMessage.Count() != 1 {
		t.Errorf("of the inner batch %d callbacks ran within the outer and %d in all, want 0 and 1", n.ran, n.inner.GotMessage.Count())
	}
	if outer.GotTrailers.Count() != 1 {
		t.Error("the outer batch did not end")
	}
}

// TestCallbacksTakeTurns starts batches at the same time.
func TestCallbacksTakeTurns(t *testing.T) {
	c := callstacktest.NewCall(build(t, broken))
	if err := c.Begin(callstacktest.Client.Args()); err != nil {
		t.Fatal(err)
	}
	turn := &turn{t: t}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				b := &transport.StreamOpBatch{Ops: transport.OpRecvMessage}
				b.RecvMessage.Ready = turn
				c.Stack.StartBatch(b)
			}
		})
	}
	wg.Wait()
	if turn.n != 800 {
		t.Errorf("%d callbacks ran, want 800", turn.n)
	}
	c.Unref()
}

// turn is a callback that fails the test if two run at once, also by the race
// detector, since n has no lock.
type turn struct {
	t  *testing.T
	mu sync.Mutex
	n  int
}

func (u *turn) Run(error) {
	if !u.mu.TryLock() {
		u.t.Error("two callbacks of a call ran at the same time")
		return
	}
	u.n++
	u.mu.Unlock()
}

func TestBuildErrors(t *testing.T) {
	for name, st := range map[string]*status.Status{"OK": status.New(status.OK, ""), "nil": nil} {
		b := callstack.NewBuilder("LAME")
		b.Add(lame.New(st)).Terminal()
		if _, err := b.Build(callstack.ChannelArgs{}); err == nil || !strings.Contains(err.Error(), `LAME: filter "lame": the status`) {
			t.Errorf("Build with status %s failed with %v, want an error about the status", name, err)
		}
	}
	if _, err := lame.New(broken).NewChannel(&callstack.ChannelArgs{}, &next{}); err == nil {
		t.Error("NewChannel above another element succeeded")
	}
}

// next is an element that stands below.
type next struct{ callstack.ChannelBase }

func (*next) NewCall(callstack.CallElem) callstack.CallElem { return nil }
