package clientchannel

import (
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// TestServersThatLeave: connections that end before a call has begun on them are made
// again at once only so often, and ever more slowly then; those of use always are.
func TestServersThatLeave(t *testing.T) {
	left := &transport.Error{Code: status.Unavailable, Layer: "fake", Reason: "GOAWAY", HTTP2: status.HTTP2NoError, HasHTTP2: true}
	for _, tc := range []struct {
		name string
		used bool
		want []time.Duration // between the connections that were waited for
	}{
		{"before any call", false, []time.Duration{time.Second, 1600 * time.Millisecond, 2560 * time.Millisecond}},
		{"after a call", true, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				w := newWorld(t).answering()
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
					if tc.used {
						call := w.begin(callstack.CallArgs{})
						wantCode(t, call.Do(opsUnary), status.OK)
						call.Unref()
					}
					w.transport(i).tell(connectivity.Idle, left)
					w.transport(i).tell(connectivity.Shutdown, left)
					synctest.Wait()
				}
				var waits []time.Duration
				for i, d := range w.dialed()[1:] {
					if wait := d.at - w.dialed()[i].at; wait > 100*time.Millisecond {
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

// TestDeadlineOfAnAttempt: the channel watches it, and says so to the filters of
// connections.
func TestDeadlineOfAnAttempt(t *testing.T) {
	run(t, func(t *testing.T) {
		var watched []bool
		f := callstack.NewFilter("args", func(next callstack.CallElem) callstack.CallElem {
			return &argsCall{callstack.CallBase{Next: next}, &watched}
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
		call := w.begin(callstack.CallArgs{Deadline: time.Now().Add(time.Hour)})
		wantCode(t, call.Do(opsUnary), status.OK)
		call.Unref()
		if len(watched) != 1 || !watched[0] {
			t.Errorf("DeadlineWatched of the attempts is %v, want one that is", watched)
		}
		w.close()
	})
}

type argsCall struct {
	callstack.CallBase
	watched *[]bool
}

func (c *argsCall) Init(args *callstack.CallArgs) error {
	*c.watched = append(*c.watched, args.DeadlineWatched)
	return nil
}
