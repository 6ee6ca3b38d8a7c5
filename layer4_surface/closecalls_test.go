package surface

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// A keeper is a filter that keeps operations of its calls, each with the batch that
// it comes in, and never gives them back by itself.
type keeper struct {
	ops  transport.OpSet
	good bool   // it keeps them after a cancel as well
	init func() // if not nil, runs when a call begins
}

func (k keeper) filter() callstack.Filter {
	return callstack.NewFilter("keeper", func(next callstack.CallElem) callstack.CallElem {
		return &keeperCall{CallBase: callstack.CallBase{Next: next}, keeper: k}
	})
}

func (k keeper) extra(after ...string) stacks.Extra {
	return stacks.Extra{Filter: k.filter(), After: after}
}

type keeperCall struct {
	callstack.CallBase
	keeper
	args *callstack.CallArgs
	hold callstack.Hold
}

func (k *keeperCall) Init(args *callstack.CallArgs) error {
	if k.args = args; k.init != nil {
		k.init()
	}
	return nil
}

func (k *keeperCall) Reset() { k.hold.Reset() }

func (k *keeperCall) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops&k.ops != 0 {
		if k.good {
			return
		}
		k.hold.Close()
	}
	k.hold.StartBatch(k.Next, k.args, b)
}

// allOps is what a keeper of everything keeps.
const allOps = transport.OpsSend | transport.OpRecvInitialMetadata | transport.OpRecvMessage | transport.OpRecvTrailingMetadata

// waitingForContext is a source of tokens that has none until its context ends.
type waitingForContext struct{}

func (waitingForContext) RequireTransportSecurity() bool { return false }
func (waitingForContext) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// keeperPlaces are the channels, and the places in them, for a filter that keeps
// what it is given.
var keeperPlaces = []struct {
	name    string
	channel func(t *testing.T, x stacks.Extra) *Channel
}{
	{"inproc", func(t *testing.T, x stacks.Extra) *Channel {
		e := newEchoServer(t)
		t.Cleanup(e.server.Close)
		return connectBy(t, e.server, "inproc", WithFilter(x), WithLogger(quietLogger()))
	}},
	{"http2", func(t *testing.T, x stacks.Extra) *Channel {
		e := newEchoServer(t)
		t.Cleanup(e.server.Close)
		return connectBy(t, e.server, "http2", WithFilter(x))
	}},
	{"http2, above client_channel", func(t *testing.T, x stacks.Extra) *Channel {
		e := newEchoServer(t)
		t.Cleanup(e.server.Close)
		return connectBy(t, e.server, "http2", WithChannelFilter(x))
	}},
	{"without a connection", func(t *testing.T, x stacks.Extra) *Channel {
		b := newSwitchboard(t)
		b.set(hangs)
		return b.channel(WithChannelFilter(x))
	}},
	{"without a name", func(t *testing.T, x stacks.Extra) *Channel {
		return newSwitchboard(t).channel(WithResolvers(silentResolver{}), WithChannelFilter(x))
	}},
	{"lame", func(t *testing.T, x stacks.Extra) *Channel {
		b := stacks.Lame(status.New(status.Unavailable, "lame"))
		b.Add(x.Filter).Contained()
		cfg, err1 := newChannelConfig([]ChannelOption{WithLogger(quietLogger())})
		ch, err2 := newChannel("lame", b, cfg, new(stateTracker), nil)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		return ch
	}},
}

