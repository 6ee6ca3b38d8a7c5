package callstack_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

const serverFirst = transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata

// A holder is a filter with a Hold, which it opens when the test says so.
type holder struct {
	hold callstack.Hold
	open func()
	seen []transport.OpSet // what has come back
}

func (h *holder) filter() *rogue {
	return &rogue{
		init: func(c *rogueCall) error {
			h.hold.Close()
			h.open = func() { h.hold.Open(c.Next, c.args) }
			return nil
		},
		batch: func(c *rogueCall, b *transport.StreamOpBatch) {
			for op := transport.OpRecvInitialMetadata; op <= transport.OpRecvTrailingMetadata; op <<= 1 {
				if b.Ops.Has(op) {
					at := callback(b, op)
					done := *at
					*at = doneFunc(func(err error) {
						h.seen = append(h.seen, op)
						done.Run(err)
					})
				}
			}
			h.hold.StartBatch(c.Next, c.args, b)
		},
		reset: func(*rogueCall) { h.hold.Reset() },
	}
}

// TestEndOfAKeptStream: a server's filter that keeps recv_trailing_metadata hides the
// end of the stream from nobody: it is told by a cancel, and has the time of its grace.
func TestEndOfAKeptStream(t *testing.T) {
	only := func(ops transport.OpSet, then func(c *rogueCall, kept *transport.StreamOpBatch)) *rogue {
		var kept *transport.StreamOpBatch
		return &rogue{batch: func(c *rogueCall, b *transport.StreamOpBatch) {
			if b.Ops == transport.OpCancelStream {
				c.Next.StartBatch(b)
				if then != nil && kept != nil {
					then(c, kept)
				}
				return
			}
			kept = b
			without(ops)(c, b)
		}}
	}
	passEnd := func(c *rogueCall, kept *transport.StreamOpBatch) {
		end := *kept
		end.Ops = transport.OpRecvTrailingMetadata
		c.Next.StartBatch(&end)
	}
	h := &holder{}
	for _, tc := range []struct {
		name   string
		f      *rogue
		before func(st *callstacktest.Stream) // the end
		err    error                          // of the stream
		want   string                         // the end of the call, empty for that of the stream
	}{
		{"one that waits", h.filter(), nil, errLost, ""},
		{"one that waits, and the client is content", h.filter(), nil, nil, ""},
		{"one that has waited", h.filter(), func(*callstacktest.Stream) { h.open() }, errLost, ""},
		{"one that has waited, and the call has begun", h.filter(), func(st *callstacktest.Stream) {
			h.open()
			st.Headers(callstacktest.Server.FillHeaders, nil)
		}, errLost, ""},
		{"one that keeps all", only(serverFirst, nil), nil, errLost,
			"kept recv_initial_metadata recv_trailing_metadata after the stream had ended"},
		{"one that is deaf", &rogue{batch: func(*rogueCall, *transport.StreamOpBatch) {}}, nil, errLost, "did not pass on cancel_stream"},
		{"one that keeps the end", only(transport.OpRecvTrailingMetadata, nil), nil, errLost,
			"kept recv_trailing_metadata after the stream had ended"},
		{"one that passes it on when it is told", only(transport.OpRecvTrailingMetadata, passEnd), nil, errLost, ""},
		{"one that does so twice", only(transport.OpRecvTrailingMetadata, func(c *rogueCall, kept *transport.StreamOpBatch) {
			passEnd(c, kept)
			passEnd(c, kept)
		}), nil, errLost, ""},
		{"one that passes all on when it is told, and panics", only(serverFirst, func(c *rogueCall, kept *transport.StreamOpBatch) {
			c.Next.StartBatch(kept) // recv_initial_metadata comes back when the stream has told of its end
			panic("boom")
		}), nil, errLost, "panicked in StartBatch"},
		{"one that ends the call itself", only(transport.OpRecvTrailingMetadata, func(_ *rogueCall, kept *transport.StreamOpBatch) {
			kept.RecvTrailingMetadata.Ready.Run(errLost)
		}), nil, errCancel, errLost.Error()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, callstacktest.Server, tc.f)
				c := callstacktest.NewCall(r.stack)
				for n := range 2 { // the second time in the same memory, if that may be
					if err := c.Begin(r.side.Args()); err != nil {
						t.Fatal(err)
					}
					st := r.tr.Streams()[0]
					b := r.start(c, serverFirst)
					time.Sleep(time.Minute)
					if tc.before != nil {
						tc.before(st)
					}
					if b.GotTrailers.Count() != 0 {
						t.Error("the call ended before the stream")
					}
					if !st.Sent(transport.OpRecvTrailingMetadata) {
						t.Fatal("nobody watches the stream")
					}
					var fill func(*metadata.List)
					if tc.err == nil {
						fill = func(md *metadata.List) { md.Append("how", "well") }
					}
					st.Trailers(fill, tc.err)
					time.Sleep(2 * time.Second)
					err := b.GotTrailers.Err()
					if tc.want == "" && err != tc.err || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
						t.Errorf("the call ended with %v, want %s%v", err, tc.want, tc.err)
					}
					if how, _ := b.RecvTrailers.Get("how"); tc.err == nil && (how != "well" || b.RecvTrailers.Len() != 1) {
						t.Errorf("with the end came %v", b.RecvTrailers.Pairs())
					}
					c.Unref()
					if got := len(st.Batches()); got != 0 {
						t.Errorf("the stream of a call that has ended has %d batches", got)
					}
					if c.Recycled() != n+1 {
						t.Fatalf("the block was recycled %d times", c.Recycled())
					}
					if got := strings.Join(r.order, " "); got != "headers trailers" {
						t.Errorf("the callbacks ran in the order %s", got)
					}
					if n := len(h.seen); n > 0 && h.seen[n-1] != transport.OpRecvTrailingMetadata {
						t.Errorf("the filter saw the end before the rest: %v", h.seen)
					}
					r.started, r.order, h.seen = nil, nil, nil
					if c.Spent() {
						return
					}
				}
			})
		})
	}
}

