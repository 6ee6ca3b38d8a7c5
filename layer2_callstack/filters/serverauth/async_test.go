package serverauth_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
	"github.com/strata-grpc/strata/layer2_callstack/filters/serverauth"
)

// A slow hook answers when it is told to, whatever becomes of its context.
type slow struct {
	asked  chan context.Context
	answer chan error
}

func newSlow() *slow { return &slow{make(chan context.Context, 1), make(chan error, 1)} }

func (s *slow) process(ctx context.Context, _ *serverauth.Request) error {
	s.asked <- ctx
	return <-s.answer
}

// ask begins a call whose hook is asked and has not answered, with a deadline
// after left, 0 for none.
func ask(t *testing.T, left time.Duration) (*fixture, *slow, context.Context, *callstacktest.Batch, *callstacktest.Stream) {
	t.Helper()
	hook := newSlow()
	f := setup(t, serverauth.Config{Process: hook.process})
	b, st := f.begin()
	st.Headers(func(rim *transport.RecvInitialMetadata) {
		callstacktest.Server.FillHeaders(rim)
		if left > 0 {
			rim.MD.Deadline = time.Now().Add(left)
		}
	}, nil)
	ctx := <-hook.asked
	synctest.Wait()
	if b.GotHeaders.Count() != 0 {
		t.Fatal("the headers went up before the hook had answered")
	}
	return f, hook, ctx, b, st
}

// TestContextOfHook: it has the call's deadline, and ends when the hook returns.
func TestContextOfHook(t *testing.T) {
	for _, left := range []time.Duration{time.Second, 0} {
		t.Run(left.String(), func(t *testing.T) { testContextOfHook(t, left) })
	}
}

func testContextOfHook(t *testing.T, left time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		f, hook, ctx, b, st := ask(t, left)
		if d, ok := ctx.Deadline(); ok != (left > 0) || ok && time.Until(d) != left {
			t.Errorf("the deadline of the context is %v, %t", d, ok)
		}
		if ctx.Err() != nil {
			t.Errorf("the context has ended: %v", ctx.Err())
		}
		hook.answer <- nil
		synctest.Wait()
		if b.GotHeaders.Count() != 1 || b.GotHeaders.Err() != nil {
			t.Errorf("recv_initial_metadata ended %d times with %v", b.GotHeaders.Count(), b.GotHeaders.Err())
		}
		if ctx.Err() != context.Canceled {
			t.Errorf("the context of a hook that has returned: %v", ctx.Err())
		}
		st.Trailers(nil, nil)
		f.recycled(1)
	})
}

// TestCallEndsWhileAsking: a call that ends before the hook has answered ends at
// once, and the block stays in use until the hook returns.
func TestCallEndsWhileAsking(t *testing.T) {
	lost := &transport.Error{Code: status.Unavailable, Layer: "fake", Reason: "connection lost"}
	for _, tc := range []struct {
		name string
		end  func(f *fixture, st *callstacktest.Stream)
		code status.Code
	}{
		{"the connection is lost", func(_ *fixture, st *callstacktest.Stream) { st.Trailers(nil, lost) }, status.Unavailable},
		{"the call is cancelled from above", func(f *fixture, _ *callstacktest.Stream) {
			f.call.Do(transport.OpCancelStream, func(b *callstacktest.Batch) {
				b.CancelErr = &transport.Error{Code: status.DeadlineExceeded, Layer: "test", Cause: context.DeadlineExceeded}
			})
		}, status.DeadlineExceeded},
		{"the stream ends without an error", func(_ *fixture, st *callstacktest.Stream) { st.Trailers(nil, nil) }, status.Canceled},
	} {
		for answer, err := range map[string]error{"lets it in": nil, "refuses it": errors.New("too late")} {
			t.Run(tc.name+", then the hook "+answer, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, hook, ctx, b, st := ask(t, 0)
					tc.end(f, st)
					synctest.Wait()
					if got := strings.Join(b.Order(), " "); got != "headers trailers" {
						t.Errorf("callbacks ran in the order %q while the hook was asked", got)
					}
					if got := status.CodeOf(b.GotHeaders.Err()); got != tc.code {
						t.Errorf("recv_initial_metadata ended with %v, want %v", b.GotHeaders.Err(), tc.code)
					}
					if ctx.Err() == nil {
						t.Error("the context of the hook goes on")
					}
					f.recycled(0)
					hook.answer <- err
					synctest.Wait()
					if f.call.Recycled() != 1 || f.call.Stack.Args.Principal != nil {
						t.Errorf("after the answer the block was recycled %d times", f.call.Recycled())
					}
					if got := strings.Join(b.Order(), " "); got != "headers trailers" {
						t.Errorf("in the end callbacks had run in the order %q", got)
					}
				})
			})
		}
	}
}

