package clientchannel

import (
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// TestServersThatLeave: connections that end before a call has begun on them are made
// again at once only so often, and ever more slowly then; those of use always are.
func TestServersThatLeave(t *testing.T) {
	left := &transport.Error{Code: status.Unavailable, Layer: "fake", Reason: "GOAWAY", HTTP2: status.HTTP2NoError, HasHTTP2: true}
	use := func(w *world) {
		call := w.begin(callstack.CallArgs{})
		wantCode(w.t, call.Do(opsUnary), status.OK)
		call.Unref()
	}
	var open []*callstacktest.Call
	for _, tc := range []struct {
		name   string
		before func(w *world, i int) // the loss of connection i
		lived  time.Duration         // each connection
		want   []time.Duration       // between the connections that were waited for
	}{
		{"before any call", func(*world, int) {}, 0, []time.Duration{time.Second, 1600 * time.Millisecond, 2560 * time.Millisecond}},
		{"after a call", func(w *world, _ int) { use(w) }, 0, nil},
		{"after a call now and then", func(w *world, i int) {
			if i == 7 {
				use(w)
			}
		}, 0, nil},
		{"when the first backoff would have been over", func(*world, int) { <-time.After(time.Second + 1) }, time.Second, nil},
		{"while calls on those before them come to something", func(w *world, i int) {
			if i > 0 {
				streams := w.transport(i - 1).Streams()
				endStream(streams[0], nil)
			}
			call := w.begin(callstack.CallArgs{})
			call.Do(transport.OpSendInitialMetadata | transport.OpRecvTrailingMetadata)
			open = append(open, call)
		}, 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				w := newWorld(t).answering()
				w.holdSends = true
				w.serve("a:1", nil)
				w.resolve("a:1")
				for i := range 14 {
					for w.ch.State(true) != connectivity.Ready {
						time.Sleep(10 * time.Millisecond)
						synctest.Wait()
						if w.ch.State(false) == connectivity.Idle {
							w.ch.State(true)
						}
					}
					tc.before(w, i)
					w.transport(i).tell(connectivity.Idle, left)
					synctest.Wait()
				}
				for i := range 14 {
					w.transport(i).tell(connectivity.Shutdown, left)
				}
				synctest.Wait()
				for _, call := range open {
					call.Unref()
				}
				open = nil
				var waits []time.Duration
				for i, d := range w.dialed()[1:] {
					if wait := d.at - w.dialed()[i].at - tc.lived; wait > 100*time.Millisecond {
						waits = append(waits, wait)
					}
				}
				if len(waits) != len(tc.want) {
					t.Fatalf("the waits between connections are %v, want %v", waits, tc.want)
				}
				for i, want := range tc.want {
					if waits[i].Round(100*time.Millisecond) != want.Round(100*time.Millisecond) {
						t.Errorf("the waits between connections are %v, want %v", waits, tc.want)
					}
				}
				w.close()
			})
		})
	}
}

// TestTimerAfterACancel: a call that is cancelled without having asked for its end
// does not keep its block until the deadline.
func TestTimerAfterACancel(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		call := w.begin(callstack.CallArgs{Deadline: time.Now().Add(time.Hour)})
		call.Do(transport.OpCancelStream, cancelWith(status.Error(status.Canceled, "enough")))
		call.Unref()
		synctest.Wait()
		if call.Recycled() != 1 {
			t.Error("the timer still refers to the block")
		}
		w.close()
	})
}

// TestArgsOfAnAttempt: the filters of connections are told all of the call, and that the
// channel watches its deadline.
func TestArgsOfAnAttempt(t *testing.T) {
	run(t, func(t *testing.T) {
		var seen []callstack.CallArgs
		f := callstack.NewFilter("args", func(next callstack.CallElem) callstack.CallElem {
			return &argsCall{callstack.CallBase{Next: next}, &seen}
		})
		w := newWorld(t, func(cfg *Config) {
			cfg.NewStack = func(tr transport.Transport, _ string) (*callstack.ChannelStack, error) {
				b := callstack.NewBuilder("CLIENT_SUBCHANNEL")
				b.Add(f)
				b.Add(connectedFilter{}).Terminal()
				return b.Build(callstack.ChannelArgs{Transport: tr})
			}
		}).answering()
		w.serve("a:1", nil)
		w.resolve("a:1")
		call := w.begin(callstack.CallArgs{Authority: "host", CallID: 7, Deadline: time.Now().Add(time.Hour)})
		wantCode(t, call.Do(opsUnary), status.OK)
		want := call.Stack.Args
		call.Unref()
		if len(seen) != 1 || !seen[0].DeadlineWatched {
			t.Fatalf("the attempts began with %+v, want one whose deadline is watched", seen)
		}
		want.Owner, want.Top, want.DeadlineWatched = seen[0].Owner, seen[0].Top, true
		if seen[0] != want {
			t.Errorf("the attempt began with %+v, want all that the call did: %+v", seen[0], want)
		}
		w.close()
	})
}

type argsCall struct {
	callstack.CallBase
	seen *[]callstack.CallArgs
}

func (c *argsCall) Init(args *callstack.CallArgs) error {
	*c.seen = append(*c.seen, *args)
	return nil
}
