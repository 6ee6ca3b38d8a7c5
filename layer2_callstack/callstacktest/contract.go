package callstacktest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// A Side is the end of a connection that a filter is for.
type Side int

// The two ends.
const (
	Client Side = iota
	Server
)

// Args returns what a call of that side begins with.
func (s Side) Args() callstack.CallArgs {
	if s == Server {
		return callstack.CallArgs{Accepted: Accepted{}}
	}
	return callstack.CallArgs{Path: "/service/method", Authority: "example.com"}
}

// FillHeaders sets the headers of a peer that does nothing wrong.
func (s Side) FillHeaders(rim *transport.RecvInitialMetadata) {
	md := rim.MD
	md.ContentType = "application/grpc"
	if s == Client {
		md.HTTPStatus = "200"
		return
	}
	md.Method, md.Scheme, md.Path, md.TE = "POST", "http", "/service/method", "trailers"
}

// FillTrailers sets the trailers of a server's OK.
func (s Side) FillTrailers(md *metadata.List) {
	if s == Client {
		md.SetStatus(uint32(status.OK), "")
	}
}

// allOps are the operations of a whole unary call.
const allOps = transport.OpsSend | transport.OpsRecv

// Run exercises the contract of [callstack.CallElem] on a filter in a stack of
// its own, above a transport that does nothing wrong. The filter must let such
// a call through. It may take its time: each case is run in a bubble of package
// synctest, where what the filter has begun ends before the peer goes on.
func Run(t *testing.T, side Side, f callstack.Filter) {
	for _, tc := range []struct {
		name string // the sentence of the contract under test
		test func(t *testing.T, side Side, s *callstack.ChannelStack, tr *Transport)
	}{
		{"each operation of a call ends exactly once", testSuccess},
		{"operations in batches of their own end exactly once", testSeparate},
		{"a cancel is passed on and ends what is outstanding", testCancel},
		{"a cancel before the first batch is passed on", testCancelFirst},
		{"an error of the transport reaches every callback", testTransportError},
		{"a block is recycled when the call is over", testRecycled},
		{"a call knows nothing of the one before in its block", testNextCall},
		{"operations, a cancel and the peer may come at the same time", testConcurrent},
		{"a transport operation is passed on", testTransportOp},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := &Transport{}
				s := Build(t, tr, f)
				defer s.Destroy()
				tc.test(t, side, s, tr)
			})
		})
	}
}

// begin starts a call of the stack.
func begin(t *testing.T, side Side, s *callstack.ChannelStack) *Call {
	t.Helper()
	c := NewCall(s)
	if err := c.Begin(side.Args()); err != nil {
		t.Fatalf("Init: %v", err)
	}
	return c
}

// finish plays the peer of a successful unary call.
func finish(side Side, st *Stream) {
	st.Headers(side.FillHeaders, nil)
	st.Message(transport.NewBuffer(0), nil)
	st.Trailers(side.FillTrailers, nil)
}

// play is finish for a filter that may take its time.
func play(side Side, st *Stream) {
	synctest.Wait()
	st.Headers(side.FillHeaders, nil)
	synctest.Wait()
	st.Message(transport.NewBuffer(0), nil)
	synctest.Wait()
	st.Trailers(side.FillTrailers, nil)
	synctest.Wait()
}

// wantAll checks that the callbacks of b ran in that order, each with an error
// that matches want.
func wantAll(t *testing.T, b *Batch, want error, order ...string) {
	t.Helper()
	if got := b.Order(); !slices.Equal(got, order) {
		t.Errorf("callbacks of %q ran in the order %v, want %v", b.Ops, got, order)
	}
	for _, r := range []*Result{&b.Sent, &b.GotHeaders, &b.GotMessage, &b.GotTrailers} {
		if err := r.Err(); r.Count() > 0 && !errors.Is(err, want) {
			t.Errorf("callback %q of %q ran with %v, want %v", r.name, b.Ops, err, want)
		}
	}
}

func testSuccess(t *testing.T, side Side, s *callstack.ChannelStack, tr *Transport) {
	c := begin(t, side, s)
	defer c.Unref()
	b := c.Do(allOps)
	play(side, tr.Streams()[0])
	wantAll(t, b, nil, "sent", "headers", "message", "trailers")
	b.RecvMessage.Message.Release()
}