// TestDeadlineWhileAsking: a hook that obeys its context refuses with
// DEADLINE_EXCEEDED, whatever it returns, and whoever watches the deadline.
func TestDeadlineWhileAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, serverauth.Config{Process: func(ctx context.Context, _ *serverauth.Request) error {
			<-ctx.Done()
			return status.Error(status.PermissionDenied, "the directory did not answer")
		}})
		b, st := f.begin()
		st.Headers(func(rim *transport.RecvInitialMetadata) { rim.MD.Deadline = time.Now().Add(time.Second) }, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		for name, err := range map[string]error{"recv_initial_metadata": b.GotHeaders.Err(), "recv_trailing_metadata": b.GotTrailers.Err(), "the stream": st.Canceled()} {
			if status.CodeOf(err) != status.DeadlineExceeded || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s ended with %v, want DEADLINE_EXCEEDED", name, err)
			}
		}
		f.recycled(1)
	})
}

// deaf is a filter that keeps cancels, as a transport does that has the headers
// already when a cancel comes.
type deaf struct{ callstack.ChannelBase }

func (deaf) Name() string { return "deaf" }

func (deaf) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &deaf{callstack.ChannelBase{Next: next}}, nil
}

func (*deaf) NewCall(next callstack.CallElem) callstack.CallElem {
	return &deafCall{callstack.CallBase{Next: next}}
}

type deafCall struct{ callstack.CallBase }

func (c *deafCall) StartBatch(b *transport.StreamOpBatch) {
	if !b.Ops.Has(transport.OpCancelStream) {
		c.Next.StartBatch(b)
	}
}

// TestCancelledBeforeTheHeaders: nobody is asked about a call that is over.
func TestCancelledBeforeTheHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &callstacktest.Transport{}
		c := callstacktest.NewCall(callstacktest.Build(t, tr, serverauth.New(serverauth.Config{
			Process: func(context.Context, *serverauth.Request) error {
				t.Error("the hook was asked")
				return nil
			},
		}), deaf{}))
		if err := c.Begin(callstacktest.Server.Args()); err != nil {
			t.Fatal(err)
		}
		b := c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
		why := errors.New("from above")
		c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = why })
		headers(tr.Streams()[0])
		synctest.Wait()
		if err := b.GotHeaders.Err(); err != why {
			t.Errorf("recv_initial_metadata ended with %v, want %v", err, why)
		}
		tr.Streams()[0].Trailers(nil, why)
		c.Unref()
		if c.Recycled() != 1 || strings.Join(b.Order(), " ") != "headers trailers" {
			t.Errorf("recycled %d times, callbacks %v", c.Recycled(), b.Order())
		}
	})
}

