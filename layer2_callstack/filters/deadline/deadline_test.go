package deadline_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/deadline"
)

func TestContract(t *testing.T) {
	for name, side := range map[string]callstacktest.Side{"client": callstacktest.Client, "server": callstacktest.Server} {
		t.Run(name, func(t *testing.T) { callstacktest.Run(t, side, deadline.New()) })
	}
}

// setup returns a block over a fresh transport.
func setup(t testing.TB) (*callstacktest.Call, *callstacktest.Transport) {
	tr := &callstacktest.Transport{}
	return callstacktest.NewCall(callstacktest.Build(t, tr, deadline.New())), tr
}

// wantExceeded checks that err is the end of a call at its deadline.
func wantExceeded(t *testing.T, what string, err error) {
	t.Helper()
	if status.CodeOf(err) != status.DeadlineExceeded || !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "deadline: deadline passed") {
		t.Errorf("%s ended with %v, want DEADLINE_EXCEEDED", what, err)
	}
}

func TestClientDeadline(t *testing.T) {
	for range 2 { // in two bubbles, so that nothing is shared between them
		synctest.Test(t, func(t *testing.T) {
			c, tr := setup(t)
			for range 3 { // with one timer
				start := time.Now()
				if err := c.Begin(callstack.CallArgs{Start: start, Deadline: start.Add(time.Second)}); err != nil {
					t.Fatal(err)
				}
				b := c.Do(transport.OpSendInitialMetadata | transport.OpsRecv)
				time.Sleep(time.Second - 1)
				synctest.Wait()
				if err := tr.Streams()[0].Canceled(); err != nil {
					t.Fatalf("cancelled with %v before the deadline", err)
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				wantExceeded(t, "recv_trailing_metadata", b.GotTrailers.Err())
				c.Unref()
			}
			if c.Recycled() != 3 {
				t.Errorf("the block was recycled %d times, want 3", c.Recycled())
			}
		})
	}
}

// TestTimerStops ends calls in the ways that stop the timer, and lets the time
// of their deadlines pass during the next call.
func TestTimerStops(t *testing.T) {
	for _, tc := range []struct {
		name string
		ops  transport.OpSet
		end  func(c *callstacktest.Call, st *callstacktest.Stream)
	}{
		{"by the end of the stream", transport.OpsRecv, func(_ *callstacktest.Call, st *callstacktest.Stream) { st.Trailers(nil, nil) }},
		{"by a cancel of a call that does not wait for its end", transport.OpRecvInitialMetadata, func(c *callstacktest.Call, _ *callstacktest.Stream) {
			c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = context.Canceled })
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, tr := setup(t)
				start := time.Now()
				if err := c.Begin(callstack.CallArgs{Deadline: start.Add(time.Second)}); err != nil {
					t.Fatal(err)
				}
				c.Do(tc.ops)
				tc.end(c, tr.Streams()[0])
				c.Unref()
				if c.Recycled() != 1 {
					t.Fatal("the timer kept the block")
				}
				if err := c.Begin(callstacktest.Client.Args()); err != nil {
					t.Fatal(err)
				}
				defer c.Unref()
				time.Sleep(time.Minute)
				synctest.Wait()
				if err := tr.Streams()[0].Canceled(); err != nil {
					t.Errorf("a call without a deadline was cancelled with %v", err)
				}
			})
		})
	}
}

func TestClientWithoutTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, args := range map[string]callstack.CallArgs{
			"no deadline":      {},
			"watched deadline": {Deadline: time.Now().Add(time.Second), DeadlineWatched: true},
		} {
			c, tr := setup(t)
			if err := c.Begin(args); err != nil {
				t.Fatal(err)
			}
			c.Do(transport.OpSendInitialMetadata)
			time.Sleep(time.Minute)
			synctest.Wait()
			if err := tr.Streams()[0].Canceled(); err != nil {
				t.Errorf("%s: cancelled with %v", name, err)
			}
			c.Unref()
		}
	})
}

func TestClientDeadlineInThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := setup(t)
		wantExceeded(t, "Init", c.Begin(callstack.CallArgs{Deadline: time.Now()}))
		c.Unref()
		if c.Recycled() != 1 {
			t.Error("the block was not recycled")
		}
	})
}

// serve begins a server's call whose client gave it the time left.
func serve(t *testing.T, left time.Duration) (*callstacktest.Call, *callstacktest.Batch, *callstacktest.Stream) {
	t.Helper()
	c, tr := setup(t)
	if err := c.Begin(callstacktest.Server.Args()); err != nil {
		t.Fatal(err)
	}
	b := c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
	st := tr.Streams()[0]
	st.Headers(func(rim *transport.RecvInitialMetadata) { rim.MD.Deadline = time.Now().Add(left) }, nil)
	return c, b, st
}

func TestServerDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b, st := serve(t, time.Second)
		if err := b.GotHeaders.Err(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		wantExceeded(t, "recv_trailing_metadata", b.GotTrailers.Err())
		wantExceeded(t, "the stream", st.Canceled())
		c.Unref()
		if c.Recycled() != 1 {
			t.Error("the block was not recycled")
		}
	})
}

func TestServerEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b, st := serve(t, time.Second)
		st.Trailers(nil, nil)
		c.Unref()
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := b.GotTrailers.Err(); err != nil || st.Canceled() != nil || c.Recycled() != 1 {
			t.Errorf("ended with %v, cancel %v, recycled %d times", err, st.Canceled(), c.Recycled())
		}
	})
}

func TestServerDeadlineInThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b, st := serve(t, 0)
		defer c.Unref()
		wantExceeded(t, "recv_initial_metadata", b.GotHeaders.Err())
		wantExceeded(t, "recv_trailing_metadata", b.GotTrailers.Err())
		wantExceeded(t, "the stream", st.Canceled())
	})
}

// TestDeadlineRacesEnd lets calls end at the very time of their deadlines.
// Whoever wins, each callback runs once and the block comes back.
func TestDeadlineRacesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, tr := setup(t)
		for use := 1; use <= 200; use++ {
			if err := c.Begin(callstack.CallArgs{Deadline: time.Now().Add(time.Second)}); err != nil {
				t.Fatal(err)
			}
			b := c.Do(transport.OpsRecv)
			time.AfterFunc(time.Second, func() { tr.Streams()[0].Trailers(nil, nil) })
			time.AfterFunc(time.Second, func() {
				c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = context.Canceled })
			})
			time.Sleep(time.Second)
			synctest.Wait()
			if n := b.GotTrailers.Count(); n != 1 {
				t.Fatalf("recv_trailing_metadata ended %d times", n)
			}
			c.Unref()
			if c.Recycled() != use {
				t.Fatalf("call %d: the block was recycled %d times", use, c.Recycled())
			}
		}
	})
}

// TestHeadersRaceCancel has a server's call cancelled as its headers come, with which the
// timer begins. It is for the race detector.
func TestHeadersRaceCancel(t *testing.T) {
	for range 200 {
		c, tr := setup(t)
		if err := c.Begin(callstacktest.Server.Args()); err != nil {
			t.Fatal(err)
		}
		b := c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
		var wg sync.WaitGroup
		wg.Go(func() {
			tr.Streams()[0].Headers(func(rim *transport.RecvInitialMetadata) { rim.MD.Deadline = time.Now().Add(time.Hour) }, nil)
		})
		wg.Go(func() {
			c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = context.Canceled })
		})
		wg.Wait()
		if n := b.GotTrailers.Count(); n != 1 {
			t.Fatalf("recv_trailing_metadata ended %d times", n)
		}
		if c.Unref(); c.Recycled() != 1 {
			t.Fatal("the timer still refers to the block")
		}
	}
}

// deaf is a filter below that lets no cancel through, as if the stream had ended before.
var deaf = callstack.NewFilter("deaf", func(next callstack.CallElem) callstack.CallElem { return &deafCall{callstack.CallBase{Next: next}} })

type deafCall struct{ callstack.CallBase }

func (c *deafCall) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops != transport.OpCancelStream {
		c.Next.StartBatch(b)
	}
}

// TestEndBehindLateHeaders: the end of a call whose headers came too late says so, also
// if the stream has an end of its own; the next call in the block knows nothing of it.
func TestEndBehindLateHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &callstacktest.Transport{}
		c := callstacktest.NewCall(callstacktest.Build(t, tr, deadline.New(), deaf))
		for _, late := range []bool{true, false} {
			if err := c.Begin(callstacktest.Server.Args()); err != nil {
				t.Fatal(err)
			}
			b := c.Do(transport.OpsRecv)
			st := tr.Streams()[0]
			st.Headers(func(rim *transport.RecvInitialMetadata) {
				if late {
					rim.MD.Deadline = time.Now()
				}
			}, nil)
			st.Trailers(nil, nil)
			if late {
				wantExceeded(t, "recv_initial_metadata", b.GotHeaders.Err())
				wantExceeded(t, "recv_trailing_metadata", b.GotTrailers.Err())
			} else if err := b.GotTrailers.Err(); err != nil {
				t.Errorf("the next call ended with %v", err)
			}
			c.Unref()
		}
	})
}