func testSeparate(t *testing.T, side Side, s *callstack.ChannelStack, tr *Transport) {
	c := begin(t, side, s)
	defer c.Unref()
	var batches []*Batch
	for op := transport.OpSendInitialMetadata; op <= transport.OpRecvTrailingMetadata; op <<= 1 {
		batches = append(batches, c.Do(op))
	}
	play(side, tr.Streams()[0])
	for i, name := range []string{"sent", "sent", "sent", "headers", "message", "trailers"} {
		wantAll(t, batches[i], nil, name)
	}
	batches[4].RecvMessage.Message.Release()
}

func testCancel(t *testing.T, side Side, s *callstack.ChannelStack, tr *Transport) {
	c := begin(t, side, s)
	defer c.Unref()
	b := c.Do(transport.OpSendInitialMetadata | transport.OpsRecv)
	synctest.Wait()
	why := errors.New("cancelled by the test")
	c.Do(transport.OpCancelStream, func(b *Batch) { b.CancelErr = why })
	if got := tr.Streams()[0].Canceled(); !errors.Is(got, why) {
		t.Errorf("the transport was cancelled with %v, want %v", got, why)
	}
	if err := b.Sent.Err(); err != nil {
		t.Errorf("sending before the cancel failed: %v", err)
	}
	if got := strings.Join(b.Order(), " "); got != "sent headers message trailers" {
		t.Errorf("callbacks ran in the order %q", got)
	}
	for _, r := range []*Result{&b.GotHeaders, &b.GotMessage, &b.GotTrailers} {
		if !errors.Is(r.Err(), why) {
			t.Errorf("callback %q ran with %v, want %v", r.name, r.Err(), why)
		}
	}
}

func testCancelFirst(t *testing.T, side Side, s *callstack.ChannelStack, tr *Transport) {
	c := begin(t, side, s)
	defer c.Unref()
	why := errors.New("cancelled by the test")
	c.Do(transport.OpCancelStream, func(b *Batch) { b.CancelErr = why })
	if got := tr.Streams()[0].Canceled(); !errors.Is(got, why) {
		t.Errorf("the transport was cancelled with %v, want %v", got, why)
	}
	wantAll(t, c.Do(allOps), why, "headers", "message", "trailers", "sent")
}

func testTransportError(t *testing.T, side Side, s *callstack.ChannelStack, tr *Transport) {
	c := begin(t, side, s)
	defer c.Unref()
	tr.HoldSends = true
	b := c.Do(allOps)
	synctest.Wait()
	lost := &transport.Error{Code: status.Unavailable, Layer: "fake", Reason: "connection lost"}
	st := tr.Streams()[0]
	st.Trailers(nil, lost)
	st.CompleteSends(lost)
	wantAll(t, b, lost, "headers", "message", "trailers", "sent")
}

func testRecycled(t *testing.T, side Side, s *callstack.ChannelStack, tr *Transport) {
	c := NewCall(s)
	for use := 1; use <= 3; use++ {
		if err := c.Begin(side.Args()); err != nil {
			t.Fatalf("Init of use %d: %v", use, err)
		}
		b := c.Do(allOps)
		play(side, tr.Streams()[0])
		wantAll(t, b, nil, "sent", "headers", "message", "trailers")
		b.RecvMessage.Message.Release()
		c.Unref()
		if got := c.Recycled(); got != use {
			t.Fatalf("after %d calls the block was recycled %d times: a reference was kept", use, got)
		}
	}
}

