package stubs_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// A keepingCall keeps the messages of its call, and what comes with them: in a hold
// that nobody opens, or for good.
type keepingCall struct {
	callstack.CallBase
	args *callstack.CallArgs
	hold callstack.Hold
	good bool
}

func keeping(good bool) stubs.ExtraFilter {
	return stubs.ExtraFilter{Filter: callstack.NewFilter("keeping", func(next callstack.CallElem) callstack.CallElem {
		return &keepingCall{CallBase: callstack.CallBase{Next: next}, good: good}
	})}
}

func (c *keepingCall) Init(args *callstack.CallArgs) error {
	c.args = args
	return nil
}

func (c *keepingCall) Reset() { c.hold.Reset() }

func (c *keepingCall) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvMessage) {
		if c.good {
			return
		}
		c.hold.Close()
	}
	c.hold.StartBatch(c.Next, c.args, b)
}

// TestCloseEndsKeptCalls: closing the client ends the calls that a filter keeps, also
// those that have no connection.
func TestCloseEndsKeptCalls(t *testing.T) {
	for _, good := range []bool{false, true} {
		for _, kind := range []string{"unary", "stream"} {
			for place, filter := range map[string]stubs.DialOption{
				"channel": stubs.WithChannelFilter(keeping(good)), "connection": stubs.WithFilter(keeping(good)),
			} {
				t.Run(fmt.Sprintf("%s/%s/for good %t", place, kind, good), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						f := newMemFixture(t, new(echo), options{dial: []stubs.DialOption{filter}})
						ended := make(chan error, 1)
						go func() { ended <- callOf(context.Background(), f, kind) }()
						time.Sleep(time.Hour)
						start := time.Now()
						f.cc.Close()
						if d := time.Since(start); d != 0 {
							t.Errorf("Close took %v", d)
						}
						err, want, text, after := <-ended, status.Canceled, "the channel is closed", time.Duration(0)
						if good {
							want, text, after = status.Internal, `filter "keeping" kept`, time.Second
						}
						wantCode(t, err, want)
						if d := time.Since(start); d != after || !strings.Contains(fmt.Sprint(err), text) {
							t.Errorf("the call ended %v after Close with %v, want %v with %q", d, err, after, text)
						}
					})
				})
			}
		}
	}
}

// TestStopEndsKeptCalls: a server that waits for its handlers stops in bounded time,
// whatever a filter keeps of their calls.
func TestStopEndsKeptCalls(t *testing.T) {
	for _, good := range []bool{false, true} {
		t.Run(fmt.Sprintf("for good %t", good), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newMemFixture(t, new(echo), options{server: []stubs.ServerOption{stubs.WithFilter(keeping(good))}})
				ended := make(chan error, 1)
				go func() {
					stream, err := f.client.Bidi(context.Background())
					if err == nil {
						err = stream.Send(&testpb.Request{Text: "x"})
					}
					if err == nil {
						_, err = stream.Recv()
					}
					ended <- err
				}()
				time.Sleep(time.Hour)
				start := time.Now()
				f.server.Stop() // the handler is in Recv
				if d := time.Since(start); d > 2*time.Second {
					t.Errorf("Stop took %v", d)
				}
				wantCode(t, <-ended, status.Unavailable)
			})
		})
	}
}
