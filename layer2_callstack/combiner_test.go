package callstack_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// A doneFunc is a function as a callback.
type doneFunc func(err error)

func (f doneFunc) Run(err error) { f(err) }

// A combining is a combiner and the call it is part of.
type combining struct {
	callstack.Combiner
	block callstack.Block
	back  counter
}

func newCombining() *combining {
	c := &combining{}
	c.block.Bind(&c.back)
	return c
}

// begin starts a use of the block, with one reference.
func (c *combining) begin() {
	c.block.Start()
	c.Bind(&callstack.CallArgs{Owner: &c.block})
}

// end gives the reference back, and wants it to be the last.
func (c *combining) end(t *testing.T) {
	t.Helper()
	before := c.back.Load()
	c.block.Unref()
	if c.back.Load() != before+1 {
		t.Fatal("the combiner kept a reference")
	}
	c.Reset()
}

// TestCombinerWatch: the callbacks of the operations that are asked for run
// through the combiner, each with its error, and the others are left alone.
func TestCombinerWatch(t *testing.T) {
	for _, tc := range []struct {
		name      string
		ops, want transport.OpSet // watched, and whose callbacks are replaced
	}{
		{"nothing", 0, 0},
		{"the headers", transport.OpRecvInitialMetadata, transport.OpRecvInitialMetadata},
		{"a message and the end", transport.OpRecvMessage | transport.OpRecvTrailingMetadata, transport.OpRecvMessage | transport.OpRecvTrailingMetadata},
		{"one that sends stands for all", transport.OpSendMessage, transport.OpsSend},
		{"all", transport.OpsSend | transport.OpsRecv | transport.OpCancelStream, transport.OpsSend | transport.OpsRecv},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCombining()
			for range 2 { // one call after another
				c.begin()
				var ran []string
				lost := errors.New("lost")
				note := func(name string, want error) transport.Done {
					return doneFunc(func(err error) {
						ran = append(ran, name)
						if err != want {
							t.Errorf("%s ended with %v, want %v", name, err, want)
						}
					})
				}
				b := &transport.StreamOpBatch{Ops: transport.OpsSend | transport.OpsRecv, OnComplete: note("sent", nil)}
				b.RecvInitialMetadata.Ready = note("headers", nil)
				b.RecvMessage.Ready = note("message", lost)
				b.RecvTrailingMetadata.Ready = note("trailers", nil)
				before := *b
				c.Watch(b, tc.ops)
				for _, got := range []struct {
					name          string
					ops           transport.OpSet
					before, after transport.Done
					err           error
				}{
					{"sent", transport.OpsSend, before.OnComplete, b.OnComplete, nil},
					{"headers", transport.OpRecvInitialMetadata, before.RecvInitialMetadata.Ready, b.RecvInitialMetadata.Ready, nil},
					{"message", transport.OpRecvMessage, before.RecvMessage.Ready, b.RecvMessage.Ready, lost},
					{"trailers", transport.OpRecvTrailingMetadata, before.RecvTrailingMetadata.Ready, b.RecvTrailingMetadata.Ready, nil},
				} {
					_, own := got.after.(doneFunc)
					if own == tc.want.Has(got.ops) {
						t.Errorf("the callback %q is the test's own: %v", got.name, own)
					}
					got.after.Run(got.err)
				}
				if want := []string{"sent", "headers", "message", "trailers"}; !slices.Equal(ran, want) {
					t.Errorf("%v ran, want %v", ran, want)
				}
				c.end(t)
			}
		})
	}
}

// TestCombinerWithoutTheOperation: what a batch does not have is not touched.
func TestCombinerWithoutTheOperation(t *testing.T) {
	c := newCombining()
	c.begin()
	b := &transport.StreamOpBatch{Ops: transport.OpSendMessage, OnComplete: doneFunc(func(error) {})}
	c.Watch(b, transport.OpsRecv|transport.OpSendInitialMetadata)
	if _, own := b.OnComplete.(doneFunc); !own || b.RecvMessage.Ready != nil {
		t.Error("a callback was replaced")
	}
	c.end(t)
}