// testNextCall has a call of which everything goes well after one of which nothing does.
func testNextCall(t *testing.T, side Side, s *callstack.ChannelStack, tr *Transport) {
	why := errors.New("cancelled by the test")
	cancel := func(c *Call) { c.Do(transport.OpCancelStream, func(b *Batch) { b.CancelErr = why }) }
	lost := &transport.Error{Code: status.Unavailable, Layer: "fake", Reason: "connection lost"}
	c := NewCall(s)
	for i, spoil := range []func(st *Stream){
		func(*Stream) { cancel(c) },
		func(st *Stream) { st.Headers(nil, lost) },
		func(st *Stream) { st.Headers(side.spoilHeaders, nil) },
	} {
		if err := c.Begin(side.Args()); err != nil {
			t.Fatalf("Init: %v", err)
		}
		st := tr.Streams()[0]
		c.Do(allOps &^ transport.OpSendTrailingMetadata)
		synctest.Wait()
		spoil(st)
		synctest.Wait()
		st.Trailers(nil, lost)
		cancel(c)
		if c.Unref(); c.Recycled() != 2*i+1 {
			t.Fatalf("after %d calls the block was recycled %d times: a reference was kept", 2*i+1, c.Recycled())
		}
		if err := c.Begin(side.Args()); err != nil {
			t.Fatalf("Init of the next call: %v", err)
		}
		b := c.Do(allOps)
		play(side, st)
		wantAll(t, b, nil, "sent", "headers", "message", "trailers")
		b.RecvMessage.Message.Release()
		c.Unref()
	}
}

// spoilHeaders sets the headers of a peer to which a filter may object.
func (s Side) spoilHeaders(rim *transport.RecvInitialMetadata) {
	s.FillHeaders(rim)
	if s == Client {
		rim.MD.ContentType = "text/html"
	}
	rim.MD.Deadline = time.Now().Add(-time.Second)
}

// testConcurrent looks at little by itself: it is for the race detector. In every
// second call a cancel comes, in the others the peer. A server asks for the headers
// first of all, and sends nothing before they have come, or never will.
func testConcurrent(t *testing.T, side Side, s *callstack.ChannelStack, tr *Transport) {
	c := NewCall(s)
	for use := 1; use <= 100; use++ {
		if err := c.Begin(side.Args()); err != nil {
			t.Fatalf("Init of use %d: %v", use, err)
		}
		st := tr.Streams()[0]
		why := errors.New("cancelled by the test")
		var batches [6]*Batch
		do := func(i int, op transport.OpSet, edit ...func(*Batch)) { batches[i] = c.Do(op, edit...) }
		do(0, transport.OpRecvTrailingMetadata)
		var wg sync.WaitGroup
		heard := make(chan struct{})
		hear := func(b *Batch) { b.RecvInitialMetadata.Ready = &then{b.RecvInitialMetadata.Ready, heard} }
		if side == Server {
			do(4, transport.OpRecvInitialMetadata, hear)
		} else {
			close(heard)
			wg.Go(func() { do(4, transport.OpRecvInitialMetadata) })
		}
		wg.Go(func() {
			<-heard
			do(1, transport.OpSendInitialMetadata)
			do(2, transport.OpSendMessage)
			do(3, transport.OpSendTrailingMetadata)
		})
		wg.Go(func() { do(5, transport.OpRecvMessage) })
		if use%2 == 0 {
			wg.Go(func() { finish(side, st) })
		} else {
			wg.Go(func() { c.Do(transport.OpCancelStream, func(b *Batch) { b.CancelErr = why }) })
		}
		wg.Wait()
		play(side, st)
		for _, b := range batches {
			if n := len(b.Order()); n != 1 {
				t.Errorf("use %d: %d callbacks of %q ran, want 1", use, n, b.Ops)
			}
			if b.Ops.Has(transport.OpRecvMessage) {
				b.RecvMessage.Message.Release()
			}
		}
		c.Unref()
		if c.Recycled() != use {
			t.Fatalf("after %d calls the block was recycled %d times: a reference was kept", use, c.Recycled())
		}
	}
}

// A then is a callback after which a channel is closed.
type then struct {
	done  transport.Done
	after chan struct{}
}

func (d *then) Run(err error) {
	d.done.Run(err)
	close(d.after)
}

func testTransportOp(t *testing.T, _ Side, s *callstack.ChannelStack, tr *Transport) {
	op := &transport.Op{Goaway: &transport.Goaway{}}
	own := len(tr.Ops()) // a filter may watch the state
	s.StartTransportOp(op)
	if got := tr.Ops()[own:]; len(got) != 1 || got[0] != op {
		t.Errorf("the transport got %d operations, want the one", len(got))
	}
}
