package faultinjection_test

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
	"github.com/strata-grpc/strata/layer2_callstack/filters/deadline"
	"github.com/strata-grpc/strata/layer2_callstack/filters/faultinjection"
)

func TestContract(t *testing.T) {
	callstacktest.Run(t, callstacktest.Client, faultinjection.New(faultinjection.Config{
		DelayPercent: 100, AbortPercent: 100, Headers: true, MaxActive: 1,
	}))
}

// setup returns a block over a fresh transport. Below the filter is one that
// watches the deadline.
func setup(t testing.TB, cfg faultinjection.Config) (*callstacktest.Call, *callstacktest.Transport) {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	tr := &callstacktest.Transport{}
	return callstacktest.NewCall(callstacktest.Build(t, tr, faultinjection.New(cfg), deadline.New())), tr
}

// begin starts a call with those batches.
func begin(t *testing.T, c *callstacktest.Call, args callstack.CallArgs, ops ...transport.OpSet) (batches []*callstacktest.Batch) {
	t.Helper()
	if err := c.Begin(args); err != nil {
		t.Fatal(err)
	}
	for _, o := range ops {
		batches = append(batches, c.Do(o))
	}
	return batches
}

// The batches of a call in pieces.
var pieces = []transport.OpSet{
	transport.OpRecvTrailingMetadata, transport.OpSendInitialMetadata, transport.OpSendMessage,
	transport.OpSendTrailingMetadata, transport.OpRecvInitialMetadata | transport.OpRecvMessage,
}

func ops(s *callstacktest.Stream) string {
	var names []string
	for _, o := range s.Batches() {
		names = append(names, o.String())
	}
	return strings.Join(names, ", ")
}

// TestDelay: nothing that is sent goes down before the end of the delay, and then
// all of it in its order.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, tr := setup(t, faultinjection.Config{Delay: time.Second, DelayPercent: 100, MaxActive: 1})
		for use := 1; use <= 3; use++ { // with one timer
			begin(t, c, callstacktest.Client.Args(), pieces...)
			st := tr.Streams()[0]
			time.Sleep(time.Second - 1)
			synctest.Wait()
			if got, want := ops(st), "recv_trailing_metadata"; got != want {
				t.Errorf("before the end of the delay %q went down, want %q", got, want)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			want := "recv_trailing_metadata, send_initial_metadata, send_message, send_trailing_metadata, recv_initial_metadata recv_message"
			if got := ops(st); got != want {
				t.Errorf("after the delay %q went down, want %q", got, want)
			}
			st.Trailers(nil, nil)
			c.Unref()
			if c.Recycled() != use {
				t.Fatalf("call %d: the block was recycled %d times", use, c.Recycled())
			}
		}
	})
}

// wantAborted checks that b ended as the configuration of these tests says.
func wantAborted(t *testing.T, b *callstacktest.Batch) {
	t.Helper()
	for what, r := range map[string]*callstacktest.Result{
		"sent": &b.Sent, "headers": &b.GotHeaders, "message": &b.GotMessage, "trailers": &b.GotTrailers,
	} {
		if r.Count() == 0 {
			continue
		}
		var e *transport.Error
		err := r.Err()
		if !errors.As(err, &e) || e.Code != status.DataLoss || e.Layer != "fault_injection" || e.Progress != transport.ProgressNotSent ||
			e.Error() != "fault_injection: fault injected by the client: for the test" {
			t.Errorf("callback %q of %q ran with %v, want the fault", what, b.Ops, err)
		}
	}
}