// TestCombinerOrder: what comes due while a callback runs does so after it, in
// its order, and nothing nests.
func TestCombinerOrder(t *testing.T) {
	c := newCombining()
	c.begin()
	var ran []int
	var note func(n int) transport.Done
	note = func(n int) transport.Done {
		return doneFunc(func(error) {
			for _, more := range map[int][]int{0: {1, 2, 3}, 2: {4, 5}}[n] {
				c.Run(note(more), nil)
			}
			ran = append(ran, n)
		})
	}
	c.Run(note(0), nil)
	if want := []int{0, 1, 2, 3, 4, 5}; !slices.Equal(ran, want) {
		t.Errorf("the callbacks ran in the order %v, want %v", ran, want)
	}
	c.end(t)
}

// TestCombinerRecycled has the last callback end the call: the block must not
// come back, and serve another call, while the combiner still works on it.
func TestCombinerRecycled(t *testing.T) {
	c := newCombining()
	c.begin()
	c.Run(doneFunc(func(error) {
		c.block.Unref()
		if c.back.Load() != 0 {
			t.Error("the block came back while the combiner was at work")
		}
	}), nil)
	if got := c.back.Load(); got != 1 {
		t.Errorf("the block came back %d times", got)
	}
}

// TestCombinerRaces runs the callbacks of call after call on as many goroutines
// as there are operations. None runs beside another; plain is what the race
// detector watches.
func TestCombinerRaces(t *testing.T) {
	c := newCombining()
	for call := range 100 {
		c.begin()
		plain := 0
		var inside atomic.Int32
		done := doneFunc(func(error) {
			if inside.Add(1) != 1 {
				t.Error("two callbacks run at the same time")
			}
			plain++
			inside.Add(-1)
		})
		var wg sync.WaitGroup
		for _, op := range ops {
			b := &transport.StreamOpBatch{Ops: op, OnComplete: done}
			b.RecvInitialMetadata.Ready, b.RecvMessage.Ready, b.RecvTrailingMetadata.Ready = done, done, done
			c.Watch(b, op)
			ready := map[transport.OpSet]transport.Done{
				transport.OpRecvInitialMetadata: b.RecvInitialMetadata.Ready, transport.OpRecvMessage: b.RecvMessage.Ready,
				transport.OpRecvTrailingMetadata: b.RecvTrailingMetadata.Ready}[op]
			if ready == nil {
				ready = b.OnComplete
			}
			c.block.Ref()
			wg.Go(func() {
				ready.Run(nil)
				c.block.Unref()
			})
		}
		wg.Wait()
		if plain != len(ops) {
			t.Fatalf("call %d: %d callbacks ran, want %d", call, plain, len(ops))
		}
		c.end(t)
	}
}

// TestCombinerIdle: until it is engaged a combiner lets callbacks run as they come,
// one inside another too; after that, until the end of the call, they take turns.
func TestCombinerIdle(t *testing.T) {
	c := newCombining()
	for range 2 { // one call after another
		c.block.Start()
		c.BindIdle(&callstack.CallArgs{Owner: &c.block})
		var ran []string
		note := func(name string) transport.Done {
			return doneFunc(func(error) { ran = append(ran, name) })
		}
		around := func(name string) transport.Done {
			return doneFunc(func(error) {
				ran = append(ran, name)
				b := &transport.StreamOpBatch{Ops: transport.OpSendMessage, OnComplete: note("inside " + name)}
				c.Watch(b, transport.OpsSend)
				b.OnComplete.Run(nil)
				ran = append(ran, "end of "+name)
			})
		}
		c.Run(around("idle"), nil)
		c.Run(doneFunc(func(error) { c.Engage() }), nil)
		c.Run(around("engaged"), nil)
		want := []string{"idle", "inside idle", "end of idle", "engaged", "end of engaged", "inside engaged"}
		if !slices.Equal(ran, want) {
			t.Errorf("callbacks ran in the order %q, want %q", ran, want)
		}
		c.end(t)
	}
	c.begin() // not idle
	first := true
	c.Run(doneFunc(func(error) {
		c.Run(doneFunc(func(error) { first = false }), nil)
		if !first {
			t.Error("Bind has left the combiner idle")
		}
	}), nil)
	c.end(t)
}
