package clientauth_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// A gate is credentials that answer when the test says so.
type gate struct {
	fake
	ctx    chan context.Context // of the one who asks
	answer chan error
	deaf   bool // they ignore their context
}

func newGate() *gate {
	return &gate{fake: fake{fields: token("a")}, ctx: make(chan context.Context, 10), answer: make(chan error)}
}

func (g *gate) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	g.ctx <- ctx
	done := ctx.Done()
	if g.deaf {
		done = nil
	}
	select {
	case err := <-g.answer:
		return g.fields, err
	case <-done:
		return nil, ctx.Err()
	}
}

// TestBatchesAreHeld: while credentials are asked nothing goes down, and after
// that all of it in order.
func TestBatchesAreHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, config(g), nil)
		r.begin(t)
		early := r.call.Do(transport.OpRecvTrailingMetadata)
		first := r.call.Do(transport.OpSendInitialMetadata|transport.OpRecvInitialMetadata, withHeaders)
		second := r.call.Do(transport.OpSendMessage)
		third := r.call.Do(transport.OpSendTrailingMetadata | transport.OpRecvMessage)
		synctest.Wait()
		if got := r.stream().Batches(); !slices.Equal(got, []transport.OpSet{transport.OpRecvTrailingMetadata}) {
			t.Errorf("%v went down", got)
		}
		g.answer <- nil
		synctest.Wait()
		want := []transport.OpSet{early.Ops, first.Ops, second.Ops, third.Ops}
		if got := r.stream().Batches(); !slices.Equal(got, want) || r.sent() != "own=1 a=SECRET" {
			t.Errorf("%v went down with %q, want %v", got, r.sent(), want)
		}
		r.end(t)
	})
}

// TestContext: it has the call's deadline, and ends with the call.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, config(g), nil)
		for _, deadline := range []time.Time{{}, time.Now().Add(time.Minute)} {
			r.args.Deadline = deadline
			r.start(t)
			ctx := <-g.ctx
			if got, ok := ctx.Deadline(); !got.Equal(deadline) || ok == deadline.IsZero() {
				t.Errorf("the deadline is %v, want %v", got, deadline)
			}
			if ctx.Err() != nil {
				t.Error("the context has ended before the call")
			}
			g.answer <- nil
			synctest.Wait()
			if ctx.Err() == nil {
				t.Error("the context is never let go")
			}
			r.end(t)
		}
	})
}

// TestCancelWhileAsked: the call ends at once with its own error, whatever the
// credentials say afterwards, and its list is nobody's any more.
func TestCancelWhileAsked(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		for _, answer := range []error{nil, errors.New("too late")} {
			synctest.Test(t, func(t *testing.T) {
				g := newGate()
				g.deaf = deaf
				r := newRig(t, config(g), nil)
				b := r.start(t)
				ctx := <-g.ctx
				why := status.Error(status.Canceled, "by the test")
				r.call.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = why })
				if err := b.GotTrailers.Err(); err != why || b.GotTrailers.Count() != 1 || b.Sent.Err() != why {
					t.Errorf("the call ended %d times with %v", b.GotTrailers.Count(), err)
				}
				b.SendHeaders.Reset() // as whoever has it next would
				if ctx.Err() == nil {
					t.Error("the context goes on")
				}
				if deaf {
					g.answer <- answer
				}
				synctest.Wait()
				if n := b.SendHeaders.Len(); n != 0 {
					t.Errorf("%d pairs were added after the end", n)
				}
				r.over(t)
			})
		}
	}
}

// TestDeadlineWhileDeaf: whoever watches the deadline does not know what the call
// waited for, and credentials that ignore their context do not say it.
func TestDeadlineWhileDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		g.deaf = true
		r := newRig(t, config(g), nil)
		b := r.start(t)
		<-g.ctx
		r.call.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = context.DeadlineExceeded })
		err := b.GotTrailers.Err()
		if want := "deadline passed while credentials were asked"; status.CodeOf(err) != status.DeadlineExceeded ||
			!errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), want) {
			t.Errorf("the call ended with %v, want DEADLINE_EXCEEDED and %q", err, want)
		}
		g.answer <- nil
		synctest.Wait()
		r.over(t)
	})
}