// TestAbort: a call ends with the code that is configured, at once or after the
// delay. The stream is cancelled before any of it was begun.
func TestAbort(t *testing.T) {
	for name, delay := range map[string]time.Duration{"at once": 0, "after a delay": time.Second} {
		t.Run(name, func(t *testing.T) {
			for whole, batches := range map[string][]transport.OpSet{
				"in one batch": {transport.OpsSend | transport.OpsRecv}, "in pieces": pieces,
			} {
				synctest.Test(t, func(t *testing.T) {
					cfg := faultinjection.Config{AbortCode: status.DataLoss, AbortMessage: "for the test", AbortPercent: 100, MaxActive: 1}
					if delay > 0 {
						cfg.Delay, cfg.DelayPercent = delay, 100
					}
					c, tr := setup(t, cfg)
					for use := 1; use <= 2; use++ {
						start := time.Now()
						bs := begin(t, c, callstacktest.Client.Args(), batches...)
						for synctest.Wait(); bs[0].GotTrailers.Count() == 0 && time.Since(start) < time.Minute; synctest.Wait() {
							time.Sleep(time.Millisecond)
						}
						if d := time.Since(start); d != delay {
							t.Errorf("%s: the call ended after %v, want %v", whole, d, delay)
						}
						for _, b := range bs {
							wantAborted(t, b)
							if n := b.Sent.Count() + b.GotHeaders.Count() + b.GotMessage.Count() + b.GotTrailers.Count(); n == 0 {
								t.Errorf("%s: %q never ended", whole, b.Ops)
							}
						}
						got := ops(tr.Streams()[0])
						if canceled := strings.Index(got, "cancel"); canceled < 0 || strings.Index(got, "send") < canceled {
							t.Errorf("%s: %q went down, want the cancel before anything that is sent", whole, got)
						}
						c.Unref()
						if c.Recycled() != use {
							t.Fatalf("%s: the block was recycled %d times after %d calls", whole, c.Recycled(), use)
						}
					}
				})
			}
		})
	}
}

// TestDelayEnds has what ends a delay before its time. The call ends at once, its
// place is free, and the timer does nothing to the next call of the block.
func TestDelayEnds(t *testing.T) {
	why := errors.New("cancelled by the test")
	cancel := func(c *callstacktest.Call) {
		c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = why })
	}
	for _, tc := range []struct {
		name  string
		first transport.OpSet
		end   func(c *callstacktest.Call) // at 300 ms
		left  time.Duration               // of the deadline, 0 for none
		after time.Duration
		check func(err error) bool
	}{
		{"a cancel", transport.OpsSend | transport.OpsRecv, cancel, 0, 300 * time.Millisecond,
			func(err error) bool { return errors.Is(err, why) }},
		{"a cancel of a call that does not wait for its end", transport.OpSendInitialMetadata, cancel, 0, 300 * time.Millisecond,
			func(err error) bool { return errors.Is(err, why) }},
		{"the deadline", transport.OpsSend | transport.OpsRecv, func(*callstacktest.Call) {}, 400 * time.Millisecond, 400 * time.Millisecond,
			func(err error) bool { return status.CodeOf(err) == status.DeadlineExceeded }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, tr := setup(t, faultinjection.Config{Delay: time.Second, DelayPercent: 100, MaxActive: 1})
				for use := 1; use <= 3; use++ {
					start := time.Now()
					args := callstacktest.Client.Args()
					if tc.left > 0 {
						args.Deadline = start.Add(tc.left)
					}
					time.AfterFunc(300*time.Millisecond, func() { tc.end(c) })
					b := begin(t, c, args, tc.first)[0]
					time.Sleep(tc.after - 1)
					if synctest.Wait(); b.Sent.Count() != 0 {
						t.Fatalf("call %d was not delayed", use)
					}
					time.Sleep(time.Nanosecond)
					synctest.Wait()
					if b.Sent.Count() != 1 || !tc.check(b.Sent.Err()) || b.Ops.Has(transport.OpRecvTrailingMetadata) && !tc.check(b.GotTrailers.Err()) {
						t.Errorf("call %d: sending ended %d times with %v, the call with %v", use, b.Sent.Count(), b.Sent.Err(), b.GotTrailers.Err())
					}
					c.Unref()
					if c.Recycled() != use {
						t.Fatalf("call %d: the block was recycled %d times", use, c.Recycled())
					}
				}
				time.Sleep(time.Minute)
				if n := len(tr.Streams()[0].Batches()); n != 0 {
					t.Errorf("%d batches after the last call", n)
				}
			})
		})
	}
}

