package stubs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/status"
	surface "github.com/strata-grpc/strata/layer4_surface"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// waitForEnd is a hook that waits until the call is over and says why.
func waitForEnd(why chan<- error) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		why <- errors.Join(ctx.Err(), context.Cause(ctx))
		return ctx.Err()
	}
}

// TestDeadline: a call ends at its deadline on both sides.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := make(chan error, 1)
		f := newMemFixture(t, &echo{hook: waitForEnd(why)}, options{})
		ready(t, f)
		for _, kind := range []string{"unary", "stream"} {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			start := time.Now()
			err := callOf(ctx, f, kind)
			wantCode(t, err, status.DeadlineExceeded)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v does not match context.DeadlineExceeded", kind, err)
			}
			if got := time.Since(start); got != 3*time.Second {
				t.Errorf("%s: ended after %v, want 3s", kind, got)
			}
			if err := <-why; err == nil {
				t.Errorf("%s: the handler was not told", kind)
			}
		}
	})
}

// callOf makes a call of one kind and returns how it ended.
func callOf(ctx context.Context, f *fixture, kind string) error {
	if kind == "unary" {
		_, err := f.client.Unary(ctx, new(testpb.Request))
		return err
	}
	stream, err := f.client.Bidi(ctx)
	if err != nil {
		return err
	}
	_, err = stream.Recv()
	return err
}

// ready connects, so that what follows is about calls.
func ready(t *testing.T, f *fixture) {
	t.Helper()
	if err := f.cc.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestServerDeadline: the handler's own context ends at the deadline, with the
// right error, when the client is silent about it.
func TestServerDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(chan [2]error, 1)
		f := newMemFixture(t, &echo{hook: func(ctx context.Context) error {
			if d, ok := ctx.Deadline(); !ok || time.Until(d) <= 0 || time.Until(d) > time.Second {
				t.Errorf("deadline in %v, %t", time.Until(d), ok)
			}
			child, cancel := context.WithCancel(metadata.NewIncomingContext(ctx, nil))
			defer cancel()
			<-child.Done()
			seen <- [2]error{child.Err(), ctx.Err()}
			return ctx.Err()
		}}, options{})
		ready(t, f)
		call, err := f.cc.Channel().CreateCall(surface.CallParams{
			Method: testpb.Test_Bidi_FullMethodName, Deadline: time.Now().Add(time.Second), DeadlineWatched: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer call.Release()
		if fault := call.StartBatch([]surface.Op{{Type: surface.SendInitialMetadata}}, "begin"); fault != surface.CallOK {
			t.Fatal(fault)
		}
		if errs := <-seen; errs[0] != context.DeadlineExceeded || errs[1] != context.DeadlineExceeded {
			t.Errorf("Err = %v, of the parent %v; want the deadline", errs[0], errs[1])
		}
	})
}

// TestCancel: the end of a caller's context ends the call on both sides, with
// its cause.
func TestCancel(t *testing.T) {
	reason := errors.New("the user went away")
	synctest.Test(t, func(t *testing.T) {
		why := make(chan error, 1)
		f := newMemFixture(t, &echo{hook: waitForEnd(why)}, options{})
		ready(t, f)
		for _, kind := range []string{"unary", "stream"} {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(reason) })
			err := callOf(ctx, f, kind)
			wantCode(t, err, status.Canceled)
			if !errors.Is(err, context.Canceled) || !errors.Is(err, reason) {
				t.Errorf("%s: %v matches neither Canceled nor its cause", kind, err)
			}
			if err := <-why; !errors.Is(err, context.Canceled) || err.Error() == "context canceled\ncontext canceled" {
				t.Errorf("%s: the handler was told %v", kind, err)
			}
		}
	})
}

// A slowContext tells nobody that it has ended: it stands for the moment before
// the goroutine runs that is to be told.
type slowContext struct{ context.Context }

func (slowContext) AfterFunc(func()) (stop func() bool) { return func() bool { return true } }
func (slowContext) Value(any) any                       { return nil } // it does not give the real one away

// TestCancelComesBeforeWhatFollows: a call whose context has ended does not
// succeed by what the program does next, however fast the server answers.
func TestCancelComesBeforeWhatFollows(t *testing.T) {
	f := newFixture(t, new(echo), options{})
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := f.client.ClientStream(slowContext{ctx})
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(new(testpb.Request)); err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = stream.CloseAndRecv()
	wantCode(t, err, status.Canceled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not match context.Canceled", err)
	}
}

// TestContextOver: a context that is over already makes no call.
func TestContextOver(t *testing.T) {
	f := newFixture(t, &echo{hook: func(context.Context) error {
		t.Error("a handler was called")
		return nil
	}}, options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, kind := range []string{"unary", "stream"} {
		err := callOf(ctx, f, kind)
		wantCode(t, err, status.Canceled)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v does not match context.Canceled", err)
		}
	}
}

// TestWaitForReady: a call may wait for a server that is not there yet, and at
// its deadline says what it waited for.
func TestWaitForReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc := dial(t, "memory", stubs.WithContextDialer(refuse))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := cc.Invoke(ctx, testpb.Test_Unary_FullMethodName, new(testpb.Request), new(testpb.Response), stubs.WaitForReady(true))
		wantCode(t, err, status.DeadlineExceeded)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errRefused) {
			t.Errorf("%v does not match the deadline and what the dialer said", err)
		}
		err = cc.Invoke(t.Context(), testpb.Test_Unary_FullMethodName, new(testpb.Request), new(testpb.Response))
		wantCode(t, err, status.Unavailable)
	})
}

