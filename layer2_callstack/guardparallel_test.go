package callstack_test

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
)

// TestCrimesInParallel is TestRandomCrimes with everything at the same time: those
// who start operations, each as soon as the last of its kind has ended, the
// transport, and somebody who cancels. What it finds it finds with -race.
func TestCrimesInParallel(t *testing.T) {
	seeds := uint64(600)
	if testing.Short() {
		seeds = 100
	}
	for seed := range seeds {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { parallelCall(t, seed) })
		})
		if !ok {
			return
		}
	}
}

// A parallelOp is one operation, or those of a batch that sends, of a parallel call.
type parallelOp struct {
	t       *testing.T
	ops     transport.OpSet
	running *atomic.Int32 // callbacks of the call
	left    atomic.Int32  // 1 while it is outstanding
	ended   chan struct{}
}

func (o *parallelOp) Run(err error) {
	if o.running.Add(1) != 1 {
		o.t.Errorf("the callback of %s runs beside another", o.ops)
	}
	runtime.Gosched()
	if err != nil && err != errLost && err != errCancel && !strings.Contains(err.Error(), `filter "rogue" `) {
		o.t.Errorf("%s ended with %v", o.ops, err)
	}
	if o.left.Add(-1) != 0 {
		o.t.Errorf("%s ended twice", o.ops)
	}
	o.running.Add(-1)
	o.ended <- struct{}{}
}

func parallelCall(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 3))
	f := &random{rng: rand.New(rand.NewPCG(seed, 4)), pass: 60 + rng.IntN(41)}
	tr := &callstacktest.Transport{HoldSends: rng.IntN(2) == 0}
	b := callstack.NewBuilder("TEST")
	b.Add(f).Contained()
	b.Add(connected.New()).Terminal()
	s, err := b.Build(callstack.ChannelArgs{Transport: tr, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	c := callstacktest.NewCall(s)
	st := tr.Streams()[0]
	cancel := func() {
		c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = errCancel })
	}
	if err := c.Begin(callstacktest.Side(seed % 2).Args()); err != nil {
		cancel()
	}
	var running atomic.Int32
	var all sync.WaitGroup
	// Batches that send two kinds at once, whose callback waits for both, or one.
	sends := []transport.OpSet{transport.OpSendInitialMetadata | transport.OpSendMessage, transport.OpSendMessage, transport.OpSendMessage | transport.OpSendTrailingMetadata}
	for _, ops := range [][]transport.OpSet{
		sends,
		{transport.OpRecvInitialMetadata},
		{transport.OpRecvMessage, transport.OpRecvMessage, transport.OpRecvMessage, transport.OpRecvMessage},
	} {
		all.Go(func() {
			for _, op := range ops {
				o := &parallelOp{t: t, ops: op, running: &running, ended: make(chan struct{}, 1)}
				o.left.Store(1)
				c.Do(op, func(b *callstacktest.Batch) {
					first := op & -op
					*callback(&b.StreamOpBatch, first) = o
				})
				<-o.ended
			}
		})
	}
	end := &parallelOp{t: t, ops: transport.OpRecvTrailingMetadata, running: &running, ended: make(chan struct{}, 1)}
	end.left.Store(1)
	events := make(chan struct{})
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-events:
				return
			default:
			}
			switch i % 4 {
			case 0:
				st.Headers(nil, nil)
			case 1:
				st.Message(transport.NewBuffer(0), nil)
			case 2:
				st.CompleteSends(nil)
			case 3:
				time.Sleep(50 * time.Millisecond)
			}
		}
	})
	after := time.Duration(rng.IntN(4)) * 50 * time.Millisecond
	all.Go(func() {
		time.Sleep(after)
		cancel()
		time.Sleep(time.Duration(rng.IntN(4)) * 500 * time.Millisecond)
		cancel()
	})
	time.Sleep(20 * time.Second)
	c.Do(end.ops, func(b *callstacktest.Batch) { b.RecvTrailingMetadata.Ready = end })
	time.Sleep(20 * time.Second)
	st.Trailers(nil, errLost)
	close(events)
	all.Wait()
	<-end.ended
	c.Unref()
	time.Sleep(20 * time.Second)
	if got := c.Recycled(); got != 1 {
		t.Errorf("the block was recycled %d times", got)
	}
}