// TestCloseEndsKeptCalls: a filter that keeps what it is given hears of the end of
// the channel, and what it does not give back then is taken from it.
func TestCloseEndsKeptCalls(t *testing.T) {
	for _, place := range keeperPlaces {
		for _, tc := range []struct {
			name   string
			keeper keeper
			call   CallParams
			shut   bool // the queue shuts down before the channel
			code   status.Code
			text   string
			after  time.Duration
		}{
			{"held", keeper{ops: allOps}, CallParams{}, true, status.Canceled, channelClosed, 0},
			{"held from the message on", keeper{ops: transport.OpSendMessage}, CallParams{WaitForReady: true}, false, status.Canceled, channelClosed, 0},
			{"kept for good", keeper{ops: allOps, good: true}, CallParams{}, true, status.Internal, `filter "keeper" kept `, time.Second},
			{"its message kept for good", keeper{ops: transport.OpRecvMessage, good: true}, CallParams{WaitForReady: true},
				false, status.Internal, `filter "keeper" kept send_message recv_message `, time.Second},
			{"waiting for a token", keeper{}, CallParams{WaitForReady: true, Credentials: waitingForContext{}}, false, status.Canceled, channelClosed, 0},
		} {
			if place.name == "lame" && (tc.keeper.ops != allOps || !tc.keeper.good) {
				continue // which ends its calls as it always does
			}
			t.Run(place.name+"/"+tc.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ch := place.channel(t, tc.keeper.extra())
					q := newQueue(t)
					p := tc.call
					p.Method, p.Queue = "/echo/Echo", q
					c, err := ch.CreateCall(p)
					if err != nil {
						t.Fatal(err)
					}
					var st clientState
					if e := c.StartBatch([]Op{opSendHeaders(), st.opHeaders(), st.opStatus()}, "call"); e != CallOK {
						t.Fatal(e)
					}
					if e := c.StartBatch([]Op{opSend("x"), st.opMessage()}, "messages"); e != CallOK {
						t.Fatal(e)
					}
					time.Sleep(time.Hour)
					wantNoEvent(t, q)
					if tc.shut {
						q.Shutdown()
					}
					start := time.Now()
					ch.Close()
					if d := time.Since(start); d != 0 {
						t.Errorf("Close took %v", d)
					}
					for range 2 {
						if ev := q.Next(start.Add(time.Hour)); ev.Success != (ev.Tag == "call") {
							t.Errorf("the event of %v has success=%t", ev.Tag, ev.Success)
						}
					}
					if d := time.Since(start); d != tc.after {
						t.Errorf("the call ended %v after Close, want %v", d, tc.after)
					}
					if st.status.Code != tc.code || !strings.HasPrefix(strings.TrimPrefix(st.status.Message, "callstack: "), tc.text) {
						t.Errorf("status = %v %q, want %v %q", st.status.Code, st.status.Message, tc.code, tc.text)
					}
					c.Release()
				})
			})
		}
	}
}

// TestBatchAfterClose: a call that begins after the end of its channel does not wait
// for the filter that keeps it either.
func TestBatchAfterClose(t *testing.T) {
	for _, good := range []bool{false, true} {
		t.Run(fmt.Sprintf("for good %t", good), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := inproc.Pair(inproc.Config{})
				defer server.Close()
				ch, err := NewDirectChannel(client, WithLogger(quietLogger()), WithFilter(keeper{ops: allOps, good: good}.extra()))
				if err != nil {
					t.Fatal(err)
				}
				c, err := ch.CreateCall(CallParams{Method: "/echo/Echo"})
				if err != nil {
					t.Fatal(err)
				}
				ch.Close()
				start := time.Now()
				var st clientState
				c.StartBatch([]Op{opSendHeaders(), st.opStatus()}, "call")
				c.Pluck("call", nil)
				want, after := status.Canceled, time.Duration(0)
				if good {
					want, after = status.Internal, time.Second
				}
				if st.status.Code != want || time.Since(start) != after {
					t.Errorf("status = %v %q after %v, want %v after %v", st.status.Code, st.status.Message, time.Since(start), want, after)
				}
				c.Release()
			})
		})
	}
}

// TestCloseWhileACallIsCreated: Close leaves a call alone that is not whole yet; who
// creates it finds the channel closed.
func TestCloseWhileACallIsCreated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, goOn := make(chan bool), make(chan bool)
		k := keeper{ops: allOps, init: func() { begun <- true; <-goOn }}
		client, server := inproc.Pair(inproc.Config{})
		defer server.Close()
		ch, err := NewDirectChannel(client, WithFilter(k.extra()))
		if err != nil {
			t.Fatal(err)
		}
		created := make(chan error)
		go func() {
			_, err := ch.CreateCall(CallParams{Method: "/echo/Echo"})
			created <- err
		}()
		<-begun
		ch.Close()
		close(goOn)
		if err := <-created; status.CodeOf(err) != status.Canceled {
			t.Errorf("CreateCall = %v, want CANCELLED", err)
		}
	})
}

// TestTraceOfClose: the cancel of each call comes of the end of the channel.
func TestTraceOfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := trace.NewRecorder(trace.LevelEvents)
		ch := newMemChannel(t, nil, WithResolvers(silentResolver{}), WithTrace(rec.Endpoint("client", "")))
		var st [2]clientState
		var calls [2]Call
		for i := range calls {
			calls[i], _ = ch.CreateCall(CallParams{Method: "/a/b", WaitForReady: true})
			calls[i].StartBatch([]Op{opSendHeaders(), st[i].opStatus()}, "call")
		}
		ch.Close()
		var end trace.EventID
		cancels := 0
		for _, e := range rec.Events() {
			switch e.Op {
			case "channel.close":
				end = e.ID
			case "call.cancel":
				if cancels++; e.Cause != end || end == 0 {
					t.Errorf("call %d was cancelled because of event %d, want %d", e.Call, e.Cause, end)
				}
			}
		}
		if cancels != 2 {
			t.Errorf("%d calls were cancelled, want 2", cancels)
		}
		for _, c := range calls {
			c.Pluck("call", nil)
			c.Release()
		}
	})
}