// TestHandlerContextEnds: the context of a handler ends with it, and what was
// not asked for before is gone then.
func TestHandlerContextEnds(t *testing.T) {
	kept := make(chan context.Context, 1)
	asked := make(chan context.Context, 1)
	f := newFixture(t, &echo{hook: func(ctx context.Context) error {
		if ctx.Err() != nil || ctx.Value("unknown") != nil {
			t.Errorf("Err = %v in a handler", ctx.Err())
		}
		if len(asked) == 0 {
			md, _ := metadata.FromIncomingContext(ctx)
			wantMD(t, "incoming", md, "k", "v")
			child, cancel := context.WithCancelCause(ctx)
			context.AfterFunc(child, func() { cancel(nil) })
			asked <- child
		} else {
			kept <- ctx
		}
		return nil
	}}, options{})
	out := metadata.AppendToOutgoingContext(within(t), "k", "v")
	for range 2 {
		if _, err := f.client.Unary(out, new(testpb.Request)); err != nil {
			t.Fatal(err)
		}
	}
	for _, ctx := range []context.Context{<-asked, <-kept} {
		select {
		case <-ctx.Done():
		case <-within(t).Done():
			t.Fatal("the context of a handler that returned has not ended")
		}
		if ctx.Err() != context.Canceled || context.Cause(ctx) == context.Canceled {
			t.Errorf("Err = %v, cause = %v; want Canceled and a reason", ctx.Err(), context.Cause(ctx))
		}
		if p, ok := peer.FromContext(ctx); !ok || p == nil {
			t.Error("the peer is gone")
		}
		wantCode(t, stubs.SetHeader(ctx, metadata.Pairs("a", "b")), status.Canceled)
		wantCode(t, stubs.SendHeader(ctx, metadata.Pairs("a", "b")), status.Canceled)
	}
}

// TestClose: closing a stream ends its call, and closing it again or after the
// end does nothing.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := make(chan error, 1)
		f := newMemFixture(t, &echo{hook: waitForEnd(why)}, options{})
		var finished []error
		stream, err := f.client.Bidi(t.Context(), stubs.OnFinish(func(err error) { finished = append(finished, err) }))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range 2 {
			if err := stream.Close(); err != nil {
				t.Error(err)
			}
		}
		_, err = stream.Recv()
		wantCode(t, err, status.Canceled)
		if err := stream.Send(new(testpb.Request)); err != io.EOF {
			t.Errorf("Send after the end = %v, want io.EOF", err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Errorf("CloseSend after the end = %v", err)
		}
		<-why
		synctest.Wait()
		if len(finished) != 1 || status.CodeOf(finished[0]) != status.Canceled {
			t.Errorf("OnFinish was called with %v", finished)
		}
		if err := stream.Close(); err != nil {
			t.Error(err)
		}
		if md, err := stream.Header(); md != nil || status.CodeOf(err) != status.Canceled {
			t.Errorf("Header = %v, %v", md, err)
		}
	})
}

// TestCloseClient: closing the channel ends its calls and leaves no goroutine,
// for which the bubble looks.
func TestCloseClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := make(chan error, 2)
		f := newMemFixture(t, &echo{hook: waitForEnd(why)}, options{})
		ended := make(chan error, 2)
		for _, kind := range []string{"unary", "stream"} {
			go func() { ended <- callOf(t.Context(), f, kind) }()
		}
		synctest.Wait()
		f.cc.Close()
		for range 2 {
			err := <-ended
			wantCode(t, err, status.Canceled)
			if !strings.Contains(fmt.Sprint(err), "the channel is closed") {
				t.Errorf("a call under way ended with %v", err)
			}
		}
		wantCode(t, callOf(t.Context(), f, "unary"), status.Canceled)
		wantCode(t, callOf(t.Context(), f, "stream"), status.Canceled)
	})
}

// TestTwoBubbles: nothing that belongs to one bubble is left for the next.
func TestTwoBubbles(t *testing.T) {
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			f := newMemFixture(t, new(echo), options{})
			if _, err := f.client.Unary(t.Context(), new(testpb.Request)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestOneRequestIsNeverEOF: where the client sends one message, the end of the
// call comes as its status from every method, and a stream that was refused
// leaves nothing running.
func TestOneRequestIsNeverEOF(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc := dial(t, "memory", stubs.WithContextDialer(refuse))
		stream, err := testpb.NewTestClient(cc).ServerStream(t.Context(), new(testpb.Request))
		if err == nil {
			_, err = stream.Recv()
		}
		wantCode(t, err, status.Unavailable)
		if !errors.Is(err, errRefused) {
			t.Errorf("%v does not match what the dialer said", err)
		}
		raw, err := cc.NewStream(t.Context(), &stubs.StreamDesc{ServerStreams: true}, testpb.Test_ServerStream_FullMethodName)
		if err != nil {
			wantCode(t, err, status.Unavailable)
			return
		}
		synctest.Wait()
		wantCode(t, raw.SendMsg(new(testpb.Request)), status.Unavailable)
		if err := raw.CloseSend(); err != nil {
			t.Errorf("CloseSend = %v", err)
		}
	})
}