// TestEndBesideTheFilter: the stream ends while the filter passes on what it kept, and
// somebody cancels. The call ends once, whoever is first.
func TestEndBesideTheFilter(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			h := &holder{}
			r := newRig(t, callstacktest.Server, h.filter())
			c := callstacktest.NewCall(r.stack)
			for range 3 {
				if err := c.Begin(r.side.Args()); err != nil {
					t.Fatal(err)
				}
				st := r.tr.Streams()[0]
				r.start(c, serverFirst)
				r.start(c, transport.OpRecvMessage)
				var all sync.WaitGroup
				all.Go(func() { st.Trailers(nil, errLost) })
				all.Go(func() { h.open() })
				all.Go(func() { c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = errCancel }) })
				all.Wait()
				time.Sleep(3 * time.Second)
				c.Unref()
				if r.log.Len() != 0 || c.Spent() {
					t.Fatalf("the filter is blamed: %s", r.log.String())
				}
				for _, b := range r.started {
					for name, res := range results(b) {
						if res.Count() != 1 || res.Err() == nil {
							t.Errorf("%q ended %d times, with %v", name, res.Count(), res.Err())
						}
					}
				}
				r.started, r.order = nil, nil
			}
			if c.Recycled() != 3 {
				t.Errorf("the block was recycled %d times", c.Recycled())
			}
		})
	}
}

// TestEndWaitsItsTurn: what a filter asks for that keeps recv_trailing_metadata does not
// come beside another callback, as from a transport.
func TestEndWaitsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept *transport.StreamOpBatch
		var next callstack.CallElem
		var order []string
		passed := make(chan struct{})
		f := &rogue{batch: func(c *rogueCall, b *transport.StreamOpBatch) {
			done := b.OnComplete
			switch {
			case b.Ops == transport.OpRecvTrailingMetadata:
				kept, next = b, c.Next
				return
			case b.Ops == transport.OpSendMessage:
				b.OnComplete = doneFunc(func(err error) {
					<-passed
					order = append(order, "sent")
					done.Run(err)
				})
			}
			c.Next.StartBatch(b)
		}}
		r := newRig(t, callstacktest.Server, f)
		c := callstacktest.NewCall(r.stack)
		for n := range 2 {
			if err := c.Begin(r.side.Args()); err != nil {
				t.Fatal(err)
			}
			passed, order = make(chan struct{}), nil
			end := c.Do(transport.OpRecvTrailingMetadata)
			r.tr.Streams()[0].Trailers(nil, errLost)
			go c.Do(transport.OpSendMessage)
			synctest.Wait()
			done := kept.RecvTrailingMetadata.Ready
			kept.RecvTrailingMetadata.Ready = doneFunc(func(err error) {
				order = append(order, "trailers")
				done.Run(err)
			})
			next.StartBatch(kept)
			close(passed)
			synctest.Wait()
			if got := strings.Join(order, " "); got != "sent trailers" {
				t.Errorf("the filter's callbacks ran in the order %q", got)
			}
			if end.GotTrailers.Count() != 1 || end.GotTrailers.Err() != errLost {
				t.Errorf("the call ended %d times, with %v", end.GotTrailers.Count(), end.GotTrailers.Err())
			}
			c.Unref()
			if c.Recycled() != n+1 || c.Spent() || r.log.Len() != 0 {
				t.Fatalf("recycled %d times, spent %v, log %q", c.Recycled(), c.Spent(), r.log.String())
			}
		}
	})
}