// TestCancelBeforeTheBeginning: a call that was cancelled is not delayed.
func TestCancelBeforeTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := setup(t, faultinjection.Config{Delay: time.Second, DelayPercent: 100, MaxActive: 1})
		for range 3 {
			if err := c.Begin(callstacktest.Client.Args()); err != nil {
				t.Fatal(err)
			}
			why := errors.New("too early")
			c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = why })
			b := c.Do(transport.OpSendInitialMetadata | transport.OpsRecv)
			if !errors.Is(b.GotTrailers.Err(), why) {
				t.Errorf("the call ended with %v", b.GotTrailers.Err())
			}
			c.Unref()
		}
		start := time.Now()
		begin(t, c, callstacktest.Client.Args(), transport.OpSendInitialMetadata) // the place is free
		defer c.Unref()
		time.Sleep(time.Second)
		synctest.Wait()
		if time.Since(start) != time.Second {
			t.Error("the time is wrong")
		}
	})
}

// TestMaxActive: while so many calls are delayed the others get no fault, and each
// place that is given back is taken again.
func TestMaxActive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, all = 3, 5
		f := faultinjection.New(faultinjection.Config{
			Delay: time.Second, DelayPercent: 100, AbortCode: status.Unavailable, AbortPercent: 100, MaxActive: limit,
		})
		tr := &callstacktest.Transport{}
		stack := callstacktest.Build(t, tr, f)
		for range 3 {
			var calls []*callstacktest.Call
			var batches []*callstacktest.Batch
			for range all {
				c := callstacktest.NewCall(stack)
				calls = append(calls, c)
				batches = append(batches, begin(t, c, callstacktest.Client.Args(), transport.OpSendInitialMetadata)...)
			}
			synctest.Wait()
			for i, b := range batches {
				if delayed := b.Sent.Count() == 0; delayed != (i < limit) {
					t.Errorf("call %d is delayed: %t", i, delayed)
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
			for i, c := range calls {
				err := batches[i].Sent.Err()
				if aborted := status.CodeOf(err) == status.Unavailable; batches[i].Sent.Count() != 1 || aborted != (i < limit) {
					t.Errorf("call %d ended with %v", i, err)
				}
				c.Unref()
			}
		}
	})
}

// TestDelayRaces lets cancels come at the very time when a delay ends, begins, or
// the call goes on in pieces. Each callback runs once and the block comes back.
func TestDelayRaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 2
		c, tr := setup(t, faultinjection.Config{
			Delay: time.Second, DelayPercent: 100, AbortCode: status.Unavailable, AbortPercent: 50, MaxActive: limit,
		})
		cancel := func() {
			c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = errors.New("at the same time") })
		}
		for use := 1; use <= 300; use++ {
			if err := c.Begin(callstacktest.Client.Args()); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			last := c.Do(transport.OpRecvTrailingMetadata)
			var mu sync.Mutex
			batches := []*callstacktest.Batch{last}
			do := func(ops transport.OpSet) {
				b := c.Do(ops)
				mu.Lock()
				defer mu.Unlock()
				batches = append(batches, b)
			}
			wg.Go(func() { do(transport.OpSendInitialMetadata) })
			wg.Go(func() { do(transport.OpRecvInitialMetadata | transport.OpRecvMessage) })
			if use%2 == 0 {
				wg.Go(cancel)
			}
			wg.Go(func() {
				time.Sleep(time.Second)
				do(transport.OpSendMessage)
			})
			wg.Go(func() {
				time.Sleep(time.Second)
				cancel()
			})
			wg.Wait()
			synctest.Wait()
			tr.Streams()[0].Trailers(nil, nil)
			for _, b := range batches {
				for _, r := range []*callstacktest.Result{&b.Sent, &b.GotHeaders, &b.GotMessage, &b.GotTrailers} {
					if r.Count() > 1 {
						t.Fatalf("a callback of %q ran %d times", b.Ops, r.Count())
					}
				}
				if len(b.Order()) == 0 {
					t.Fatalf("%q never ended", b.Ops)
				}
			}
			c.Unref()
			if c.Recycled() != use {
				t.Fatalf("call %d: the block was recycled %d times", use, c.Recycled())
			}
		}
	})
}