// TestMessageWaitsForTheAnswer: headers come before messages, also where the
// application asks for both at once.
func TestMessageWaitsForTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, hook, _, b, st := ask(t, 0)
		m := f.call.Do(transport.OpRecvMessage)
		st.Message(transport.NewBuffer(0), nil)
		synctest.Wait()
		if m.GotMessage.Count() != 0 {
			t.Error("a message went up before the headers")
		}
		hook.answer <- nil
		synctest.Wait()
		if b.GotHeaders.Count() != 1 || m.GotMessage.Count() != 1 || m.GotMessage.Err() != nil {
			t.Errorf("headers went up %d times, the message %d times with %v", b.GotHeaders.Count(), m.GotMessage.Count(), m.GotMessage.Err())
		}
		m.RecvMessage.Message.Release()
		st.Trailers(nil, nil)
		f.recycled(1)
	})
}

// overlap is a callback that takes its time and finds out whether another one
// of the call runs meanwhile.
type overlap struct {
	running *int // without a lock: the race detector and the count find it
	next    transport.Done
	t       *testing.T
}

func (o *overlap) Run(err error) {
	if *o.running++; *o.running != 1 {
		o.t.Error("two callbacks of a call run at the same time")
	}
	time.Sleep(time.Millisecond) //bars:allow sleep it runs in a bubble
	*o.running--
	o.next.Run(err)
}

// TestCallbacksDoNotOverlap: the headers go up on the hook's goroutine, and what
// the transport completes meanwhile waits.
func TestCallbacksDoNotOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, serverauth.Config{Process: func(context.Context, *serverauth.Request) error {
			time.Sleep(time.Millisecond)
			return nil
		}})
		for use := range 20 {
			running := 0
			watch := func(done *transport.Done) { *done = &overlap{&running, *done, t} }
			if err := f.call.Begin(callstacktest.Server.Args()); err != nil {
				t.Fatal(err)
			}
			b := f.call.Do(transport.OpRecvInitialMetadata|transport.OpRecvTrailingMetadata, func(b *callstacktest.Batch) {
				watch(&b.RecvInitialMetadata.Ready)
				watch(&b.RecvTrailingMetadata.Ready)
			})
			st := f.tr.Streams()[0]
			headers(st)
			time.Sleep(time.Millisecond + time.Millisecond/2) // the headers go up
			m := f.call.Do(transport.OpRecvMessage|transport.OpSendInitialMetadata, func(b *callstacktest.Batch) {
				watch(&b.RecvMessage.Ready)
				watch(&b.OnComplete)
			})
			st.Message(transport.NewBuffer(0), nil)
			st.Trailers(nil, nil)
			synctest.Wait()
			time.Sleep(time.Second)
			if b.GotHeaders.Count() != 1 || b.GotTrailers.Count() != 1 || m.GotMessage.Count() != 1 || m.Sent.Count() != 1 {
				t.Fatalf("headers %d, message %d, sent %d, trailers %d times", b.GotHeaders.Count(), m.GotMessage.Count(), m.Sent.Count(), b.GotTrailers.Count())
			}
			m.RecvMessage.Message.Release()
			f.recycled(use + 1)
		}
	})
}

// TestAnswerRacesEnd: the hook answers, the client goes, the deadline passes and
// the call is cancelled, all at the same moment. Each callback runs once, in
// order, and the block comes back.
func TestAnswerRacesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		f := setup(t, serverauth.Config{Process: func(context.Context, *serverauth.Request) error {
			time.Sleep(time.Second)
			if n++; n%2 == 0 {
				return errors.New("no")
			}
			return nil
		}})
		for use := 1; use <= 200; use++ {
			b, st := f.begin()
			time.AfterFunc(time.Second, func() { st.Trailers(nil, context.Canceled) })
			time.AfterFunc(time.Second, func() {
				f.call.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = context.Canceled })
			})
			st.Headers(func(rim *transport.RecvInitialMetadata) { rim.MD.Deadline = time.Now().Add(time.Second) }, nil)
			time.Sleep(time.Second)
			synctest.Wait()
			if got := strings.Join(b.Order(), " "); got != "headers trailers" {
				t.Fatalf("callbacks ran in the order %q", got)
			}
			f.recycled(use)
		}
	})
}