// TestCancelBeforeAsked: there is nothing to ask for.
func TestCancelBeforeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, config(g), nil)
		for range 2 {
			r.begin(t)
			r.call.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = context.Canceled })
			if b := r.call.Do(transport.OpsSend, withHeaders); b.Sent.Err() != context.Canceled {
				t.Errorf("sending ended with %v", b.Sent.Err())
			}
			r.over(t)
		}
		if len(g.ctx) != 0 {
			t.Error("they are asked")
		}
	})
}

// A hookOwner does something when it is referred to for the first time.
type hookOwner struct {
	transport.Owner
	once sync.Once
	do   func()
}

func (o *hookOwner) Ref() {
	o.once.Do(o.do)
	o.Owner.Ref()
}

// TestCancelBesideTheStart starts the call in the middle of its cancellation, when
// the filter knows of it and its hold does not yet.
func TestCancelBesideTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, config(g), nil)
		r.begin(t)
		var b *callstacktest.Batch
		args := &r.call.Stack.Args
		args.Owner = &hookOwner{Owner: args.Owner, do: func() { b = r.call.Do(transport.OpSendInitialMetadata, withHeaders) }}
		r.call.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = context.Canceled })
		synctest.Wait()
		if len(g.ctx) > 0 {
			t.Error("credentials are asked for a call that was cancelled")
			g.answer <- nil
			synctest.Wait()
		}
		if b.Sent.Count() != 1 || b.SendHeaders.Len() != 1 {
			t.Errorf("sending ended %d times, and the list has %d pairs", b.Sent.Count(), b.SendHeaders.Len())
		}
		r.over(t)
	})
}

// TestDeadlineWhileAsked: it is the deadline that ends the call, also where
// credentials have words of their own for it.
func TestDeadlineWhileAsked(t *testing.T) {
	for name, err := range map[string]error{"the error of the context": nil, "another error": errors.New("i/o timeout")} {
		synctest.Test(t, func(t *testing.T) {
			creds := &fake{do: func(ctx context.Context, _ []string) error {
				<-ctx.Done()
				if err != nil {
					return err
				}
				return ctx.Err()
			}}
			r := newRig(t, config(creds), nil)
			r.args.Deadline = time.Now().Add(time.Second)
			b := r.start(t)
			time.Sleep(time.Second)
			synctest.Wait()
			got := b.GotTrailers.Err()
			o := transport.OutcomeOf(got, r.args.Deadline)
			if o.Code != status.DeadlineExceeded || !errors.Is(o.Err, context.DeadlineExceeded) || err != nil && !errors.Is(got, err) ||
				!strings.Contains(o.Message, "deadline passed while credentials *clientauth_test.fake were asked") {
				t.Errorf("%s: the call ended with %v", name, got)
			}
			r.over(t)
		})
	}
}

// TestConnectionLostWhileAsked: a call that is held fails as one of which nothing
// was sent, and so do those that begin afterwards.
func TestConnectionLostWhileAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, config(g), nil)
		first := r.call
		r.start(t) // which is over before that
		<-g.ctx
		g.answer <- nil
		synctest.Wait()
		r.end(t)
		r.call = callstacktest.NewCall(r.stack)
		b := r.start(t)
		ctx := <-g.ctx
		var ops []*transport.Op
		for _, op := range r.tr.Ops() {
			if op.StartWatch != nil {
				ops = append(ops, op)
			}
		}
		if len(ops) != 1 {
			t.Fatalf("%d watches", len(ops))
		}
		lost := errors.New("connection reset")
		ops[0].StartWatch.OnState(connectivity.Ready, nil)
		if b.GotTrailers.Count() != 0 {
			t.Fatal("the call ended on a good connection")
		}
		ops[0].StartWatch.OnState(connectivity.Shutdown, lost)
		check := func(b *callstacktest.Batch) {
			t.Helper()
			err := b.GotTrailers.Err()
			if transport.ProgressOf(err) != transport.ProgressNotSent || status.CodeOf(err) != status.Unavailable || !errors.Is(err, lost) {
				t.Errorf("the call ended with %v, progress %d", err, transport.ProgressOf(err))
			}
		}
		check(b)
		if ctx.Err() == nil {
			t.Error("the context goes on")
		}
		synctest.Wait()
		r.over(t)
		r.call = first
		check(r.start(t))
		r.over(t)
		if len(g.ctx) != 0 {
			t.Error("credentials are asked for a connection that is lost")
		}
	})
}