// TestCancelRacesTheBeginning: whoever of the two is first, no timer is left that
// would keep the block, and the place is free.
func TestCancelRacesTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := setup(t, faultinjection.Config{Delay: time.Second, DelayPercent: 100, MaxActive: 1})
		for use := 1; use <= 1000; use++ {
			if err := c.Begin(callstacktest.Client.Args()); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			var ready atomic.Int32
			meet := func() { // so that both go on in the same moment
				spins := 0
				for ready.Add(1); ready.Load() < 2; spins++ {
					if spins%50_000 == 49_999 {
						runtime.Gosched()
					}
				}
			}
			wg.Go(func() {
				meet()
				c.Do(transport.OpSendInitialMetadata)
			})
			wg.Go(func() {
				meet()
				c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = errors.New("enough") })
			})
			wg.Wait()
			c.Unref()
			if c.Recycled() != use {
				t.Fatalf("call %d: a timer of a call that was cancelled keeps its block", use)
			}
		}
		b := begin(t, c, callstacktest.Client.Args(), transport.OpSendInitialMetadata)[0]
		if b.Sent.Count() != 0 {
			t.Error("the next call is not delayed")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		c.Unref()
	})
}

// A sinkFunc is told of each event. It does what a sink must not, to be there between
// two steps of the filter.
type sinkFunc func(e *trace.Event)

func (f sinkFunc) Level() trace.Level { return trace.LevelEvents }

func (f sinkFunc) Emit(e *trace.Event) trace.EventID {
	f(e)
	return 1
}

// TestCancelInTheBeginning: a cancel that comes when the hold is closed and the timer
// is not set yet leaves no timer behind.
func TestCancelInTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *callstacktest.Call
		b := callstack.NewBuilder("TEST")
		b.Add(faultinjection.New(faultinjection.Config{Delay: time.Second, DelayPercent: 100, MaxActive: 1}))
		b.Add(connected.New()).Terminal()
		delays := 0
		s, err := b.Build(callstack.ChannelArgs{Transport: &callstacktest.Transport{}, Trace: sinkFunc(func(e *trace.Event) {
			if e.Op == "fault.delay" {
				delays++
				c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = errors.New("now") })
			}
		})})
		if err != nil {
			t.Fatal(err)
		}
		c = callstacktest.NewCall(s)
		for use := 1; use <= 3; use++ {
			b := begin(t, c, callstacktest.Client.Args(), transport.OpSendInitialMetadata|transport.OpRecvTrailingMetadata)[0]
			if err := b.GotTrailers.Err(); b.GotTrailers.Count() != 1 || err == nil || err.Error() != "now" {
				t.Errorf("call %d ended %d times, with %v", use, b.GotTrailers.Count(), err)
			}
			if c.Unref(); c.Recycled() != use || delays != use { // the place is free, too
				t.Fatalf("call %d: the block was recycled %d times, after %d delays", use, c.Recycled(), delays)
			}
		}
	})
}

// destroyLate ends the channel when the delays of a second end.
func destroyLate(s *callstack.ChannelStack) {
	time.Sleep(time.Second)
	s.Destroy()
}