// TestMessageOfACallThatEnds: a message that came while the hook is asked goes up behind
// the headers, also where those say that the call has ended.
func TestMessageOfACallThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, hook, _, b, st := ask(t, 0)
		m := f.call.Do(transport.OpRecvMessage)
		st.Message(transport.NewBuffer(0), nil)
		if m.GotMessage.Count() != 0 {
			t.Error("the message went up before the headers")
		}
		st.Trailers(nil, nil)
		if m.GotMessage.Count() != 1 || m.RecvMessage.Message == nil || b.GotTrailers.Count() != 1 {
			t.Errorf("the message ended %d times, the call %d times", m.GotMessage.Count(), b.GotTrailers.Count())
		}
		m.RecvMessage.Message.Release()
		hook.answer <- nil
		synctest.Wait()
		f.recycled(1)
	})
}

// TestHeadersRaceCancel has a call cancelled as its headers come, with which the hook is
// asked. It is for the race detector.
func TestHeadersRaceCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, serverauth.Config{Process: letIn})
		for use := 1; use <= 200; use++ {
			b, st := f.begin()
			var wg sync.WaitGroup
			wg.Go(func() { headers(st) })
			wg.Go(func() {
				f.call.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = context.Canceled })
			})
			wg.Wait()
			synctest.Wait()
			if got := strings.Join(b.Order(), " "); got != "headers trailers" {
				t.Fatalf("callbacks ran in the order %q", got)
			}
			f.recycled(use)
		}
	})
}

// TestContextGoesOn: what a server starts while the hook is asked, and a cancel of it,
// are two things to the hook's context.
func TestContextGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, hook, ctx, _, _ := ask(t, 0)
		f.call.Do(transport.OpRecvMessage)
		if ctx.Err() != nil {
			t.Errorf("the context ended with %v", context.Cause(ctx))
		}
		first := errors.New("first")
		for _, why := range []error{first, errors.New("second")} {
			f.call.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = why })
		}
		if got := context.Cause(ctx); got != first {
			t.Errorf("the context ended with %v, want the first cancel", got)
		}
		hook.answer <- nil
		synctest.Wait()
		f.recycled(1)
	})
}

// TestTraceOfAHook: it is asked and refuses as events of its call, the one because of the
// other.
func TestTraceOfAHook(t *testing.T) {
	bothWays(t, func(t *testing.T, inline bool) {
		rec := trace.NewRecorder(trace.LevelEvents)
		b := callstack.NewBuilder("TEST")
		b.Add(serverauth.New(serverauth.Config{Inline: inline, Process: func(context.Context, *serverauth.Request) error { return errors.New("no") }}))
		b.Add(connected.New()).Terminal()
		tr := &callstacktest.Transport{}
		s, err := b.Build(callstack.ChannelArgs{Transport: tr, Trace: rec.Endpoint("server", "client"), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		c := callstacktest.NewCall(s)
		args := callstacktest.Server.Args()
		args.CallID = 7
		if err := c.Begin(args); err != nil {
			t.Fatal(err)
		}
		c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
		headers(tr.Streams()[0])
		synctest.Wait()
		c.Unref()
		var ask, refuse trace.Record
		for _, e := range rec.Events() {
			switch e.Op {
			case "auth.ask":
				ask = e
			case "auth.refuse":
				refuse = e
			}
		}
		for _, e := range []trace.Record{ask, refuse} {
			if e.Layer != 2 || e.Component != "filter:server_auth" || e.Call != 7 {
				t.Errorf("event %+v, want layer 2, the filter and the call", e)
			}
		}
		if ask.Text != "/service/method" || ask.Cause == 0 || refuse.Cause != ask.ID || refuse.Err == nil {
			t.Errorf("asked %+v, refused %+v", ask, refuse)
		}
	})
}