// TestGoexit: credentials that end the goroutine end their call.
func TestGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, config(&fake{do: func(context.Context, []string) error { runtime.Goexit(); return nil }}), nil)
		b := r.start(t)
		synctest.Wait()
		if err := b.GotTrailers.Err(); status.CodeOf(err) != status.Internal || !strings.Contains(fmt.Sprint(err), "ended the goroutine") {
			t.Errorf("the call ended with %v", err)
		}
		r.over(t)
	})
}

// TestRace cancels calls, loses their connection and answers them at every moment
// from the goroutines of each, and uses their lists as soon as they have ended.
func TestRace(t *testing.T) {
	lost := errors.New("connection reset")
	for i := range 200 {
		answers := make(chan struct{})
		creds := &fake{fields: token("a"), do: func(ctx context.Context, _ []string) error {
			select {
			case <-answers:
			case <-ctx.Done():
			}
			return nil // as if in time, so that the filter has to decide
		}}
		r := newRig(t, config(creds), nil)
		if i%4 == 3 {
			r.args.Deadline = time.Now().Add(50 * time.Microsecond)
		}
		r.begin(t)
		ended := make(chan struct{})
		b := callstacktest.NewBatch(transport.OpsSend | transport.OpRecvTrailingMetadata)
		withHeaders(b)
		sent := b.OnComplete
		b.OnComplete = doneFunc(func(err error) {
			b.SendHeaders.Reset() // whoever has the list next
			b.SendHeaders.Append("next", "1")
			sent.Run(err)
			close(ended)
		})
		var wg sync.WaitGroup
		wg.Go(func() { r.call.Stack.StartBatch(&b.StreamOpBatch) })
		wg.Go(func() { close(answers) })
		wg.Go(func() {
			r.call.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = context.Canceled })
		})
		wg.Go(func() {
			for _, op := range r.tr.Ops() {
				if op.StartWatch != nil {
					op.StartWatch.OnState(connectivity.Shutdown, lost)
				}
			}
		})
		wg.Wait()
		<-ended
		if n := b.SendHeaders.Len(); n != 1 {
			t.Fatalf("round %d: the list has %d pairs after the end", i, n)
		}
		r.stream().Trailers(nil, nil)
		r.call.Unref()
	}
}

type doneFunc func(err error)

func (f doneFunc) Run(err error) { f(err) }

// TestOwnCredentialsMayBlock: those of a call alone are asked on a goroutine, too,
// unless they say that they answer at once.
func TestOwnCredentialsMayBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, config(&prompt{}), g)
		b := r.start(t) // returns
		synctest.Wait()
		if len(g.ctx) != 1 || len(r.stream().Batches()) != 0 {
			t.Errorf("%d were asked, %v went down", len(g.ctx), r.stream().Batches())
		}
		g.answer <- nil
		synctest.Wait()
		if b.Sent.Count() != 1 || b.Sent.Err() != nil {
			t.Errorf("sending ended %d times, with %v", b.Sent.Count(), b.Sent.Err())
		}
		r.end(t)
	})
}

// TestDisconnectWhileAsked: a channel that is closed ends the calls that wait, before
// the transport says anything.
func TestDisconnectWhileAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newRig(t, config(g), nil)
		b := r.start(t)
		bye := errors.New("bye")
		r.stack.StartTransportOp(&transport.Op{Goaway: &transport.Goaway{}}) // ends nothing
		synctest.Wait()
		if b.GotTrailers.Count() != 0 {
			t.Fatalf("the call ended with %v", b.GotTrailers.Err())
		}
		r.stack.StartTransportOp(&transport.Op{Disconnect: bye})
		if err := b.GotTrailers.Err(); !errors.Is(err, bye) {
			t.Errorf("the call ended with %v, want the reason", err)
		}
		synctest.Wait()
		r.end(t)
	})
}

// TestNextCallIsAsked: a call after one that was cancelled, in the same block, sends what
// its credentials say, as any other.
func TestNextCallIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, config(&fake{fields: token("a")}), nil)
		r.begin(t)
		r.call.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = errors.New("enough") })
		r.call.Unref()
		r.start(t)
		synctest.Wait()
		if got := r.sent(); got != "own=1 a=SECRET" {
			t.Errorf("the next call sent %q", got)
		}
		r.stream().Trailers(nil, nil)
		if r.call.Unref(); r.call.Recycled() != 2 {
			t.Errorf("the block was recycled %d times", r.call.Recycled())
		}
	})
}