// TestChannelEnds: the end of the channel is the end of all delays, and the calls go
// on to end as it does. No timer is left, nor set for calls that begin later.
func TestChannelEnds(t *testing.T) {
	for name, end := range map[string]func(s *callstack.ChannelStack){
		"by an operation":        func(s *callstack.ChannelStack) { s.StartTransportOp(&transport.Op{Disconnect: errors.New("closed")}) },
		"by Destroy":             (*callstack.ChannelStack).Destroy,
		"at the end of the time": destroyLate,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := &callstacktest.Transport{}
				s := callstacktest.Build(t, tr, faultinjection.New(faultinjection.Config{
					Delay: time.Second, DelayPercent: 100, MaxActive: 4, AbortCode: status.NotFound, AbortPercent: 100,
				}))
				other := &transport.Op{Goaway: &transport.Goaway{}}
				s.StartTransportOp(other) // ends nothing
				var calls []*callstacktest.Call
				for range 3 {
					c := callstacktest.NewCall(s)
					calls = append(calls, c)
					if b := begin(t, c, callstacktest.Client.Args(), transport.OpSendInitialMetadata)[0]; b.Sent.Count() != 0 {
						t.Fatal("a call was not delayed")
					}
				}
				end(s)
				if name == "by an operation" {
					synctest.Wait() // Destroy has waited
				}
				for i, st := range tr.Streams() {
					if !st.Sent(transport.OpSendInitialMetadata) {
						t.Errorf("call %d is still delayed", i)
					}
					if err := st.Canceled(); err != nil && !strings.HasPrefix(name, "at") { // else both at once
						t.Errorf("call %d was cancelled with %v", i, err)
					}
				}
				late := callstacktest.NewCall(s)
				b := begin(t, late, callstacktest.Client.Args(), transport.OpSendInitialMetadata)[0]
				if b.Sent.Count() != 1 {
					t.Error("a call of a channel that has ended is delayed")
				}
				for _, c := range append(calls, late) {
					if c.Unref(); c.Recycled() != 1 {
						t.Error("a block was not recycled")
					}
				}
			})
		})
	}
}

func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := trace.NewRecorder(trace.LevelEvents)
		b := callstack.NewBuilder("TEST")
		b.Add(faultinjection.New(faultinjection.Config{
			Delay: time.Second, DelayPercent: 100, AbortCode: status.NotFound, AbortPercent: 100, AbortMessage: "m",
		}))
		b.Add(connected.New()).Terminal()
		s, err := b.Build(callstack.ChannelArgs{Transport: &callstacktest.Transport{}, Trace: rec.Endpoint("client", "server")})
		if err != nil {
			t.Fatal(err)
		}
		c := callstacktest.NewCall(s)
		args := callstacktest.Client.Args()
		args.CallID = 7
		begin(t, c, args, transport.OpsSend|transport.OpsRecv)
		time.Sleep(time.Second)
		synctest.Wait()
		c.Unref()
		var delay, abort trace.Record
		for _, e := range rec.Events() {
			switch e.Op {
			case "fault.delay":
				delay = e
			case "fault.abort":
				abort = e
			}
		}
		if delay.Component != "filter:fault_injection" || delay.Call != 7 || delay.Text != "1s" || delay.Cause == 0 {
			t.Errorf("fault.delay is %+v", delay)
		}
		if abort.Call != 7 || abort.Text != "NotFound" || abort.Cause != delay.ID || status.CodeOf(abort.Err) != status.NotFound {
			t.Errorf("fault.abort is %+v", abort)
		}
	})
}

// TestPlacesOfDelays: a call has one while it is delayed, and gives it back once: one that
// is cancelled without a delay, in the same block, has none to give back.
func TestPlacesOfDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := faultinjection.Config{Delay: time.Second, DelayPercent: 100, MaxActive: 1}
		tr := &callstacktest.Transport{}
		s := callstacktest.Build(t, tr, faultinjection.New(cfg))
		cancel := func(c *callstacktest.Call) {
			c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = errors.New("enough") })
		}
		first := callstacktest.NewCall(s)
		for _, wait := range []time.Duration{2 * time.Second, 0} { // the delay ends by itself, and by a cancel
			begin(t, first, callstacktest.Client.Args(), transport.OpSendInitialMetadata)
			time.Sleep(wait)
			cancel(first)
			first.Unref()
			begin(t, first, callstacktest.Client.Args())
			cancel(first)
			first.Unref()
		}
		if first.Recycled() != 4 {
			t.Errorf("the block was recycled %d times", first.Recycled())
		}
		for _, want := range []int{0, 1} { // the first is delayed, and so the second is not
			c := callstacktest.NewCall(s)
			begin(t, c, callstacktest.Client.Args(), transport.OpSendInitialMetadata)
			streams := tr.Streams()
			if got := len(streams[len(streams)-1].Batches()); got != want {
				t.Errorf("%d batches went down, want %d", got, want)
			}
			defer c.Unref()
			defer cancel(c)
		}
		time.Sleep(2 * time.Second)
		s.Destroy() // waits for nothing
	})
}
